"""Judging by looking up: a table holds the loss of every architecture of a small space.

What a search has found can then be compared with all there is to find: regret is exact, and a
whole search takes seconds. `scripts/ground_truth.py` makes such tables by training every
architecture from scratch; one comes with the package.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor

from nas_lightning.data.base import Batch
from nas_lightning.errors import require_whole
from nas_lightning.estimators.base import Estimator, Evaluation, Phases
from nas_lightning.metrics import Metric, require_declared
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import LOSS, PERPLEXITY
from nas_lightning.terminal import called

SHIPPED = Path(__file__).parent / "tables" / "enas_rnn_3.csv"
"""All recurrent cells of three nodes; docs/results.md says how they were trained."""

COLUMN = "loss seed "
"""How a column of losses begins; the rest is the seed."""


class Table(Estimator):
    """Looks up the loss of an architecture: the mean over the table's seeds.

    Beside it stand the perplexity, `exp(loss)`, and the regret: the loss minus the least of the
    table, nats, 0 for the best architecture of the space.

    Args:
        space: What is searched.
        path: The table, a CSV file; None for the one that comes with the package.
        controller_steps: Controller steps an epoch.
        objective: `loss` or `perplexity`.

    Raises:
        ValueError: If an argument is outside what is allowed, or the table is not one of exactly
            the architectures of the space.
    """

    comparable = True
    uses_batches = False
    metrics = (LOSS, PERPLEXITY, Metric(name="regret", unit="nats per target", direction="less"))

    def __init__(
        self, *, space: SearchSpace, path: str | None, controller_steps: int, objective: str
    ) -> None:
        super().__init__()
        require_whole("controller_steps", controller_steps, at_least=0)
        self.phases = Phases(child_steps=0, controller_steps=controller_steps)
        rows = read_table(SHIPPED if path is None else Path(path).expanduser(), space)
        self.objectives = (require_declared("objective", objective, (LOSS, PERPLEXITY)),)
        # In the order of the last decision varying fastest an architecture's place is a number
        # whose digits are its options.
        means = torch.tensor(
            [sum(rows[a]) / len(rows[a]) for a in sorted(rows)], dtype=torch.double
        )
        self._space = space
        self._losses = means.float()
        self._regrets = (means - means.min()).float()

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing is random here."""

    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        """Look the architectures up; see the base class."""
        device = architectures.device
        places = self._space.rank(architectures).to(device)
        loss, regret = (values.to(device)[places] for values in (self._losses, self._regrets))
        return Evaluation(
            metrics={"loss": loss, "perplexity": loss.exp(), "regret": regret},
            kind="proxy",
            objectives=self.objectives,
            status=["ok"] * len(architectures),
            cost=0.0,
            cost_unit="epochs",
        )


def read_table(path: Path, space: SearchSpace) -> dict[tuple[int, ...], list[float]]:
    """The losses of every architecture of a space.

    The file has a column for each decision of the space, by its name, which holds the option
    chosen, and columns `loss seed N`, nats.

    Args:
        path: The CSV file.
        space: Whose architectures they must be.

    Returns:
        Actions -> loss for each seed, in the order of the columns.

    Raises:
        ValueError: If the file cannot be read, or does not hold every architecture of the space
            exactly once with a finite number for each seed.
    """
    if len(space.stages) > 1:
        raise _refused(path, "is a table, and this search space grows")
    try:
        if not path.is_file() and path.exists():  # reading a pipe could wait for ever
            raise _refused(path, "is no regular file")
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = [line for line in csv.reader(file, strict=True) if line] or [[]]
    except FileNotFoundError:
        raise _refused(path, "there is no such file") from None
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refused(path, f"is no CSV file in UTF-8 ({error})") from None
    names = [decision.name for decision in space.decisions]
    wanted = [*names, *[COLUMN] * max(1, len(header) - len(names))]
    for place, (name, found) in enumerate(zip_longest(wanted, header, fillvalue=""), start=1):
        if not (found.startswith(COLUMN) if name == COLUMN else found == name):
            raise _refused(path, f"column {place} is {found!r}, where {name!r} is needed")
    options = [{str(o): i for i, o in enumerate(d.choices)} for d in space.decisions]
    rows: dict[tuple[int, ...], list[float]] = {}
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise _refused(path, f"row {number} has {len(line)} columns, not {len(header)}")
        for name, known, option in zip(names, options, line, strict=False):
            if option not in known:
                raise _refused(path, f"row {number}: {name}={option} is none of {', '.join(known)}")
        actions = tuple(known[option] for known, option in zip(options, line, strict=False))
        if actions in rows:
            raise _refused(path, f"row {number}: the same architecture stands in an earlier row")
        rows[actions] = [_finite(path, number, text) for text in line[len(names) :]]
    closed = space.first_closed(torch.tensor(list(rows)).reshape(-1, len(names)))
    if closed is not None:
        row, t, open_ = closed
        chosen, *rest = (space.decisions[t].choices[o] for o in (list(rows)[row][t], *open_))
        left = ", ".join(map(str, rest))
        raise _refused(
            path, f"row {row + 1}: {names[t]}={chosen} is none of {left}, all that is open there"
        )
    if len(rows) < space.size:
        raise _refused(path, f"{len(rows)} of the space's {space.size} architectures are there")
    return rows


def _finite(path: Path, number: int, text: str) -> float:
    """A loss; raises ValueError if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _refused(path, f"row {number}: the loss {text!r} is not a finite number")
    return value


def _refused(path: Path, why: str) -> ValueError:
    return ValueError(
        f"path={path} is not allowed: {why}; give the search space that the table was made for "
        "(search_space.num_nodes=3 for the one that comes with the package), or make a table of "
        f"this one by {called('ground-truth')}"
    )
