"""Configuration from the environment: `load()` gives frozen Settings or one error that lists every fault."""

from config.settings import ConfigurationError, Settings, load

__all__ = ["ConfigurationError", "Settings", "load"]
