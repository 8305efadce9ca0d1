"""Two hours of search: memory stays flat, the records stay complete, and it still goes on."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from scipy.stats import theilslopes

HOURS = float(os.environ.get("SOAK_HOURS", "2"))
"""How long; less is for trying the test itself."""

ROOT = Path(__file__).parents[2]
START = (
    "memory=replay",
    "threads=1",
    "trainer.max_epochs=1000000",
    "callbacks.probes.every_epochs=100",
    "hydra.run.dir=run",
)
"""The default search, with a memory, W&B offline and all callbacks."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(HOURS * 3600 + 1800)]


def started(here: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The command, as a user gives it."""
    with (here / "out").open("ab") as out:
        call = [sys.executable, str(ROOT / "train.py"), *arguments]
        return subprocess.Popen(call, cwd=here, stdout=out, stderr=out)


def resident(process: subprocess.Popen[bytes]) -> int:
    """Bytes of memory that a process holds."""
    pages = Path(f"/proc/{process.pid}/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a run as a scheduler does."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM


def check_records(run: Path) -> dict[str, int]:
    """No row lacks or stands twice, and the counters agree; returns the last ones."""
    lines = (run / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    ledger = [json.loads(line) for line in lines]
    assert [row["number"] for row in ledger] == list(range(len(ledger)))
    axes = ("epoch", "child_step", "controller_step")
    for before, after in itertools.pairwise(ledger):
        assert all(before[axis] <= after[axis] for axis in axes)

    with (run / "metrics.csv").open(encoding="utf-8") as file:
        metrics = list(csv.DictReader(file))
    at: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in metrics:
        float(row["value"])
        at[row["name"]].append(row)
    epochs = [int(row["epoch"]) for row in at["derive/reward"]]
    assert epochs == list(range(len(epochs)))
    assert [int(row["epoch"]) for row in at["diversity/unique_fraction"]][: len(epochs)] == epochs
    steps = [int(row["controller_step"]) for row in at["controller/reward"]]
    assert steps == list(range(1, len(steps) + 1))
    children = [int(row["child_step"]) for row in at["child/loss"]]
    assert children == list(range(10, 10 * len(children) + 1, 10))
    for row in at["derive/reward"]:  # an epoch: 60 child steps, 20 controller steps
        done = int(row["epoch"]) + 1
        assert (int(row["child_step"]), int(row["controller_step"])) == (60 * done, 20 * done)
    return {name: int(metrics[-1][name]) for name in (*axes, "architectures_judged")}


def test_two_hours(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started(tmp_path, *START)
    begun = time.monotonic()
    samples: list[tuple[float, int]] = []
    while (hours := (time.monotonic() - begun) / 3600) < HOURS:
        assert process.poll() is None, (tmp_path / "out").read_text(encoding="utf-8")
        samples.append((hours, resident(process)))
        time.sleep(HOURS * 10)
    stop(process)

    late = [sample for sample in samples if sample[0] > HOURS / 4]  # caches have filled
    slope, _, least, greatest = theilslopes([m for _, m in late], [h for h, _ in late])
    counters = check_records(run)
    number = len(samples) // 4
    print(f"\n{HOURS} hours, {counters}")
    print(f"MB at each quarter: {[m >> 20 for _, m in samples[number - 1 :: number]]}")
    print(f"MB an hour: {slope / 2**20:.2f} ({least / 2**20:.2f} to {greatest / 2**20:.2f})")

    process = started(tmp_path, "resume=run")
    deadline = time.monotonic() + 900
    size = (run / "metrics.csv").stat().st_size
    while (run / "metrics.csv").stat().st_size < size + 20_000:
        assert time.monotonic() < deadline
        assert process.poll() is None, (tmp_path / "out").read_text(encoding="utf-8")
        time.sleep(1)
    stop(process)
    assert check_records(run)["epoch"] > counters["epoch"]
    assert slope < 0.01 * late[-1][1], "memory grows by more than a hundredth an hour"
