"""The loop of a search: `module.py` is the file to read first."""

from nas_lightning.engine.module import ArchitectureSearch

__all__ = ["ArchitectureSearch"]
