"""A study over search spaces: its runs by space, and what of them can be compared.

Numbers under shared weights, or after a short training, and rewards are of one space alone. What is
measured alike, on the same data, is a network after its full training, and what its search cost.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas_lightning.errors import UserError
from nas_lightning.runs.config import at, differences, read_config
from nas_lightning.runs.state import state_of
from nas_lightning.studies.budget import SPENT
from nas_lightning.studies.finals import Final, finals_of
from nas_lightning.studies.study import Study
from nas_lightning.terminal import words


def spaces_in(folder: Path) -> dict[str, list[Path]]:
    """The folders of a study's runs by search space: what each is called among them -> folders.

    Empty for a single run. Runs that have not begun, or cannot be read, are in none.
    """
    own = state_of(folder)
    if own is not None and own.begun:
        return {}
    groups: list[tuple[Mapping[str, Any], list[Path]]] = []
    for path in sorted(folder.glob("*/")):
        state = state_of(path)
        try:
            node = read_config(path).get("search_space") if state and state.begun else None
        except UserError:
            continue
        if not isinstance(node, Mapping):
            continue
        alike = next((paths for other, paths in groups if other == node), None)
        if alike is None:
            groups.append((node, [path]))
        else:
            alike.append(path)
    names = named([node for node, _ in groups])
    return dict(zip(names, (paths for _, paths in groups), strict=True))


def named(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells search spaces apart: their classes, and the settings that classes do not tell."""
    names = []
    for node in nodes:
        alike = [other for other in nodes if other.get("_target_") == node.get("_target_")]
        keys = {key: None for other in alike for key, *_ in differences(alike[0], other)}
        name = [words(node.get("_target_"))] if len(alike) < len(nodes) else []
        names.append(", ".join([*name, *(f"{key}={at(node, key)}" for key in keys)]))
    return names


def not_read(folder: Path, known: Collection[Path]) -> list[str]:
    """A line for each folder of a study where a run was tried that is in none of its spaces."""
    states = {path: state_of(path) for path in sorted(folder.glob("*/")) if path not in known}
    lines = []
    for path, state in states.items():
        if state is not None and not state.begun:
            lines.append(f"{path.name} {state.said}")
        elif state is not None:
            lines.append(f"{path.name} is left out: its configuration cannot be read")
    return lines


@dataclass(frozen=True)
class Finals:
    """The final numbers of one arm of a space, those that were retrained alike.

    Attributes:
        of: What they are of.
        way: How they were retrained, as text; equal for those that were retrained alike.
    """

    of: Sequence[Final]
    way: str


def finals_by_arm(study: Study, metric: str) -> dict[str, Finals]:
    """Arm -> its final numbers, of the way in which most of its runs were retrained."""
    found = {}
    for arm in study.arms:
        finals = [final for run in study.of(arm) for final in finals_of(run, metric)]
        ways = Counter(_way(final) for final in finals)
        if ways:
            way = max(ways, key=lambda way: ways[way])
            found[arm] = Finals([final for final in finals if _way(final) == way], way)
    return found


def difference_of_ways(finals: Sequence[Finals]) -> str | None:
    """The first thing in which some were retrained otherwise; None if all were alike."""
    first = finals[0]
    for other in finals[1:]:
        for key, old, new in differences(json.loads(first.way), json.loads(other.way)):
            return f"{key} is {old} here and {new} there"
    return None


def spent_by(study: Study) -> list[str]:
    """The units in which its searches have counted their cost: names of metrics."""
    names = [f"derive/{unit}_spent" for unit in SPENT]
    return [name for name in names if any(name in run.metrics for run in study.runs)]


def _way(final: Final) -> str:
    """How it was retrained, but for which seeds it had: by default its run's own."""
    protocol = {**final.protocol, "seeds": len(final.protocol["seeds"])}
    return json.dumps(protocol, sort_keys=True)
