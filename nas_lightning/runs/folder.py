"""A run's folder, and the one rule for entering it.

    DONE                        finished: nothing to do
    partial, same config        resume from the last checkpoint
    begun, other config         refuse, naming the key
    partial, files missing      refuse, naming them
    empty                       start

A killed job that is queued again, a repeated sweep and `resume=` all enter by this rule, one
process at a time. Only `trainer.max_time` and `trainer.max_epochs` may be others, and `seeds` where
many lie in one folder: with more also a finished run goes on; with fewer, but no fewer than have
begun, an unfinished one ends there. One that was searched on is finished for the command that began
it, too. With what it was searched stands in `stretches.jsonl`: neither `config.yaml` nor the data
may have changed since.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import reprlib
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from omegaconf import OmegaConf

from nas_lightning.errors import Remedy, UserError
from nas_lightning.files import write
from nas_lightning.runs import stretches
from nas_lightning.runs.config import (
    CONFIG,
    MAX_TIME,
    MAY_GROW,
    SEEDS,
    at,
    differences,
    read_config,
    recorded,
)
from nas_lightning.terminal import called, shown

LEDGER = "ledger.jsonl"
BEST = "best_architecture.json"
DATA = "data.json"
LAST, PREVIOUS = CHECKPOINTS = ("checkpoints/last.ckpt", "checkpoints/previous.ckpt")
DECLARED = "metrics.json"
"""What the run's metrics are: names, units, which way is better."""

SCHEMA = 1
"""Stands in every JSON file of a run; those of version 0.1 have none."""

LONGEST_NAME = 120
"""Of a job's folder, in characters before its hash; what is longer was cut."""

LOCK = ".lock"
UNDEFINED = ".undefined"
"""The ending of an empty file in `analysis/`: what is not defined for the run's controller."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""What a disk says that takes no more."""


class RunFolder:
    """One folder, one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = False

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run, be it without a checkpoint yet."""
        return all(os.path.isfile(self.path / name) for name in (CONFIG, LEDGER))

    @property
    def done(self) -> bool:
        """Whether the run has come to its end."""
        return os.path.exists(self.path / "DONE")  # False where nobody may look

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints that are there, newest first."""
        return [path for name in CHECKPOINTS if (path := self.path / name).exists()]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder, which is made if need be.

        The kernel lets go of the lock when the process ends, however it does. A finished run may
        lie where nothing can be written: there it needs no lock.

        Raises:
            UserError: If another process is searching in the folder, or nobody can.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            if not self.done:
                raise self._unwritable(error.strerror or str(error)) from None
            yield
            return
        with lock as file:
            if not _taken(file):
                file.seek(0)
                raise UserError(
                    f"{self.path}: {file.read() or 'another process'} is searching there; wait "
                    "for its end, or give another folder",
                    Remedy.ANOTHER_FOLDER,
                )
            try:
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}")
                file.flush()
            except OSError as error:
                raise self._unwritable(error.strerror or str(error)) from None
            yield

    def enter(self, config: Mapping[str, Any]) -> Literal["start", "resume", "finished"]:
        """Apply the rule; nothing in the folder changes.

        Args:
            config: The resolved configuration, plain types.

        Raises:
            UserError: If the folder holds a run with another configuration, or only parts of one.
        """
        grown = self.begun and self._grown(config)
        if self.begun and self.done and not grown:
            return "finished"
        self._refuse_parts(checkpointed=at(config, SEEDS) is None)
        if not os.access(self.path, os.W_OK):
            raise self._unwritable("read only")
        return "resume" if self.checkpoints else "start"

    def _grown(self, config: Mapping[str, Any]) -> bool:
        """Whether more is asked for than before; raises UserError at other differences."""
        grown = False
        for key, old, new in differences(read_config(self.path), config):
            if f"{key}.".startswith(f"{MAX_TIME}."):
                continue
            whole = isinstance(old, int) and isinstance(new, int) and new > 0
            if not (key in (MAY_GROW, SEEDS) and whole):
                now, then = (reprlib.repr(v) if isinstance(v, list) else v for v in (new, old))
                raise UserError(
                    f"{key}={now}: the run in {self.path} has {key}={then}; give the value it has, "
                    "or another folder",
                    Remedy.ANOTHER_FOLDER,
                )
            grown = new > old
        searched = at(recorded(self.path), MAY_GROW)  # as config.yaml has it, if nobody edited that
        asked = at(config, MAY_GROW)
        return grown or (isinstance(searched, int) and isinstance(asked, int) and asked > searched)

    def _refuse_parts(self, *, checkpointed: bool) -> None:
        """Raise UserError if a run has left something here, but not all that it takes to go on.

        Many seeds go on from their ledger and have no checkpoint.
        """
        if not (self.checkpoints or self.done or self._was_saved()):
            return  # killed before anything was saved: it starts anew
        needed = {name: self.path / name for name in (CONFIG, LEDGER)}
        missing = [name for name, path in needed.items() if not path.is_file()]
        missing += ["checkpoints/"] if checkpointed and not self.checkpoints else []
        if missing:
            raise UserError(
                f"{self.path}: holds a run, but {' and '.join(missing)} of it is missing, so that "
                "it cannot go on; put it back, or give another folder",
                Remedy.ANOTHER_FOLDER,
            )

    def _unwritable(self, why: str) -> UserError:
        return UserError(
            f"{self.path}: cannot be written to ({why}); make it writable, or give another folder",
            Remedy.ANOTHER_FOLDER,
        )

    @property
    def way_on(self) -> str:
        """How a run that has stopped goes on."""
        if not self.begun:
            return "nothing of it can be resumed: repeat the command"
        return f"go on with: {called('train', shlex.quote(f'resume={shown(self.path)}'))}"

    def refused(self, error: BaseException) -> UserError | None:
        """The disk's refusal of a write as one line; None for an error of another kind."""
        if self._began and not (self.path / CONFIG).exists():
            return UserError(f"{self.path}: was deleted while the run wrote there; {self.way_on}")
        cause: BaseException | None = error
        seen: set[int] = set()  # causes may go round in a circle
        while cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            if isinstance(cause, OSError) and (cause.errno in DISK or self._holds(cause.filename)):
                why = f"{cause.strerror}: {cause.filename}" if cause.filename else cause.strerror
                return UserError(f"{self.path}: cannot be written to ({why}); {self.way_on}")
            cause = cause.__cause__ or cause.__context__
        return None

    def _holds(self, name: object) -> bool:
        """Whether a file's name is that of one in the folder."""
        return isinstance(name, (str, Path)) and self.path in Path(name).parents

    def _was_saved(self) -> bool:
        """Whether a run without a checkpoint must have had one.

        It is saved at the end of its first epoch at the latest, when it may already have written
        its best architecture.
        """
        ledger = self.path / LEDGER
        if not ledger.is_file():
            return (self.path / BEST).exists()
        with ledger.open("rb") as lines:
            return any(_is_later(line) for line in lines if line.endswith(b"\n"))

    def begin(self, config: Mapping[str, Any], data: Mapping[str, str] | None) -> None:
        """From here on the folder holds the run of this configuration, which has not ended.

        Args:
            config: The resolved configuration, plain types.
            data: The fingerprint of its data, or None.
        """
        for name in ("DONE", "FAILED"):
            (self.path / name).unlink(missing_ok=True)
        text = OmegaConf.to_yaml(OmegaConf.create(dict(config)))
        write(self.path / CONFIG, text)
        begin_stretch(self.path, text, data, anew=not self.checkpoints)
        self._began = True

    def finish(self, ending: Literal["DONE", "FAILED"], reason: str = "") -> None:
        """Leave the file of this name; a finished run that cannot be entered again stays so."""
        if ending == "DONE" or not self.done:
            write(self.path / ending, reason and reason + "\n")


