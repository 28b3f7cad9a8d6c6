"""RADIUS at the wire: real packets from addresses of their own."""
