"""Killed at any moment and entered again, a run comes to the same end, to the last bit."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf

from nas_lightning.assembly import run as experiment
from nas_lightning.errors import UserError
from nas_lightning.runs import stopping
from nas_lightning.runs.folder import CHECKPOINTS, LAST, PREVIOUS, RunFolder
from nas_lightning.runs.state import state_of
from tests import moments
from tests.processes import (
    ARMS,
    CNN,
    TINY,
    UNSEEN,
    Command,
    Kill,
    alive,
    children,
    differing,
    run,
    train,
    train_all,
)
from tests.shell import Shell

AWKWARD = 'it\'s, a=b "c" [d] {e} $f'
"""A folder's name that needs quoting everywhere."""

# An epoch: steps 1 to 4 child, 5 to 7 controller, 8 derivation. Saved after 8, or after every step
# in the arm "moving average".
CHAINS = {
    "mid-phase": (
        "default",
        [Kill(0, 2, "step"), Kill(0, 6, "step"), Kill(1, 3, "step"), Kill(1, 8, "step")],
    ),
    "epoch ends": (
        "unseen",
        [Kill(0, 4, "step"), Kill(0, 8, "saved"), Kill(1, 8, "renaming"), Kill(1, 8, "saved")],
    ),
    "every step": (
        "moving average",
        [Kill(0, 1, "saving"), Kill(0, 3, "saved"), Kill(0, 6, "saved"), Kill(0, 8, "saved")],
    ),
    "within a save": (
        "moving average",
        [
            Kill(0, 8, "saving"),
            Kill(1, 2, "renaming"),
            Kill(1, 5, "saving"),
            Kill(1, 8, "renaming"),
        ],
    ),
    "relaxed": ("darts", [Kill(0, 3, "saved"), Kill(1, 2, "step"), Kill(1, 4, "saved")]),
    "random": ("random", [Kill(0, 2, "step"), Kill(0, 4, "saved"), Kill(1, 5, "saved")]),
    "two processes": (
        "two processes",
        [Kill(0, 5, "step"), Kill(0, 7, "step", signal.SIGTERM), Kill(0, 8, "saved")],
    ),
    "terminated": (
        "unseen",
        [Kill(0, 6, "step", signal.SIGTERM), Kill(1, 3, "step", signal.SIGINT)],
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_killed_again_and_again(chain: str, uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    arm, kills = CHAINS[chain]
    folder = tmp_path / "here/run"
    start = (*ARMS[arm], "hydra.run.dir=run")
    for number, kill in enumerate(kills):
        # By the same command in the same folder and by resume=, in turns.
        arguments = ["resume=run"] if number % 2 else start
        ended = train(folder.parent, *arguments, kill=kill)
        begun_anew = "epoch 1/2" in ended.err
        assert not (number and kills[number - 1].epoch == 1 and begun_anew), ended
        if kill.by == signal.SIGKILL:
            assert (ended.code, ended.err.count("Traceback")) == (-signal.SIGKILL, 0), ended
        else:
            assert ended.code == 128 + kill.by
            assert ended.ours[-1] == "stopped; go on with: nas-lightning resume=run"
        assert not (folder / "DONE").exists()
    ended = train(folder.parent, "resume=run")
    assert ended.code == 0, ended
    assert "epoch 1/2" not in ended.err, "it has begun anew"
    assert differing(folder, uninterrupted[arm]) == []


@pytest.mark.parametrize(("save", "code"), [(2, -signal.SIGKILL), (3, 0)])
def test_saved_once_in_each_of_two_epochs(save: int, code: int, tmp_path: Path) -> None:
    prepare = partial(moments.at, "save", save, moments.stop)
    ended = run(Command((*TINY, *UNSEEN), tmp_path / "here", prepare=prepare, page=False))
    assert ended.code == code, ended


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_saves(by: signal.Signals, tmp_path: Path) -> None:
    """At the end of the step, within a phase; what it has done is not done again."""
    start = (*TINY, "hydra.run.dir=run")
    ended = train(tmp_path / "here", *start, kill=Kill(0, 2, "step", by))
    assert ended.code == 128 + by, ended
    folder = tmp_path / "here/run"
    saved = torch.load(folder / LAST, weights_only=True)
    assert saved["search"]["counters"]["child_step"] == 2
    state = state_of(folder)
    assert state is not None
    assert (state.name, state.reason) == ("stopped", "")
    assert not (folder / "FAILED").exists(), "who was told to stop has not failed"


def stop_and_hang() -> None:
    stopping.GRACE_SECONDS = 0.5
    moments.stop(signal.SIGTERM)
    time.sleep(100)


def test_told_to_stop_in_a_step_without_end(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    """It does not wait for it, and goes on from the last save."""
    here, start = tmp_path / "here", (*ARMS["unseen"], "hydra.run.dir=run")
    prepare = partial(moments.at, "row", 20, stop_and_hang)
    ended = run(Command(start, here, prepare=prepare, patience=90))
    assert ended.code == 128 + signal.SIGTERM, ended
    assert ended.ours[-1] == "stopped; go on with: nas-lightning resume=run"
    assert train(here, "resume=run").code == 0
    assert differing(here / "run", uninterrupted["unseen"]) == []


def test_what_is_compared_is_there(uninterrupted: dict[str, Path]) -> None:
    """The states that a resumed run must not lose are in the checkpoint, and have moved."""
    path = uninterrupted["moving average"] / "checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["state_dict"]
    assert state["controller.baseline.value"] > 0
    assert state["estimator._extra_state"]["state"].abs().sum() > 0
    momenta = checkpoint["optimizer_states"][1]["state"].values()
    assert sum(moments["exp_avg_sq"].sum() for moments in momenta) > 0
    assert checkpoint["search"]["counters"] == {
        "epoch": 1,
        "child_step": 8,
        "controller_step": 6,
        "architectures_judged": checkpoint["search"]["counters"]["architectures_judged"],
    }
    assert "dropout@cpu" in checkpoint["search"]["generators"]


def test_two_seeds_differ(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    """The comparison can fail: only what has a reason is equal between two seeds."""
    train(tmp_path / "here", *ARMS["unseen"], "seed=1", "hydra.run.dir=run")
    found = differing(tmp_path / "here/run", uninterrupted["unseen"])
    assert {"ledger", "metrics", "best"} <= set(found)
    assert "checkpoint.state_dict.estimator.child.embedding" in found
    assert "verdict" not in found


def test_searching_on(tmp_path: Path) -> None:
    """Finished, then resumed with more epochs, from elsewhere, from a folder with an awkward name.

    The text is given by a relative path, which must not be looked for elsewhere. The probes look
    after every epoch here, for otherwise they look where a run ends, and one that is searched on
    ends twice.
    """
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    text = here / "text"
    text.mkdir(parents=True)
    for split, words in (("train", 2000), ("valid", 300), ("test", 300)):
        draw = random.Random(split)
        lines = (" ".join(draw.choices("abcdefgh", k=9)) for _ in range(words // 10))
        (text / f"{split}.txt").write_text("\n".join(lines) + "\n")
    sizes = [a for a in TINY if not a.startswith("data.vocabulary_size")]
    on_text = (
        *sizes,
        "data=text",
        "data.source.path=text",
        "data.evaluation_batch_size=8",
        "callbacks.probes.every_epochs=1",
    )
    awkward = QuotedString(AWKWARD, Quote.single).with_quotes()
    one, two = train_all(
        [
            Command((*on_text, f"hydra.run.dir={awkward}", "trainer.max_epochs=1"), here),
            Command((*on_text, "hydra.run.dir=two", "trainer.max_epochs=2"), here, page=False),
        ]
    )
    assert (one.code, two.code) == (0, 0), (one, two)
    on = train(elsewhere, f"resume={here / AWKWARD}", "trainer.max_epochs=2")
    assert on.code == 0, on
    assert differing(here / AWKWARD, here / "two") == []
    assert (here / AWKWARD / "config.yaml").read_text() == (here / "two/config.yaml").read_text()
    assert list(elsewhere.iterdir()) == []


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def test_a_damaged_checkpoint(finished: Path, tmp_path: Path, shell: Shell) -> None:
    """The one before is taken, and the run comes to the same end."""
    folder = shutil.copytree(finished, tmp_path / "here/run")
    (folder / "DONE").unlink()
    damaged(folder / LAST)
    ended = shell.train(folder.parent, "resume=run")
    assert ended.code == 0, ended
    line, data, *rest = ended.err.splitlines()
    assert line == f"{folder / LAST} is damaged: going on from previous.ckpt"
    assert data.startswith("data: level word; tokens ")
    assert all(line.startswith("epoch 2/2") for line in rest)
    assert differing(folder, finished) == []
    torch.load(folder / PREVIOUS, weights_only=True)  # the damaged one has not taken its place


def test_both_checkpoints_damaged(finished: Path, tmp_path: Path, shell: Shell) -> None:
    folder = shutil.copytree(finished, tmp_path / "here/run")
    for name in CHECKPOINTS:
        damaged(folder / name)
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    ended = shell.train(folder.parent, "resume=run", "trainer.max_epochs=3")
    (line,) = ended.ours
    assert ended.code == 2
    said = "last.ckpt is damaged, and previous.ckpt is damaged; put back"
    assert f"{folder}/checkpoints: {said}" in line
    del before[folder / ".lock"]
    assert {path: path.read_bytes() for path in before} == before
    assert (folder / "DONE").exists()


def test_constructors_draw_by_the_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A newcomer's may use the global generators."""
    drawn = []

    def build(*_: object) -> None:
        drawn.append(float(torch.rand(())))
        raise UserError("that is enough")

    monkeypatch.setattr(experiment, "build", build)
    for seed in (0, 0, 1):
        torch.seed()
        callbacks = {"best": {"_target_": "x"}, "checkpoint": {"_target_": "x"}}
        cfg = OmegaConf.create({"seed": seed, "threads": "auto", "callbacks": callbacks})
        with pytest.raises(UserError):
            experiment.fit(cfg, RunFolder(tmp_path), {})
    assert drawn[0] == drawn[1] != drawn[2]


def test_killed_before_its_first_save(uninterrupted: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "here/run"
    start = (*ARMS["unseen"], "hydra.run.dir=run")
    train(folder.parent, *start, kill=Kill(0, 2, "step"))
    assert {path.name for path in folder.iterdir()} >= {"config.yaml", "ledger.jsonl"}
    assert train(folder.parent, *start).code == 0
    assert differing(folder, uninterrupted["unseen"]) == []


CHILDREN = (*CNN, *UNSEEN)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run whose children were trained by one worker; read only."""
    here = tmp_path_factory.mktemp("searched") / "here"
    assert train(here, *CHILDREN, "executor.workers=1", "hydra.run.dir=whole").code == 0
    return here / "whole"


@pytest.mark.parametrize("executor", ["executor.workers=2", "executor=ray"])
def test_wherever_children_are_trained(executor: str, searched: Path, tmp_path: Path) -> None:
    """The end is the same, and so is every child."""
    alike = {"RAY_worker_niceness": "0"}  # Ray's workers would wait for what else is tested now
    asked = (*CHILDREN, executor, "hydra.run.dir=run")
    command = Command(asked, tmp_path / "here", alike, page=False)
    ended = run(command)
    assert ended.code == 0, ended
    assert differing(tmp_path / "here/run", searched) == []
    assert children(tmp_path / "here/run") == children(searched)


def test_stopped_while_children_are_trained(searched: Path, tmp_path: Path) -> None:
    """No worker stays, no child is trained twice, the end is the same to the last bit."""
    here, submitted = tmp_path / "here", tmp_path / "submitted"
    start = (*CHILDREN, "executor.workers=1", "hydra.run.dir=run")
    finished: set[str] = set()
    for number, by, code in (
        (2, signal.SIGTERM, 128 + signal.SIGTERM),
        (6, signal.SIGINT, 128 + signal.SIGINT),
        (10, signal.SIGKILL, -signal.SIGKILL),
    ):
        own = by == signal.SIGKILL  # a server of its own must not stay, either
        kill = Kill(0, number, "child", by)
        killed = run(Command(start, here, kill=kill, submitted=submitted, own_server=own))
        assert killed.code == code, killed
        assert "Traceback" not in killed.err
        told = killed.err.count("stopped; go on with: nas-lightning resume=run")
        assert told == (by != signal.SIGKILL)
        deadline = time.monotonic() + 20
        while alive(here):
            assert time.monotonic() < deadline, "workers have stayed"
            time.sleep(0.05)
        assert finished.isdisjoint(submitted.read_text().splitlines())
        submitted.unlink()
        finished = {str(json.loads(line)["actions"]) for line in children(here / "run")}
        assert len(finished) == number
    resumed = run(Command(["resume=run"], here, submitted=submitted, page=False))
    assert resumed.code == 0, resumed
    last = submitted.read_text().splitlines()
    assert finished.isdisjoint(last)
    assert len(finished) + len(last) == len(children(searched))
    assert differing(here / "run", searched) == []
    assert children(here / "run") == children(searched)


def test_a_process_that_stays_is_seen(tmp_path: Path) -> None:
    """The test above can fail."""
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as process:
        assert alive(tmp_path) == [process.pid]
        process.kill()
    assert alive(tmp_path) == []


def test_a_worker_is_killed(searched: Path, tmp_path: Path) -> None:
    """Its child is trained again, by another."""
    start = (*CHILDREN, "executor.workers=1", "hydra.run.dir=run")
    submitted = tmp_path / "submitted"
    kill = Kill(0, 2, "worker")
    ended = run(Command(start, tmp_path / "here", {}, kill, submitted=submitted, page=False))
    assert ended.code == 0, ended
    assert differing(tmp_path / "here/run", searched) == []
    assert children(tmp_path / "here/run") == children(searched)
    again = submitted.read_text().splitlines()
    assert len(again) > len(set(again)) == len(children(searched))


@pytest.mark.slow
def test_children_from_scratch(searched: Path, tmp_path: Path) -> None:
    """Killed between children, too: an epoch is two controller steps and a derivation."""
    here = tmp_path / "here"
    start = (*CHILDREN, "executor.workers=2", "hydra.run.dir=run")
    for kill in (Kill(0, 1, "step"), Kill(0, 3, "saved"), Kill(1, 2, "saving"), Kill(1, 3, "step")):
        assert train(here, *start, kill=kill).code == -signal.SIGKILL
    assert train(here, "resume=run").code == 0
    assert differing(here / "run", searched) == []
    assert children(here / "run") == children(searched)


def test_killed_between_its_first_best_architecture_and_its_first_save(tmp_path: Path) -> None:
    """A controller that learns nothing has no phase before the first derivation: it starts anew."""
    here = tmp_path / "here"
    start = (*CHILDREN, "controller=random", "executor.workers=1", "trainer.max_epochs=1")
    assert train(here, *start, "hydra.run.dir=whole").code == 0
    steps = torch.load(here / "whole" / LAST, weights_only=True)["search"]["counters"]
    kill = Kill(0, steps["controller_step"] + 1, "saving")
    assert train(here, *start, "hydra.run.dir=run", kill=kill).code == -signal.SIGKILL
    assert (here / "run/best_architecture.json").exists()
    assert not (here / "run" / LAST).exists()
    ended = train(here, *start, "hydra.run.dir=run")
    assert ended.code == 0, ended
    assert differing(here / "run", here / "whole") == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("arm", ARMS)
def test_killed_at_random(arm: str, seed: int, tmp_path: Path) -> None:
    """From outside, at moments that nobody has chosen, until it is finished."""
    here = tmp_path / "here"
    longer = (*ARMS[arm], f"seed={seed}", "trainer.max_epochs=12")
    assert train(here, *longer, "hydra.run.dir=whole").code == 0
    draw = random.Random(f"{arm} {seed}")
    kills = 0
    while not (here / "run/DONE").exists():
        command = (*longer, "hydra.run.dir=run")
        ended = run(Command(command, here, patience=draw.uniform(0.2, 1.2)))
        assert ended.code in (0, -signal.SIGKILL), ended
        kills += ended.code != 0
        copy = tmp_path / f"after kill {kills}"
        shutil.copytree(here, copy, dirs_exist_ok=True)  # to look at, if it fails
    assert kills > 1
    assert differing(here / "run", here / "whole") == []
