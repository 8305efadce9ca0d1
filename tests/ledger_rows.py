"""A ledger's rows as the package's own reader gives them."""

from __future__ import annotations

from pathlib import Path

from nas_lightning.runs.records import Row, read_objects


def ledger_rows(path: Path) -> list[Row]:
    """All whole rows, none of them damaged."""
    rows: list[Row] = []
    for row in read_objects(path, {}):
        assert row is not None, f"{path}: a damaged row"
        rows.append(row)
    return rows
