"""The version of the package, for whoever must not know the public names."""

__version__ = "0.1.0"
