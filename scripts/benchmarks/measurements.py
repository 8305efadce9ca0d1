"""All that is measured, what is aimed at, and how much work it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from benchmarks.at_once import at_once, more_processes
from benchmarks.children import against_plain_loop, more_workers, side_by_side
from benchmarks.controller import many_sampled, policy_gradient
from benchmarks.costs import growth_of_costs
from benchmarks.gpu import captured, epoch
from benchmarks.long_runs import long_runs
from benchmarks.numbers import Number
from benchmarks.overhead import overhead
from benchmarks.recurrence import ROWS, many_scored, one_cell, second_thread
from benchmarks.softmax import Sizes, in_pieces
from benchmarks.startup import startup
from benchmarks.steady import memory
from benchmarks.timing import Aims, Comparison, measure
from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.make import make
from nas_lightning.training.executors import ChildJob

Measurement = Callable[[int], list[Number]]
"""Measures in so many rounds."""

Sizing = dict[str, Any]
"""What `cells` takes, by name."""

LOGGED = ["logger=wandb", "logger.mode=offline", "logger.job_type=benchmark", "logger.tags=[]"]
"""What a logger reads from Hydra's own node is not there outside of a job."""

STEADY = [
    "experiment=pairs",
    *LOGGED,
    "search_space.num_nodes=5",
    "search.architectures_per_step=10",
    "search.candidates=20",
    "search.uniform_candidates=20",
    "callbacks.hidden_states.every_epochs=5",
    "callbacks.hidden_states.architectures=50",
    "callbacks.similarity.every_epochs=5",
    "callbacks.similarity.architectures=50",
    "callbacks.diversity.architectures=100",
    "callbacks.probes.architectures=60",
]
"""Controller steps that cost little, and everything on."""


LENGTHY = (
    "children, Fashion-MNIST, against the plain loop",
    "children, digits, 2 workers against 1",
    "children, cells side by side, against one by one",
    "softmax, training step, V = 10,000, H = 200",
    "softmax, training step, V = 10,000, H = 1,000",
    "recurrence, training step, H = 1,000, V = 10,000",
    "recurrence, one cell scored, H = 1,000, V = 10,000",
)
"""What takes seconds however little of it is done, and tells little that other rows do not."""


def measurements(*, quick: bool, figure: Path) -> dict[str, Measurement]:
    """All that is measured: what it is -> what measures it.

    Args:
        quick: Whether to do less work in each, and to leave out those that are `LENGTHY`.
        figure: Where the drawing of the growth goes.
    """
    rows = {**_children(quick), **_cells(quick), **_controllers(quick), **_whole(quick, figure)}
    rows |= _on_gpu(quick) if torch.cuda.is_available() else {}
    return {name: row for name, row in rows.items() if not (quick and name in LENGTHY)}


def _children(quick: bool) -> dict[str, Measurement]:
    """Training from scratch."""
    few = 2 if quick else 8
    digits, clothes = ["search_space=nas_cnn"], ["experiment=nas_fashion_mnist_small"]
    small_cells = ["estimator=from_scratch", "estimator.training.epochs=1"]
    small_cells += ["data.vocabulary_size=100", "data.batch_size=128"]
    if quick:
        clothes.append("data.train_limit=500")
    return {
        "children, digits, against the plain loop": compared(
            lambda: against_plain_loop(*_parts(digits), children=few, aim=3)
        ),
        "children, Fashion-MNIST, against the plain loop": compared(
            lambda: against_plain_loop(*_parts(clothes), children=2 if quick else 4, aim=2)
        ),
        "children, digits, 2 workers against 1": compared(
            lambda: more_workers(*_parts(digits), children=few, workers=2, aims=Aims(ratio=1.8))
        ),
        "children, cells side by side, against one by one": compared(
            lambda: side_by_side(*_parts(small_cells), children=2)
        ),
    }


def _cells(quick: bool) -> dict[str, Measurement]:
    """Recurrent cells under shared weights, and their softmax."""
    length = 5 if quick else 35
    at_once = _composed(["search_space=enas_rnn"]).estimator.max_evaluation
    small: Sizing = {"num_nodes": 8, "hidden_size": 64, "vocabulary_size": 1_000}

    def softmax(
        v: int, h: int, *, minibatches: int = 1, learning: bool = True, memory: float | None = None
    ) -> Measurement:
        sizes, aims = Sizes(minibatches * 64 * length, v, h), Aims(ratio=1, memory=memory)
        return compared(lambda: in_pieces(sizes, learning=learning, aims=aims))

    return {
        "softmax, ten cells scored, V = 2,000, H = 64": softmax(
            2_000, 64, minibatches=10, learning=False
        ),
        "softmax, training step, V = 2,000, H = 64": softmax(2_000, 64),
        "softmax, training step, V = 10,000, H = 200": softmax(10_000, 200, memory=0.5),
        "softmax, training step, V = 10,000, H = 1,000": softmax(10_000, 1_000, memory=0.5),
        **_one_cell(length),
        **_threads(length),
        "scoring, 100 together, H = 64, V = 1,000": compared(
            lambda: many_scored(100, at_once=at_once, **small, length=length, aims=Aims(ratio=6))
        ),
        "scoring, 10 by 2 processes against 1, H = 64, V = 1,000": compared(
            lambda: more_processes(10, processes=2, **small, length=length, aims=Aims(ratio=1.6))
        ),
    }


