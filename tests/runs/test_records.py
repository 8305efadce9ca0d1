"""Ledgers that are read row by row, of which little is held."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from nas_lightning.metrics import Metric
from nas_lightning.runs.records import TOP, _Best, read_ledger

ROWS = 6_000


def test_the_best_of_a_long_ledger_are_those_of_all_rows_at_once(tmp_path: Path) -> None:
    """Thousands of architectures, each judged several times, and many that are equally good."""
    random = np.random.default_rng(0)
    actions = random.integers(2_500, size=ROWS).tolist()
    losses = (random.integers(4_000, size=ROWS) / 1_000).tolist()
    rows = [
        {
            "number": n,
            "actions": [a],
            "metrics": {"loss": loss},
            "purpose": "controller",
            "epoch": 0,
        }
        for n, (a, loss) in enumerate(zip(actions, losses, strict=True))
    ]
    path = tmp_path / "ledger.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for direction, sign in (("less", 1), ("more", -1)):
        found, damaged = read_ledger(path, Metric(name="loss", unit="", direction=direction))  # type: ignore[arg-type]
        least: dict[int, float] = {}
        for a, loss in zip(actions, losses, strict=True):
            least[a] = min(sign * loss, least.get(a, np.inf))
        assert (found.rows, damaged) == (ROWS, 0)
        best = {row["actions"][0]: sign * row["metrics"]["loss"] for row in found.best}
        assert len(best) == len(found.best) == TOP
        assert list(best.values()) == sorted(least.values())[:TOP]
        assert all(least[a] == loss for a, loss in best.items())


def test_few_of_the_rows_are_held() -> None:
    best = _Best()
    for number in range(20_000):  # each better than all before: the worst case
        best.see((number,), float(number), {"number": number})
        assert len(best._rows) < 10 * TOP
    assert [row["number"] for row in best.ranked()] == list(range(19_999, 19_999 - TOP, -1))
