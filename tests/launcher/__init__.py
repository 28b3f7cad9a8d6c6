"""The two commands: the launcher, its supervisor and servers, and the script `run`."""
