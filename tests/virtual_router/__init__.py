"""The virtual router, tested over its own UDP and HTTP. Nothing here needs a database or the product."""
