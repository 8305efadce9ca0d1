"""A damaged file costs a study no more than itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_lightning.assembly.rebuild import runs_of
from nas_lightning.commands.report import report
from nas_lightning.studies.study import read_study
from nas_lightning.studies.verdict import verdict_of
from tests.written_runs import write_study


def test_what_still_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a study, one damaged file a run: the rest is counted, what is left out is named."""
    write_study(tmp_path, seeds=4)
    for number, path in enumerate(sorted(tmp_path.glob("*/metrics.csv"))):
        with path.open("a") as file:
            file.write(f"0,1,0,3,0,derive/loss_mean,{4 + number % 4 / 10}\n")
    whole = verdict_of(read_study(tmp_path)).arms
    assert whole
    with (tmp_path / "arm=lstm,seed=0/metrics.csv").open("r+") as file:
        file.write("tame")
    with (tmp_path / "arm=lstm,seed=1/metrics.csv").open("a") as file:
        file.write("0,1,0,x,0,derive/kl_to_uniform,7\n")
    (tmp_path / "arm=lstm,seed=0/best_architecture.json").write_text("{")
    (tmp_path / "arm=random,seed=0/retrain").mkdir()
    (tmp_path / "arm=random,seed=0/retrain/final.json").write_text("{")
    assert verdict_of(read_study(tmp_path)).arms == whole
    report(tmp_path, markdown=True)
    said = capsys.readouterr().err
    for name in (
        "arm=lstm,seed=0: damaged lines of its records are left out: 1",
        "arm=lstm,seed=0: best_architecture.json is damaged, and is left out",
        "arm=lstm,seed=1: damaged lines of its records are left out: 1",
        "arm=random,seed=0: retrain/final.json holds no final numbers, and is left out",
    ):
        assert name in said
    (tmp_path / "arm=lstm,seed=3/metrics.csv").unlink()
    assert len(read_study(tmp_path).finished) == 7
    assert runs_of(tmp_path)
    assert (
        "arm=lstm,seed=3: metrics.csv cannot be read, or is empty (put it back), and is left out"
        in capsys.readouterr().err
    )
    assert verdict_of(read_study(tmp_path)).arms
    (tmp_path / "arm=random,seed=3/config.yaml").write_text("seed: [")
    (tmp_path / "arm=lstm,seed=1/metrics.json").write_text('{"metrics": 1}')
    study = read_study(tmp_path)
    assert len(study.finished) == 5
    assert [note.split(" is left out: ")[0] for note in study.notes if "is left out: " in note] == [
        "arm=random,seed=3", "arm=lstm,seed=1"
    ]  # fmt: skip
    assert verdict_of(study).arms, "it stands on seeds 0 and 2"
