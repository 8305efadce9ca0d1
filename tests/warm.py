"""What the fork server does once for all runs, before the first.

Whatever a fork of it touches is copied, a page at a time; a collection touches everything.
"""

from __future__ import annotations

from omegaconf import OmegaConf

from tests import quick
from tests.given import composed

OmegaConf.load = staticmethod(quick.load)  # type: ignore[assignment, method-assign]
quick.compose_once()
composed("experiment=smoke", "controller=random")
quick.collect_seldom()
