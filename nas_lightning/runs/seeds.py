"""The record of many short searches in one folder: their ledger, which has a line a seed.

A line is written when a search has ended, and tells its whole course: after which proposals the
best so far got better, and which proposals repeated an architecture that had been judged before.
Both axes follow from it: the best after so many proposals, and after so many distinct
architectures. It is what a killed process goes on from, so there is no other checkpoint.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas_lightning.files import to_json
from nas_lightning.runs.folder import LEDGER
from nas_lightning.runs.records import read_objects

NEEDED = {
    "seed": int,
    "proposals": int,
    "improvements": list,
    "repeats": list,
    "actions": list,
    "word": str,
    "metrics": dict,
    "derived": dict,
    "kind": str,
}
"""The fields of a line and their types."""


@dataclass(frozen=True)
class SeedRecord:
    """One search.

    Attributes:
        seed: What all its randomness followed from.
        proposals: How many architectures were proposed and judged, repeated ones included.
        improvements: The number of a proposal, counted from 1, and the objective's value of the
            best from there on; the first is that of the first proposal.
        repeats: The numbers of the proposals that had been judged before.
        actions: The best architecture.
        word: The same as the search space's word.
        metrics: What is known of it.
        derived: What the controller came to, by the names of recorded metrics: whether its
            candidates are better than uniform architectures, and how far its policy has moved.
        kind: What the numbers were measured on.
    """

    seed: int
    proposals: int
    improvements: Sequence[tuple[int, float]]
    repeats: Sequence[int]
    actions: Sequence[int]
    word: str
    metrics: Mapping[str, float]
    derived: Mapping[str, float]
    kind: str

    @property
    def row(self) -> dict[str, Any]:
        """Its line in the ledger."""
        return asdict(self) | {"purpose": "seed", "epoch": 0, "status": "ok"}

    @property
    def distinct(self) -> int:
        """How many distinct architectures were judged."""
        return self.proposals - len(self.repeats)

    def best_after(self, proposals: int) -> float:
        """The objective's value of the best of the first so many proposals, 1 or more."""
        place = bisect.bisect_right(self.improvements, proposals, key=lambda pair: pair[0])
        return self.improvements[place - 1][1]

    def best_after_distinct(self, distinct: int) -> float | None:
        """The same after so many distinct architectures; None if there were not so many."""
        if distinct > self.distinct:
            return None
        proposals = distinct
        while proposals - bisect.bisect_right(self.repeats, proposals) < distinct:
            proposals += 1
        return self.best_after(proposals)


def append(folder: Path, record: SeedRecord) -> None:
    """Add a line."""
    with (folder / LEDGER).open("ab") as file:
        file.write((to_json(record.row) + "\n").encode())


def cut(folder: Path) -> None:
    """Make the record, or cut off a last line that was left unfinished."""
    path = folder / LEDGER
    path.touch()
    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def read(folder: Path) -> tuple[list[SeedRecord], int]:
    """The records of a folder, by seed, and how many lines could not be read; none without one."""
    path, found, damaged = folder / LEDGER, {}, 0
    for line in read_objects(path, NEEDED) if path.exists() else ():
        try:
            assert line is not None
            record = SeedRecord(**{name: line[name] for name in NEEDED})
            assert all(type(n) is int and type(v) is float for n, v in record.improvements)
            assert record.improvements[0][0] == 1
            found[record.seed] = record
        except (AssertionError, IndexError, TypeError, ValueError):
            damaged += 1
    return [found[seed] for seed in sorted(found)], damaged