def _one_cell(length: int, device: str = "cpu") -> dict[str, Measurement]:
    """One cell trained and scored, at four sizes of hidden state and vocabulary."""
    where = "recurrence" if device == "cpu" else "gpu"
    rows: dict[str, Measurement] = {}
    for nodes, h, v, ratio in (
        (8, 64, 1_000, 2.5),
        (8, 64, 10_000, 2.5),
        (12, 200, 10_000, 1.6),
        (12, 1_000, 10_000, 1.15),
    ):
        for learning in (True, False):
            sizes: Sizing = {"num_nodes": nodes, "hidden_size": h, "vocabulary_size": v}
            aims = Aims(ratio=ratio, memory=0.6 if learning else None)
            begin = partial(
                one_cell,
                **sizes,
                length=length,
                steps=5 if v == 1_000 else 1,
                learning=learning,
                aims=aims,
                device=device,
            )
            what = "training step" if learning else "one cell scored"
            rows[f"{where}, {what}, H = {h:,}, V = {v:,}"] = compared(begin)
    return rows


def _threads(length: int) -> dict[str, Measurement]:
    """Where a second thread pays: `nas_lightning.assembly.threads.PAYS` is chosen by these."""
    rows: dict[str, Measurement] = {}
    sizes = (
        (8, 64, 1_000),
        (8, 64, 10_000),
        (8, 128, 10_000),
        (12, 200, 10_000),
        (12, 300, 10_000),
    )
    for nodes, h, v in sizes:
        work = (v * (h + 1) + (nodes + 1) * 2 * h**2) * ROWS * 35
        cell = {"num_nodes": nodes, "hidden_size": h, "vocabulary_size": v, "length": length}
        rows[f"threads, H = {h}, V = {v:,}, {work:.1e} multiply-adds a minibatch"] = compared(
            partial(second_thread, steps=5 if v == 1_000 else 1, **cell)
        )
    return rows


def _on_gpu(quick: bool) -> dict[str, Measurement]:
    """The cells again, and what only a GPU has."""
    length = 5 if quick else 35
    at_once = _composed(["search_space=enas_rnn"]).estimator.max_evaluation
    small: Sizing = {"num_nodes": 8, "hidden_size": 64, "vocabulary_size": 1_000}
    large: Sizing = {"num_nodes": 12, "hidden_size": 1_000, "vocabulary_size": 10_000}
    children = 8 if quick else 16

    def an_epoch(rounds: int) -> list[Number]:
        cfg = _composed(["experiment=enas_ptb"])
        space = make(cfg, "search_space")
        child = make(cfg, "child", space=space, vocabulary_size=10_000)
        return epoch(child, space, rounds, vocabulary_size=10_000, length=length)

    return {
        **_one_cell(length, "cuda"),
        "gpu, scoring, 100 together, H = 64, V = 1,000": compared(
            lambda: many_scored(
                100, at_once=at_once, **small, length=length, aims=Aims(ratio=6), device="cuda"
            )
        ),
        "gpu, an epoch of Penn Treebank, H = 1,000": an_epoch,
        "gpu, captured step, H = 64, V = 1,000": compared(
            lambda: captured(length=length, aims=Aims(ratio=1), **small)
        ),
        "gpu, captured step, H = 1,000, V = 10,000": compared(
            lambda: captured(length=length, aims=Aims(ratio=1), **large)
        ),
        "gpu, children, digits, 8 workers against 1": compared(
            lambda: more_workers(
                *_parts(["search_space=nas_cnn"]),
                children=children,
                workers=8,
                aims=Aims(),
                device="cuda",
            )
        ),
    }


def _controllers(quick: bool) -> dict[str, Measurement]:
    """Controllers, a batch of architectures at once."""
    return {
        "controller, 250 sampled at once": compared(
            lambda: many_sampled(_controller(), architectures=100 if quick else 250)
        ),
        "controller, policy gradient of 50 at once": compared(
            lambda: policy_gradient(_controller(), architectures=50)
        ),
    }


def _whole(quick: bool, figure: Path) -> dict[str, Measurement]:
    """What is around the search, and how costs grow."""
    long = [
        *STEADY,
        f"estimator.controller_steps={10 if quick else 50}",
        f"trainer.max_epochs={20 if quick else 40}",
    ]
    default = [*LOGGED, *(["trainer.max_epochs=1"] if quick else [])]
    judged, runs = (10_000, 5) if quick else (1_000_000, 200)
    one_epoch = ["trainer.max_epochs=1", "logger=csv", *(["experiment=smoke"] if quick else [])]
    return {
        "startup": startup,
        "growth": lambda rounds: growth_of_costs(_composed([]), rounds, figure),
        "memory, a long search": lambda rounds: memory(_composed(long)),
        "long, pages of much": lambda rounds: long_runs(1, judged=judged, runs=runs),
        "overhead, the default run": lambda rounds: overhead(_composed(default)),
        "beside, runs at once": lambda rounds: at_once(one_epoch, 1, most=2 if quick else 3),
    }


def compared(begin: Callable[[], AbstractContextManager[Comparison]]) -> Measurement:
    """Measures a comparison.

    Args:
        begin: Makes it, when its turn has come.
    """

    def measured(rounds: int) -> list[Number]:
        with begin() as comparison:
            return measure(comparison, rounds=rounds)

    return measured


def _composed(overrides: Sequence[str]) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def _controller() -> Any:
    """The default recurrent controller of the recurrent cells, with one thread, as in a search."""
    torch.set_num_threads(1)
    cfg = _composed(["search_space=enas_rnn", "controller=lstm"])
    return make(cfg, "controller", space=make(cfg, "search_space"))


def _parts(overrides: Sequence[str]) -> tuple[ChildJob, Any]:
    """A job that trains the children of a configuration, and their search space."""
    cfg = _composed(overrides)
    space, data = make(cfg, "search_space"), make(cfg, "data")
    child = make(cfg, "child", space=space, **data.sizes)
    training = make(cfg, "estimator.training")
    return ChildJob(child=child, data=data, training=training, seed=0), space
