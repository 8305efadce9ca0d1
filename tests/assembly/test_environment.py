"""What comes by the environment: variables, the terminal, the place where a command is called."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from nas_lightning import terminal
from nas_lightning.assembly.composition import study_folder
from nas_lightning.assembly.configuration import CONF
from nas_lightning.errors import UserError
from nas_lightning.loggers import wandb_logger as logs
from nas_lightning.loggers.wandb_logger import (
    LONGEST_LABEL,
    LONGEST_NAME,
    WandbLogger,
    mode_of,
    shortened,
)
from tests.processes import TINY, UNSEEN, Command, run
from tests.shell import Shell

ROOT = Path(__file__).parents[2]
BRIEF = (*TINY, *UNSEEN, "trainer.max_epochs=1")
"""An epoch that nothing looks at."""

BAD = {
    "WANDB_API_KEY": " secret ",
    "WANDB_BASE_URL": "no address",
    "WANDB_CONSOLE": "nonsense",
    "WANDB_DISABLED": "maybe",
    "WANDB_DISABLE_CODE": "maybe",
    "WANDB_DISABLE_GIT": "maybe",
    "WANDB_ENTITY": "a team/of two",
    "WANDB_FORK_FROM": "there",
    "WANDB_HTTP_TIMEOUT": "soon",
    "WANDB_INIT_TIMEOUT": "soon",
    "WANDB_MODE": "nonsense",
    "WANDB_PROJECT": "a/b",
    "WANDB_QUIET": "perhaps",
    "WANDB_RESUME": "sometimes",
    "WANDB_RUN_ID": "a/b",
    "WANDB_SAVE_CODE": "maybe",
    "WANDB_SILENT": "maybe",
    "WANDB_SWEEP_ID": " ",
    "WANDB_TAGS": "x" * 65,
    "WANDB__SERVICE_WAIT": "-3",
}


def logger(folder: Path, *, name: str = "g") -> WandbLogger:
    return WandbLogger(
        folder=folder,
        run_config={},
        project="p",
        group=name,
        job_type=name,
        tags=[name],
        mode="auto",
    )


# --------------------------------------------------------------------- variables


@pytest.mark.parametrize("name", BAD)
def test_a_variable_of_wandb_with_a_wrong_value(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, BAD[name])
    with pytest.raises(UserError, match=rf"^{name}=.* is not allowed: .+; unset it") as refused:
        logger(tmp_path)
    assert "\n" not in str(refused.value)
    assert "pydantic" not in str(refused.value)
    assert "secret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_variables_of_wandb_and_hydra_in_the_command(tmp_path: Path) -> None:
    """One line, before any work; without W&B its variables do not matter, nor do Hydra's here."""
    wandb = (*BRIEF, "logger=wandb")
    here = tmp_path / "here"
    ended = run(Command((*wandb, "hydra.run.dir=a"), here, {"WANDB_MODE": "nonsense"}))
    (line,) = ended.ours
    assert (ended.code, line[:48]) == (2, "error: WANDB_MODE='nonsense' is not allowed: Inp"), line
    assert "'online', 'offline'" in line
    wrong = {"HYDRA_FULL_ERROR": "nonsense", "HYDRA_MAIN_MODULE": "nonsense", **BAD}
    ended = run(Command((*BRIEF, "hydra.run.dir=b"), here, wrong, page=False))
    assert ended.code == 0, ended
    ended = run(Command((*TINY, "seed=-1", "hydra.run.dir=c"), here, wrong))
    assert (ended.code, len(ended.ours)) == (2, 1), ended
    disabled = {"WANDB_DISABLED": "true"}
    ended = run(Command((*wandb, "hydra.run.dir=d"), here, disabled, page=False))
    assert ended.code == 0, ended
    assert not list((here / "d").glob("wandb/*run-*"))
    ended = run(Command((*TINY, "hydra.job.env_copy=[NOSUCH]", "hydra.run.dir=e"), here))
    (line,) = ended.ours
    assert (ended.code, line[:56]) == (
        2,
        "error: hydra.job.env_copy: there is no variable NOSUCH i",
    )
    ended = run(Command((*TINY, "hydra.job.env_set={A: x}", "hydra.run.dir=e"), here))
    (line,) = ended.ours
    assert ended.code == 2
    assert "hydra.job.env_set has none; +hydra.job.env_set={A: x} adds it" in line


