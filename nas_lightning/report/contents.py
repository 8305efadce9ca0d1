"""What a page is made of: sections of paragraphs, figures, tables and sources.

Sections say what is shown; how it looks is the templates' business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from markupsafe import Markup

from nas_lightning.metrics import number

Cell = str | float | int | None
"""A number is shown as its column is and sorted as the number it is; None is a dash."""

LARGE, SMALL = 1e7, 1e-4
"""Numbers beyond these are shown as powers of ten, and do not count for their column's digits."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        head: Names of the columns.
        rows: Cells, as many in each row as there are columns.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        image: An `svg` or `img` element that holds its own alternative text.
        caption: What it shows, with unit and kind.
        wide: Whether it takes the whole width.
        own_colours: Whether its colours are of something else than arms.
    """

    image: Markup
    caption: str
    wide: bool = False
    own_colours: bool = False


@dataclass(frozen=True)
class Source:
    """A text to be copied, folded away.

    Attributes:
        title: What it is.
        text: The text.
    """

    title: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: Its name in the page's address.
        title: Its heading.
        text: Paragraphs before its figures.
        figures: Its pictures.
        tables: Its tables.
        sources: Its texts to be copied.
        groups: Sentences that belong together, folded away under the first of them.
        by_arm: Whether the arms' colours are to be explained here.
    """

    anchor: str
    title: str
    text: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    sources: Sequence[Source] = ()
    groups: Sequence[Sequence[str]] = ()
    by_arm: bool = False


def shown(cell: Cell) -> str:
    """A cell as text."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return number(cell)
    return f"{cell:,}" if isinstance(cell, int) else cell


def as_text(table: Table) -> list[list[str]]:
    """The cells of a table as text: within a column all with the same digits after the point."""
    columns = []
    for column in zip(*table.rows, strict=True):
        floats = iter(aligned([cell for cell in column if isinstance(cell, float)]))
        columns.append([next(floats) if isinstance(c, float) else shown(c) for c in column])
    return [list(row) for row in zip(*columns, strict=True)]


def rows_of(table: Table) -> list[tuple[Sequence[Cell], list[str]]]:
    """Each row of a table: its cells, and the same as text."""
    return list(zip(table.rows, as_text(table), strict=True))


def aligned(values: Sequence[float], *, digits: int = 4, signed: bool = False) -> list[str]:
    """Numbers as text, all with the same digits after the point.

    As many as give the middle one of them `digits` significant digits, less the zeros that all of
    them would end on. What is larger or smaller than a reader can take in is a power of ten.

    Args:
        values: The numbers.
        digits: Significant digits.
        signed: Whether a plus is shown.
    """
    sizes = sorted(abs(v) for v in values if SMALL <= abs(v) < LARGE)
    places = 0
    if sizes:
        middle = sizes[len(sizes) // 2]
        places = max(0, digits - 1 - math.floor(math.log10(middle)))
        while places and all(
            round(v, places) == round(v, places - 1) for v in values if abs(v) < LARGE
        ):
            places -= 1
    plus = "+" * signed

    def text(value: float) -> str:
        if not math.isfinite(value):
            return number(value)
        if abs(value) >= LARGE or (value and not sizes):
            return plus * (value > 0) + number(value)
        return f"{value:{plus},.{places}f}"

    return [text(value) for value in values]


def spread(values: Sequence[float], style: str) -> str:
    """Mean and standard deviation over seeds, as text.

    Args:
        values: Of the seeds.
        style: How a number is formatted, for example `"+.3f"`.
    """
    if not values:
        return "–"
    text = f"{mean(values):{style}}"
    return f"{text} ± {stdev(values):{style.strip('+')}}" if len(values) > 1 else text
