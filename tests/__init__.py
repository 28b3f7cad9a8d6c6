"""Tests drive front doors: pages over HTTP, packets, jobs, commands; on a real PostgreSQL and a real Redis."""