def test_what_wandbs_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "has_key", lambda: True)
    assert mode_of({}) == "online"
    assert mode_of({"WANDB_MODE": "offline"}) == "offline"
    assert mode_of({"WANDB_DISABLED": "True", "WANDB_MODE": "offline"}) == "disabled"
    assert mode_of({"WANDB_DISABLED": "false"}) == "online"


def test_names_are_as_long_as_the_server_takes(tmp_path: Path) -> None:
    """Longer ones are shortened, and stay apart."""
    made = logger(tmp_path / ("x" * 129), name="y" * 65)
    assert len(made.name) == LONGEST_NAME == 128
    given = [made._init["group"], made._init["job_type"], *made._init["tags"]]
    assert [len(name) for name in given] == [LONGEST_LABEL] * 3 == [64] * 3
    assert logger(tmp_path / ("x" * 128)).name == "x" * 128
    assert shortened("z" * 70 + "a", 64) != shortened("z" * 70 + "b", 64)


def test_a_temporary_folder_that_is_too_long_for_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before Ray is started, which would end in a traceback."""
    from nas_lightning.training.ray_executor import SOCKET, refuse_long_folder

    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    fits = "/" + "t" * (107 - len(SOCKET) - 1)
    monkeypatch.setenv("TMPDIR", fits)
    refuse_long_folder()
    monkeypatch.setenv("TMPDIR", fits + "t")
    with pytest.raises(UserError, match=rf"^TMPDIR={fits}t: too long for Ray") as refused:
        refuse_long_folder()
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # goes before it
    refuse_long_folder()


def test_waiting_threads_give_way() -> None:
    """Set before torch is imported, here as in a process of its own; what the user has set stays.

    The OpenMP of torch says itself what it has read.
    """
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    program = "import nas_lightning, sys; assert 'torch' not in sys.modules; import torch"
    for given, read in ((None, "PASSIVE"), ("active", "ACTIVE")):
        environment = {**os.environ, "OMP_DISPLAY_ENV": "true"}
        environment.pop("OMP_WAIT_POLICY")
        if given is not None:
            environment["OMP_WAIT_POLICY"] = given
        call = [sys.executable, "-c", program]
        ended = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
        assert f"OMP_WAIT_POLICY = '{read}'" in ended.stderr


# --------------------------------------------------------------------- where the command is


def test_paths_and_commands_as_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nas-lightning"])
    with terminal.standing(tmp_path / "a"):
        assert terminal.shown(tmp_path / "a" / "b") == "b"
        assert terminal.shown(tmp_path / "a") == "."
        assert terminal.shown(tmp_path / "c") == str(tmp_path / "c")
        assert terminal.shown(tmp_path / "a" / "..b") == "..b"
        assert terminal.called("train") == "nas-lightning"
        assert terminal.called("study-table", "study=x") == "nas-lightning study-table study=x"
        monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py")])
        assert terminal.called("retrain") == f"python {ROOT}/scripts/retrain.py"
    with terminal.standing(ROOT):
        assert terminal.called("train", "seed=1") == "python train.py seed=1"
        assert terminal.called("study-table") == "python scripts/study_table.py"


def test_every_command_has_its_script() -> None:
    from nas_lightning.__main__ import COMMANDS, RENAMED

    scripts = {path.stem.replace("_", "-") for path in (ROOT / "scripts").glob("*.py")}
    assert {*COMMANDS, *RENAMED, "benchmark"} == scripts | {"train"}


def test_in_the_runs_own_folder(tmp_path: Path, shell: Shell) -> None:
    """`hydra.job.chdir=true`: what is printed is as from where the command was called."""
    here = tmp_path / "here"
    text = here / "text"
    text.mkdir(parents=True)
    for split in ("train", "valid", "test"):
        (text / f"{split}.txt").write_text("a few words of a text\n" * 200, encoding="utf-8")
    chdir = ("hydra.job.chdir=true", "data=text", "data.source.path=text", "hydra.run.dir=run")
    ended = shell.train(here, *TINY, *UNSEEN, *chdir)
    assert ended.code == 0, ended
    assert "folder     run\n" in ended.out
    assert "search on  nas-lightning resume=run trainer.max_epochs=4\n" in ended.out
    assert "retrain    nas-lightning retrain run=run\n" in ended.out
    assert ended.out.endswith("look at    run/report.html\n")
    assert f"path: {text}\n" in (here / "run/config.yaml").read_text()
    outside = tmp_path / "elsewhere/run"
    ended = shell.train(here, *BRIEF, f"hydra.run.dir={outside}")
    assert f"folder     {outside}\n" in ended.out


def test_commands_called_as_modules(tmp_path: Path) -> None:
    """They work, and a word that is no command is refused."""
    for arguments, code, said in (
        (
            ["nas_lightning.commands.retrain", "run=nowhere"],
            2,
            "error: run=nowhere: no search has found",
        ),
        (["nas_lightning", "report", "nowhere"], 2, "nas-lightning report FOLDER"),
        (["nas_lightning", "nosuch"], 2, "error: nosuch: no such command; there are train, "),
    ):
        call = [sys.executable, "-m", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (ended.returncode, ended.stderr.count("\n")) == (code, 1), ended
        assert said in ended.stderr


# --------------------------------------------------------------------- the terminal


def ascii_only() -> None:
    sys.stdout.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]


def closed_pipe(*numbers: int) -> None:
    """Have what is printed go where nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    for number in numbers:
        os.dup2(writer, number)


