"""Many seeds of one folder, put in words and in numbers a run.

Architectures are looked up in a table and arms share no minibatches and no weights: a pair of
seeds has nothing in common. So arms are compared as two samples, by Welch's interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from statistics import mean, stdev

from nas_lightning.metrics import Metric
from nas_lightning.runs.records import LedgerSummary, Series
from nas_lightning.runs.run import Run
from nas_lightning.runs.seeds import SeedRecord, read

AFTER = (50, 100, 200, 300, 1000, 3000)
"""Proposals, and distinct architectures, after which the best is told."""


def summary(records: Sequence[SeedRecord], objective: Metric) -> str:
    """What the seeds came to: mean (standard deviation) of the best, on both axes."""
    proposals = records[0].proposals
    marks = [n for n in AFTER if n < proposals] + [proposals]
    by_proposals = [f"{n}: {spread([r.best_after(n) for r in records])}" for n in marks]
    by_distinct = []
    for n in marks:
        reached = [v for r in records if (v := r.best_after_distinct(n)) is not None]
        if len(reached) == len(records):
            by_distinct.append(f"{n}: {spread(reached)}")
    return "\n".join(
        [
            f"best       {objective.label(records[0].kind)}, mean (standard deviation) over "
            f"{len(records)} seeds",
            f"  after so many proposals               {'  '.join(by_proposals)}",
            f"  after so many distinct architectures  {'  '.join(by_distinct)}",
            f"distinct   {mean(r.distinct for r in records):.0f} of {proposals} proposals",
        ]
    )


def spread(values: Sequence[float]) -> str:
    """Mean (standard deviation), with two decimals; with four where numbers are small."""
    digits = 2 if abs(mean(values)) >= 10 else 4
    spread_over = f" ({stdev(values):.{digits}f})" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread_over}"


@dataclass(frozen=True)
class SeedRun(Run):
    """One of many seeds, as a run.

    Attributes:
        record: Of its seed.
    """

    record: SeedRecord

    @cached_property
    def ledger(self) -> tuple[LedgerSummary, int]:
        """What is on record of it: how many were judged, and the best of them."""
        return LedgerSummary(self.record.proposals, [self.record.row], [], 0, [], [], None), 0


def seed_runs(run: Run) -> list[Run]:
    """The runs of a folder: itself, or of many seeds those that are on record."""
    if run.config.get("seeds") is None:
        return [run]
    records, damaged = read(run.folder)
    whole = {f.name: getattr(run, f.name) for f in fields(run)}
    found: list[Run] = []
    for record in records:
        metrics = {name: _series([(record.proposals, v)]) for name, v in numbers(record).items()}
        course = [*record.improvements, (record.proposals, record.improvements[-1][1])]
        metrics[f"derive/best_{run.objective.name}"] = _series(course)
        best = {
            "actions": record.actions,
            "metrics": record.metrics,
            "kind": record.kind,
            "found_in_epoch": 0,
            "objective": run.objective.name,
            "provenance": {"seed": record.seed},
        }
        own = {"seed": record.seed, "metrics": metrics, "best": best, "record": record}
        found.append(SeedRun(**(whole | own | {"damaged_lines": damaged})))
    return found


def _series(course: Sequence[tuple[int, float]]) -> Series:
    """Values after so many proposals, in a single epoch."""
    proposals, values = (list(side) for side in zip(*course, strict=True))
    return Series([0] * len(course), proposals, proposals, values)


def numbers(record: SeedRecord) -> dict[str, float]:
    """A seed's numbers by the names that a study's tables know."""
    found = {f"derive/best_{name}": value for name, value in record.metrics.items()}
    found |= record.derived
    for n in AFTER:
        if n <= record.proposals:
            found[f"seeds/best_after_{n}"] = record.best_after(n)
        distinct = record.best_after_distinct(n)
        if distinct is not None:
            found[f"seeds/best_after_{n}_distinct"] = distinct
    return found | {"seeds/distinct": float(record.distinct)}
