"""Training from scratch: a pure function, in whatever process; what is judged once is on record."""

from __future__ import annotations

import builtins
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nas_lightning.data.base import Batch, Data
from nas_lightning.errors import UserError
from nas_lightning.estimators.from_scratch import ChildRecord, FromScratch
from nas_lightning.generators import Generators
from nas_lightning.search_spaces.enas_rnn.network import RecurrentChild
from nas_lightning.search_spaces.enas_rnn.space import ACTIVATIONS, RecurrentCellSpace
from nas_lightning.training.child_training import ChildResult, ChildTraining
from nas_lightning.training.executors import (
    ChildJob,
    Executor,
    Group,
    LocalExecutor,
    start_method,
)

SPACE = RecurrentCellSpace(num_nodes=3, activations=ACTIVATIONS)
ARCHITECTURES = SPACE.sample(5, torch.Generator().manual_seed(3))
ROWS = [tuple(row) for row in ARCHITECTURES.tolist()]
VOCABULARY = 7


class Counting(Data):
    """A text that counts upwards, which a recurrent network learns quickly."""

    def __init__(self) -> None:
        columns = torch.arange(4 * 31).view(4, 31) % VOCABULARY
        self.batches = [
            Batch(columns[:, i : i + 10], columns[:, i + 1 : i + 11], i > 0) for i in (0, 10, 20)
        ]

    @property
    def sizes(self) -> dict[str, int]:
        return {"vocabulary_size": VOCABULARY}

    @property
    def train_batches(self) -> int:
        return 3

    def train_batch(self, index: int) -> Batch:
        return self.batches[index % 3]

    def validation_batches(self) -> list[Batch]:
        return self.batches[:2]

    def test_batches(self) -> list[Batch]:
        return self.batches[2:]


def make_child(**changes: Any) -> RecurrentChild:
    arguments: dict[str, Any] = {
        "num_nodes": 3,
        "activations": ACTIVATIONS,
        "vocabulary_size": VOCABULARY,
        "hidden_size": 6,
        "init_range": 0.3,
        "dropout_words": 0.1,
        "dropout_input": 0.1,
        "dropout_output": 0.1,
        "weight_drop": 0.1,
        "max_hidden_norm": None,
        "recurrent_state": "output",
        "normalisation": "none",
    }
    return RecurrentChild(**(arguments | changes))


def make_training(**changes: Any) -> ChildTraining:
    arguments: dict[str, Any] = {
        "epochs": 3,
        "learning_rate": 0.5,
        "schedule": "cosine",
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 1e-4,
        "gradient_clip": 1.0,
    }
    return ChildTraining(**(arguments | changes))


class InProcess(Executor):
    """Trains in this process, and counts."""

    def __init__(self) -> None:
        super().__init__(child_timeout=None)
        self.trained: list[tuple[int, ...]] = []

    def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
        self.trained.extend(group)
        future: Future[list[ChildResult]] = Future()
        future.set_result(job.train(group))
        return future

    def close(self) -> None: ...


def make_estimator(folder: Path, executor: Executor, **changes: Any) -> FromScratch:
    arguments: dict[str, Any] = {
        "child": make_child(),
        "data": Counting(),
        "training": make_training(),
        "executor": executor,
        "generators": Generators(5),
        "folder": folder,
        "controller_steps": 2,
        "objective": "perplexity",
        "last_epochs": 2,
        "copies": 1,
        "reuse_results": True,
    }
    return FromScratch(**(arguments | changes))


def train(architectures: Tensor, seed: int = 0, **changes: Any) -> list[ChildResult]:
    return make_training(**changes).train(make_child(), Counting(), architectures, seed, "cpu")


# --------------------------------------------------------------------- child training


def test_training_is_a_pure_function_of_its_arguments() -> None:
    before = torch.get_rng_state()
    first = train(ARCHITECTURES[:1])
    assert train(ARCHITECTURES[:1]) == first
    assert train(ARCHITECTURES[:1], seed=1) != first
    assert torch.equal(torch.get_rng_state(), before)


def test_a_child_does_not_notice_who_is_trained_beside_it() -> None:
    together = train(ARCHITECTURES)
    for m, result in enumerate(together):
        (alone,) = train(ARCHITECTURES[m : m + 1])
        assert result.history["loss"] == pytest.approx(alone.history["loss"], rel=1e-5)


def test_children_learn() -> None:
    (result,) = train(ARCHITECTURES[:1], epochs=40)
    assert result.status == "ok"
    assert result.history["loss"][-1] < 0.5 * result.history["loss"][0]


