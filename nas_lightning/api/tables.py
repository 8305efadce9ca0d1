"""What is read of a run or a study, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

Columns = dict[str, list[Any]]


def table_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a pandas DataFrame, or, where pandas is not installed, as columns by name.

    What is a mapping in a row, as its metrics are, becomes a column for each name in it.
    """
    flat = []
    for row in rows:
        inner = [value for value in row.values() if isinstance(value, Mapping)]
        own = {name: value for name, value in row.items() if not isinstance(value, Mapping)}
        flat.append({name: value for part in (own, *inner) for name, value in part.items()})
    names = dict.fromkeys(name for row in flat for name in row)
    columns: Columns = {name: [row.get(name) for row in flat] for name in names}
    if find_spec("pandas") is None:
        return columns
    return import_module("pandas").DataFrame(columns)
