"""The product as people meet it: a real browser against the real web server."""
