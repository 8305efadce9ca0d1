"""One run, as it is given to a person: its tables, its network, its page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas_lightning.api.tables import table_of
from nas_lightning.errors import UserError
from nas_lightning.terminal import called, shown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas_lightning.assembly.network import Weights
    from nas_lightning.runs.run import Run as Record
    from nas_lightning.studies.study import Study as Records


def records_in(folder: str | Path) -> Records:
    """The runs in a folder; raises UserError if there are none."""
    from nas_lightning.studies.study import read_study

    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise UserError(f"{folder}: no such folder; give that of a run or a study")
    return read_study(path)


def run_in(folder: str | Path, parts: Mapping[str, Any]) -> Run:
    """The run in a folder, with what was handed over; raises UserError if there is none."""
    records = records_in(folder)
    if not records.single:
        raise UserError(
            f"{folder}: is a study of several runs; give the folder of one, or use load_study, or "
            f"{called('report', shlex.quote(shown(folder)))}"
        )
    return Run(records.runs[0], parts)


class Drawing(str):
    """A picture: as text, and in a notebook as an image.

    Attributes:
        svg: The image.
    """

    svg: str

    def _repr_html_(self) -> str:
        return self.svg


@dataclass(frozen=True)
class Run:
    """One run: what it judged, the best of it, and the network.

    Attributes:
        record: The run as it was read from its folder.
        parts: What was handed over with it: full key -> object.
    """

    record: Record = field(repr=False)
    parts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.record.folder

    @property
    def status(self) -> str:
        """What has become of it, in words."""
        return self.record.status

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The best architecture: `actions`, `decisions`, `metrics`; None while there is none."""
        return self.record.best

    @property
    def beside(self) -> Mapping[str, Any] | None:
        """How the architecture made by hand was judged last, a row of the ledger; None without."""
        return self.record.judged.beside

    @property
    def final(self) -> Mapping[str, Any] | None:
        """The final numbers of its retraining, of the best on validation; None without one."""
        from nas_lightning.assembly.network import final_of

        return final_of(self.record)[1] if self.record.finals[0] else None

    @cached_property
    def architectures(self) -> Any:
        """The best hundred architectures ever judged, each once, the best first: a table."""
        return table_of(self.record.judged.best)

    @cached_property
    def ledger(self) -> Any:
        """Every architecture judged, in the order in which they were: a table."""
        from nas_lightning.runs.folder import LEDGER
        from nas_lightning.runs.records import read_objects

        rows = read_objects(self.folder / LEDGER, {"actions": list, "metrics": dict})
        return table_of([row for row in rows if row is not None])

    @cached_property
    def metrics(self) -> Any:
        """The recorded metrics in long form: name, epoch, architectures judged, value: a table."""
        return table_of(
            [
                {"name": name, "epoch": epoch, "architectures_judged": judged, "value": value}
                for name, of in self.record.metrics.items()
                for epoch, judged, value in zip(of.epochs, of.judged, of.values, strict=True)
            ]
        )

    def network(self, weights: Weights | None = None) -> nn.Module:
        """The network that was found: an ordinary module in evaluation mode; needs no data.

        Args:
            weights: `retrained`: those of the final number. `shared`: those at the end of the
                search. `fresh`: the start of a training from scratch. None: the first of these
                that the run has.

        Raises:
            UserError: If there are no such weights.
        """
        from nas_lightning.assembly.network import network_of

        with self._parts():
            return network_of(self.record, weights)

    def example(self, weights: Weights | None = None) -> tuple[Tensor, ...] | None:
        """Inputs as that network takes them, a batch of two zeros; None if they are not known."""
        from nas_lightning.assembly.network import example_of

        return example_of(self.record, weights)

    def retrain(
        self, seeds: Sequence[int] = (0,), overrides: Mapping[str, Any] | None = None
    ) -> Run:
        """Train the best architecture from scratch at full budget, for its final number.

        Args:
            seeds: A training each; what has finished is not trained again.
            overrides: Keys and values: `{"retrain.epochs": 5}`.

        Returns:
            The run, with the number in `final`.
        """
        from nas_lightning.assembly.door import retrain_with

        with self._parts():
            retrain_with(self.folder, overrides or {}, seeds)
        return run_in(self.folder, self.parts)

    @contextmanager
    def _parts(self) -> Iterator[None]:
        from nas_lightning.assembly.given import giving

        with giving(self.parts):
            yield

    def draw(self, architecture: Sequence[int] | None = None) -> Drawing:
        """An architecture drawn, by default the best; raises UserError if there is none."""
        from nas_lightning.assembly.network import best_of, space_of
        from nas_lightning.assembly.retraining import refuse_foreign
        from nas_lightning.report.drawing import draw

        actions = best_of(self.record) if architecture is None else list(architecture)
        with self._parts():
            space = space_of(self.record)
        refuse_foreign(space, actions, f"architecture={actions}")
        drawing = Drawing(space.draw(actions))
        drawing.svg = str(draw(space, actions, alt="Architecture"))
        return drawing

    def report(self) -> Path:
        """Write the run's page; returns where it lies."""
        with self._parts():
            return written(self.record, self.folder)

    def __repr__(self) -> str:
        return f"<Run {self.folder.name}: {self.status}{self._number()}>"

    def _repr_html_(self) -> str:
        from html import escape

        head = f"<p><b>Run {escape(self.folder.name)}</b>: {escape(self.status + self._number())}"
        try:
            return f"{head}</p>{self.draw().svg}"
        except UserError as error:
            return f"{head}; {escape(str(error))}</p>"

    def _number(self) -> str:
        value, best = self.record.best_value, self.best
        if value is None or best is None:
            return ""
        return f"; best {self.record.objective.said(value)} ({best.get('kind')})"


def written(record: Record, folder: Path) -> Path:
    """Write the page of a run or a study, read anew."""
    from nas_lightning.assembly.network import space_of
    from nas_lightning.report.page import page_of, write_page

    page = page_of(records_in(folder), space_of(record))
    (path,) = write_page(page, folder, markdown=False)
    return path
