"""How costs grow: with nodes, architectures, what a memory holds, and the length of a ledger.

A cost that is c * size^e is a straight line of slope e where both axes are logarithmic. e <= 1 is
linear or better, 0 is independent of the size.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from omegaconf import DictConfig

from nas_lightning.benchmarks.controller import gradients
from nas_lightning.benchmarks.numbers import Number, over_rounds
from nas_lightning.benchmarks.recurrence import cells
from nas_lightning.callbacks.checkpoint import AtomicCheckpointIO, usable
from nas_lightning.callbacks.diversity import LedgerReader
from nas_lightning.experiment import make
from nas_lightning.ledger import Ledger
from nas_lightning.memories.buffer import Buffer
from nas_lightning.run_folder import LAST, LEDGER

Work = Callable[[], object]

ROW = {
    "number": 123456,
    "purpose": "controller",
    "epoch": 12,
    "child_step": 720,
    "controller_step": 240,
    "seed": 0,
    "status": "ok",
    "reward": 0.5371,
    "kind": "shared",
    "metrics": {"loss": 4.98, "perplexity": 145.9},
}
"""Of a ledger, without its actions."""


@dataclass(frozen=True)
class Curve:
    """A cost as a function of a size.

    Attributes:
        panel: The size, by the name of the panel in which the curve is drawn.
        name: The cost.
        sizes: Where it is measured.
        work: What is timed at a size.
        at_most: The exponent that is aimed at.
        repeats: Calls that are timed together, where one is too short.
    """

    panel: str
    name: str
    sizes: Sequence[int]
    work: Callable[[int], Work]
    at_most: float = 1.0
    repeats: int = 1

    def seconds(self, rounds: int) -> list[list[float]]:
        """Of a call at every size, round by round; the first round warms up and does not count."""
        works = [self.work(size) for size in self.sizes]
        return [[self._timed(work) for work in works] for _ in range(rounds + 1)][1:]

    def _timed(self, work: Work) -> float:
        began = time.perf_counter()
        for _ in range(self.repeats):
            work()
        return (time.perf_counter() - began) / self.repeats


def growth(cfg: DictConfig, rounds: int, figure: Path) -> list[Number]:
    """The exponents of all curves, which are drawn.

    Args:
        cfg: The configuration whose controller is measured, at other sizes of its space.
        rounds: How often each curve is measured.
        figure: Where the drawing goes.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as files:
        drawn = [(c, c.seconds(rounds)) for c in curves(cfg, Path(folder), files)]
    draw([(c, medians(seconds)) for c, seconds in drawn], figure)
    return [number(c, seconds) for c, seconds in drawn]


def number(curve: Curve, seconds: Sequence[Sequence[float]]) -> Number:
    """The exponent of a curve.

    Args:
        curve: What was measured.
        seconds: Round by round, of every size.
    """
    found = [exponent(curve.sizes, times) for times in seconds]
    return over_rounds(
        f"{curve.panel}, {curve.name}: exponent",
        found,
        at_most=curve.at_most,
        beside={
            f"ms at {size:,}": 1000 * value
            for size, value in zip(curve.sizes, medians(seconds), strict=True)
        },
    )


def medians(seconds: Sequence[Sequence[float]]) -> list[float]:
    """Over the rounds, of every size."""
    return [statistics.median(times) for times in zip(*seconds, strict=True)]


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of the line of least squares through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def curves(cfg: DictConfig, folder: Path, files: ExitStack) -> list[Curve]:
    """All that is measured.

    Args:
        cfg: See `growth`.
        folder: For files.
        files: Closes them.
    """
    nodes, many = (4, 8, 16, 32), (8, 16, 32, 64, 128)
    held, rows = (1_000, 10_000, 100_000), (1_000, 10_000, 100_000)

    def grown(name: str, rows: int) -> Ledger:
        return files.enter_context(closing(ledger(folder / f"{name}{rows}" / LEDGER, rows)))

    def controller_step(num_nodes: int, m: int) -> Work:
        """A rollout is sampled and learned from."""
        space = make(cfg, "search_space").__class__(
            num_nodes=num_nodes, activations=cfg.search_space.activations
        )
        controller = make(cfg, "controller", space=space)
        generator = torch.Generator().manual_seed(0)
        controller.reset_parameters(generator)
        advantages = torch.randn(m, generator=generator)

        def work() -> None:
            with torch.no_grad():
                drawn = controller.sample(m, generator).architectures
            gradients(controller, drawn, advantages)

        return work

    return [
        Curve("nodes", "controller step", nodes, lambda n: controller_step(n, 10)),
        Curve("nodes", "child step", nodes, lambda n: child_step(n)),
        Curve("nodes", "10 cells scored", nodes, lambda n: scoring(n, 10)),
        Curve("architectures", "controller step", many, lambda m: controller_step(8, m)),
        Curve("architectures", "scoring", many, lambda m: scoring(8, m)),
        Curve("held by a memory", "100 drawn", held, drawing, repeats=10),
        Curve(
            "rows of the ledger",
            "ten appended, on the disk",
            rows,
            lambda n: appending(grown("append", n)),
            at_most=0.1,
            repeats=10,
        ),
        Curve(
            "rows of the ledger",
            "resume, one row cut off",
            rows,
            lambda n: resuming(grown("resume", n)),
            at_most=0.1,
            repeats=10,
        ),
        Curve(
            "rows of the ledger",
            "read for the diversity",
            rows,
            lambda n: reading(grown("read", n)),
        ),
    ]


