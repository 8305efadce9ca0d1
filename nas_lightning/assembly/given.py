"""Parts of the caller's own that no other process would find by their name.

A class of a module is named in the configuration. A class of a notebook or a script, a model or a
data set that is made already has no such name: the configuration says what it is called, and
within `giving` it is handed over.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

TARGET = f"{__name__}.part_given"

_GIVEN: ContextVar[Mapping[str, Any]] = ContextVar("given", default={})  # noqa: B039 (never changed)

OWN = {
    "search_space": ("modules", "search_space.model"),
    "data": ("dataset", "data.source.dataset"),
    "estimator": ("function", "estimator.evaluate"),
}
"""Which option takes a part of the caller's own in the place of one, and at which key."""

ARGUMENTS = {"search_space.model": "model", "data.source.dataset": "data"}
"""By which argument of `nas_lightning.load` a part is handed over; others by `parts`."""


@contextmanager
def giving(parts: Mapping[str, Any]) -> Iterator[None]:
    """Within it configurations find these parts: full key -> object."""
    token = _GIVEN.set({**_GIVEN.get(), **parts})
    try:
        yield
    finally:
        _GIVEN.reset(token)


def part_given(*, key: str, name: str) -> Any:
    """The part that was handed over; what a configuration's `_target_` calls.

    Args:
        key: Where it stands.
        name: What it is called.

    Raises:
        ValueError: If it was not handed over.
    """
    given = _GIVEN.get()
    if key in given:
        return given[key]
    argument = ARGUMENTS.get(key, f"parts={{'{key}': …}}")
    raise ValueError(
        f"{name} is known only to the program that searched; there nas_lightning.load(folder, "
        f"{argument if '=' in argument else argument + '=…'}) hands it over"
    )


def is_part(value: object) -> bool:
    """Whether a value is an object or a function, and nothing that YAML could hold."""
    if isinstance(value, Mapping):
        return any(map(is_part, value.values()))
    plain = (str, int, float, bool, type(None), list, tuple)
    return not isinstance(value, plain) and not hasattr(value, "__fspath__")


def by_name(value: object) -> str | None:
    """The dotted name by which every process finds a class or a function; None without one."""
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        return None
    try:
        found = pkgutil.resolve_name(f"{module}:{name}")
    except (ImportError, AttributeError):
        return None
    return f"{module}.{name}" if found is value else None


def parted(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Overrides as a configuration can hold them, and the parts that are to be handed over.

    Args:
        overrides: Keys and values, of which some may be objects.
    """
    plain: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for key, value in overrides.items():
        name = by_name(value) if is_part(value) else None
        if name is None and is_part(value):
            parts[key] = value
            called = getattr(value, "__qualname__", None) or type(value).__name__
            plain[key] = {"_target_": TARGET, "key": key, "name": called}
        else:
            plain[key] = value if name is None else name
    return plain, parts
