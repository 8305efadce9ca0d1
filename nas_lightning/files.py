"""Files that are there whole or not at all, and JSON as every reader takes it.

Whatever is written anew is written here: beside its place, brought to the disk, and renamed. What
only grows, a line at a time, is `runs/ledger.py`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def whole_file(path: Path, *, before: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write, which takes its place when all is on the disk; what is half written goes.

    Args:
        path: Its place.
        before: Where what stands in its place now is kept; None lets it go.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if before is not None and path.exists():
        path.replace(before)
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write(path: Path, text: str) -> None:
    """Write a small file."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: object) -> None:
    """Write JSON that a person can read."""
    layout = {"indent": 2, "separators": (",", ": "), "ensure_ascii": False}
    write(path, to_json(content, **layout) + "\n")


def write_csv(path: Path, head: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Write a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    write(path, text.getvalue())


def require_writable(path: Path) -> None:
    """Raise OSError now where a file could not be written when the work for it is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    with path.open("a"):
        pass
    if fresh:
        path.unlink()


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def to_json(content: object, **layout: Any) -> str:
    """JSON as every reader takes it, which has no NaN and no infinity: they become null.

    Args:
        content: What is to be written.
        layout: As `json.dumps` has it; one line without spaces by default.
    """
    return json.dumps(_finite(content), allow_nan=False, **{"separators": (",", ":"), **layout})


def _finite(content: object) -> object:
    """The same with None for every number that is not finite."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return content
