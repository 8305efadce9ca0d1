"""The files of a run that grow: `ledger.jsonl`, every architecture judged, and `metrics.csv`.

The fields of a ledger's row are made in `engine/judge.py`; `records.py` reads the files back.

Both only ever grow, in the order in which things happened. A checkpoint notes their lengths, and
a resumed run first cuts them back to what its checkpoint knows, and writes the same rows again.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from io import BufferedWriter
from pathlib import Path

from nas_lightning.errors import UserError
from nas_lightning.files import to_json


class AppendOnlyFile:
    """A file of lines that grows.

    Args:
        path: Opened for appending at the first use; what it already holds stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _file(self) -> BufferedWriter:
        return self.path.open("ab")

    def append(self, text: str) -> None:
        """Add text, buffered."""
        self._file.write(text.encode())

    def sync(self) -> int:
        """Bring everything to the disk; returns the file's length in bytes.

        Raises:
            FileNotFoundError: If the file has been deleted: the system would go on writing into it.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "deleted while it was written", str(self.path))
        return self._file.tell()

    def truncate(self, length: int) -> None:
        """Cut the file back to its first `length` bytes.

        Raises:
            UserError: If it is shorter than that, so that rows are missing.
        """
        size = self.sync()
        if size < length:
            raise UserError(
                f"{self.path}: {size} bytes, but the checkpoint knows of {length}: rows are "
                "missing; put the file back, or start a new run in another folder"
            )
        self._file.truncate(length)
        self._file.seek(length)

    def close(self) -> None:
        """Bring everything to the disk and close."""
        try:
            self.sync()
        finally:
            self._file.raw.close()  # what a full disk has refused is not tried again at exit


class Ledger(AppendOnlyFile):
    """One JSON object a line for every architecture judged; `docs/ledger.md` names the fields."""

    def record(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add rows."""
        for row in rows:
            self.append(to_json(row) + "\n")


class Metrics(AppendOnlyFile):
    """Metrics in long form: a row a value, so that a new name never changes the old rows."""

    AXES = ("epoch", "child_step", "controller_step", "architectures_judged")
    HEADER = ("time", *AXES, "name", "value")

    def record(self, axes: Mapping[str, int], metrics: Mapping[str, float]) -> None:
        """Add one row a metric, all at the same place of the axes and the present time."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if self._file.tell() == 0:
            writer.writerow(self.HEADER)
        now = f"{time.time():.3f}"
        place = [axes[axis] for axis in self.AXES]
        for name, value in metrics.items():
            writer.writerow([now, *place, name, repr(float(value))])
        self.append(text.getvalue())
