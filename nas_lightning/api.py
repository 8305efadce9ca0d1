"""The Python door: search, and take what was found into one's own code.

    import nas_lightning as nl

    run = nl.search("nas_cnn", controller="random", budget="smoke", folder="outputs/mine")
    network = nl.load("outputs/mine").network(weights="fresh")

A search here is that of the command line: the same configuration, engine, folder, resume and page.
Nothing heavy is imported before something needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas_lightning.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from nas_lightning.runs.run import Run as Record
    from nas_lightning.studies.study import Study as Records

__all__ = ["Drawing", "Run", "Study", "UserError", "load", "load_study", "search"]

Columns = dict[str, list[Any]]


def search(
    search_space: str | None = None,
    *,
    data: str | None = None,
    controller: str | None = None,
    estimator: str | None = None,
    budget: str | None = None,
    folder: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Run:
    """Search, and give back the run. What is None is as on the command line.

    A search that was killed goes on when it is called again with the same folder, and ends as if
    it had never been; one that has finished is given back as it is.

    Args:
        search_space: What is searched: an option of the group, `enas_rnn` or `nas_cnn`.
        data: What child networks learn.
        controller: What proposes architectures.
        estimator: How they are judged.
        budget: Sizes: `smoke` is a search of seconds.
        folder: Of the run; by default `outputs/default/` and the time.
        overrides: Any other key or group and its value: `{"search_space.num_nodes": 4, "seed": 1}`.

    Raises:
        UserError: In one line, if a value is not allowed or the folder holds another run.
    """
    from nas_lightning.assembly.door import search_with

    groups = {
        "search_space": search_space,
        "data": data,
        "controller": controller,
        "estimator": estimator,
        "budget": budget,
    }
    given = {group: option for group, option in groups.items() if option is not None}
    for group, option in given.items():
        if not isinstance(option, str):
            raise UserError(f"{group}={option!r} is not allowed: must be the name of an option")
    keys = {**given, **(overrides or {})}
    return load(search_with(keys, None if folder is None else Path(folder)))


def load(folder: str | Path) -> Run:
    """A run, as it is now.

    Raises:
        UserError: If there is none in the folder.
    """
    records = _records(folder)
    if not records.single:
        raise UserError(f"{folder}: is a study of several runs; use load_study")
    return Run(records.runs[0])


def load_study(folder: str | Path) -> Study:
    """A study, a folder of runs.

    Raises:
        UserError: If there are no runs in the folder.
    """
    return Study(_records(folder))


def _records(folder: str | Path) -> Records:
    from nas_lightning.studies.study import read_study

    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise UserError(f"{folder}: no such folder; give that of a run or a study")
    return read_study(path)


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
    """

    record: Record = field(repr=False)

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
    def final(self) -> Mapping[str, Any] | None:
        """The final numbers of its retraining, of the best on validation; None without one."""
        from nas_lightning.assembly.network import final_of

        return final_of(self.record)[1] if self.record.finals[0] else None

    @cached_property
    def architectures(self) -> Any:
        """The best hundred architectures ever judged, each once, the best first: a table."""
        return _table(self.record.judged.best)

    @cached_property
    def ledger(self) -> Any:
        """Every architecture judged, in the order in which they were: a table."""
        from nas_lightning.runs.folder import LEDGER
        from nas_lightning.runs.records import read_objects

        rows = read_objects(self.folder / LEDGER, {"actions": list, "metrics": dict})
        return _table([row for row in rows if row is not None])

    @cached_property
    def metrics(self) -> Any:
        """The recorded metrics in long form: name, epoch, architectures judged, value: a table."""
        return _table(
            [
                {"name": name, "epoch": epoch, "architectures_judged": judged, "value": value}
                for name, of in self.record.metrics.items()
                for epoch, judged, value in zip(of.epochs, of.judged, of.values, strict=True)
            ]
        )

    def network(self, weights: Literal["retrained", "shared", "fresh"] = "retrained") -> nn.Module:
        """The network that was found: an ordinary module in evaluation mode; needs no data.

        Args:
            weights: `retrained`: those of the final number. `shared`: those at the end of the
                search. `fresh`: the start of a training from scratch.

        Raises:
            UserError: If there are no such weights.
        """
        from nas_lightning.assembly.network import network_of

        return network_of(self.record, weights)

    def draw(self, architecture: Sequence[int] | None = None) -> Drawing:
        """An architecture drawn, by default the best; raises UserError if there is none."""
        from nas_lightning.assembly.network import best_of, space_of
        from nas_lightning.assembly.retraining import refuse_foreign
        from nas_lightning.report.drawing import draw

        actions = best_of(self.record) if architecture is None else list(architecture)
        space = space_of(self.record)
        refuse_foreign(space, actions, f"architecture={actions}")
        drawing = Drawing(space.draw(actions))
        drawing.svg = str(draw(space, actions, alt="Architecture"))
        return drawing

    def report(self) -> Path:
        """Write the run's page; returns where it lies."""
        return _written(self.record, self.folder)

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
        return _table(
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
        return _written(self.records.runs[0], self.folder)

    def __repr__(self) -> str:
        arms = ", ".join(self.records.arms)
        return f"<Study {self.folder.name}: {len(self.runs)} runs of {arms}>"

    def _repr_html_(self) -> str:
        from html import escape

        lines = "".join(f"<li>{escape(line)}</li>" for line in self.verdict)
        runs = "".join(f"<li>{escape(repr(run)[1:-1])}</li>" for run in self.runs)
        return f"<p><b>Study {escape(self.folder.name)}</b></p><ul>{lines}</ul><ul>{runs}</ul>"


def _written(record: Record, folder: Path) -> Path:
    """Write the page of a run or a study, read anew."""
    from nas_lightning.assembly.network import space_of
    from nas_lightning.report.page import page_of, write_page

    page = page_of(_records(folder), space_of(record))
    (path,) = write_page(page, folder, markdown=False)
    return path


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a pandas DataFrame, or, where pandas is not installed, as columns by name.

    What is a mapping in a row, as its metrics are, becomes a column for each name in it.
    """
    flat = []
    for row in rows:
        inner = [value for value in row.values() if isinstance(value, Mapping)]
        own = {name: value for name, value in row.items() if not isinstance(value, Mapping)}
        flat.append({name: value for part in (own, *inner) for name, value in part.items()})
    names = dict.fromkeys(name for row in flat for name in row)
    columns: Columns = {name: [row.get(name) for row in flat] for name in names}
    if find_spec("pandas") is None:
        return columns
    return import_module("pandas").DataFrame(columns)
