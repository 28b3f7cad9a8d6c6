"""Request plumbing shared by every surface: hosts, sessions, access, CSRF, errors, forms, language, static files."""
