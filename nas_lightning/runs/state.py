"""What has become of a run. Whoever asks, asks here.

    DONE             done: it has come to its end
    .lock held       running: a process is searching there
    FAILED           failed: for the reason that stands in it
    none of them     stopped: it was killed or told to stop, and can go on

A lock is the kernel's: it lets go when the process ends, however it does. So what a killed process
has left behind is never taken for a living one.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nas_lightning.runs.config import CONFIG
from nas_lightning.runs.folder import LEDGER, LOCK, RunFolder


@dataclass(frozen=True)
class RunState:
    """What has become of a run.

    Attributes:
        name: Which of the four.
        begun: Whether there is a run: its configuration and its ledger. A command that was refused
            or killed before has left a folder without.
        words: The state in words, the reason of a failure included.
        way: What to do about it; empty if nothing.
        reason: Of a failure; empty otherwise.
    """

    name: Literal["done", "running", "failed", "stopped"]
    begun: bool
    words: str
    way: str = ""
    reason: str = ""

    @property
    def said(self) -> str:
        """Its words and the way."""
        return f"{self.words}; {self.way}" if self.way else self.words


def state_of(folder: Path) -> RunState | None:
    """What has become of the run in a folder; None if none was ever tried there."""
    run = RunFolder(folder)
    begun = run.begun
    if run.done:
        if begun:
            return RunState("done", begun, "has finished")
        words = f"has finished, but its {CONFIG} or {LEDGER} is missing"
        return RunState("done", begun, words, "put it back")
    if _held(folder / LOCK):
        words = "is still running" if begun else "is about to begin"
        return RunState("running", begun, words, "wait for its end")
    reason = _reason(folder / "FAILED")
    if reason:
        way = "mend that and repeat the command"
        words = "has failed" if begun else "has failed before it had begun"
        return RunState("failed", begun, f"{words}: {reason}", way, reason)
    if begun:
        return RunState("stopped", begun, "has stopped", run.way_on)
    if os.path.isfile(folder / LOCK):
        return RunState("stopped", begun, "was stopped before it had begun", "repeat the command")
    return None


def _reason(path: Path) -> str:
    """The first line of a `FAILED`; empty if there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[0] if lines else "no reason is given"


def _held(path: Path) -> bool:
    """Whether a process holds a lock. `RunFolder.locked` waits for those that only look."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none, nobody may look, or the disk knows no locks
        return False
    return False
