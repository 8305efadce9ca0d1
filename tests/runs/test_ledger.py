"""The records of a run: rows in order, cut back to a length, read again."""

from __future__ import annotations

import csv
import json
import math
import time
from pathlib import Path

import pytest

from nas_lightning.errors import UserError
from nas_lightning.runs.ledger import AppendOnlyFile, Ledger, Metrics
from tests.ledger_rows import ledger_rows

AXES = {"epoch": 1, "child_step": 20, "controller_step": 3, "architectures_judged": 40}


def read_metrics(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------------- a file that grows


def test_text_is_appended(tmp_path: Path) -> None:
    file = AppendOnlyFile(tmp_path / "file")
    file.append("one\n")
    file.append("zwei äöü\n")
    file.close()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "one\nzwei äöü\n"


def test_what_is_there_stays(tmp_path: Path) -> None:
    for text in ("one\n", "two\n"):
        file = AppendOnlyFile(tmp_path / "file")
        file.append(text)
        file.close()
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\n"


def test_nothing_is_made_before_something_is_written(tmp_path: Path) -> None:
    AppendOnlyFile(tmp_path / "nowhere" / "file")
    assert list(tmp_path.iterdir()) == []


def test_sync_returns_the_length_on_disk(tmp_path: Path) -> None:
    file = AppendOnlyFile(tmp_path / "file")
    assert file.sync() == 0
    file.append("äö\n")
    assert file.sync() == 5 == (tmp_path / "file").stat().st_size
    file.close()
    again = AppendOnlyFile(tmp_path / "file")
    assert again.sync() == 5
    again.close()


@pytest.mark.parametrize("synced", [False, True])
def test_a_cut_file_goes_on_from_the_cut(tmp_path: Path, synced: bool) -> None:
    file = AppendOnlyFile(tmp_path / "file")
    file.append("one\n")
    length = file.sync()
    file.append("two\n")
    if synced:
        file.sync()
    file.truncate(length)
    file.append("three\n")
    assert file.sync() == len("one\nthree\n")
    file.close()
    assert (tmp_path / "file").read_text() == "one\nthree\n"


def test_a_file_of_another_process_is_cut(tmp_path: Path) -> None:
    """As at a resume: the rows were written by a process that was killed, the last one half."""
    (tmp_path / "file").write_text("one\ntwo\nthr")
    file = AppendOnlyFile(tmp_path / "file")
    file.truncate(len("one\n"))
    file.append("two again\n")
    file.close()
    assert (tmp_path / "file").read_text() == "one\ntwo again\n"


def test_cutting_to_its_length_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one\n")
    file = AppendOnlyFile(tmp_path / "file")
    file.truncate(4)
    file.close()
    assert (tmp_path / "file").read_text() == "one\n"


@pytest.mark.parametrize("there", [None, "one\n"])
def test_missing_rows_are_not_filled_with_zeros(tmp_path: Path, there: str | None) -> None:
    if there is not None:
        (tmp_path / "file").write_text(there)
    file = AppendOnlyFile(tmp_path / "file")
    with pytest.raises(UserError, match=r"the checkpoint knows of 100.*missing"):
        file.truncate(100)
    file.close()
    assert (tmp_path / "file").read_text() == (there or "")


# ------------------------------------------------------------------------------ the ledger


def test_ledger_rows_come_back(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"number": 0, "actions": [1, 0, 2], "reward": 0.1 + 0.2, "status": "ok"},
        {"number": 1, "metrics": {"loss": math.inf}, "status": "diverged\nor not"},
        {"number": 2, "reward": math.nan, "metrics": {"loss": [-math.inf, 1.5]}},
    ]
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record(rows[:1])
    ledger.record(iter(rows[1:]))
    ledger.close()
    rows[1]["metrics"] = {"loss": None}  # JSON has no number for it
    rows[2] |= {"reward": None, "metrics": {"loss": [None, 1.5]}}
    assert ledger_rows(tmp_path / "ledger.jsonl") == rows
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail)["number"] for line in lines] == [0, 1, 2]


def test_an_unfinished_last_line_is_left_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record({"number": n} for n in range(3))
    ledger.close()
    whole = (tmp_path / "ledger.jsonl").read_text()
    for missing in range(1, len('{"number":2}\n') + 1):
        (tmp_path / "ledger.jsonl").write_text(whole[:-missing])
        assert ledger_rows(tmp_path / "ledger.jsonl") == [{"number": 0}, {"number": 1}]


def test_an_empty_ledger_has_no_rows(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.jsonl").close()
    assert ledger_rows(tmp_path / "ledger.jsonl") == []


# ----------------------------------------------------------------------------- the metrics


def test_metrics_are_in_long_form(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.csv")
    before = time.time()
    metrics.record(AXES, {"child/loss": 0.1 + 0.2, 'a, "quoted" name': 1e-30})
    metrics.record({**AXES, "epoch": 2}, {"derive/kl": math.nan})
    metrics.close()
    rows = read_metrics(tmp_path / "metrics.csv")
    assert list(rows[0]) == ["time", *AXES, "name", "value"]
    assert [row["name"] for row in rows] == ["child/loss", 'a, "quoted" name', "derive/kl"]
    assert [float(row["value"]) for row in rows[:2]] == [0.1 + 0.2, 1e-30]
    assert math.isnan(float(rows[2]["value"]))
    assert [row["epoch"] for row in rows] == ["1", "1", "2"]
    assert all(row["architectures_judged"] == "40" for row in rows)
    assert all(before - 1 <= float(row["time"]) <= time.time() + 1 for row in rows)


def test_the_header_stands_once(tmp_path: Path) -> None:
    for _ in range(2):
        metrics = Metrics(tmp_path / "metrics.csv")
        metrics.record(AXES, {"a": 1})
        metrics.record(AXES, {"b": 2})
        metrics.close()
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [line.startswith("time,") for line in lines] == [True, False, False, False, False]


def test_cut_to_nothing_the_header_comes_again(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.csv")
    metrics.record(AXES, {"a": 1})
    metrics.truncate(0)
    metrics.record(AXES, {"b": 2})
    metrics.close()
    rows = read_metrics(tmp_path / "metrics.csv")
    assert [row["name"] for row in rows] == ["b"]


def test_axes_may_come_in_any_order(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.csv")
    metrics.record(dict(reversed(AXES.items())), {"a": 1})
    metrics.close()
    (row,) = read_metrics(tmp_path / "metrics.csv")
    assert {axis: int(row[axis]) for axis in AXES} == AXES
