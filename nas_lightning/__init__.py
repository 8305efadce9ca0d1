"""Search neural architectures, and find out what the search has learned."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas_lightning.api import Drawing, Run, Study, UserError, load, load_study, search, space
    from nas_lightning.search_spaces.choices import Choice, Repeat

__version__ = "0.2.0"

__all__ = [
    "Choice",
    "Drawing",
    "Repeat",
    "Run",
    "Study",
    "UserError",
    "load",
    "load_study",
    "search",
    "space",
]

# Read when torch is imported, which nothing does before this package: threads that wait for others
# would otherwise spin, and take the processors from whatever runs beside. What is set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    """Import what is public when it is asked for: `import nas_lightning` alone is quick."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nas_lightning import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """The public names, too, before they are imported."""
    return sorted({*globals(), *__all__})
