"""The cells of NAS-Bench-201 (Dong & Yang 2020)."""

from nas_lightning.search_spaces.nas_bench_201.network import CellChild
from nas_lightning.search_spaces.nas_bench_201.space import CellSpace

__all__ = ["CellChild", "CellSpace"]
