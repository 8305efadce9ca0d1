"""The long run whose page is timed is one that the program could have written."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.long_runs import JUDGED, prolonged
from nas_lightning.commands.report import report
from nas_lightning.runs.folder import LEDGER
from nas_lightning.studies.study import read_study
from tests.written_runs import write_run


def test_a_long_run_is_whole(tmp_path: Path) -> None:
    small, long = write_run(tmp_path / "small"), tmp_path / "long"
    prolonged(small, long, 4, seed=3)
    assert (small / LEDGER).read_text().count("\n") == 3
    run = read_study(long).runs[0]
    assert (run.judged.rows, run.damaged, run.judged.diverged) == (4 * JUDGED, 0, 0)
    assert (run.derived, len(run.judged.candidates), run.seed) == (4, 100, 3)
    assert yaml.safe_load((long / "config.yaml").read_text())["trainer"]["max_epochs"] == 4
    report(long, markdown=False)
    assert "1,200" in (long / "report.html").read_text()
