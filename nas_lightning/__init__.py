"""Search neural architectures, and find out what the search has learned."""

__version__ = "0.1.0"
