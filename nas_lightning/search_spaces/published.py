"""Published architectures that come with the package: files that say what is chosen, and whence.

    {"source": "…", "decisions": {"node 1": "0 relu", …}}

They are in words, so that a space whose options stand in another order reads them alike.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from nas_lightning.errors import require

if TYPE_CHECKING:
    from nas_lightning.search_spaces.base import SearchSpace

PUBLISHED = {path.stem: path for path in sorted(Path(__file__).parent.glob("*/published/*.json"))}
"""The files, by the architectures' names."""


def published(name: str, space: SearchSpace) -> list[int]:
    """A published architecture, as one of a space.

    Args:
        name: One of `PUBLISHED`.
        space: Whose architecture it must be.

    Raises:
        ValueError: If the space does not have its decisions or options.
    """
    chosen = json.loads(PUBLISHED[name].read_text(encoding="utf-8"))["decisions"]
    options = {decision.name: decision.choices for decision in space.decisions}
    same = list(chosen) == list(options) and all(chosen[d] in options[d] for d in chosen)
    require(
        same,
        "architecture",
        name,
        "one of the space that is searched; this one chooses "
        + ", ".join(f"{decision}: {option}" for decision, option in chosen.items()),
    )
    return [options[decision].index(option) for decision, option in chosen.items()]
