"""One row of the table, measured in a process of its own: what befalls it befalls no other.

`measured` starts the process and waits for it; `write_row` is what runs there.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.numbers import Number
from nas_lightning.files import write_json

PROGRAM = Path(__file__).parents[2]
"""The folder that holds the package; another commit's lies elsewhere."""


TORCHS = {"GOMP_SPINCOUNT": "300000"}
"""As threads wait where nobody says how, so that a plain loop of several is at its best."""


ALL_COUNTED = {"MALLOC_ARENA_MAX": "1", "PYTHONMALLOC": "malloc"}
"""What makes one count of what a process has been given tell of Python and all threads."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a row's process is told.

    Attributes:
        module: Whose `measurements(quick=…, figure=…)` has the row.
        name: The row's.
        quick: Whether to do less work.
        rounds: How often it is measured.
        figure: Where the row that draws puts its drawing.
    """

    module: str
    name: str
    quick: bool
    rounds: int
    figure: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """What has become of a row.

    Attributes:
        numbers: Its numbers; none where it failed.
        reference: Seconds of the fixed matrix product beside every repeat.
        failed: Why there are no numbers; empty where there are.
        seconds: How long it took, its processes included.
    """

    numbers: Sequence[Number] = ()
    reference: Sequence[float] = ()
    failed: str = ""
    seconds: float = 0.0

    @property
    def noise(self) -> float | None:
        """The slowest product over the fastest: of ratios nearer to 1 nothing can be said."""
        return max(self.reference) / min(self.reference) if self.reference else None

    def in_words(self) -> list[str]:
        """A line for every number, or why there are none."""
        if self.failed:
            return [f"failed: {self.failed}"]
        return [f"{number.what}: {number.value:.3g}" for number in self.numbers]

    def as_json(self) -> dict[str, object]:
        """All of it, for a file."""
        numbers = [number.as_json() for number in self.numbers]
        return {**asdict(self), "numbers": numbers, "noise": self.noise}

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Row:
        """What `as_json` has made."""
        numbers = [Number.from_json(number) for number in row["numbers"]]
        told = {key: row[key] for key in ("reference", "failed", "seconds")}
        return Row(numbers=numbers, **told)


def measured(task: Task, *, limit: float, program: Path = PROGRAM) -> Row:
    """A row, or why there is none; no process and no file of it stays.

    Args:
        task: What is measured.
        limit: Seconds until it is stopped.
        program: The folder of the package that is measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        result, said = Path(folder, "row.json"), Path(folder, "said")
        own = variables(task.name)
        begin = Begun if own or program != PROGRAM else Forked
        process = begin(task, result, said, environment(program, folder) | own)
        try:
            process.join(limit)
            code = process.exitcode
        finally:
            process.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # whatever it has started
            process.join()
        if code is None:
            return Row(failed=f"stopped after {limit:g} s, its limit")
        if code == 0 and result.exists():
            return Row.from_json(json.loads(result.read_text(encoding="utf-8")))
        last = said.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return Row(failed=f"{ended}: {last}" if last else ended)


class Begun:
    """A row's process, an interpreter of its own.

    Args:
        task: What is measured.
        result: The file for its row.
        said: The file for what it prints.
        environment: Its variables.
    """

    def __init__(
        self, task: Task, result: Path, said: Path, environment: Mapping[str, str]
    ) -> None:
        with said.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.row", json.dumps(asdict(task)), str(result)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        self.pid = self._process.pid

    @property
    def exitcode(self) -> int | None:
        """How it has ended; None where it has not."""
        return self._process.poll()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, or so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def kill(self) -> None:
        """End it."""
        self._process.kill()


class Forked:
    """The same, a fork of a server that has imported all libraries once, which takes seconds.

    Args:
        task: See `Begun`.
        result: See `Begun`.
        said: See `Begun`.
        environment: See `Begun`.
    """

    def __init__(
        self, task: Task, result: Path, said: Path, environment: Mapping[str, str]
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([task.module])
        self._process = context.Process(
            target=measure, args=(task, result, said, dict(environment))
        )
        # The server finds what it imports by this alone, and says nothing where it does not.
        before = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = environment["PYTHONPATH"]
        self._process.start()
        os.environ["PYTHONPATH"] = before
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def exitcode(self) -> int | None:
        """How it has ended; None where it has not."""
        return self._process.exitcode

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, or so many seconds."""
        self._process.join(timeout)

    def kill(self) -> None:
        """End it."""
        self._process.kill()


def measure(task: Task, result: Path, said: Path, environment: Mapping[str, str]) -> None:
    """Measure a row in a fork, which is made as if it were an interpreter of its own."""
    os.setsid()
    with said.open("wb") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    os.environ.update(environment)
    tempfile.tempdir = None  # where these say now
    write_row(task, result)


def variables(name: str) -> dict[str, str]:
    """What only this row's process is told."""
    if "plain loop" in name:
        return TORCHS
    return ALL_COUNTED if name.startswith("memory") else {}


def environment(program: Path, folder: str) -> dict[str, str]:
    """What makes a process take the package from one folder, and leave its own files in another."""
    path = [str(program), str(PROGRAM / "scripts"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTHONSAFEPATH": "1",  # the working directory may hold another commit's package
        "TMPDIR": folder,
    }


def write_row(task: Task, result: Path) -> None:
    """Measure a row in this process.

    Args:
        task: What is measured.
        result: The file for it.
    """
    from benchmarks.timing import products

    known = import_module(task.module).measurements(quick=task.quick, figure=Path(task.figure))
    numbers = known[task.name](task.rounds)
    write_json(result, Row(numbers=numbers, reference=products).as_json())


def main() -> None:
    """Measure a row, in the process that was started for it."""
    write_row(Task(**json.loads(sys.argv[1])), Path(sys.argv[2]))


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from benchmarks.row import main as imported

    imported()