def test_a_child_that_diverges_leaves_the_others_alone() -> None:
    child = make_child(weight_drop=0.0)
    original = child.fresh

    def poisoned(architectures: Tensor, generators: Any) -> RecurrentChild:
        network = original(architectures, generators)
        with torch.no_grad():
            network.recurrent_weight[1] = torch.nan
        return network

    child.fresh = poisoned  # type: ignore[method-assign]
    results = make_training().train(child, Counting(), ARCHITECTURES[:3], 0, "cpu")
    clean = make_training().train(
        make_child(weight_drop=0.0), Counting(), ARCHITECTURES[:3], 0, "cpu"
    )
    assert [r.status for r in results] == ["ok", "diverged", "ok"]
    assert results[0].history["loss"] == pytest.approx(clean[0].history["loss"], rel=1e-6)
    assert results[2].history["loss"] == pytest.approx(clean[2].history["loss"], rel=1e-6)


def test_the_budget_tells_trainings_apart() -> None:
    assert make_training().budget == make_training().budget
    assert make_training(epochs=4).budget != make_training().budget
    assert make_training(learning_rate=0.4).budget != make_training().budget


def test_schedules_by_hand() -> None:
    cosine, constant = make_training(), make_training(schedule="constant")
    assert [cosine._factor(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
    assert constant._factor(0.7) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": 0},
        {"schedule": "linear"},
        {"momentum": 1},
        {"weight_decay": -1},
        {"gradient_clip": 0},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}={value!r} is not allowed"):
        make_training(**wrong)


# --------------------------------------------------------------------- the estimator


def test_the_best_of_the_last_epochs_counts(tmp_path: Path) -> None:
    evaluation = make_estimator(tmp_path, InProcess()).evaluate(ARCHITECTURES[:2], ())
    for m, result in enumerate(
        make_training().train(make_child(), Counting(), ARCHITECTURES[i : i + 1], 5, "cpu")[0]
        for i in range(2)
    ):
        assert float(evaluation.metrics["perplexity"][m]) == pytest.approx(
            min(result.history["perplexity"][-2:])
        )
    assert evaluation.kind == "proxy"
    assert evaluation.cost == 6
    assert evaluation.cost_unit == "epochs"
    assert evaluation.metrics["parameters"].tolist() == [
        make_child().costs(row)["parameters"] for row in ROWS[:2]
    ]


def test_what_was_judged_is_not_trained_again(tmp_path: Path) -> None:
    executor = InProcess()
    estimator = make_estimator(tmp_path, executor)
    twice = torch.cat([ARCHITECTURES[:2], ARCHITECTURES[:1]])
    first = estimator.evaluate(twice, ())
    assert executor.trained == ROWS[:2]
    assert first.metrics["loss"][0] == first.metrics["loss"][2]
    second = estimator.evaluate(ARCHITECTURES[:3], ())
    assert executor.trained == ROWS[:3]
    assert second.cost == 3  # one new child of three epochs
    assert torch.equal(second.metrics["loss"][:2], first.metrics["loss"][:2])


def test_reuse_can_be_switched_off(tmp_path: Path) -> None:
    executor = InProcess()
    estimator = make_estimator(tmp_path, executor, reuse_results=False)
    for _ in range(2):
        evaluation = estimator.evaluate(ARCHITECTURES[:1], ())
        assert evaluation.cost == 3
    assert executor.trained == ROWS[:1] * 2


def test_a_resumed_run_finds_its_children_and_counts_like_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    undisturbed = make_estimator(tmp_path, InProcess())
    saved = undisturbed.state_dict()
    expected = undisturbed.evaluate(ARCHITECTURES[:3], ())
    executor = InProcess()
    resumed = make_estimator(tmp_path, executor)
    resumed.load_state_dict(saved)
    found = resumed.evaluate(ARCHITECTURES[:3], ())
    assert executor.trained == []
    assert found.cost == expected.cost
    assert torch.equal(found.metrics["loss"], expected.metrics["loss"])
    again = make_estimator(tmp_path, executor)
    again.load_state_dict(resumed.state_dict())
    assert again.evaluate(ARCHITECTURES[:3], ()).cost == 0


def test_a_group_stays_together(tmp_path: Path) -> None:
    executor = InProcess()
    estimator = make_estimator(tmp_path, executor, copies=2)
    estimator.evaluate(ARCHITECTURES[:1], ())
    estimator.evaluate(ARCHITECTURES[:4], ())
    assert executor.trained == [*ROWS[:1], *ROWS[:4]]


def test_records_of_another_budget_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "children.jsonl"
    mine, other = ChildRecord(path, key=["a", 0]), ChildRecord(path, key=["b", 0])
    mine.add((1, 2), ChildResult("ok", {"loss": [1.0]}))
    other.add((1, 2), ChildResult("ok", {"loss": [2.0]}))
    assert ChildRecord(path, key=["a", 0]).results == {(1, 2): ChildResult("ok", {"loss": [1.0]})}


def test_a_half_written_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "children.jsonl"
    ChildRecord(path, key=["a", 0]).add((1,), ChildResult("ok", {"loss": [1.0]}))
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    record = ChildRecord(path, key=["a", 0])
    assert list(record.results) == [(1,)]
    record.add((2,), ChildResult("ok", {"loss": [3.0]}))
    lines = path.read_text().splitlines()
    assert [json.loads(line)["actions"] for line in lines] == [[1], [2]]


class Failing(InProcess):
    """Children fail, for a reason of their own or for one they all have."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__()
        self.reasons = reasons

    def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
        future: Future[list[ChildResult]] = Future()
        reason = self.reasons[len(self.trained) % len(self.reasons)]
        self.trained.extend(group)
        if reason == "ok":
            future.set_result(job.train(group))
        else:
            future.set_exception(RuntimeError(reason))
        return future


def test_a_failed_child_gets_its_status_and_no_metric(tmp_path: Path) -> None:
    estimator = make_estimator(tmp_path, Failing(["ok", "no such\nthing"]))
    evaluation = estimator.evaluate(ARCHITECTURES[:2], ())
    assert list(evaluation.status) == ["ok", "RuntimeError: no such thing"]
    assert evaluation.metrics["loss"].isnan().tolist() == [False, True]
    assert evaluation.ranking().tolist() == [0, 1]


def test_when_all_fail_for_one_reason_the_search_stops(tmp_path: Path) -> None:
    """Whether they are trained or served from the record."""
    executor = Failing(["no such thing"])
    estimator = make_estimator(tmp_path, executor)
    for _ in range(2):
        with pytest.raises(UserError, match=r"every child of this step failed: .*no such thing"):
            estimator.evaluate(ARCHITECTURES[:2], ())
    assert executor.trained == ROWS[:2]


def test_when_all_diverge_the_search_stops(tmp_path: Path) -> None:
    training = make_training(learning_rate=1e30, gradient_clip=None)
    estimator = make_estimator(tmp_path, InProcess(), training=training)
    said = r"^every child of this step diverged \(training\.learning_rate=1e\+30\)$"
    for _ in range(2):
        with pytest.raises(UserError, match=said):
            estimator.evaluate(ARCHITECTURES[:2], ())


def test_one_child_alone_does_not_stop_the_search(tmp_path: Path) -> None:
    """However often a step has it."""
    estimator = make_estimator(tmp_path, Failing(["no such thing"]))
    for _ in range(2):
        evaluation = estimator.evaluate(ARCHITECTURES[:1].repeat(3, 1), ())
        assert list(evaluation.status) == ["RuntimeError: no such thing"] * 3


# --------------------------------------------------------------------- worker processes


class Dying(Counting):
    """Kills the worker that first trains on it; `always` kills every one."""

    def __init__(self, marker: Path, always: bool = False) -> None:
        super().__init__()
        self.marker = marker
        self.always = always

    def train_batch(self, index: int) -> Batch:
        if self.always or not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_batch(index)


class Hanging(Counting):
    """Never comes to an end."""

    def train_batch(self, index: int) -> Batch:
        while True:
            signal.pause()


class UnsendableError(Exception):
    """Cannot be made again from its pickle: it has lost one of two arguments."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what}\nand {number}")


class Raising(Counting):
    """Raises on the first minibatch."""

    def train_batch(self, index: int) -> Batch:
        raise UnsendableError("this", 3)


def run(data: Data, workers: int = 1, timeout: float | None = None) -> list[ChildResult]:
    """Train two children in worker processes."""
    return run_on(LocalExecutor(workers=workers, devices="cpu", child_timeout=timeout), data)


def run_on(executor: Executor, data: Data) -> list[ChildResult]:
    """Train two children."""
    job = ChildJob(child=make_child(), data=data, training=make_training(), seed=0)
    reported: dict[tuple[int, ...], ChildResult] = {}
    try:
        found = executor.run(job, [ROWS[:1], ROWS[1:2]], reported.__setitem__)
    finally:
        executor.close()
    assert found == reported
    return [found[row] for row in ROWS[:2]]


def test_workers_give_what_this_process_gives(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = [train(ARCHITECTURES[m : m + 1])[0] for m in range(2)]
    finally:
        torch.set_num_threads(threads)
    assert run(Counting()) == expected
    assert run(Dying(tmp_path / "died"), workers=2) == expected


def test_workers_are_spawned_where_a_socket_can_have_no_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The temporary folder may have 75 bytes."""
    monkeypatch.chdir(tmp_path)
    for length, method in ((75, "forkserver"), (76, "spawn")):
        monkeypatch.setattr(tempfile, "tempdir", "/" + (length - 1) * "x")
        assert start_method() == method
        name = "x" * (length + len("/pymp-12345678/listener-12345678"))
        with socket.socket(socket.AF_UNIX) as one:
            if method == "forkserver":
                one.bind(name)
            else:
                with pytest.raises(OSError, match="too long"):
                    one.bind(name)


def test_workers_that_die_while_idle_are_replaced() -> None:
    others = set(multiprocessing.active_children())
    executor = LocalExecutor(workers=1, devices="cpu", child_timeout=None)
    job = ChildJob(child=make_child(), data=Counting(), training=make_training(), seed=0)
    try:
        first = executor.run(job, [ROWS[:1]], lambda *_: None)
        (worker,) = set(multiprocessing.active_children()) - others
        worker.kill()
        worker.join()
        again = executor.run(job, [ROWS[:1]], lambda *_: None)
    finally:
        executor.close()
    assert again == first


def test_what_a_worker_has_taken_and_not_begun_is_given_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when it is killed in between: a worker that stands still stands for it."""
    others = set(multiprocessing.active_children())
    executor = LocalExecutor(workers=1, devices="cpu", child_timeout=None)
    job = ChildJob(child=make_child(), data=Counting(), training=make_training(), seed=0)
    try:
        first = executor.run(job, [ROWS[:1]], lambda *_: None)
        (worker,) = set(multiprocessing.active_children()) - others
        os.kill(worker.pid or 0, signal.SIGSTOP)
        monkeypatch.setattr(executor, "start_seconds", 2.0)
        monkeypatch.setattr("nas_lightning.training.executors.LOOK_SECONDS", 0.25)
        again = executor.run(job, [ROWS[:1]], lambda *_: None)
    finally:
        executor.close()
    assert again == first
    assert not worker.is_alive()


def test_a_child_whose_worker_always_dies_is_given_up(tmp_path: Path) -> None:
    results = run(Dying(tmp_path / "died", always=True))
    assert [r.status for r in results] == ["worker died"] * 2


def test_a_child_that_hangs_is_stopped() -> None:
    assert [r.status for r in run(Hanging(), workers=2, timeout=0.5)] == ["timeout"] * 2


def test_a_child_that_raises() -> None:
    assert [r.status for r in run(Raising())] == ["UnsendableError: this and 3"] * 2


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Ray's own, at its shutdown
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_ray_gives_what_workers_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'nas-lightning[ray]'")
    from nas_lightning.training.ray_executor import RayExecutor

    monkeypatch.setenv("RAY_worker_niceness", "0")  # or they wait for what else is tested now
    monkeypatch.setattr(builtins, "print", print)  # which Ray replaces
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers don't have this file
    executor = RayExecutor(address=None, cpus=1, gpus=0, child_timeout=60)
    assert run_on(executor, Dying(tmp_path / "died")) == run(Counting())
    assert run_on(executor, Raising()) == run(Raising())
    executor.child_timeout = 0.5
    assert run_on(executor, Hanging()) == run(Hanging(), timeout=0.5)


def test_a_cluster_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """While children are waited for: a line, and not a wait without end."""
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'nas-lightning[ray]'")
    monkeypatch.setattr("nas_lightning.training.executors.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("nas_lightning.training.ray_executor.time", SimpleNamespace(sleep=int))
    from nas_lightning.training.ray_executor import RayExecutor

    class Gone(RayExecutor):
        """Its head ends when it is given something to do."""

        def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
            head.close()
            return Future()

    executor = Gone(address=None, cpus=1, gpus=0, child_timeout=None)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        executor._needed = [address]
        with pytest.raises(UserError, match=rf"nothing answers at {address} any more.* repeat the"):
            run_on(executor, Counting())


@pytest.mark.parametrize("raised", ["a child", "Ray"])
def test_out_of_memory_is_called_so(raised: str) -> None:
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'nas-lightning[ray]'")
    from nas_lightning.training.ray_executor import RayExecutor, _hand_over

    error = MemoryError() if raised == "a child" else ray.exceptions.OutOfMemoryError("node low")

    class Full(RayExecutor):
        """Ray has killed the task, or passes on what it raised."""

        def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
            done: Future[list[ChildResult]] = Future()
            future: Future[list[ChildResult]] = Future()
            done.set_exception(error)
            _hand_over(done, future)
            return future

    executor = Full(address=None, cpus=1, gpus=0, child_timeout=None)
    assert [r.status for r in run_on(executor, Counting())] == ["out of memory"] * 2


def test_a_cluster_that_is_not_there() -> None:
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'nas-lightning[ray]'")
    from nas_lightning.training.ray_executor import RayExecutor

    with pytest.raises(UserError, match=r"address=127.0.0.1:1: cannot be reached"):
        RayExecutor(address="127.0.0.1:1", cpus=1, gpus=0, child_timeout=None)
