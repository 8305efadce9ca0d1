"""The verdict on a study: is the controller better than random?"""

from __future__ import annotations

from pathlib import Path


def verdict_of(study: Path) -> list[str]:
    """The verdict in sentences, the headline first; none where nothing can be said."""
    return []
