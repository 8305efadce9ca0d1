"""Published architectures that come with the package: files that say what is chosen, and whence.

    {"source": "…", "decisions": {"node 1": "0 relu", …}}

How they are read: `written.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from nas_lightning.errors import NotAllowedError
from nas_lightning.search_spaces.written import actions_of

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
    written = json.loads(PUBLISHED[name].read_text(encoding="utf-8"))
    try:
        return actions_of(written, space)
    except ValueError:
        chosen = ", ".join(f"{d}: {option}" for d, option in written["decisions"].items())
        allowed = f"one of the space that is searched; this one chooses {chosen}"
        raise NotAllowedError("architecture", name, f"must be {allowed}") from None
