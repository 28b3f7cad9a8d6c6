"""Paying by M-Pesa, against the simulator over real HTTP, on a database of the test's own."""
