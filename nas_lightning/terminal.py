"""What the user sees and types: streams that can be written to, paths and commands as from here.

*Here* is where the user stands: with `hydra.job.chdir=true` a job's working directory is another.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CHECKOUT = Path(__file__).resolve().parents[1]
"""Where `train.py` and `scripts/` lie, if the package is used from a clone of its repository."""

_stands: ContextVar[Path | None] = ContextVar("stands", default=None)


class ForgivingFile(io.FileIO):
    """A file to write to; once nobody reads it any more, as behind `| head`, the rest is lost."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, to nowhere if the pipe is closed."""
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)


def forgive() -> None:
    """Have standard output and error take every character, and a reader that goes away.

    A terminal of ASCII shows `?` for what it lacks. Streams that are no longer the interpreter's
    own, as in a notebook or under pytest, are left alone.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue
        stream.flush()
        file = ForgivingFile(stream.fileno(), "w", closefd=False)
        text = io.TextIOWrapper(
            file if stream.write_through else io.BufferedWriter(file),  # PYTHONUNBUFFERED: at once
            encoding=stream.encoding,
            errors="replace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, text)


@contextmanager
def standing(folder: str | Path) -> Iterator[None]:
    """The user stands in this folder, wherever this process does."""
    token = _stands.set(Path(folder))
    try:
        yield
    finally:
        _stands.reset(token)


def here() -> Path:
    """Where the user stands."""
    return _stands.get() or Path.cwd()


def shown(path: str | Path) -> str:
    """A path as one can copy it here: absolute, if it leads out of where the user stands."""
    full = os.path.abspath(path)
    relative = os.path.relpath(full, here())
    return full if relative.split(os.sep)[0] == os.pardir else relative


def called(command: str, arguments: str = "") -> str:
    """How a command is called from here.

    By its script, if the user stands in a clone of the repository or has called a script of it;
    else by `nas-lightning`, which comes with the package.

    Args:
        command: For example `train` or `study-table`; see `nas_lightning.__main__`.
        arguments: What stands behind it, for a shell.
    """
    name = "train.py" if command == "train" else f"scripts/{command.replace('-', '_')}.py"
    typed = (here() / sys.argv[0]).resolve()
    typed_a_script = typed.suffix == ".py" and typed.parent in (CHECKOUT, CHECKOUT / "scripts")
    if (CHECKOUT / name).is_file() and (typed_a_script or here() == CHECKOUT):
        program = f"python {shlex.quote(shown(CHECKOUT / name))}"
    else:
        program = "nas-lightning" if command == "train" else f"nas-lightning {command}"
    return f"{program} {arguments}".rstrip()


def words(target: object) -> str:
    """A class as words: `a.b.LSTMController` is `LSTM controller`."""
    name = str(target).rpartition(".")[2]
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    return " ".join(part if part.isupper() else part.lower() for part in parts)
