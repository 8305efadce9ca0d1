"""Texts in files: which file is which split, how one text is cut into three, what is refused.

Whatever is wrong with a file ends in one line that starts with `data.path=…` and tells the way out.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nas_lightning.data.archives import open_zip
from nas_lightning.data.members import refusal
from nas_lightning.data.split_names import WORDS
from nas_lightning.data.text import Splits

MEMBER_LIMIT = 2 * 1024**3
"""The largest text file read, in bytes: 2 GiB, of which the tokens alone would fill most memories.

It is checked by the size a .zip declares, which is as much as would be decompressed.
"""

_WANTED = "train.txt, valid.txt and test.txt"
_NAMES = Splits(
    train=r"train\.txt",
    validation=r"valid(?:ation)?\.txt",
    test=r"test\.txt",
)


class _Entry(NamedTuple):
    """A file in a folder or .zip: its path inside, its size in bytes, and how to read it."""

    name: str
    size: int
    read: Callable[[], bytes]


def read_splits(path: Path, skip: str = "") -> Splits:
    """Read the three text files in a folder or .zip; `TextFiles` tells which they are.

    Args:
        path: The folder or .zip.
        skip: Files with this in their names do not count; empty for none.

    Raises:
        UserError: If there is anything wrong with them.
    """
    try:
        if path.is_dir():
            return _choose(path, _folder_entries(path), skip)
        if path.is_file():
            with open_zip(path) as archive:
                return _choose(path, _zip_entries(archive), skip)
        exists = path.exists()
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror or error})") from error
    # What zipfile raises on archives that are damaged, encrypted or packed by a rare method.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError) as e:
        reason = f"not a sound .zip ({e}); give a folder or .zip with {_WANTED}"
        raise refusal(path, reason) from e
    # Reading a pipe or a device could wait for ever.
    problem = "neither a folder nor a regular file" if exists else "no such file or folder"
    raise refusal(path, f"{problem}; give a folder or .zip with {_WANTED}")


def _folder_entries(folder: Path) -> list[_Entry]:
    # `iterdir` raises where a folder may not be read, `glob` passes over such subfolders.
    files = [*folder.iterdir(), *folder.glob("*/*.txt")]
    return [
        _Entry(file.relative_to(folder).as_posix(), file.stat().st_size, file.read_bytes)
        for file in sorted(files)
        if file.suffix == ".txt" and file.is_file()
    ]


def _zip_entries(archive: zipfile.ZipFile) -> list[_Entry]:
    def entry(info: zipfile.ZipInfo) -> _Entry:
        return _Entry(info.filename, info.file_size, lambda: content(info))

    def content(info: zipfile.ZipInfo) -> bytes:
        with archive.open(info) as stream:
            return stream.read(info.file_size)  # `archive.read` would unpack all there is

    infos = archive.infolist()
    return [entry(info) for info in infos if not info.is_dir() and info.filename.count("/") <= 1]


def _choose(path: Path, entries: list[_Entry], skip: str) -> Splits:
    """Find one file for each split among `entries` of `path`, and read them."""
    texts = []
    for split, pattern in _NAMES._asdict().items():
        matches = []
        for entry in entries:
            base = entry.name.rpartition("/")[2]
            counts = not base.startswith(".") and not (skip and skip in base)
            if counts and re.search(rf"(?<![^\W\d_]){pattern}$", base):
                matches.append(entry)
        if not matches:
            raise refusal(path, f"no file for the {split} split; it must hold {_WANTED}")
        if len(matches) > 1:
            names = ", ".join(entry.name for entry in matches)
            raise refusal(path, f"several files for the {split} split ({names}); leave one")
        texts.append(_decode(path, matches[0]))
    return Splits(*texts)


def _decode(path: Path, entry: _Entry) -> str:
    if entry.size > MEMBER_LIMIT:
        reason = f"{entry.name} has {entry.size:,} bytes, at most {MEMBER_LIMIT:,} are read"
        raise refusal(path, reason)
    try:
        text = entry.read().decode("utf-8-sig")  # Some editors put a mark before the text.
    except UnicodeDecodeError as error:
        reason = f"{entry.name} is not UTF-8 (byte {error.start:,}); save it as UTF-8"
        raise refusal(path, reason) from error
    if not text.strip():
        raise refusal(path, f"{entry.name} is empty")
    return text.replace("\r\n", "\n")
