"""The command `python scripts/benchmark.py`: times every comparison, prints a table, writes JSON.

python scripts/benchmark.py                    everything, about a quarter of an hour
python scripts/benchmark.py quick=true         the same with less work, two minutes
python scripts/benchmark.py only=children      those with this in their name
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from nas_lightning.command import script
from nas_lightning.errors import UserError
from nas_lightning.experiment import CONF, make, shown

if TYPE_CHECKING:
    from nas_lightning.benchmarks.timing import Comparison
    from nas_lightning.estimators.executors import ChildJob

Measurement = Callable[[], "AbstractContextManager[Comparison]"]

SETTINGS = {"quick": False, "only": "", "output": "outputs/benchmark.json"}
"""What the command line can set: less work for each measurement; a part of the wanted ones' names;
where the numbers go."""


def measurements(*, quick: bool) -> dict[str, Measurement]:
    """All that is measured: what it is -> what makes the comparison.

    Args:
        quick: Whether to do less work in each.
    """
    from nas_lightning.benchmarks.children import against_plain_loop, second_worker, side_by_side
    from nas_lightning.benchmarks.controller import many_sampled, policy_gradient
    from nas_lightning.benchmarks.recurrence import training_step
    from nas_lightning.benchmarks.scoring import many_scored
    from nas_lightning.benchmarks.softmax import in_pieces

    length = 5 if quick else 35
    few = 4 if quick else 16
    digits, clothes = ["search_space=nas_cnn"], ["experiment=nas_fashion_mnist_small"]
    cells = ["estimator=from_scratch", "estimator.training.epochs=1"]
    return {
        "children: digits, against the plain loop": lambda: against_plain_loop(
            *_parts(digits), children=few
        ),
        "children: Fashion-MNIST, against the plain loop": lambda: against_plain_loop(
            *_parts(clothes), children=few
        ),
        "children: digits, 2 workers against 1": lambda: second_worker(
            *_parts(digits), children=few
        ),
        "children: cells side by side, against one by one": lambda: side_by_side(
            *_parts(cells), children=few
        ),
        "softmax: ten cells scored, V = 2,000, H = 64": lambda: in_pieces(
            tokens=22_400, vocabulary_size=2_000, hidden_size=64, learning=False
        ),
        "softmax: training step, V = 2,000, H = 64": lambda: in_pieces(
            tokens=2_240, vocabulary_size=2_000, hidden_size=64, learning=True
        ),
        "softmax: training step, V = 10,000, H = 200": lambda: in_pieces(
            tokens=2_240, vocabulary_size=10_000, hidden_size=200, learning=True
        ),
        "softmax: training step, V = 10,000, H = 1,000": lambda: in_pieces(
            tokens=2_240, vocabulary_size=10_000, hidden_size=1_000, learning=True
        ),
        "recurrence: training step, H = 64, V = 1,000": lambda: training_step(
            num_nodes=8, hidden_size=64, vocabulary_size=1_000, length=35, steps=5, target=2.5
        ),
        "recurrence: training step, H = 200, V = 10,000": lambda: training_step(
            num_nodes=12, hidden_size=200, vocabulary_size=10_000, length=length, steps=1, target=1
        ),
        "recurrence: training step, H = 1,000, V = 10,000": lambda: training_step(
            num_nodes=12,
            hidden_size=1_000,
            vocabulary_size=10_000,
            length=length,
            steps=1,
            target=1,
        ),
        "scoring: 100 together, H = 64, V = 1,000": lambda: many_scored(
            100, num_nodes=8, hidden_size=64, vocabulary_size=1_000, length=length, target=6
        ),
        "scoring: 10 together, H = 200, V = 10,000": lambda: many_scored(
            10, num_nodes=12, hidden_size=200, vocabulary_size=10_000, length=length, target=1
        ),
        "controller: 1,000 sampled at once": lambda: many_sampled(
            _controller(), architectures=100 if quick else 1_000
        ),
        "controller: policy gradient of 100 at once": lambda: policy_gradient(
            _controller(), architectures=100
        ),
    }


def _controller() -> Any:
    """The default recurrent controller of the recurrent cells."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", ["search_space=enas_rnn", "controller=lstm"])
    return make(cfg, "controller", space=make(cfg, "search_space"))


def _parts(overrides: Sequence[str]) -> tuple[ChildJob, Any]:
    """A job that trains the children of a configuration, and their search space."""
    from nas_lightning.estimators.executors import ChildJob

    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", list(overrides))
    space, data = make(cfg, "search_space"), make(cfg, "data")
    child = make(cfg, "child", space=space, **data.sizes)
    training = make(cfg, "estimator.training")
    return ChildJob(child=child, data=data, training=training, seed=0), space


def run(*, quick: bool, only: str, output: Path) -> None:
    """Measure, print and write.

    Raises:
        UserError: If nothing has `only` in its name.
    """
    from rich.console import Console
    from rich.table import Table

    from nas_lightning.benchmarks.timing import machine, measure

    chosen = {name: make for name, make in measurements(quick=quick).items() if only in name}
    if not chosen:
        names = "; ".join(measurements(quick=quick))
        raise UserError(f"only={only}: nothing has this in its name; there are: {names}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("a"):  # minutes later would be too late to find out
        header = machine()
    print(", ".join(f"{name} {value}" for name, value in header.items()))
    table = Table("", "target", "ratio", "spread", "before", "now", "of limit", "memory")
    rows = {}
    for name, begin in chosen.items():
        with begin() as comparison:
            found = measure(comparison, repeats=2 if quick else 5)
        rows[name] = {"target": comparison.target, "unit": comparison.unit, **asdict(found)}
        table.add_row(
            name,
            f"≥ {comparison.target:g}",
            f"{found.ratio:.2f}",
            f"{found.lowest:.2f} to {found.highest:.2f}",
            f"{found.old_per_minute:.4g} {comparison.unit}/min",
            f"{found.new_per_minute:.4g} {comparison.unit}/min",
            "" if found.multiple is None else f"{found.multiple:.2f}",
            "" if found.memory is None else f"{found.memory:.2f}",
        )
        print(f"{name}: {found.ratio:.2f}", file=sys.stderr)
    print(
        "ratio: time before / now; of limit: time now / multiplications alone; memory: now / before"
    )
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    text = json.dumps({"machine": header, "quick": quick, "measured": rows}, indent=2)
    output.write_text(text + "\n", encoding="utf-8")
    print(f"written {shown(output)}")


def measured(cfg: DictConfig) -> None:
    """Measure what is asked for.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    if not isinstance(cfg.quick, bool):
        raise UserError(f"quick={cfg.quick} is not allowed: must be true or false")
    run(quick=cfg.quick, only=str(cfg.only), output=Path(str(cfg.output)).expanduser())


def main() -> None:
    """The command `python scripts/benchmark.py …`."""
    script(measured, SETTINGS)