def child_step(num_nodes: int) -> Work:
    """Gradients of one cell, and a step of SGD on all that is shared."""
    child, cell, batch = cells(
        1, num_nodes=num_nodes, hidden_size=64, vocabulary_size=1_000, length=5
    )
    optimizer = torch.optim.SGD(child.parameters(), lr=1e-3)

    def work() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(child.score(batch, cell).loss_sum.sum())
        optimizer.step()

    return work


def scoring(num_nodes: int, m: int) -> Work:
    """M cells under shared weights."""
    child, drawn, batch = cells(
        m, num_nodes=num_nodes, hidden_size=64, vocabulary_size=1_000, length=5
    )

    @torch.no_grad()
    def work() -> None:
        child.score(batch, drawn)

    return work


def drawing(held: int) -> Work:
    """What a memory draws from a full buffer at a controller step."""
    generator = torch.Generator().manual_seed(0)
    buffer = Buffer(capacity=held, longest=15)
    buffer.add(torch.randint(4, (held, 15), generator=generator))
    return lambda: buffer.draw(100, generator)


def ledger(path: Path, rows: int) -> Ledger:
    """A ledger of so many different architectures, on the disk."""
    path.parent.mkdir(exist_ok=True)
    made = Ledger(path)
    digits = np.arange(rows)[:, None] // 4 ** np.arange(15) % 4
    made.record({**ROW, "actions": actions} for actions in digits.tolist())
    made.sync()
    return made


def appending(grown: Ledger) -> Work:
    """What a controller step adds."""
    added = [{**ROW, "actions": [0] * 15}] * 10

    def work() -> None:
        grown.record(added)
        grown.sync()

    return work


def resuming(grown: Ledger) -> Work:
    """What a resume does with the ledger: look whether it is whole, and cut off what came later."""
    folder = grown.path.parent
    (folder / "metrics.csv").touch()
    length = grown.sync()
    checkpoint = folder / LAST
    known = {"search": {"ledger_bytes": length, "metrics_bytes": 0}}
    AtomicCheckpointIO().save_checkpoint(known, checkpoint)

    def work() -> None:
        grown.record([{**ROW, "actions": [0] * 15}])
        grown.sync()
        found = usable([checkpoint])
        assert found is not None
        state = AtomicCheckpointIO().load_checkpoint(found)["search"]
        grown.truncate(state["ledger_bytes"])

    return work


def reading(grown: Ledger) -> Work:
    """A ledger that nothing has been read of yet."""
    length = grown.sync()

    def work() -> None:
        LedgerReader(top=20).read(grown.path, length=length)

    return work


def draw(points: Sequence[tuple[Curve, Sequence[float]]], path: Path) -> None:
    """A panel for every size, both axes logarithmic, grey where a cost is linear.

    Args:
        points: Curves, and their seconds at every size.
        path: The file.
    """
    sizes = {curve.panel: curve.sizes for curve, _ in points}
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    grid = figure.subplots(2, -(-len(sizes) // 2), squeeze=False).flatten().tolist()
    for axes, panel in zip(grid, sizes, strict=False):
        for curve, seconds in points:
            if curve.panel != panel:
                continue
            milliseconds = [1000 * s for s in seconds]
            axes.loglog(curve.sizes, milliseconds, marker="o", label=curve.name)
            ends = np.array([curve.sizes[0], curve.sizes[-1]])
            axes.loglog(ends, milliseconds[0] * ends / ends[0], color="0.8", zorder=0)
        axes.set(xlabel=panel, ylabel="ms", xticks=sizes[panel])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize="small")
    for axes in grid[len(sizes) :]:
        axes.remove()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "growth"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
