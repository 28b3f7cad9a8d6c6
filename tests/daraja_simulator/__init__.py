"""The Daraja simulator, tested over its own HTTP. Nothing here needs a database or the product."""
