"""What a space of a user's own holds, before anything is trained: its sizes and costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas_lightning.errors import raised
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.choices.outline import Outline, extent, outline, size_of
from nas_lightning.search_spaces.choices.parts import choosing
from nas_lightning.search_spaces.choices.recipe import seeded

FORWARDS = 5
"""Forwards of which the median time is taken."""


@dataclass(frozen=True)
class Row:
    """What one architecture costs.

    Attributes:
        name: `smallest`, `middle` or `largest`, by parameters.
        architecture: The architecture.
        parameters: How many it has.
        multiply_adds: Of one example; None where nothing was computed, or it cannot compute.
        milliseconds: Of a forward of all examples; None likewise.
        failure: Why it cannot compute, or None.
    """

    name: str
    architecture: tuple[int, ...]
    parameters: int
    multiply_adds: int | None
    milliseconds: float | None
    failure: str | None = None


@dataclass(frozen=True)
class SpaceTable:
    """What is known of a space before a search; as text, a table.

    Attributes:
        decisions: Of the model, in module order.
        size: How many architectures there are.
        examples: How many a forward has; None where none was computed.
        rows: The smallest architecture, one in the middle, the largest.
    """

    decisions: tuple[Decision, ...]
    size: int
    examples: int | None
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        """Decisions, and what architectures cost."""
        lines = [extent(self.decisions, self.size)]
        lines += [f"  {d.name}: {' | '.join(map(str, d.choices))}" for d in self.decisions[:20]]
        if len(self.decisions) > 20:
            lines.append(f"  and {len(self.decisions) - 20} more")
        heads = ["", "parameters", "multiply-adds", f"ms ({self.examples} examples)"]
        table = [heads, *map(_words, self.rows)]
        if self.examples is None:
            table = [row[:2] for row in table]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)


def _words(row: Row) -> list[str]:
    if row.multiply_adds is None or row.milliseconds is None:
        return [row.name, f"{row.parameters:,}", "cannot compute", "-"]
    return [row.name, f"{row.parameters:,}", f"{row.multiply_adds:,}", f"{row.milliseconds:.2f}"]


def space_table(model: nn.Module, example: Tensor | None) -> SpaceTable:
    """Look at a model with choices before anything is trained.

    Args:
        model: Some of whose modules are `Choice` or `Repeat`.
        example: A few inputs, as the model takes them; None to compute nothing.

    Returns:
        Its decisions, how many architectures there are, and what the smallest, one in the middle
        and the largest cost. The middle one has the median of the parameters of a sample.
    """
    found = outline(model)
    with seeded(0):
        rows = tuple(
            _row(model, found, name, architecture, example)
            for name, architecture in (
                ("smallest", found.smallest()),
                ("middle", _middle(found)),
                ("largest", found.largest()),
            )
        )
    size = size_of([len(d.choices) for d in found.decisions], found.under)
    return SpaceTable(found.decisions, size, None if example is None else len(example), rows)


def _middle(found: Outline) -> list[int]:
    """The architecture of the median number of parameters among a hundred."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for _ in range(101):
        actions: list[int] = []
        for place in found.places:
            option = int(torch.randint(len(place.part.choices), (), generator=generator))
            actions.append(option if found.is_used(place.under, actions) else 0)
        drawn.append(actions)
    return sorted(drawn, key=found.count)[50]


def _row(
    model: nn.Module, found: Outline, name: str, architecture: Sequence[int], example: Tensor | None
) -> Row:
    if example is None:
        return Row(name, tuple(architecture), found.count(architecture), None, None)
    training = model.training
    try:
        with torch.no_grad(), choosing(found.chosen(architecture)):
            model.eval()
            with FlopCounterMode(display=False) as counter:
                model(example)
            operations = counter.get_total_flops() // 2 // max(len(example), 1)
            times = []
            for _ in range(FORWARDS):
                start = time.perf_counter()
                model(example)
                times.append(1000 * (time.perf_counter() - start))
    except Exception as error:  # whatever a user's module raises: such a child fails alone
        failure = raised(error)
        return Row(name, tuple(architecture), found.count(architecture), None, None, failure)
    finally:
        model.train(training)
    milliseconds = statistics.median(times)
    return Row(name, tuple(architecture), found.count(architecture), operations, milliseconds)
