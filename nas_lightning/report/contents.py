"""What a page is made of: sections of paragraphs, figures, tables and sources.

Sections say what is shown; how it looks is the templates' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from markupsafe import Markup

from nas_lightning.metrics import number

Cell = str | float | int | None
"""A number is shown with four digits and sorted as the number it is; None is a dash."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        head: Names of the columns.
        rows: Cells, as many in each row as there are columns.
        sortable: Whether a reader can sort it by a column.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        image: An `svg` or `img` element that holds its own alternative text.
        caption: What it shows, with unit and kind.
        wide: Whether it takes the whole width.
    """

    image: Markup
    caption: str
    wide: bool = False


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
