"""Processes are killed while the system works. `./run chaos` runs these; they print their seed."""
