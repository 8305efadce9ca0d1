"""Bad input: one line that names key, value and what is allowed; exit code 2; nothing astray."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from nas_lightning.errors import UserError
from tests.processes import TINY, train
from tests.shell import Shell

# The arguments, and what the line must hold. `{…}` are the files that the test makes.
REFUSED: dict[str, tuple[str, list[str]]] = {
    "option": ("controller=nosuch", ["controller=nosuch", "lstm", "random"]),
    "nested option": (
        "controller/baseline=nosuch",
        ["controller/baseline=nosuch", "leave_one_out, moving_average"],
    ),
    "experiment": ("experiment=nosuch", ["experiment=nosuch", "smoke"]),
    "key": ("controller.policy.hiden_size=3", ["policy.hiden_size=3", "hidden_size"]),
    "key of 0.1": ("controller.hidden_size=3", ["did you mean controller.policy.hidden_size?"]),
    "group": ("contoller=lstm", ["contoller=lstm", "controller", "search_space"]),
    "added key": ("+controller.policy.hiden_size=3", ["policy.hiden_size=3", "hidden_size"]),
    "added nested key": ("+controller.baseline.dekay=1", ["controller.baseline", "dekay"]),
    "added optimizer key": (
        "+controller.optimizer.lrr=1",
        ["controller.optimizer.lrr=1", "betas", "lr,"],
    ),
    "added trainer key": ("+trainer.max_epoch=3", ["trainer.max_epoch=3", "max_epochs"]),
    "no space": ("search_space.num_nodes=0", ["search_space.num_nodes=0", ">= 1"]),
    "text for a number": (
        "search_space.num_nodes=many",
        ["search_space.num_nodes='many'", "whole number"],
    ),
    "rate of the controller": (
        "controller.optimizer.lr=-1",
        ["controller.optimizer.lr=-1", "> 0"],
    ),
    "rate of the child": ("estimator.optimizer.lr=-1", ["estimator.optimizer.lr=-1", "> 0"]),
    "momentum": ("+estimator.optimizer.momentum=-1", ["estimator.optimizer.momentum=-1", ">= 0"]),
    "betas": (
        "+controller.optimizer.betas=[2,0.9]",
        ["controller.optimizer.betas=[2, 0.9]", ">= 0 and < 1"],
    ),
    "one beta": ("+controller.optimizer.betas=0.9", ["controller.optimizer.betas=0.9", "two"]),
    "weight decay": (
        "+controller.optimizer.weight_decay=-1",
        ["controller.optimizer.weight_decay=-1", ">= 0"],
    ),
    "what torch refuses": (
        "+estimator.optimizer.nesterov=true",
        ["estimator.optimizer=(lr=20, nesterov=True)", "requires a momentum"],
    ),
    "seed": ("seed=-1", ["seed=-1", ">= 0"]),
    "seed in words": ("seed=one", ["seed='one'", "whole number"]),
    "threads": ("threads=0", ["threads=0", ">= 1"]),
    "no epochs": ("trainer.max_epochs=0", ["trainer.max_epochs=0", ">= 1"]),
    "endless epochs": ("trainer.max_epochs=-1", ["trainer.max_epochs=-1", ">= 1"]),
    "epochs in words": ("trainer.max_epochs=abc", ["trainer.max_epochs='abc'", ">= 1"]),
    "epochs left open": ("trainer.max_epochs=null", ["trainer.max_epochs=None", ">= 1"]),
    "a device for children": (
        "estimator=from_scratch executor.devices=abacus",
        ["executor.devices='abacus'", "cpu"],
    ),
    "devices": ("trainer.devices=2", ["trainer.devices=2", "must be 1", "hydra/launcher"]),
    "accelerator": ("trainer.accelerator=abacus", ["trainer", "abacus", "cpu"]),
    "rollout for the baseline": (
        "search.architectures_per_step=1",
        ["search.architectures_per_step=1", ">= 2"],
    ),
    "seconds": (
        "callbacks.checkpoint.every_seconds=-1",
        ["callbacks.checkpoint.every_seconds=-1", ">= 0"],
    ),
    "mode": ("logger=wandb logger.mode=maybe", ["logger.mode='maybe'", "auto", "offline"]),
    "override": ("a=b=c", ["a=b=c", "KEY=VALUE"]),
    "half an override": ("seed", ["seed", "KEY=VALUE"]),
    "a sweep without -m": ("seed=0,1", ["seed=0,1", "--multirun"]),
    "a key of another option": (
        "controller=random controller.hidden_size=3",
        ["controller.hidden_size=3", "support"],
    ),
    "no option": ("~reward", ["reward", "nothing is chosen"]),
    "no such class": ("reward._target_=nas_lightning.rewards.Nosuch", ["reward", "Nosuch"]),
    "interpolation": ("seed=${nosuch}", ["seed", "nosuch"]),
    "text without a path": ("data=text", ["data.source.path", "no value", "data.source.path=…"]),
    "path of 0.1": ("data=text data.path=x", ["data.path=x", "did you mean data.source.path?"]),
    "no such text": (
        "data=text data.source.path={missing}",
        ["data.source.path={missing}", "no such file"],
    ),
    "empty text": (
        "data=text data.source.path={empty}",
        ["data.source.path={empty}", "train.txt is empty"],
    ),
    "short text": ("data=text data.source.path={short}", ["data.batch_size=8", "4 tokens", "72"]),
    "not UTF-8": ("data=text data.source.path={latin}", ["data.source.path={latin}", "not UTF-8"]),
    "resume of nothing": ("resume={missing}", ["resume={missing}", "no run there"]),
    "resume of another folder": ("resume={empty}", ["resume={empty}", "no run there"]),
    "resume without a folder": ("resume=", ["resume=", "no run there"]),
    "resume of the checkpoints": (
        "resume={finished}/checkpoints",
        ["/checkpoints: no run there"],
    ),
    "resume of the defaults": ("resume={conf}", ["resume={conf}", "no run there"]),
    "resume with an override": (
        "resume={finished} seed=1",
        ["seed=1", "resume={finished}", "trainer.max_epochs"],
    ),
    "resume with a flag": ("-m resume={finished}", ["-m", "resume={finished}"]),
    "resume of two": ("resume={finished} resume={empty}", ["resume={empty}", "resume={finished}"]),
    "Slurm where there is none": (
        "-m hydra/launcher=slurm",
        ["hydra/launcher=slurm", "no srun", "joblib"],
    ),
    "null for a group": ("logger=null", ["logger=null", "csv, wandb", "logger=csv"]),
    "null for another group": ("callbacks=null", ["callbacks=null", "default"]),
    "a list for a group": ("callbacks=[]", ["callbacks=[]", "~callbacks.NAME"]),
    "null for a nested group": ("controller/baseline=null", ["leave_one_out, moving_average"]),
    "a number for a group": ("controller=1", ["controller=1", "lstm", "random"]),
    "null among others": ("-m controller=lstm,null", ["controller=lstm,null", "random"]),
    "a word for a nested option": (
        "controller.baseline=moving_average",
        ["controller.baseline=moving_average: write controller/baseline=moving_average"],
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, finished: Path) -> dict[str, Path]:
    """Bad texts, and what else a row may name."""
    from nas_lightning.assembly.configuration import CONF

    root = tmp_path_factory.mktemp("files")
    texts = {"empty": b" \n", "short": b"only three words\n", "latin": "é\n".encode("latin-1")}
    for name, text in texts.items():
        (root / name).mkdir()
        for split in ("train", "valid", "test"):
            (root / name / f"{split}.txt").write_bytes(text)
    folders = {name: root / name for name in texts}
    return {**folders, "missing": root / "missing", "finished": finished, "conf": CONF}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, files: dict[str, Path], tmp_path: Path, shell: Shell) -> None:
    asked, words = REFUSED[case]
    arguments = asked.format_map(files | {"nosuch": "{nosuch}"}).split(" ")
    resumes = any(argument.startswith("resume=") for argument in arguments)
    settings = () if resumes else (*TINY, "hydra.run.dir=run")
    ended = shell.train(tmp_path / "here", *settings, *arguments)
    assert ended.code == 2, ended
    (line,) = ended.ours
    assert line.startswith("error: ")
    for word in words:
        assert word.format_map(files) in line
    # Nothing is written outside the run's folder, and there only the reason.
    assert [path.name for path in (tmp_path / "here").iterdir()] in ([], ["run"])
    assert {path.name for path in tmp_path.glob("here/run/*")} <= {"FAILED", ".lock"}
    assert list((tmp_path / "here.home").iterdir()) == []


def test_refused_everywhere_else_too(tmp_path: Path, shell: Shell) -> None:
    """In a multirun the bad values stop their own jobs only."""
    sweep = ("seed=-1,0", "threads=0,1", "trainer.max_epochs=0,1")
    ended = shell.train(tmp_path / "here", "-m", *TINY, *sweep)
    lines = ended.err.splitlines()
    assert ended.code == 2, ended
    assert [line[:8] for line in lines] == ["data: le", "epoch 1/", "compare ", *["failed: "] * 7]
    (done,) = (tmp_path / "here").rglob("DONE")
    assert not (done.parent / "FAILED").exists()
    for line in lines[3:]:
        folder, _, reason = line.removeprefix("failed: ").partition(": ")
        first, _, job = (tmp_path / "here" / folder / "FAILED").read_text().splitlines()
        assert first == reason
        assert job.startswith("job: ")
        assert all(f" {name}=" in job for name in ("seed", "threads", "trainer.max_epochs"))
        assert ">= " in reason


def test_a_sweep_over_a_misspelt_option(tmp_path: Path, shell: Shell) -> None:
    """What cannot even be composed is refused before any job has started."""
    ended = shell.train(tmp_path / "here", "-m", *TINY, "controller=lstm,nosuch")
    (line,) = ended.ours
    assert (ended.code, line.startswith("error: controller=nosuch: no such option")) == (2, True)
    assert [path.name for path in (tmp_path / "here").rglob("*.*")] == ["multirun.yaml"]


def test_what_wandb_refuses(tmp_path: Path) -> None:
    """W&B is the judge of its names, and starts with the first number that it is given."""
    settings = ("logger=wandb", "logger.mode=offline", "logger.project=a/b")
    ended = train(tmp_path / "here", *TINY, *settings)
    *_, line = ended.ours
    assert (ended.code, line[:29]) == (2, "error: logger: W&B does not s")
    assert "a/b" in line


def test_online_without_a_key(tmp_path: Path) -> None:
    ended = train(tmp_path / "here", *TINY, "logger=wandb", "logger.mode=online")
    *_, line = ended.ours
    assert (ended.code, line[:29]) == (2, "error: logger: W&B does not s")
    assert "API key" in line


def test_an_executor_that_nobody_asks_for(tmp_path: Path, shell: Shell) -> None:
    """Is not built: under shared weights its settings do not matter."""
    unused = ("executor.workers=0", "trainer.max_epochs=1", "hydra.run.dir=run")
    assert shell.train(tmp_path / "here", *TINY, *unused).code == 0


def test_an_error_survives_pickling() -> None:
    """Launchers send exceptions between processes."""
    assert str(pickle.loads(pickle.dumps(UserError("seed=-1: no")))) == "seed=-1: no"
