"""The configuration of a run, read back: only as it was searched with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nas_lightning.errors import UserError
from nas_lightning.runs import stretches
from nas_lightning.terminal import shown

CONFIG = "config.yaml"

MAY_GROW = "trainer.max_epochs"

MAX_TIME = "trainer.max_time"
"""When a search is stopped, which decides nothing of what it comes to."""

SEEDS = "seeds"
"""The number of seeds that lie in one folder: it may grow, too."""

BESIDE = "beside"
"""The architecture made by hand that was judged beside a search (`search.beside`), if there was."""

REFERENCES = ("reference", "second_reference", BESIDE)
"""What was made by hand and is retrained beside an architecture, where there is any."""

MAY_CHANGE = (MAY_GROW, "data.source.path", "data.path", "retrain", "retrain_with", *REFERENCES)
"""What of config.yaml may be edited: that, what is checked by its content, what no search reads."""


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved configuration of the run in a folder, plain types.

    Raises:
        UserError: If it cannot be read, or is not what the run was searched with.
    """
    path = folder / CONFIG
    try:
        config: dict[str, Any] = dict(_plain(OmegaConf.load(path)))
    except Exception as error:  # whatever damaged YAML makes of it
        reason = " ".join(str(error).split())
        raise UserError(
            f"{shown(path)}: cannot be read ({reason}); put it back, or move the run away"
        ) from None
    searched = recorded(folder)
    for key, old, new in differences(searched, config) if searched is not None else ():
        if not any(key == other or key.startswith(f"{other}.") for other in MAY_CHANGE):
            raise UserError(
                f"{shown(path)}: has {key}={new}, but {stretches.STRETCHES} says that "
                f"the run was searched with {key}={old}; put back whichever was edited, or start "
                "another run with the new value"
            )
    return config


def _plain(config: Any) -> Any:
    return OmegaConf.to_container(config)


def recorded(folder: Path) -> dict[str, Any] | None:
    """The configuration with which the run in a folder was searched last, if that is known."""
    for stretch in reversed(stretches.read(folder)[0]):
        try:
            return dict(_plain(OmegaConf.create(stretch.config)))
        except Exception:  # whatever damaged YAML makes of it
            continue
    return None


def differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The leaves in which two nested configurations differ: key, old value, new value."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*new, *(name for name in old if name not in new)]:
            below = f"{key}.{name}" if key else str(name)
            yield from differences(old.get(name), new.get(name), below)
    elif old != new:
        yield key, old, new


def at(config: Any, key: str) -> Any:
    """The value at a dotted key, None where there is none."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
