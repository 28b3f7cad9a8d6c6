"""A day against Safaricom's statement."""
