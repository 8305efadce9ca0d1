"""Search neural architectures, and find out what the search has learned."""

import os

__version__ = "0.1.0"

# Read when torch is imported, which nothing does before this package: threads that wait for others
# would otherwise spin, and take the processors from whatever runs beside. What is set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
