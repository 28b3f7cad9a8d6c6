"""Adapters for time and queues: thin. Rules stay in the tenant plane and the platform."""
