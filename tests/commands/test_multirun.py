"""Sweeps: one folder and one W&B run a job, repeated at no cost, failures listed at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

from nas_lightning.assembly.configuration import CONF
from tests.processes import TINY, UNSEEN, Ended, Kill, differing, train

ROOT = Path(__file__).parents[2]
ARMS = ("controller=lstm,random", "seed=0,1")
NAME = r"[\w=.,-]{1,120}-[0-9a-f]{8}"
BRIEF = (*TINY, *UNSEEN, "trainer.max_epochs=1")
"""An epoch that nothing looks at."""

TINY_WANDB = tuple("logger=wandb" if s.startswith("logger") else s for s in TINY)


def jobs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("outputs/default/*") if path.is_dir())


def seed_of(folder: Path) -> int:
    return int(yaml.safe_load((folder / "config.yaml").read_text())["seed"])


def wandb_run(folder: Path) -> dict[str, object]:
    """The record of the only W&B run in a run's folder, read as a person would."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    wandb = [sys.executable, "-m", "wandb", "leet", "inspect", "--json"]
    printed = subprocess.run([*wandb, path], capture_output=True, text=True, check=True).stdout
    records = [json.loads(line) for line in printed.splitlines()]
    (started,) = (record["run"] for record in records if record["type"] == "run")
    (ended,) = (record for record in records if record["type"] == "exit")
    history = [record for record in records if record["type"] == "history"]
    rows = sum("architecture/best" not in json.dumps(record) for record in history)
    return {**started, "exit": ended, "rows": rows, "drawings": len(history) - rows}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A multirun of two controllers and two seeds, with W&B."""
    folder = tmp_path_factory.mktemp("multirun") / "here"
    return folder, train(folder, "-m", *TINY_WANDB, *ARMS)


def test_four_finished_folders(swept: tuple[Path, Ended]) -> None:
    folder, ended = swept
    assert ended.code == 0, ended
    assert ended.out.count("search finished") == 4
    assert len(jobs(folder)) == 4
    for job in jobs(folder):
        assert (job / "DONE").exists()
        assert re.fullmatch(NAME, job.name, re.ASCII)
    assert {path.name for path in folder.iterdir()} == {"outputs"}
    assert re.search(r"^compare  .*report.* outputs/default$", ended.err, re.MULTILINE)


def test_four_wandb_runs_in_one_group(swept: tuple[Path, Ended]) -> None:
    folder, _ = swept
    runs = [wandb_run(job) for job in jobs(folder)]
    assert len({str(run["run_id"]) for run in runs}) == 4
    assert {run["run_group"] for run in runs} == {"default"}
    assert sorted(str(run["job_type"]) for run in runs) == ["lstm", "lstm", "random", "random"]
    assert sorted(str(run["tags"]) for run in runs) == [
        f"['enas_rnn', 'seed {seed}']" for seed in (0, 0, 1, 1)
    ]
    # A row for every child and controller step, every derivation, and every look at it: of the
    # five that look, three have nothing to see in a controller without states; two, of which one
    # shows two pictures, look after the last derivation alone. And no more.
    assert sorted(str(run["rows"]) for run in runs) == ["14", "14", "25", "25"]
    assert all(run["drawings"] in (1, 2) for run in runs), "one whenever the best is another"


def test_repeated_it_does_what_is_missing(swept: tuple[Path, Ended]) -> None:
    folder, _ = swept
    first, second, *_ = jobs(folder)
    before = {job: (job / "DONE").stat().st_mtime_ns for job in jobs(folder)}
    (first / "DONE").unlink()  # as if it had been killed at its very end
    for path in second.rglob("*"):
        if path.is_file() and path.suffix != ".wandb":
            path.unlink()  # as if it had never begun
    ended = train(folder, "-m", *TINY_WANDB, *ARMS)
    assert ended.code == 0, ended
    assert ended.err.count("finished already: ") == 2
    assert ended.out.count("search finished") == 2
    after = {job: (job / "DONE").stat().st_mtime_ns for job in jobs(folder)}
    assert after.keys() == before.keys()
    assert [before[job] == after[job] for job in jobs(folder)] == [False, False, True, True]


def test_killed_and_repeated(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    """The sweep dies with its first job; repeated, it resumes that and runs the other."""
    sweep = ("-m", *TINY, *UNSEEN, "seed=0,1")
    killed = train(tmp_path / "here", *sweep, kill=Kill(1, 3, "step"))
    assert (killed.code, len(jobs(tmp_path / "here"))) == (-9, 1)
    assert train(tmp_path / "here", *sweep).code == 0
    assert all((job / "DONE").exists() for job in jobs(tmp_path / "here"))
    (zero,) = (job for job in jobs(tmp_path / "here") if seed_of(job) == 0)
    assert differing(zero, uninterrupted["unseen"]) == []


def test_a_failing_job_and_a_bug(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    sweep = ("-m", *BRIEF, "search_space.num_nodes=0,2")
    ended = train(folder, *sweep)
    assert ended.code == 2, ended
    (line,) = (line for line in ended.err.splitlines() if line.startswith("failed: "))
    assert line.endswith(": search_space.num_nodes=0 is not allowed: must be a whole number >= 1")
    assert len(list(folder.rglob("DONE"))) == 1

    bug = "memory._target_=nas_lightning.memories.NoMemory,builtins.object"
    ended = train(folder, *sweep, bug, "study=bugs")
    assert ended.code == 1, ended
    assert ended.err.count("Traceback") == 1
    listed = [line for line in ended.err.splitlines() if line.startswith("failed: ")]
    assert [": bug: AttributeError: " in line for line in sorted(listed)].count(True) == 1
    assert len(listed) == 3
    assert len(list(folder.glob("outputs/bugs/*/DONE"))) == 1
    assert {path.name for path in folder.glob("outputs/*/.*")} == set(), "no list is left behind"


def test_told_to_stop_it_says_what_has_failed(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    sweep = ("-m", *BRIEF, "search_space.num_nodes=0,2")
    ended = train(folder, *sweep, kill=Kill(0, 2, "step", signal.SIGTERM))
    assert ended.code == 128 + signal.SIGTERM, ended
    assert ended.err.count("failed: ") == 1
    assert {path.name for path in folder.glob("outputs/*/.*")} == set(), "no list is left behind"


def test_a_job_that_may_not_enter_its_folder(tmp_path: Path) -> None:
    """It is listed like a failure, and the finished run in the folder is not harmed."""
    folder = tmp_path / "here"
    here = ("hydra.sweep.subdir=${seed}", "seed=0,1")
    assert train(folder, "-m", *BRIEF, *here).code == 0
    ended = train(folder, "-m", *BRIEF, *here, "controller.policy.hidden_size=7,7")
    assert ended.code == 2, ended
    listed = [line for line in ended.err.splitlines() if line.startswith("failed: ")]
    assert all("controller.policy.hidden_size=7" in line for line in listed)
    assert len(listed) == 4
    for job in jobs(folder):
        assert (job / "DONE").exists()
        assert not (job / "FAILED").exists()


def test_long_and_awkward_values(tmp_path: Path) -> None:
    """A value of 240 characters, with slashes, and one with more than letters, name a folder."""
    folder = tmp_path / "here"
    long, odd = f"texts/{'x' * 234}", "texts/a, (b)=ü"
    for path in (long, odd):
        for split in ("train", "valid", "test"):
            (folder / path).mkdir(parents=True, exist_ok=True)
            (folder / path / f"{split}.txt").write_text("a b c d\n" * 200)
    sizes = [s for s in BRIEF if not s.startswith("data.vocabulary_size")]
    ended = train(folder, "-m", *sizes, "data=text", f"data.source.path={long},'{odd}'")
    assert ended.code == 0, ended
    assert len(jobs(folder)) == 2
    assert all((job / "DONE").exists() for job in jobs(folder))
    assert all(re.fullmatch(NAME, job.name, re.ASCII) for job in jobs(folder))
    assert {path.name for path in folder.iterdir()} == {"outputs", "texts"}


def test_two_jobs_at_a_time(tmp_path: Path) -> None:
    """Through joblib, as the real command: its workers are processes of their own."""
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    sweep = ("controller=lstm,random", "search_space.num_nodes=0,2", *launcher)
    ended = subprocess.run(
        [sys.executable, ROOT / "train.py", "-m", *BRIEF, "logger=wandb", *sweep],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2, ended
    listed = [line for line in ended.stderr.splitlines() if line.startswith("failed: ")]
    assert len(listed) == 2
    assert all("search_space.num_nodes=0 is not allowed" in line for line in listed)
    done = [job for job in jobs(tmp_path) if (job / "DONE").exists()]
    assert sorted(str(wandb_run(job)["job_type"]) for job in done) == ["lstm", "random"]
    assert sorted(len(list(job.glob("FAILED"))) for job in jobs(tmp_path)) == [0, 0, 1, 1]


@pytest.mark.slow
def test_preempted_jobs_go_on_by_themselves(tmp_path: Path) -> None:
    """Through submitit, on this machine, with the signal that Slurm sends before it takes a node.

    A job is queued again and resumes; failures are listed; repeated, finished jobs are skipped.
    """
    sweep = ("search_space.num_nodes=3,0", "trainer.max_epochs=10")
    command = ("-m", *TINY, *sweep, "hydra/launcher=submitit_local")
    here = tmp_path / "here"
    here.mkdir()
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *command],
        cwd=here,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (saved := list(here.glob("outputs/default/*/checkpoints/last.ckpt"))):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    (job,) = (path.parents[1] for path in saved)
    os.kill(int((job / ".lock").read_text().split()[1]), signal.SIGUSR2)
    _, err = process.communicate()
    assert process.returncode == 2, err
    (line,) = (line for line in err.splitlines() if line.startswith("failed: "))
    assert "search_space.num_nodes=0 is not allowed" in line
    log = "".join(path.read_text() for path in here.glob("outputs/default/.submitit/*/*_log.err"))
    assert log.count("this job is preempted") == 1
    assert log.count("epoch 1/10") == 1, "it has begun anew"
    assert train(tmp_path / "whole", *TINY, sweep[1], "hydra.run.dir=run").code == 0
    assert differing(job, tmp_path / "whole/run") == []
    repeated = train(here, *command[:-1])
    assert repeated.code == 2
    assert repeated.err.count("finished already: ") == 1


def test_what_slurm_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One array of jobs that are told before they are stopped, and are queued again."""
    from submitit.core.core import Job

    answers = {"srun": "exit 1", "sbatch": "echo Submitted batch job 7"}
    for name, line in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(Job, "results", lambda job: [job.job_id])
    overrides = ["hydra/launcher=slurm", "study=mine", f"hydra.sweep.dir={tmp_path}/sweep"]
    overrides += ["hydra.launcher.partition=long", "hydra.launcher.gpus_per_node=1"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    launcher = instantiate(cfg.hydra.launcher)
    launcher.setup(hydra_context=None, task_function=None, config=cfg)
    assert launcher.launch([["seed=0"], ["seed=1"]], 0) == ["7_0", "7_1"]
    (script,) = (tmp_path / "sweep/.submitit").glob("7/7_submission.sh")
    prefix = "#SBATCH --"
    lines = script.read_text().splitlines()
    asked = {line.removeprefix(prefix) for line in lines if line.startswith(prefix)}
    assert asked >= {
        "array=0-1%2",
        "job-name=mine",
        "requeue",
        "signal=USR2@120",
        "time=240",
        "cpus-per-task=4",
        "mem=16GB",
        "partition=long",
        "gpus-per-node=1",
    }
