"""Tables of architectures: CSV files that say what each of their numbers is.

    architecture,accuracy (percent) | cifar10 validation | 12 epochs | seed 777,…
    |avg_pool_3x3~0|+|…|,63.364,…

A row is an architecture of a space, and all of them are there: by a column for each decision,
called as the decision is, which holds the option chosen, or by one column `architecture`, which
holds the space's word for it. Every other column holds numbers, and its name says of what:

    METRIC (UNIT, less) | DATA SET | BUDGET | seed N

The unit may be left out. So may `less` or `more`, which way is better, for a loss, a perplexity and
an accuracy, and the seed if there is one. Columns that differ in the seed alone are averaged. A
file may be packed: `.csv.gz`.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from nas_lightning.errors import NotAllowedError, Remedy, require
from nas_lightning.metrics import Direction, Metric
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import ACCURACY, LOSS, PERPLEXITY

SHIPPED = {
    path.name.partition(".")[0]: path
    for path in sorted((Path(__file__).parent / "tables").glob("*.csv*"))
}
"""The tables that come with the package, by their names."""

WORD = "architecture"
"""The column that holds the space's word for an architecture."""

FORM = "METRIC (UNIT, less or more) | DATA SET | BUDGET | seed N"

NAME = re.compile(
    r"(?P<name>[^|()]+?)\s*(?:\((?P<notes>[^|()]*)\)\s*)?\|\s*(?P<data>[^|]+?)\s*"
    r"\|\s*(?P<budget>[^|]+?)\s*(?:\|\s*(?P<seed>seed \d+)\s*)?"
)

KNOWN = {metric.name: metric for metric in (LOSS, PERPLEXITY, ACCURACY)}

Actions = tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """Of what a table holds numbers.

    Attributes:
        metric: What was measured.
        data: On which data.
        budget: After how much training.
    """

    metric: Metric
    data: str
    budget: str

    def __str__(self) -> str:
        """As in a file."""
        return f"{self.metric.name} | {self.data} | {self.budget}"

    def named(self, *, with_data: bool) -> Metric:
        """The metric by a name that tells the budget, and if need be the data."""
        name = f"{self.metric.name} after {self.budget}" + f" on {self.data}" * with_data
        return Metric(
            name=re.sub(r"\W+", "_", name).strip("_"),
            unit=self.metric.unit if with_data else f"{self.metric.unit} on {self.data}".strip(),
            direction=self.metric.direction,
        )


@dataclass(frozen=True)
class TableFile:
    """What a file holds.

    Attributes:
        architectures: All of the space, the last decision varying fastest.
        values: Of each column, a list a seed, in the order of the architectures.
    """

    architectures: Sequence[Actions]
    values: Mapping[Column, Sequence[Sequence[float]]]

    def column(self, metric: str, data_set: str | None, budget: str | None) -> Column:
        """The column asked for.

        Args:
            metric: Its name.
            data_set: Its data; None where there is one only, for that metric.
            budget: Likewise.

        Raises:
            ValueError: If there is none, or more than one.
        """
        left = list(self.values)
        for key, wanted in (("objective", metric), ("data_set", data_set), ("budget", budget)):
            there = list(dict.fromkeys(_part(column, key) for column in left))
            if wanted is None and len(there) == 1:
                wanted = there[0]
            require(wanted in there, key, wanted, f"{' or '.join(there)}, as the table has it")
            left = [column for column in left if _part(column, key) == wanted]
        return left[0]

    def rows(self, column: Column) -> dict[Actions, list[float]]:
        """Actions -> values of a column, one a seed."""
        seeds = zip(*self.values[column], strict=True)
        return {a: list(row) for a, row in zip(self.architectures, seeds, strict=True)}

    def means(self, column: Column) -> Tensor:
        """The mean over seeds, float64 `(size,)`."""
        seeds = self.values[column]
        sums = [sum(row) / len(seeds) for row in zip(*seeds, strict=True)]
        return torch.tensor(sums, dtype=torch.double)


def _part(column: Column, key: str) -> str:
    return {"objective": column.metric.name, "data_set": column.data, "budget": column.budget}[key]


