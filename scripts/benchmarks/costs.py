"""The costs whose growth is measured: each is a function that makes, for a size, what is timed."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from benchmarks.controller import gradients
from benchmarks.growth import Curve, Work, growth
from benchmarks.numbers import Number
from benchmarks.recurrence import cells
from nas_lightning.assembly.make import make
from nas_lightning.callbacks.checkpoint import AtomicCheckpointIO, usable
from nas_lightning.callbacks.diversity import LedgerReader
from nas_lightning.memories.buffer import Buffer
from nas_lightning.runs.folder import LAST, LEDGER
from nas_lightning.runs.ledger import Ledger
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace

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


def growth_of_costs(cfg: DictConfig, rounds: int, figure: Path) -> list[Number]:
    """Measure them all, with one thread, as searches of such sizes have.

    Args:
        cfg: The configuration whose controller is measured.
        rounds: How often each is.
        figure: Where the drawing goes.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as files:
        return growth(curves(cfg, Path(folder), files), rounds, figure)


def curves(cfg: DictConfig, folder: Path, files: ExitStack) -> list[Curve]:
    """All of them.

    Args:
        cfg: See `growth_of_costs`.
        folder: For files.
        files: Closes them.
    """
    nodes, many = (4, 8, 16, 32), (8, 16, 32, 64, 128)
    held, rows = (1_000, 10_000, 100_000), (1_000, 10_000, 100_000)

    def grown(name: str, rows: int) -> Ledger:
        return files.enter_context(closing(ledger(folder / f"{name}{rows}" / LEDGER, rows)))

    return [
        Curve("nodes", "controller step", nodes, lambda n: controller_step(cfg, n, 10)),
        Curve("nodes", "child step", nodes, child_step),
        Curve("nodes", "10 cells scored", nodes, lambda n: scoring(n, 10)),
        Curve("architectures", "controller step", many, lambda m: controller_step(cfg, 8, m)),
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


def controller_step(cfg: DictConfig, num_nodes: int, m: int) -> Work:
    """M architectures are sampled, and learned from."""
    space = RecurrentCellSpace(num_nodes=num_nodes, activations=ACTIVATIONS)
    controller = make(cfg, "controller", space=space)
    generator = torch.Generator().manual_seed(0)
    controller.reset_parameters(generator)
    advantages = torch.randn(m, generator=generator)

    def work() -> None:
        with torch.no_grad():
            drawn = controller.ask(m, generator).architectures
        gradients(controller, drawn, advantages)

    return work


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
    """What a resume does with the ledger: look whether it is whole, and cut off what came later.

    And what the diversity callback knows of it is there again at the first look.
    """
    folder = grown.path.parent
    (folder / "metrics.csv").touch()
    length = grown.sync()
    checkpoint = folder / LAST
    counters = {"architectures_judged": 123457}  # ROW is the last of them
    reader = LedgerReader(top=20)
    reader.read(grown.path, length=length)
    known = {
        "search": {"ledger_bytes": length, "metrics_bytes": 0, "counters": counters},
        "diversity": reader.state_dict(),
    }
    AtomicCheckpointIO().save_checkpoint(known, checkpoint)

    def work() -> None:
        grown.record([{**ROW, "actions": [0] * 15}])
        grown.sync()
        found = usable([checkpoint])
        assert found is not None
        state = AtomicCheckpointIO().load_checkpoint(found)
        grown.truncate(state["search"]["ledger_bytes"])
        reader = LedgerReader(top=20)
        reader.load_state_dict(state["diversity"])
        reader.read(grown.path, length=grown.sync())

    return work


def reading(grown: Ledger) -> Work:
    """A ledger that nothing has been read of yet."""
    length = grown.sync()

    def work() -> None:
        LedgerReader(top=20).read(grown.path, length=length)

    return work
