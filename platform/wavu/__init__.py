"""The platform: what Wavu runs for every ISP. docs/architecture.md says what lives in which room."""
