"""Entitlements, log-in codes, decisions and sessions, apart from the wire."""
