"""From a search to a final number: one training, a grid, a kill, and what goes wrong."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from omegaconf import OmegaConf

from nas_lightning.assembly.make import make
from nas_lightning.assembly.retraining import full_budget, parts
from nas_lightning.assembly.retraining import retrain as train_one
from nas_lightning.assembly.trainer_arguments import check_retraining
from nas_lightning.commands.retrain import rewritten
from nas_lightning.errors import UserError
from nas_lightning.studies.retraining import Retraining, best, concluded, settings_of
from tests import processes
from tests.assembly.test_conf import composed, options
from tests.processes import Command, Ended

ROOT = Path(__file__).parents[2]
MODULE = "nas_lightning.commands.retrain"
QUICK = (
    "retrain.epochs=1",
    "data.batch_size=128",
    "data.evaluation_batch_size=256",
    "data.sequence_length=32",
)
"""An epoch of fifteen steps."""

REGULARISED = (
    *QUICK[1:],
    "retrain.epochs=3",
    "retrain.momentum=0.9",
    "retrain.learning_rate=1",
    "child.weight_drop=0.2",
    "child.dropout_words=0.1",
    "child.normalisation=batch",
)
"""Three epochs of a training in which everything that can carry a state carries one."""


@dataclass(frozen=True)
class Kill:
    """When a retraining shall kill itself: in the save after an epoch, or when that is written."""

    network: str
    epoch: int
    half_written: bool
    by: signal.Signals = signal.SIGKILL


def retrain(folder: Path, *arguments: str, kill: Kill | None = None) -> Ended:
    """Call `python scripts/retrain.py …` once, as a fork."""
    prepare = partial(arm, kill) if kill else None
    return processes.run(Command(arguments, folder, module=MODULE, prepare=prepare))


def arm(kill: Kill) -> None:
    """Have the process kill itself."""
    from nas_lightning.training import child_training

    save = child_training.save

    def save_half(content: object, file: IO[bytes]) -> None:
        file.write(b"half")
        file.flush()

    def die(file: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def save_and_die(content: Any, path: Path) -> None:
        if not path.name.startswith(kill.network) or len(content["history"]) < kill.epoch:
            save(content, path)
            return
        if kill.half_written:
            torch.save = save_half  # type: ignore[assignment]
            os.fsync = die  # type: ignore[assignment]
        save(content, path)
        os.kill(os.getpid(), kill.by)

    child_training.save = save_and_die


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A finished search in a folder of its own."""
    return Path(shutil.copytree(finished, tmp_path / "the run"))


def only(folder: Path, name: str) -> Path:
    """The folder of the only job that has left a file of this name."""
    (path,) = folder.glob(f"retrain/*/{name}")
    return path.parent


# --------------------------------------------------------------------- a grid


