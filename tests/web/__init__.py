"""Pages over HTTP: hosts, signing in, teams, tenants, errors."""
