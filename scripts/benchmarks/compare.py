"""Two commits side by side: the same rows, measured in turn by the benchmarks of this checkout."""

from __future__ import annotations

import dataclasses
import io
import statistics
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.numbers import over_rounds
from benchmarks.row import PROGRAM, Row, Task, measured
from nas_lightning.errors import UserError


def resolved(commits: str) -> list[str]:
    """The full names of two commits, `A,B`.

    Raises:
        UserError: If they are not two, or git does not know one.
    """
    names = [name.strip() for name in commits.split(",")]
    if len(names) != 2 or not all(names):
        raise UserError(f"compare={commits} is not allowed: must be two commits, compare=A,B")
    found = []
    for name in names:
        try:
            said = _git("rev-parse", "--verify", "--end-of-options", name + "^{commit}")
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(f"compare={commits}: git knows no commit {name} here") from error
        found.append(said.decode().strip())
    return found


@contextmanager
def unpacked(commits: list[str]) -> Iterator[list[Path]]:
    """The files of commits, each in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, side) for side in "ab"]
        for commit, place in zip(commits, places, strict=True):
            packed = io.BytesIO(_git("archive", "--format=tar", commit))
            with tarfile.open(fileobj=packed) as archive:
                archive.extractall(place, filter="data")
        yield places


def side_by_side(task: Task, places: list[Path], *, limit: float) -> Row:
    """A row whose numbers are those of the second commit over those of the first.

    Args:
        task: What is measured; every round is a process of each side.
        places: The folders of the two packages.
        limit: Seconds until one round of one side is stopped.
    """
    once = dataclasses.replace(task, rounds=1)
    sides: tuple[list[Row], list[Row]] = ([], [])
    for number in range(task.rounds):
        for side in (0, 1) if number % 2 else (1, 0):  # neither is always the first
            row = measured(once, limit=limit, program=places[side])
            if row.failed:
                return Row(failed=f"{'AB'[side]}: {row.failed}")
            sides[side].append(row)
    first, second = ([_values(row) for row in rows] for rows in sides)
    numbers = []
    for name in first[0].keys() & second[0].keys():
        a, b = ([values[name] for values in side] for side in (first, second))
        if 0 in a:
            continue
        beside = {"A": statistics.median(a), "B": statistics.median(b)}
        ratios = [of_b / of_a for of_a, of_b in zip(a, b, strict=True)]
        numbers.append(over_rounds(f"{name}, B over A", ratios, beside=beside))
    reference = [seconds for rows in sides for row in rows for seconds in row.reference]
    return Row(numbers=sorted(numbers, key=lambda n: n.what), reference=reference)


def _values(row: Row) -> Mapping[str, float]:
    """All that was found, by name."""
    return {
        name: value
        for number in row.numbers
        for name, value in (
            (number.what, number.value),
            *((f"{number.what}, {what}", value) for what, value in number.beside.items()),
        )
    }


def _git(*arguments: str) -> bytes:
    command = ["git", "-C", str(PROGRAM), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout
