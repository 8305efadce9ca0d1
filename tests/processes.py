"""Runs the command `python train.py …` in processes of its own, quickly and killed on purpose.

The other commands, `python scripts/….py`, run the same way.

A fork server imports the package once, which takes seconds; every run is then a fork of it with its
own arguments, working directory, environment and output, and ends like a process: by exit code,
or by a signal. The workers of a run are forks of the same server.
"""

from __future__ import annotations

import csv
import ctypes
import importlib
import multiprocessing
import os
import signal
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, Literal

import pytest

FORKS = multiprocessing.get_context("forkserver")
PRELOADED = [
    "pytest",
    "rich.console",
    "nas_lightning.commands.train",
    "nas_lightning.assembly.run",
    "nas_lightning.callbacks",
    "nas_lightning.controllers",
    "nas_lightning.data",
    "nas_lightning.engine",
    "nas_lightning.estimators",
    "nas_lightning.loggers.wandb_logger",
    "nas_lightning.memories",
    "nas_lightning.report.page",
    "nas_lightning.report.terminal",
    "nas_lightning.search_spaces",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.font_manager",
    "tests.warm",
]
TINY = (
    "experiment=smoke",
    "logger=csv",
    "threads=1",
    "search_space.num_nodes=3",
    "child.hidden_size=8",
    "data.batch_size=8",
    "data.evaluation_batch_size=64",
    "data.sequence_length=8",
    "data.vocabulary_size=60",
)
"""A search of a second: 2 epochs of 4 child steps, 3 controller steps and a derivation."""

UNSEEN = tuple(
    f"~callbacks.{name}"
    for name in ("heat_maps", "hidden_states", "probes", "similarity", "diversity")
)
"""Without the callbacks that look at the controller, which take half of a small search's time."""

CNN = (
    "experiment=smoke",
    "search_space=nas_cnn",
    "search_space.filters=[4,8]",
    "data.train_limit=64",
    "logger=csv",
    "threads=1",
)
"""Two epochs of two controller steps with four children each, and a derivation."""


ARMS = {
    "default": TINY,
    "unseen": (*TINY, *UNSEEN),
    "moving average": (
        *TINY,
        *UNSEEN,
        "controller/baseline=moving_average",
        "controller.baseline.reset_every=4",
        "child.weight_drop=0.2",
        "callbacks.checkpoint.every_seconds=0",
    ),
    "random": (*TINY, "controller=random", "controller.support=5"),
    # Cells so large that they are judged one by one, by two processes.
    "two processes": (*TINY, *UNSEEN, "threads=2", "child.hidden_size=32"),
    "darts": (
        *TINY,
        *UNSEEN,
        "search_space=darts_rnn",
        "controller=darts",
        "controller.order=2",
        "controller.early_stop.measurements=2",
        "callbacks.checkpoint.every_seconds=0",
    ),
}
"""Settings whose runs are compared with and without a kill."""


@dataclass(frozen=True)
class Kill:
    """When a run shall kill itself.

    Attributes:
        epoch: Counted from 0.
        step: Step of the epoch's stream, counted from 1.
        moment: `step`: it is done, nothing is saved yet. `saving`: half of the checkpoint is
            written. `renaming`: the old checkpoint has been renamed, the new one not yet.
            `saved`: the checkpoint is complete. `child`: so many (`step`) children of the run have
            been trained, others are being trained. `worker`: the same, but a worker is killed.
        by: The signal.
    """

    epoch: int
    step: int
    moment: Literal["step", "saving", "renaming", "saved", "child", "worker"]
    by: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Command:
    """One call of the command.

    Attributes:
        arguments: What stands behind `python train.py`, or the script's name.
        folder: The working directory, made if need be.
        environment: Variables beside `PATH` and a `HOME` of the test's own.
        kill: When to kill it.
        patience: Kill it from outside after so many seconds; None to wait for its end.
        submitted: A file to which every architecture that is given to a worker is added.
        module: Whose `main` is the command.
        plain: Whether the superuser shall give up what others may not do, above all to read what
            nobody may read.
        prepare: Called in the process before the command; see `moments.at`.
        own_server: Whether its workers are forks of a server of its own, as a user's are.
        page: Whether a finished run gets its page, which takes as long as a small search.
    """

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    kill: Kill | None = None
    patience: float | None = None
    submitted: Path | None = None
    module: str = "nas_lightning.commands.train"
    plain: bool = False
    prepare: Callable[[], object] | None = None
    own_server: bool = False
    page: bool = True


@dataclass(frozen=True)
class Ended:
    """How a call ended: exit code, or minus the signal's number; standard output and error."""

    code: int
    out: str
    err: str

    @property
    def ours(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()


def train(folder: Path, *arguments: str, kill: Kill | None = None, page: bool = False) -> Ended:
    """Call the command once; without the page of a finished run, unless that is what is asked."""
    return run(Command(arguments, folder, kill=kill, page=page))


def train_all(commands: Sequence[Command]) -> list[Ended]:
    """Call it several times, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, commands))


def preload() -> None:
    """Have the fork server import what runs need, and their workers; before it is started."""
    import nas_lightning.training.executors  # noqa: F401  (which asks for less)

    FORKS.set_forkserver_preload(PRELOADED)


def run(command: Command) -> Ended:
    """Call the command as it is described."""
    preload()
    with call_of(command) as call:
        process = FORKS.Process(target=in_fork, args=(call,))
        process.start()
        process.join(command.patience)
        if process.is_alive():
            process.kill()
            process.join()
        assert process.exitcode is not None
        return call.ended(process.exitcode)


@dataclass(frozen=True)
class Call:
    """A command with what it is given beside: its user's home, and where its output goes."""

    command: Command
    home: Path
    out: Path
    err: Path

    def ended(self, code: int) -> Ended:
        """How it has ended."""
        both = (self.out, self.err)
        texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in both]
        return Ended(code, *texts)


@contextmanager
def call_of(command: Command) -> Iterator[Call]:
    """A call of the command, whose output is there until the end."""
    command.folder.mkdir(parents=True, exist_ok=True)
    home = command.folder.parent / f"{command.folder.name}.home"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        yield Call(command, home, Path(temporary, "out"), Path(temporary, "err"))


def result(folder: Path) -> dict[str, object]:
    """All that a finished run has come to, and that two equal runs share to the last bit."""
    import torch

    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        metrics = [[v for k, v in row.items() if k != "time"] for row in csv.DictReader(file)]
    return {
        "verdict": sorted(p.name for p in folder.iterdir() if p.name in ("DONE", "FAILED")),
        "ledger": (folder / "ledger.jsonl").read_bytes(),
        "metrics": metrics,
        "best": (folder / "best_architecture.json").read_bytes(),
        **_flat("checkpoint", checkpoint),
    }


def _flat(name: str, value: Any) -> dict[str, object]:
    """A nested checkpoint as one level of comparable values."""
    if isinstance(value, dict):
        return {k: v for n in value for k, v in _flat(f"{name}.{n}", value[n]).items()}
    if isinstance(value, (list, tuple)) and len(value) < 100:
        return {k: v for n, x in enumerate(value) for k, v in _flat(f"{name}.{n}", x).items()}
    if hasattr(value, "numpy"):
        return {name: (value.dtype, value.shape, value.numpy().tobytes())}
    return {name: repr(value)}


def differing(one: Path, other: Path) -> list[str]:
    """In what the results of two runs differ; empty where they are equal."""
    a, b = result(one), result(other)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def in_fork(call: Call) -> None:
    """Be the command's process."""
    command = call.command
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, call.out, os.O_WRONLY | os.O_CREAT),
        (2, call.err, os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    # A shell starts what runs in its background deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = ("PATH", "LANG", "LC_ALL", "OMP_WAIT_POLICY")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.clear()
    os.environ.update(kept | {"HOME": str(call.home)} | dict(command.environment))
    os.chdir(command.folder)
    if not command.own_server:
        vars(forkserver._forkserver)["ensure_running"] = resource_tracker.ensure_running
    sys.argv = ["train.py", *command.arguments]
    main = importlib.import_module(command.module).main

    if command.plain:
        _give_up_privileges()
    if command.kill is not None:
        _arm(command.kill)
    if command.submitted is not None:
        _note_submissions(command.submitted)
    if command.prepare is not None:
        command.prepare()
    with pytest.MonkeyPatch.context() as patched:
        if not command.page:
            patched.setattr("nas_lightning.assembly.run.report", lambda *_: None)
        main()


def _give_up_privileges() -> None:
    """Hold to the permissions of files, as only the superuser does not."""
    header = struct.pack("Ii", 0x20080522, 0)  # linux/capability.h: version 3, this process
    ctypes.CDLL(None).capset(header, bytes(24))


def _arm_children(kill: Kill) -> None:
    """Kill this process or one of its workers when so many children are on record."""
    from nas_lightning.estimators.from_scratch import ChildRecord

    add = ChildRecord.add

    def added(self: ChildRecord, actions: tuple[int, ...], result: Any) -> None:
        add(self, actions, result)
        if len(self.results) == kill.step:
            worker = multiprocessing.active_children()[0].pid
            os.kill(worker or 0 if kill.moment == "worker" else os.getpid(), kill.by)

    ChildRecord.add = added  # type: ignore[method-assign]


def _note_submissions(path: Path) -> None:
    from nas_lightning.training.executors import LocalExecutor

    submit = LocalExecutor.submit

    def noted(self: LocalExecutor, job: Any, group: Any) -> Any:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{list(actions)}\n" for actions in group)
        return submit(self, job, group)

    LocalExecutor.submit = noted  # type: ignore[method-assign]


def alive(here: Path) -> list[int]:
    """The processes whose working directory is `here`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cwd").samefile(here):
                found.append(int(folder.name))
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def descendants(ancestor: int) -> list[int]:
    """The processes that a process has started, and those that they have, oldest first."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
    found = [ancestor]
    for parent in found:  # grows
        found += sorted(pid for pid in parents if parents[pid] == parent)
    return found[1:]


def children(folder: Path) -> list[str]:
    """The lines of `children.jsonl`; in which order children finish is left to chance."""
    return sorted((folder / "children.jsonl").read_text().splitlines())


def _arm(kill: Kill) -> None:
    """Have every run that is built from now on kill itself."""
    import pytorch_lightning as pl
    import torch

    from nas_lightning.assembly import run as experiment
    from nas_lightning.assembly.search import build

    def now() -> None:
        os.kill(os.getpid(), kill.by)

    if kill.moment in ("child", "worker"):
        _arm_children(kill)
        return

    class Killer(pl.Callback):
        def __init__(self, do: Any) -> None:
            self.do = do

        def on_train_batch_end(self, trainer: Any, module: Any, *batch: Any) -> None:
            if (module.stream.epoch, module.stream.position) == (kill.epoch, kill.step):
                self.do()

    rename = Path.replace

    def rename_until_last(path: Path, target: Path) -> Path:
        if target.name == "last.ckpt":
            now()
        return rename(path, target)

    def save_a_part(checkpoint: object, file: Any) -> None:
        file.write(b"part of a checkpoint")
        file.flush()
        now()

    # What happens at the step, before its checkpoint is saved.
    before = {
        "step": now,
        "saving": lambda: setattr(torch, "save", save_a_part),
        "renaming": lambda: setattr(Path, "replace", rename_until_last),
        "saved": lambda: None,
    }

    def armed(*arguments: Any) -> tuple[pl.Trainer, Any]:
        trainer, search = build(*arguments)
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        callbacks.insert(0, Killer(before[kill.moment]))
        callbacks.append(Killer(now))
        return trainer, search

    vars(experiment)["build"] = armed