def test_a_grid_is_decided_on_validation(run: Path, tmp_path: Path) -> None:
    """The real command, two jobs at a time; one setting diverges with both seeds."""
    grid = [*QUICK, "retrain.learning_rate=1e30,0.0001,5", "seed=0,1"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    command = [
        sys.executable,
        str(ROOT / "scripts/retrain.py"),
        "-m",
        f"run={run}",
        *grid,
        *launcher,
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (file,) = run.glob("retrain/final-*.json")
    assert file.name in ended.stdout
    final = json.loads(file.read_text())
    best = json.loads((run / "best_architecture.json").read_text())
    assert (final["actions"], final["decisions"]) == (best["actions"], best["decisions"])
    assert final["kind"] == "final"
    assert final["tried"] == 3
    values = {row["varied"]["retrain.learning_rate"]: row for row in final["grid"]}
    assert values[1e30]["architecture"] is None
    assert values[1e30]["reference"] is None
    for name, network in (("architecture", final), ("reference", final["reference"])):
        assert network["settings"]["learning_rate"] == 5
        assert network["seeds"] == [0, 1]
        tests = [score["perplexity"] for score in network["test"]]
        assert len(set(tests)) == 2
        assert all(math.isfinite(value) and 1 < value < 60 for value in tests)
        assert all((tmp_path / weights).is_file() for weights in network["weights"])
        validation = [score["perplexity"] for score in network["validation"]]
        assert values[5][name] == pytest.approx(sum(validation) / 2)
        assert [h["perplexity"][-1] for h in network["history"]] == validation
        assert values[0.0001][name] > values[5][name]
    assert final["weights"] != final["reference"]["weights"]
    assert abs(final["parameters"] / final["reference"]["parameters"] - 1) < 0.1
    for word in ("test perplexity (final)", "LSTM of", "diverged", "learning_rate=5"):
        assert word in ended.stdout
    jobs = {path.name for path in (run / "retrain").iterdir() if path.is_dir()}
    assert len(jobs) == 6
    assert all("architecture" not in name for name in jobs)
    assert not list(run.glob("retrain/.jobs-*"))


def test_when_all_diverge_one_line_says_so(run: Path, tmp_path: Path) -> None:
    settings = (*QUICK, f"run={run}")
    for grid in (("retrain.learning_rate=1e30",), ("-m", "retrain.learning_rate=1e30,1e31")):
        ended = retrain(tmp_path / "here", *grid, *settings)
        assert ended.code == 2, ended
        last = ended.err.splitlines()[-1]
        assert last.startswith(
            "error: training has diverged with every setting (learning_rate=1e+30"
        )
        assert "retrain.learning_rate" in last
        assert "diverged" in last
        assert "Traceback" not in ended.err
        assert not list(run.rglob("final*.json"))


def test_a_grid_with_a_failed_job_is_not_concluded(run: Path, tmp_path: Path) -> None:
    """Nor is its test split read, until all jobs have finished."""
    grid = ("-m", f"run={run}", *QUICK, "seed=0,1")
    jobs = run / "retrain"
    assert retrain(tmp_path / "here", *grid).code == 0
    (final,) = jobs.glob("final-*.json")
    whole = final.read_bytes()
    final.unlink()
    (job,) = jobs.glob("*seed=1*")
    (job / "retrained.json").unlink()
    (job / "architecture.unfinished.pt").mkdir()  # cannot be read
    ended = retrain(tmp_path / "here", *grid)
    assert ended.code == 1, ended
    line = "not concluded: 1 of 2 jobs have finished; mend and repeat the command"
    assert ended.err.splitlines().count(line) == 1
    assert "test perplexity" not in ended.out
    assert not list(jobs.glob("final*.json"))
    (job / "architecture.unfinished.pt").rmdir()
    assert retrain(tmp_path / "here", *grid).code == 0
    assert final.read_bytes() == whole


def test_no_grid_overwrites_the_verdict_on_another(run: Path, tmp_path: Path) -> None:
    """Other settings, another architecture; the same grid finds its own again."""
    call = ("-m", f"run={run}", *QUICK, "reference=null")
    found: dict[Path, bytes] = {}
    best = json.loads((run / "best_architecture.json").read_text())
    for action, rates in ((0, "5,4"), (0, "5,3"), (1, "5,4"), (0, "5,4")):
        best["actions"][0] = action
        (run / "best_architecture.json").write_text(json.dumps(best))
        ended = retrain(tmp_path / "here", *call, f"retrain.learning_rate={rates}")
        assert ended.code == 0, ended
        files = {file: file.read_bytes() for file in run.glob("retrain/final-*.json")}
        assert files.items() >= found.items()
        found = files
    assert len(found) == 3


# --------------------------------------------------------------------- a kill


def test_killed_and_repeated_it_ends_the_same(run: Path, tmp_path: Path) -> None:
    """Killed while the architecture is saved, then after a save of the reference, to the bit."""
    call = (f"run={run}", *REGULARISED)
    expected = retrain(tmp_path / "here", *call)
    assert expected.code == 0, expected
    job = only(run, "final.json")
    names = ("architecture.pt", "reference.pt", "retrained.json", "final.json")
    before = {name: (job / name).read_bytes() for name in names}
    assert {path.name for path in job.iterdir()} == {*names, ".lock"}

    again = retrain(tmp_path / "here", *call)
    assert (again.code, again.out) == (0, expected.out), "the table is shown again"
    assert again.err.startswith("finished already: ")

    shutil.rmtree(job)
    stopped = retrain(tmp_path / "here", *call, kill=Kill("architecture", 1, False, signal.SIGTERM))
    assert stopped.code == 128 + signal.SIGTERM
    assert stopped.ours[-1] == "stopped; the same command goes on"
    for kill in (Kill("architecture", 2, True), Kill("reference", 2, False)):
        assert retrain(tmp_path / "here", *call, kill=kill).code == -signal.SIGKILL
    ended = retrain(tmp_path / "here", *call)
    assert (ended.code, ended.out) == (0, expected.out)
    assert [line.split(":")[0] for line in ended.err.splitlines()] == ["reference, epoch 3/3"]
    assert {name: (job / name).read_bytes() for name in names} == before


@pytest.mark.parametrize("space", ["enas_rnn", "nas_cnn"])
@pytest.mark.parametrize("name", ["architecture", "reference"])
def test_a_training_goes_on_from_its_file(space: str, name: str, tmp_path: Path) -> None:
    cfg = OmegaConf.create(composed(f"search_space={space}"))
    for key, small in (("child.hidden_size", 4), ("data.vocabulary_size", 50)):
        if OmegaConf.select(cfg, key):
            OmegaConf.update(cfg, key, small)
    for key in ("data.batch_size", "data.evaluation_batch_size"):
        OmegaConf.update(cfg, key, 128)
    OmegaConf.update(cfg, "retrain", {"epochs": 3, "momentum": 0.9, "learning_rate": 0.05})
    space_, data, networks = parts(cfg)
    training, row = make(cfg, "retrain"), space_.sample(1, torch.Generator().manual_seed(1))
    whole = training.begin(networks[name], row, 0, "cpu")
    assert [len(state.history) for state in training.epochs_of(whole, data)] == [1, 2, 3]
    for _ in training.resumable(
        training.begin(networks[name], row, 0, "cpu"), data, tmp_path / "state"
    ):
        break  # after the first epoch
    resumed = training.begin(networks[name], row, 0, "cpu")
    epochs = training.resumable(resumed, data, tmp_path / "state")
    assert [len(state.history) for state in epochs] == [2, 3]
    assert resumed.history == whole.history
    for key, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[key], value), key
    finished = training.begin(networks[name], row, 0, "cpu")
    assert not list(training.resumable(finished, data, tmp_path / "state"))
    assert finished.history == whole.history
    with pytest.raises(UserError, match="begun on cuda and cannot go on on cpu"):
        finished.load_state_dict(whole.state_dict() | {"device": "cuda"})


def test_another_architecture_or_configuration_is_another_job(run: Path, tmp_path: Path) -> None:
    """As after searching on: what was retrained before is neither taken for it nor lost."""
    call = (f"run={run}", *QUICK)
    assert retrain(tmp_path / "here", *call).code == 0
    best = json.loads((run / "best_architecture.json").read_text())
    best["actions"][0] = (best["actions"][0] + 1) % 4
    (run / "best_architecture.json").write_text(json.dumps(best))
    assert retrain(tmp_path / "here", *call).code == 0
    results = [json.loads(path.read_text()) for path in run.glob("retrain/*/retrained.json")]
    assert len({tuple(result["actions"]) for result in results}) == 2


# --------------------------------------------------------------------- what a retraining changes


def test_the_configuration_of_the_full_budget(run: Path, tmp_path: Path) -> None:
    """`retrain_with` changes the search's, the command line that; without a reference it works."""
    config = OmegaConf.load(run / "config.yaml")
    assert config.retrain_with.child.dropout_output > config.child.dropout_output
    config.retrain_with = {"child": {"dropout_output": 0.5, "dropout_input": 0.4}}
    config.reference = None
    OmegaConf.save(config, run / "config.yaml")
    ended = retrain(tmp_path / "here", f"run={run}", *QUICK, "child.dropout_output=0.2")
    assert ended.code == 0, ended
    job = only(run, "final.json")
    used = json.loads((job / "retrained.json").read_text())["config"]["child"]
    assert (used["dropout_output"], used["dropout_input"]) == (0.2, 0.4)
    final = json.loads((job / "final.json").read_text())
    assert final["reference"] is None
    assert "LSTM" not in ended.out
    written = OmegaConf.load(run / "retrain/config.yaml")
    assert (written.child.dropout_output, written.child.dropout_input) == (0.5, 0.4)


@pytest.mark.parametrize("changes", [{"child": {"dropuot": 0.1}}, {"dta": {"train_limit": 1}}])
def test_a_wrong_key_to_change(run: Path, changes: dict[str, Any]) -> None:
    config = OmegaConf.load(run / "config.yaml")
    config.retrain_with = changes
    OmegaConf.save(config, run / "config.yaml")
    key = "child.dropuot" if "child" in changes else "dta"
    with pytest.raises(UserError, match=rf"retrain_with\.{key}: no such key"):
        rewritten([f"run={run}"])


@pytest.mark.parametrize(
    "option",
    [
        option
        for option in options()
        if option.startswith(("experiment=", "search_space="))
        and not option.endswith(
            ("nas_bench_201", "=modules", "=function")
        )  # without a `retrain`, and a user's own
    ],
)
def test_every_configuration_can_be_retrained(option: str, tmp_path: Path) -> None:
    """What it changes is there, and its reference costs about as much as an architecture."""
    OmegaConf.save(OmegaConf.create(composed(option)), tmp_path / "config.yaml")
    changed = full_budget(tmp_path / "config.yaml")
    make(changed, "retrain")
    text = "hidden_size" in changed.child  # data that need no download
    data = composed(f"data={'python_docs' if text else 'digits'}")["data"]
    changed.data = {**data, **({"vocabulary_size": 2000} if text else {})}
    space, _, networks = parts(changed)
    if not changed.get("reference"):
        assert list(networks) == ["architecture"]  # its reference are the published cells
        return
    cost = "parameters" if text else "multiply_adds"
    for row in space.sample(3, torch.Generator().manual_seed(0)).tolist():
        of = {name: network.costs(row) for name, network in networks.items()}
        assert of["reference"].keys() == of["architecture"].keys()
        assert abs(of["reference"][cost] / of["architecture"][cost] - 1) < 0.1
        assert networks["reference"].describe(row)
        if not text:
            assert (
                abs(of["second_reference"]["parameters"] / of["architecture"]["parameters"] - 1)
                < 0.1
            )
            assert "of equal parameters" in networks["second_reference"].describe(row)


# --------------------------------------------------------------------- the choice


def retraining(rate: float, seed: int, found: Any, by_hand: Any) -> Retraining:
    """A job whose networks have come to these accuracies, None for diverged."""
    networks = {
        name: {
            "parameters": 3,
            "status": "diverged" if accuracy is None else "ok",
            # A network of NaNs is right as often as its first class.
            "validation": {"accuracy": 0.99 if accuracy is None else accuracy},
            "history": {},
            "weights": f"{name}.pt",
        }
        for name, accuracy in (("architecture", found), ("reference", by_hand))
    }
    config = {"retrain": {"learning_rate": rate, "epochs": 2}, "child": {}, "seed": seed}
    known = {"decisions": {}, "actions": [0], "kind": "final", "objective": "accuracy"}
    result = {**known, "seed": seed, "config": config, "networks": networks}
    return Retraining(Path(f"{rate}-{seed}"), result)


def test_each_network_gets_its_own_best_setting() -> None:
    """By the mean over seeds; a diverged one is never chosen, however its number looks."""
    jobs = [
        retraining(0.1, 1, 0.8, 0.7),
        retraining(0.1, 0, 0.6, 0.7),
        retraining(0.2, 0, 0.5, 0.9),
        retraining(0.2, 1, 0.8, 0.6),
        retraining(0.3, 0, 0.98, 0.98),
        retraining(0.3, 1, None, None),
    ]
    grid = settings_of(jobs)
    assert [setting.varied for setting in grid] == [
        {"retrain.learning_rate": rate} for rate in (0.1, 0.2, 0.3)
    ]
    read: list[tuple[str, str]] = []

    def tested(job: Retraining, name: str) -> dict[str, float]:
        read.append((str(job.folder), name))
        return {"accuracy": 0.5}

    final = concluded(jobs, tested)
    assert final["settings"]["learning_rate"] == 0.1
    assert final["reference"]["settings"]["learning_rate"] == 0.2
    assert final["seeds"] == [0, 1]
    assert [row["architecture"] for row in final["grid"]] == [
        pytest.approx(0.7),
        pytest.approx(0.65),
        None,
    ]
    assert sorted(read) == [
        ("0.1-0", "architecture"),
        ("0.1-1", "architecture"),
        ("0.2-0", "reference"),
        ("0.2-1", "reference"),
    ]


def test_a_reference_that_diverges_leaves_the_architecture_alone() -> None:
    jobs = [retraining(0.1, 0, 0.8, None)]
    assert best(settings_of(jobs), "reference") is None
    final = concluded(jobs, lambda job, name: {"accuracy": 0.5})
    assert final["test"] == [{"accuracy": 0.5}]
    assert final["reference"] == {"parameters": 3, "status": "diverged"}


# --------------------------------------------------------------------- which search


@pytest.mark.parametrize("arguments", [[], ["run=a", "architecture=b"], ["seed=1"]])
def test_one_search_is_named(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="give one of run=FOLDER"):
        rewritten(arguments)


@pytest.mark.parametrize(
    "override", ["+trainer.precision=bf16-mixed", "trainer.max_epochs=3", "~trainer.accelerator"]
)
def test_what_has_no_effect_on_a_retraining_is_refused(override: str) -> None:
    """What its search was given is left aside; what is typed is not."""
    if "accelerator" in override:  # has one
        check_retraining([override, "run=a"])
        return
    with pytest.raises(UserError, match="has no effect on a retraining, which takes of") as refused:
        rewritten(["run=a", override])
    assert str(refused.value).startswith(override)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [("devices", 2, "devices=2 is not allowed: must be 1"), ("max_steps", 5, "max_steps=5: Light")],
)
def test_the_trainer_of_a_retraining_is_checked(
    key: str, value: int, says: str, run: Path, tmp_path: Path
) -> None:
    cfg = full_budget(run / "config.yaml")
    OmegaConf.set_struct(cfg, False)
    cfg.architecture = json.loads((run / "best_architecture.json").read_text())["actions"]
    cfg.trainer[key] = value
    with pytest.raises(UserError, match=f"^trainer.{says}"):
        train_one(cfg, tmp_path / "job")
    assert [path.name for path in (tmp_path / "job").iterdir()] == [".lock"]


def test_no_search_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no search has found anything there"):
        rewritten([f"run={tmp_path}"])


def test_an_unfinished_search(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    epoch = json.loads((run / "best_architecture.json").read_text())["found_in_epoch"]
    rewritten([f"run={run}"])
    assert capsys.readouterr().err == ""
    (run / "DONE").unlink()
    rewritten([f"run={run}"])
    assert f"has stopped; its best architecture so far is from epoch {epoch}" in (
        capsys.readouterr().err
    )


def test_a_damaged_architecture(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "config.yaml", tmp_path)
    (tmp_path / "mine.json").write_text('{"actions": 3}')
    with pytest.raises(UserError, match="holds no list"):
        rewritten([f"architecture={tmp_path / 'mine.json'}"])


def test_an_architecture_of_another_space(run: Path) -> None:
    (run / "mine.json").write_text('{"actions": [0, 0, 9]}')
    with pytest.raises(UserError) as refusal:
        rewritten([f"architecture={run / 'mine.json'}"])
    assert "mine.json: actions" in str(refusal.value)
    assert "is not allowed: " in str(refusal.value)
