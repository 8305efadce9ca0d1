"""Moments inside a run's writes, at which something can be made to happen to it.

Runs inside the run's own process (`Command.prepare`), whose classes and functions it changes.
"""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from tests.processes import descendants

Kind = Literal["row", "sync", "save", "rename", "child"]


def at(kind: Kind, call: int, do: Callable[[], object], part: float = 0.5) -> None:
    """Have something happen within one of a run's writes.

    Args:
        kind: `row`: `part` of a row of the ledger or the metrics is on the disk. `sync`: a file is
            written, and not on the disk yet. `save`: `part` of a checkpoint is written. `rename`:
            the old checkpoint has been renamed, the new one not yet. `child`: a part of a line of
            `children.jsonl` is written.
        call: Which of these writes, counted from 1.
        do: What happens; if it returns, the write goes on as if nothing had been.
        part: How much is written before it.
    """
    calls = 0

    def its_turn() -> bool:
        nonlocal calls
        calls += 1
        return calls == call

    {"row": _row, "sync": _sync, "save": _save, "rename": _rename, "child": _child}[kind](
        its_turn, do, part
    )


def stop(by: signal.Signals = signal.SIGKILL) -> None:
    """Send this process a signal."""
    os.kill(os.getpid(), by)


def strike_worker(by: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to one of the local workers of this process."""
    os.kill(multiprocessing.active_children()[0].pid or 0, by)


def strike(word: str, by: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to the oldest process that this one has started and whose command has a word.

    Between two children a worker of Ray has another name, so that it is waited for.

    Raises:
        ValueError: If there is none within five seconds.
    """
    for _ in range(100):
        for pid in descendants(os.getpid()):
            try:
                if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, by)
                    return
            except OSError:  # it has just ended
                continue
        time.sleep(0.05)
    raise ValueError(f"this process has started no {word}")


def later(seconds: float, do: Callable[[], object]) -> None:
    """Have something happen a little later: to a worker that has its next child by then."""
    threading.Timer(seconds, do).start()


def no_space() -> None:
    """What a full disk says."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _row(its_turn: Callable[[], bool], do: Callable[[], object], part: float) -> None:
    from nas_lightning.runs.ledger import AppendOnlyFile

    append = AppendOnlyFile.append

    def appended(self: AppendOnlyFile, text: str) -> None:
        here = int(part * len(text)) if its_turn() else 0
        if here:
            append(self, text[:here])
            self.sync()
            do()
        append(self, text[here:])

    AppendOnlyFile.append = appended  # type: ignore[method-assign]


def _sync(its_turn: Callable[[], bool], do: Callable[[], object], part: float) -> None:
    fsync = os.fsync

    def synced(file: int) -> None:
        if its_turn():
            do()
        fsync(file)

    os.fsync = synced  # type: ignore[assignment]


def _save(its_turn: Callable[[], bool], do: Callable[[], object], part: float) -> None:
    import torch

    save = torch.save

    def saved(checkpoint: object, file: Any) -> None:
        whole = io.BytesIO()
        save(checkpoint, whole)
        here = int(part * len(whole.getvalue()))
        file.write(whole.getvalue()[:here])
        if its_turn():
            file.flush()
            do()
        file.write(whole.getvalue()[here:])

    torch.save = saved  # type: ignore[assignment]


def _rename(its_turn: Callable[[], bool], do: Callable[[], object], part: float) -> None:
    replace = Path.replace

    def replaced(path: Path, target: Path) -> Path:
        if target.name == "last.ckpt" and its_turn():
            do()
        return replace(path, target)

    Path.replace = replaced  # type: ignore[assignment,method-assign]


def _child(its_turn: Callable[[], bool], do: Callable[[], object], part: float) -> None:
    from nas_lightning.estimators.from_scratch import ChildRecord

    add = ChildRecord.add

    def added(self: ChildRecord, actions: tuple[int, ...], result: Any) -> None:
        if its_turn():
            with self.path.open("a", encoding="utf-8") as file:
                file.write('{"key":["')
                file.flush()
                do()
                file.truncate(file.tell() - len('{"key":["'))
        add(self, actions, result)

    ChildRecord.add = added  # type: ignore[method-assign]
