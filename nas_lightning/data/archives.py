"""Archives that nobody vouches for: what would unpack without end is refused, nothing is extracted.

Members are read in place, by name, so that a name with `..` in it leads nowhere.
"""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNPACKED_LIMIT = 4 * 1024**3
"""Bytes that a .tar.gz may unpack to: 4 GiB, twenty times CIFAR-10."""

_LARGEST_READ = 64 * 1024**2 + 1024**2
"""Bytes asked for at once by what reads members; only a forged header asks for more."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those whose reader unpacks no more than it is asked for; bzip2 and LZMA unpack all they have."""


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A .zip whose members are stored or deflated.

    Raises:
        ValueError: If a member is packed by another method.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.compress_type not in _METHODS:
                raise ValueError(
                    f"{info.filename} is packed by method {info.compress_type}; deflate it"
                )
        yield archive


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A .tar, or a .tar.gz.

    Reading raises ValueError when more than `UNPACKED_LIMIT` is unpacked, or is asked for at once.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                yield tar
            return
        with _Bounded(fileobj=file) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            yield tar


class _Bounded(gzip.GzipFile):
    """A .gz that unpacks to no more than it may."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _LARGEST_READ:
            raise ValueError(f"a header in it claims {size} bytes")
        if self.tell() + size > UNPACKED_LIMIT:
            raise ValueError(f"it unpacks to more than {UNPACKED_LIMIT:,} bytes")
        return super().read(size)