def test_a_terminal_of_ascii(tmp_path: Path) -> None:
    ended = run(Command((*BRIEF, "hydra.run.dir=run"), tmp_path / "here", prepare=ascii_only))
    assert (ended.code, ended.err.count("\n")) == (0, 2), ended
    assert ended.out.isascii()
    assert "search finished" in ended.out
    assert ended.out.endswith("look at    run/report.html\n")


@pytest.mark.parametrize("numbers", [(1,), (1, 2)])
def test_a_pipe_that_is_closed(numbers: tuple[int, ...], tmp_path: Path) -> None:
    """Ends nothing: neither the search nor the page."""
    prepare = partial(closed_pipe, *numbers)
    ended = run(Command((*BRIEF, "hydra.run.dir=run"), tmp_path / "here", prepare=prepare))
    assert ended.code == 0, ended
    assert {"DONE", "report.html"} <= {p.name for p in (tmp_path / "here/run").iterdir()}
    assert "report.html" not in ended.err
    assert "Broken" not in ended.err


PRINTED = """
import os, sys
from nas_lightning import terminal
terminal.forgive()
for stream in (sys.stdout, sys.stderr):
    print("here", end="", file=stream)
os._exit(0)
"""


def test_unbuffered_as_the_interpreter_is() -> None:
    """As where a container's log is followed."""
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    ended = subprocess.run([sys.executable, "-c", PRINTED], capture_output=True, env=unbuffered)
    assert (ended.stdout, ended.stderr) == (b"here", b"here")


# --------------------------------------------------------------------- values, combinations


@pytest.mark.parametrize(
    "study", [None, "", " ", "..", "a/../b", "/a", "a/", "a\nb", True, ["a"]], ids=str
)
def test_a_study_that_is_no_name(study: object) -> None:
    with pytest.raises(UserError, match=r"^study=.* is not allowed: must be a name, of which a"):
        study_folder(study)


def test_studies_that_are_names() -> None:
    """Also one below another, and a number."""
    names = ["mine", "a/b", "1", "..b"]
    assert [study_folder(study) for study in ("mine", "a/b", 1, "..b")] == names


def test_no_study_in_the_command(tmp_path: Path, shell: Shell) -> None:
    ended = shell.train(tmp_path / "here", *TINY, "study=null")
    (line,) = ended.ours
    assert (ended.code, line[:40]) == (2, "error: study=None is not allowed: must b"), line
    assert list((tmp_path / "here").iterdir()) == []


def test_options_that_do_not_go_together(tmp_path: Path, shell: Shell) -> None:
    """The line names what was chosen and what works, and no key that nobody wrote."""
    for chosen, words in (
        (
            ["search_space=nas_cnn", "estimator=weight_sharing"],
            ["search_space=nas_cnn estimator=weight_sharing: ", "use estimator=from_scratch"],
        ),
        (
            ["experiment=uniform_weights", "data=digits"],
            ["experiment=uniform_weights data=digits: one of them sets"],
        ),
    ):
        ended = shell.train(tmp_path / "here", "logger=csv", *chosen)
        (line,) = ended.ours
        assert ended.code == 2
        for word in words:
            assert word in line
        assert "no such key" not in line


def test_where_the_configuration_is() -> None:
    """The studies' folders and the help go through what is tested here."""
    text = (CONF / "config.yaml").read_text(encoding="utf-8")
    assert text.count("${study_folder:${study}}") == 2
    assert "python train.py" not in text
