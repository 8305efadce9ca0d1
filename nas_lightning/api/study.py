"""Several runs, as they are given to a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas_lightning.api.run import Run, written
from nas_lightning.api.tables import table_of

if TYPE_CHECKING:
    from nas_lightning.studies.study import Study as Records


@dataclass(frozen=True)
class Study:
    """Several runs.

    Attributes:
        records: The runs as they were read.
    """

    records: Records = field(repr=False)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.records.folder

    @cached_property
    def runs(self) -> list[Run]:
        """The runs, by arm and seed."""
        return [Run(record) for record in self.records.runs]

    @cached_property
    def table(self) -> Any:
        """A row a run: arm, seed, status, best value and folder: a table."""
        return table_of(
            [
                {
                    "arm": run.arm,
                    "seed": run.seed,
                    "status": run.status,
                    run.objective.name: run.best_value,
                    "folder": str(run.folder),
                }
                for run in self.records.runs
            ]
        )

    @property
    def verdict(self) -> list[str]:
        """What the study says: for each arm whether it is better than random search."""
        from nas_lightning.report.page import NO_VERDICT
        from nas_lightning.studies.verdict import verdict_of

        found = verdict_of(self.records)
        said = [found.summary] if found.summary else list(found.arms.values())
        return [line for lines in said for line in lines] or [NO_VERDICT]

    def report(self) -> Path:
        """Write the study's page; returns where it lies."""
        return written(self.records.runs[0], self.folder)

    def __repr__(self) -> str:
        arms = ", ".join(self.records.arms)
        return f"<Study {self.folder.name}: {len(self.runs)} runs of {arms}>"

    def _repr_html_(self) -> str:
        from html import escape

        lines = "".join(f"<li>{escape(line)}</li>" for line in self.verdict)
        runs = "".join(f"<li>{escape(repr(run)[1:-1])}</li>" for run in self.runs)
        return f"<p><b>Study {escape(self.folder.name)}</b></p><ul>{lines}</ul><ul>{runs}</ul>"
