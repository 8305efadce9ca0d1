"""The command `python train.py …`: what a run leaves, how a folder is entered, what is imported."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from nas_lightning.assembly import run as experiment
from nas_lightning.assembly.configuration import CONF
from nas_lightning.errors import UserError
from nas_lightning.runs.folder import RunFolder
from tests import moments
from tests.given import choosing
from tests.processes import CNN, TINY, UNSEEN, Command, Kill, differing, result, run, train
from tests.shell import Shell

ROOT = Path(__file__).parents[2]
RECORDS = {
    "data.json",
    "inputs.json",
    "metrics.json",
    "stretches.jsonl",
    ".lock",
    "DONE",
    "analysis",
    "best_architecture.json",
    "checkpoints",
    "config.yaml",
    "ledger.jsonl",
    "metrics.csv",
    "report.html",
}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, tuple[int, bytes] | None]:
    """All that lies in a folder, files with time and content, but the note of who is searching."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes()) if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != ".lock"
    }


# --------------------------------------------------------------------- what a run leaves


def test_a_finished_run(finished: Path) -> None:
    assert names(finished) == RECORDS
    assert names(finished / "checkpoints") == {"last.ckpt", "previous.ckpt"}
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert config["child"]["num_nodes"] == 3, "interpolations are resolved"
    assert config["trainer"]["max_epochs"] == 2
    rows = [json.loads(line) for line in (finished / "ledger.jsonl").read_text().splitlines()]
    assert [row["number"] for row in rows] == list(range(len(rows)))
    assert {row["purpose"] for row in rows} >= {"controller", "uniform", "finalist"}
    checkpoint = torch.load(finished / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["search"]["counters"]["architectures_judged"] == len(rows)
    best = json.loads((finished / "best_architecture.json").read_text())
    assert best["found_in_epoch"] in (0, 1)
    finals = [row for row in rows if row["purpose"] == "finalist" and row["epoch"] == 1]
    assert best["metrics"] in [
        row["metrics"] for row in finals if row["actions"] == best["actions"]
    ]


def test_the_real_command(tmp_path: Path) -> None:
    """`python train.py` as it is typed, with W&B, in a place without a key."""
    settings = [setting for setting in TINY if not setting.startswith("logger")]
    ended = subprocess.run(
        [sys.executable, ROOT / "train.py", *settings],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended
    lines = ended.stderr.splitlines()
    assert [line[:10] for line in lines] == ["data: leve", "epoch 1/2:", "epoch 2/2:"]
    assert "search finished" in ended.stdout
    (folder,) = (tmp_path / "outputs/default").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}", folder.name)
    assert names(folder) == RECORDS | {"wandb"}
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1
    assert names(tmp_path) == {"outputs", "home"}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


VARIANTS = ("evolution_nats_bench", "evolution_real_2019")
"""Other numbers, no other code."""

FEW = (*CNN, "executor.workers=1")
LESS = {"enas_rnn": TINY, "darts_rnn": TINY, "nas_cnn": FEW, "nas_cnn_fine": FEW}
SMOKE = ("experiment=smoke", "logger=csv", "threads=1")
SMALLER = {
    "evolution": ("controller.population=4", "controller.sample=2"),
    "predictor": ("controller.initial=2", "controller.held_out=0"),
    "pnas": (
        *("controller.kept=2", "controller.first=2", "controller.held_out=0"),
        *("controller.predictor.members=2", "controller.predictor.member.epochs=3"),
    ),
}


def pairs() -> list[tuple[str, str]]:
    """Every controller on one space, and every space with two; found by their YAML.

    The contract tests have all pairs of them, without a process.
    """
    homes = dict.fromkeys(("darts", "gdas", "drnas"), "darts_rnn")
    ones = [(homes.get(c, "enas_rnn"), c) for c in options("controller") if c not in VARIANTS]
    others = [(s, c) for s in options("search_space") for c in ("lstm", "evolution")]
    return list(dict.fromkeys(ones + others))


@pytest.mark.parametrize(("space", "controller"), pairs())
def test_every_space_with_every_controller(
    space: str, controller: str, tmp_path: Path, shell: Shell
) -> None:
    """At the sizes of a smoke test."""
    sizes = (*LESS.get(space, SMOKE), *SMALLER.get(controller, ()))
    chosen = (*choosing(space), f"controller={controller}", "hydra.run.dir=run")
    ended = shell.train(tmp_path / "here", *sizes, *chosen)
    assert ended.code == 0, ended
    said = [line for line in ended.ours if ": not defined for this controller" not in line]
    assert len(said) == 3 or space not in LESS, ended  # the data, and two epochs
    of_data = {"data.json", "inputs.json"}  # of a table there are none
    assert names(tmp_path / "here/run") >= RECORDS - (set() if space in LESS else of_data)


@pytest.mark.parametrize(
    ("settings", "environment"),
    [
        (["logger=wandb"], {"WANDB_MODE": "disabled"}),
        (["logger=wandb", "logger.mode=disabled"], {}),
        (["logger=wandb"], {"WANDB_API_KEY": "0" * 40, "WANDB_MODE": "offline"}),
    ],
)
def test_modes_of_wandb(settings: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    here = tmp_path / "here"
    brief = (*TINY, *UNSEEN, "trainer.max_epochs=1", "hydra.run.dir=run")
    ended = run(Command((*brief, *settings), here, environment, page=False))
    assert ended.code == 0, ended
    assert ended.err.count("\n") == 2, ended  # the data, and an epoch
    kept = list((here / "run").glob("wandb/offline-run-*"))
    assert len(kept) == (environment.get("WANDB_MODE") == "offline")


def test_wandbs_own_process_is_killed(finished: Path, tmp_path: Path) -> None:
    """The run goes on, and says so once."""
    here, kill = tmp_path / "here", partial(moments.strike, "wandb-core")
    settings = (*TINY, "logger=wandb", "hydra.run.dir=run")
    ended = run(Command(settings, here, prepare=partial(moments.at, "row", 9, kill), page=False))
    assert ended.code == 0, ended
    (line,) = (line for line in ended.ours if not line.startswith(("epoch ", "data: ")))
    assert line.startswith("warning: W&B has stopped (")
    assert differing(here / "run", finished) == []


# --------------------------------------------------------------------- entering a folder


def test_finished_already(finished: Path, shell: Shell) -> None:
    before = contents(finished)
    same = shell.train(finished.parent, *TINY, f"hydra.run.dir={finished.name}")
    resumed = shell.train(finished.parent, f"resume={finished.name}")
    for ended in (same, resumed):
        assert (ended.code, ended.out) == (0, "")
        (line,) = ended.err.splitlines()
        assert line.startswith(f"finished already: {finished.name} ")
    assert contents(finished) == before


@pytest.mark.parametrize(
    ("override", "old"),
    [
        ("controller.policy.hidden_size=7", "100"),
        ("search_space.activations=[tanh,relu]", "['tanh', 'relu', 'identity', 'sigmoid']"),
        ("threads=2", "1"),
        ("controller.policy.temperature=null", "5"),
    ],
)
def test_another_configuration(override: str, old: str, finished: Path, shell: Shell) -> None:
    """Is refused by key, new and old value, and nothing is harmed."""
    before = contents(finished)
    ended = shell.train(finished.parent, *TINY, override, f"hydra.run.dir={finished.name}")
    key, value = override.split("=")
    value = {"null": "None", "[tanh,relu]": "['tanh', 'relu']"}.get(value, value)
    (line,) = ended.ours
    assert line.startswith(f"error: {key}={value}: ")
    assert f"{key}={old};" in line
    assert ended.code == 2
    assert contents(finished) == before


def test_with_fewer_epochs_a_finished_run_is_finished(finished: Path, shell: Shell) -> None:
    """As when the command that began a run is repeated after resume= has searched on."""
    before = contents(finished)
    fewer = "trainer.max_epochs=1"
    same = shell.train(finished.parent, *TINY, fewer, f"hydra.run.dir={finished.name}")
    resumed = shell.train(finished.parent, f"resume={finished.name}", fewer)
    for ended in (same, resumed):
        assert (ended.code, ended.err[:17]) == (0, "finished already:"), ended
    assert contents(finished) == before


def test_fewer_epochs_of_an_unfinished_run(finished: Path, tmp_path: Path, shell: Shell) -> None:
    folder = shutil.copytree(finished, tmp_path / "here/run")
    (folder / "DONE").unlink()
    before = contents(folder)
    ended = shell.train(folder.parent, "resume=run", "trainer.max_epochs=1")
    (line,) = ended.ours
    assert ended.code == 2
    for words in (
        "error: trainer.max_epochs=1: ",
        "give trainer.max_epochs=2, with which it ends",
        "or a larger one",
    ):
        assert words in line
    assert contents(folder) == before


def test_two_processes_in_one_folder(finished: Path, tmp_path: Path, shell: Shell) -> None:
    folder = shutil.copytree(finished, tmp_path / "here/run")
    (folder / "DONE").unlink()
    before = contents(folder)
    with RunFolder(folder).locked():
        ended = shell.train(folder.parent, *TINY, "hydra.run.dir=run")
    (line,) = ended.ours
    assert ended.code == 2
    for words in (str(folder), f"process {os.getpid()} on {socket.gethostname()}", "wait"):
        assert words in line
    assert contents(folder) == before
    assert shell.train(folder.parent, *TINY, "hydra.run.dir=run").code == 0


@pytest.mark.parametrize("lost", ["checkpoints", "config.yaml", "ledger.jsonl"])
@pytest.mark.parametrize("verdict", ["DONE", "none"])
def test_a_part_of_a_run(
    lost: str, verdict: str, finished: Path, tmp_path: Path, shell: Shell
) -> None:
    """Cannot go on, and is neither truncated nor begun anew."""
    folder = shutil.copytree(finished, tmp_path / "here/run")
    if verdict == "none":
        (folder / "DONE").unlink()
    (folder / lost).rename(tmp_path / lost)
    before = contents(folder)
    ended = shell.train(folder.parent, *TINY, "hydra.run.dir=run", "trainer.max_epochs=3")
    (line,) = ended.ours
    assert ended.code == 2
    for words in (
        str(folder),
        f"{lost}{'/' * (lost == 'checkpoints')} of it is missing",
        "another",
    ):
        assert words in line
    assert contents(folder) == before


def test_a_disk_that_may_only_be_read(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is finished is finished there too; nothing else can be done."""
    folder = shutil.copytree(finished, tmp_path / "here/run")
    cfg = OmegaConf.create(yaml.safe_load((folder / "config.yaml").read_text()))
    opened = Path.open

    def read_only(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if folder in path.parents and mode != "r":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, mode, *rest, **more)

    def no_writing(path: Path, mode: int) -> bool:  # root may write everywhere: simulated
        return mode != os.W_OK

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", read_only)
        patched.setattr(os, "access", no_writing)
        experiment.run(cfg, folder)
        assert capsys.readouterr().err.startswith("finished already: ")
        cfg.trainer.max_epochs = 3
        with pytest.raises(
            UserError, match=rf"^{folder}: cannot be written to \(read only\); make"
        ):
            experiment.run(cfg, folder)
    (folder / "DONE").unlink()
    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(UserError, match=rf"^{folder}: cannot be written to \(Read-only file"):
        experiment.run(cfg, folder)


def test_a_new_option_names_its_first_key(finished: Path, shell: Shell) -> None:
    ended = shell.train(
        finished.parent, *TINY, "controller=random", f"hydra.run.dir={finished.name}"
    )
    (line,) = ended.ours
    assert line.startswith("error: controller.")
    assert ended.code == 2


def test_a_failed_start_leaves_its_reason_and_room_for_another(
    finished: Path, tmp_path: Path, shell: Shell
) -> None:
    folder = tmp_path / "here/run"
    failed = shell.train(folder.parent, *TINY, "seed=-1", "hydra.run.dir=run")
    assert failed.code == 2
    assert names(folder) == {".lock", "FAILED"}
    assert [f"error: {(folder / 'FAILED').read_text().strip()}"] == failed.ours
    assert shell.train(folder.parent, *TINY, "hydra.run.dir=run").code == 0
    assert names(folder) == RECORDS
    assert result(folder) == result(finished)


def test_a_failed_resume_leaves_a_finished_run_finished(
    finished: Path, tmp_path: Path, shell: Shell
) -> None:
    folder = shutil.copytree(finished, tmp_path / "here/run")
    config = folder / "config.yaml"  # as of a text that has gone since, say
    config.write_text(config.read_text().replace("num_nodes: 3", "num_nodes: 0"))
    before = contents(folder)
    for epochs in ("abc", "3"):
        ended = shell.train(folder.parent, "resume=run", f"trainer.max_epochs={epochs}")
        (line,) = ended.ours
        assert (ended.code, "config.yaml: has search_space.num_nodes=0, but" in line) == (2, True)
    assert contents(folder) == before


def test_a_bug(tmp_path: Path, shell: Shell) -> None:
    """Keeps its traceback, on the terminal and in FAILED; exit code 1."""
    bug = ("memory._target_=builtins.object", "hydra.run.dir=run")  # has none of the methods
    ended = shell.train(tmp_path / "here", *TINY, *bug)
    reason, _, *trace = (tmp_path / "here/run/FAILED").read_text().splitlines()
    assert ended.code == 1
    assert reason.startswith("bug: AttributeError: ")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] in ended.err


def test_a_killed_run_has_no_verdict(tmp_path: Path) -> None:
    train(tmp_path / "here", *TINY, "hydra.run.dir=run", kill=Kill(1, 2, "step"))
    assert names(tmp_path / "here/run") == RECORDS - {"DONE", "report.html"}


# --------------------------------------------------------------------- help, and its price

PROBE = """
import sys
sys.argv = ["train.py", *sys.argv[1:]]
from nas_lightning.commands.train import main
try:
    main()
finally:
    heavy = {"torch", "pytorch_lightning", "wandb", "scipy", "nas_lightning.search"}
    print("imported:", sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


def probe(*arguments: str, code: int = 0) -> str:
    """Standard output of the command, which must import nothing that takes long."""
    call = [sys.executable, "-c", PROBE, *arguments]
    ended = subprocess.run(call, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (code, "imported: []")
    return ended.stdout


def test_help() -> None:
    """Made without Hydra, which says the same where anything stands beside it."""
    text = probe("--help")
    assert text == probe("-h", "seed=0")
    for group in ("search_space", "controller", "data", "experiment", "logger"):
        assert f"\n{group}: {', '.join(options(group))}\n" in text
    assert len(re.findall(r"^ +python train\.py", text, re.MULTILINE)) == 6
    assert "_target_" not in text


def test_printing_the_configuration() -> None:
    config = yaml.safe_load(probe("--cfg", "job"))
    assert config["search"]["_target_"] == "nas_lightning.engine.ArchitectureSearch"


def test_a_refusal_imports_nothing_heavy() -> None:
    probe("controller=nosuch", code=2)