def _taken(lock: TextIO) -> bool:
    """Take a lock. Who only looks whether it is held holds it for a moment, too: wait for those."""
    for pause in (0.01, 0.1, 0):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return True
    return False


def _is_later(line: bytes) -> bool:
    """Whether a line of a ledger was written after the first epoch; if none can tell, it was."""
    try:
        return bool(json.loads(line)["epoch"] > 0)
    except (ValueError, TypeError, KeyError, RecursionError):
        return True


def begin_stretch(folder: Path, config: str, data: Mapping[str, str] | None, *, anew: bool) -> None:
    """Add a stretch to a folder's record; say if it has other versions than the one before.

    Args:
        folder: The folder.
        config: The text of its `config.yaml`.
        data: The fingerprint of the data, or None.
        anew: Whether all that was done before is done again.
    """
    path = folder / stretches.STRETCHES
    before = "" if anew or not path.exists() else path.read_text("utf-8", errors="replace")
    known, damaged = stretches.read(folder) if before else ([], 0)
    if damaged:
        print(f"note: {shown(path)}: damaged lines: {damaged}", file=sys.stderr)
    other = known and stretches.changed(known[-1].versions, stretches.versions())
    if other:
        where = shown(folder)
        print(f"note: {where} goes on with other versions: {other}", file=sys.stderr)
    end = "" if not before or before.endswith("\n") else "\n"
    write(path, before + end + stretches.line(config, data))


def refuse_other_data(
    folder: Path,
    data: Mapping[str, str] | None,
    *,
    key: str | None = None,
    otherwise: str = "start another run on these",
) -> None:
    """Raise UserError if the data are not those that what lies in a folder was made on.

    Args:
        folder: A run's, or another with `stretches.jsonl`; without there is nothing to compare.
        data: The fingerprint of the data as they are now, or None.
        key: What gave the folder, and stands before the message in the place of its path.
        otherwise: What can be done instead of putting the data back.
    """
    known = next((s for s in reversed(stretches.read(folder)[0]) if s.data is not None), None)
    if known is None or data is None:
        return
    other = stretches.changed(known.versions, stretches.versions())
    versions = f"; versions differ, too: {other}" if other else ""
    for split, old, new in differences(known.data, data):
        raise UserError(
            f"{key or shown(folder)}: the {split} data have changed: now {new}, but what is there "
            f"was made on {old}; put them back as they were, or {otherwise}{versions}"
        )
