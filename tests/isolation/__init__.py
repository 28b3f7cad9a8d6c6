"""Tenants stay apart: in the database, in sessions, on every page."""
