"""Runs that are not whole, and folders that are no study: each is said in a line."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nas_lightning.assembly import run as experiment
from nas_lightning.commands.report import space_of
from nas_lightning.errors import UserError
from nas_lightning.report.sections.provenance import runs
from nas_lightning.runs.folder import RunFolder
from nas_lightning.runs.records import read_ledger, read_metrics
from nas_lightning.search_spaces.child import PERPLEXITY
from nas_lightning.studies.study import finished_study, read_study
from nas_lightning.terminal import called, shown
from tests.processes import Command
from tests.shell import Shell
from tests.written_runs import CONFIG, write_run, write_study

ROOT = Path(__file__).parents[2]


def report(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/report.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_arms_and_seeds(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path))
    assert [(run.arm, run.seed) for run in study.runs] == [
        ("lstm", 0), ("lstm", 1), ("random", 0), ("random", 1)
    ]  # fmt: skip
    assert study.notes == []


def test_arms_of_runs_in_folders_named_by_their_time(tmp_path: Path) -> None:
    other = {"_target_": "nas_lightning.controllers.RandomPolicy", "support": None}
    few, many = {"candidates": 5}, {"candidates": 50}
    write_run(tmp_path / "2026-01-01", seed=0, search=many)
    write_run(tmp_path / "2026-01-02", seed=1, search=many, threads=2)
    write_run(tmp_path / "2026-01-03", seed=0, search=many, controller=other)
    write_run(tmp_path / "2026-01-04", seed=0, search=few)
    write_run(tmp_path / "2026-01-05", seed=0, search=many, controller={**other, "support": 10})
    study = read_study(tmp_path)
    assert [(run.arm, run.seed) for run in study.runs] == [
        ("LSTM controller, candidates=5", 0),
        ("LSTM controller, candidates=50", 0),
        ("LSTM controller, candidates=50", 1),
        ("random policy, candidates=50", 0),
        ("random, candidates=50", 0),
    ]


@pytest.mark.parametrize(
    ("node", "value", "says"),
    [
        ("search_space", {"num_nodes": 4}, "search_space.num_nodes=4"),
        ("data", {"path": "other.zip"}, "data.path=other.zip"),
    ],
)
def test_runs_that_do_not_compare(
    tmp_path: Path, node: str, value: dict[str, Any], says: str
) -> None:
    write_run(tmp_path / "arm=a,seed=0")
    other: dict[str, Any] = {node: {**CONFIG[node], **value}}
    write_run(tmp_path / "arm=b,seed=0", **other)
    with pytest.raises(UserError, match=says):
        read_study(tmp_path)


def test_failed_and_running_ones(tmp_path: Path) -> None:
    write_run(tmp_path / "arm=a,seed=0")
    write_run(tmp_path / "arm=a,seed=1", end="")
    write_run(tmp_path / "arm=a,seed=2", end="FAILED", reason="no space left\n\nTraceback")
    study = read_study(tmp_path)
    assert [run.seed for run in study.runs] == [0, 1]
    assert [run.seed for run in study.failed] == [2]
    assert list(study.notes) == [
        "arm=a,seed=1 has stopped after 2 of 2 epochs: it is shown as it is now; go on with: "
        f"{way_on(tmp_path / 'arm=a,seed=1')}",
        "arm=a,seed=2 has failed, and is left out: no space left",
    ]


def way_on(folder: Path) -> str:
    return called("train", shlex.quote(f"resume={shown(folder)}"))


def test_a_living_process_is_told_from_a_dead_one(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "arm=a,seed=0", end="")
    with RunFolder(folder).locked():
        assert read_study(tmp_path).notes == [
            "arm=a,seed=0 is still running after 2 of 2 epochs: it is shown as it is now"
        ]
        assert read_study(tmp_path).runs[0].state.name == "running"
    assert (folder / ".lock").is_file()
    assert read_study(tmp_path).runs[0].state.name == "stopped"


def test_where_none_has_begun(tmp_path: Path) -> None:
    """A job that was refused, one that was killed at its start, and one that is starting."""
    for name in ("arm=a,seed=1", "arm=a,seed=2", "arm=a,seed=3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".lock").touch()
    (tmp_path / "arm=a,seed=1/FAILED").write_text("data.path=x: no such file\n\njob: seed=1\n")
    reason = "has failed before it had begun: data.path=x: no such file; mend that and repeat"
    with pytest.raises(UserError, match=f"none of 3 runs there has begun.*{reason}"):
        read_study(tmp_path)
    with pytest.raises(UserError, match=f"the run there {reason}"):
        read_study(tmp_path / "arm=a,seed=1")
    with pytest.raises(UserError, match=f"no finished runs.*{reason}"):
        finished_study(tmp_path)
    write_run(tmp_path / "arm=a,seed=0")
    with RunFolder(tmp_path / "arm=a,seed=3").locked():
        study = read_study(tmp_path)
    assert [run.seed for run in study.runs] == [0]
    assert list(study.notes) == [
        f"arm=a,seed=1 {reason} the command",
        "arm=a,seed=2 was stopped before it had begun; repeat the command",
        "arm=a,seed=3 is about to begin; wait for its end",
    ]
    shown = [row[-1] for row in runs(study).tables[0].rows]
    assert shown == ["arm=a,seed=0", "arm=a,seed=1", "arm=a,seed=2", "arm=a,seed=3"]


def test_all_have_failed(tmp_path: Path) -> None:
    write_run(tmp_path / "arm=a,seed=0", end="FAILED", reason="no space left\n")
    with pytest.raises(UserError, match=r"all 1 runs have failed.*no space left"):
        read_study(tmp_path)
    assert read_study(tmp_path / "arm=a,seed=0").runs[0].status == "failed: no space left"


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    ledger, metrics = folder / "ledger.jsonl", folder / "metrics.csv"
    whole, _ = read_ledger(ledger, PERPLEXITY)
    text = ledger.read_text()
    ledger.write_text("\0\0\n[1]\n" + text + '{"purpose": "cand')
    with metrics.open("a") as file:
        file.write("0,1,0,x,0,derive/kl_to_uniform,7\n0,1,0\n\xff")
    assert read_ledger(ledger, PERPLEXITY) == (whole, 2)
    found, damaged = read_metrics(metrics)
    assert damaged == 3
    assert found["derive/kl_to_uniform"].values == [0, 5]
    assert list(read_study(folder).notes) == ["run: damaged lines of its records are left out: 5"]


def test_the_command(tmp_path: Path) -> None:
    write_study(tmp_path / "arm=x,seed=0")
    ended = report(tmp_path, "arm=x,seed=0", "markdown=true")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        "written  arm=x,seed=0/report.html",
        "written  arm=x,seed=0/report.md",
    ]
    assert (tmp_path / "arm=x,seed=0/report.html").is_file()


@pytest.mark.parametrize("content", ["{", "[]", '{"objectives": 1}', '{"metrics": [1]}'])
def test_a_damaged_declaration(tmp_path: Path, content: str) -> None:
    """The run that has it is left out and named; another one stands."""
    for seed in (0, 1):
        write_run(tmp_path / f"arm=a,seed={seed}", seed=seed)
    (tmp_path / "arm=a,seed=1/metrics.json").write_text(content)
    study = read_study(tmp_path)
    left_out = [note for note in study.notes if note.startswith("arm=a,seed=1 is left out: ")]
    assert len(study.runs) + len(left_out) == 2
    assert study.runs[0].seed == 0


def test_a_damaged_configuration(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "config.yaml").write_text("seed: [")
    with pytest.raises(UserError, match=r"run/config.yaml: cannot be read"):
        read_study(folder)


def test_a_space_that_is_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", search_space={"_target_": "nas_lightning.gone.Space"})
    assert space_of(read_study(folder).runs[0].config) is None
    said = capsys.readouterr().err
    assert said.startswith("note: architectures are not drawn: search_space: ")
    assert said.count("\n") == 1


def test_the_end_of_a_run_does_not_hang_on_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = SimpleNamespace(space=None)
    experiment.report(write_run(tmp_path / "good"), search)  # type: ignore[arg-type]
    assert (tmp_path / "good/report.html").is_file()
    assert capsys.readouterr().err == ""

    def broken(*given: object) -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr("nas_lightning.report.page.page_of", broken)
    write_run(tmp_path / "bad")
    experiment.report(tmp_path / "bad", search)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said.startswith("warning: no report.html (AttributeError: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "bad/report.html").exists()


def test_the_command_refuses(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "empty").mkdir()
    for wrong, says in (
        (["empty"], "empty: no run there"),
        (["nowhere"], "nowhere: no such folder"),
        ([], "give one folder"),
        (["empty", "markdwn=true"], "give one folder"),
    ):
        ended = shell.run(Command(wrong, tmp_path, module="nas_lightning.commands.report"))
        assert ended.code == 2, wrong
        (line,) = ended.ours
        assert says in line
        assert not (tmp_path / "empty/report.html").exists()