def read_table(path: Path, space: SearchSpace) -> TableFile:
    """Read a table of all architectures of a space.

    Args:
        path: The CSV file, `.gz` if it is packed.
        space: Whose architectures they must be.

    Raises:
        ValueError: If the file cannot be read, or does not hold every architecture of the space
            exactly once with a finite number in each column.
    """
    if len(space.stages) > 1:
        raise _refused(path, "is a table, and this search space grows")
    try:
        known = space.architectures().tolist()
    except ValueError as error:
        raise _refused(path, f"is a table of a space, and this one is too large: {error}") from None
    header, *lines = _lines(path) or [[]]
    names = [decision.name for decision in space.decisions]
    keys = [WORD] if WORD in header else names
    columns = _columns(path, header, keys)
    by_word = keys == [WORD]
    places = {
        (space.word(a),) if by_word else tuple(map(str, space.describe(a).values())): number
        for number, a in enumerate(known)
    }
    where = [header.index(key) for key in keys]
    rows: dict[int, tuple[int, list[str]]] = {}
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise _refused(path, f"row {number} has {len(line)} columns, not {len(header)}")
        options = tuple(line[w] for w in where)
        place = places.get(options)
        if place is None:
            raise _refused(path, f"row {number}: {_stranger(space, keys, options)}")
        if place in rows:
            raise _refused(
                path,
                f"row {number}: the same architecture stands in row {rows[place][0]}, so that "
                "there are two values for it",
            )
        rows[place] = number, line
    if len(rows) < len(known):
        missing = next(a for number, a in enumerate(known) if number not in rows)
        raise _refused(
            path,
            f"{len(rows)} of the space's {len(known)} architectures are there; the first that is "
            f"missing is {space.word(missing)}",
        )
    ordered = [rows[place] for place in range(len(known))]
    values: dict[Column, list[list[float]]] = {}
    for place, column in columns.items():
        numbers = [_finite(path, number, header[place], line[place]) for number, line in ordered]
        values.setdefault(column, []).append(numbers)
    return TableFile([tuple(a) for a in known], values)


def _lines(path: Path) -> list[list[str]]:
    """The lines of the file that are not empty."""
    try:
        if not path.is_file() and path.exists():  # reading a pipe could wait for ever
            raise _refused(path, "is no regular file")
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            return [line for line in csv.reader(file, strict=True) if line]
    except FileNotFoundError:
        raise _refused(path, "there is no such file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _refused(path, f"is no whole .gz file ({error})") from None
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refused(path, f"is no CSV file in UTF-8 ({error})") from None


def _columns(path: Path, header: Sequence[str], keys: Sequence[str]) -> dict[int, Column]:
    """The columns of numbers by their places; the others name the architecture."""
    for key in keys:
        if header.count(key) != 1:
            raise _refused(
                path,
                f"{header.count(key)} columns are called {key!r}, where one is needed for each "
                f"decision, or one for all of them, {WORD!r}",
            )
    found: dict[int, Column] = {}
    seen: dict[tuple[Column, str | None], str] = {}
    for place, name in enumerate(header):
        if name in keys:
            continue
        match = NAME.fullmatch(name.strip())
        if match is None:
            raise _refused(path, f"column {place + 1} is {name!r}, where {FORM!r} is needed")
        column = Column(
            _metric(path, name, match["name"], match["notes"]), *match.group("data", "budget")
        )
        if seen.setdefault((column, match["seed"]), name) is not name:
            raise _refused(path, f"two columns are called {name!r}: two values for one budget")
        found[place] = column
    if not found:
        raise _refused(path, f"there are no numbers; a column of them is called {FORM!r}")
    return found


def _metric(path: Path, column: str, name: str, notes: str | None) -> Metric:
    """What a column's name says of its metric."""
    words = [word.strip() for word in (notes or "").split(",") if word.strip()]
    like = KNOWN.get(name)
    direction: Direction | None = like.direction if like else None
    for way in get_args(Direction):
        if words[-1:] == [way]:
            words.pop()
            direction = way
    if direction is None:
        raise _refused(
            path, f"column {column!r} does not say which way is better; write {name} (…, less)"
        )
    return Metric(
        name=name, unit=", ".join(words) or (like.unit if like else ""), direction=direction
    )


def _stranger(space: SearchSpace, keys: Sequence[str], options: Sequence[str]) -> str:
    """Why a row is none of the space's architectures."""
    if list(keys) == [WORD]:
        example = space.word(space.architectures()[0].tolist())
        return f"{WORD}={options[0]} is none of this search space, whose first is {example}"
    actions = []
    for decision, option in zip(space.decisions, options, strict=True):
        known = list(map(str, decision.choices))
        if option not in known:
            return f"{decision.name}={option} is none of {', '.join(known)}"
        actions.append(known.index(option))
    closed = space.first_closed(torch.tensor([actions]))
    assert closed is not None
    _, t, open_ = closed
    left = ", ".join(str(space.decisions[t].choices[o]) for o in open_)
    return f"{keys[t]}={options[t]} is none of {left}, all that is open there"


def _finite(path: Path, number: int, column: str, text: str) -> float:
    """A number; raises ValueError if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _refused(path, f"row {number}: {column}={text!r} is not a finite number")
    return value


def _refused(path: Path, why: str) -> ValueError:
    return NotAllowedError("path", path, why, Remedy.ANOTHER_TABLE)
