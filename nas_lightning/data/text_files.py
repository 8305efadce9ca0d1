"""Texts in files: which file is which split, how one text is cut into three, what is refused.

Whatever is wrong with a file ends in one line that starts with `path=…` and tells the
way out.
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
from nas_lightning.data.sources import SPLIT_NAMES, Splits

MEMBER_LIMIT = 2 * 1024**3
"""The largest text file read, in bytes: 2 GiB, of which the tokens alone would fill most memories.

It is checked by the size a .zip declares, which is as much as would be decompressed.
"""

PIECES = 100
"""Of the largest unit of which a text has so many, it is cut into splits."""

_WANTED = "train.txt, valid.txt and test.txt, or one text, which is cut into three"
_UNITS = {"lines": r"[^\n]*\n|[^\n]+", "words": r"\s*\S+\s*", "characters": r"(?s:.)"}
_OTHER_ENDING = r"(?:\.(?:txt|text|tokens|tok|raw))?"


class _Entry(NamedTuple):
    """A file in a folder or .zip: its path inside, its size in bytes, and how to read it."""

    name: str
    size: int
    read: Callable[[], bytes]


def read_splits(path: Path, skip: str = "") -> tuple[Splits, str]:
    """Read a text file, or those of a folder or .zip.

    A split's file is one whose name ends in `train.txt`, `valid.txt` or `validation.txt`, and
    `test.txt`, after no letter. Where a split has none, its other words count (`sources.py`),
    in any case, and other endings: `wiki.train.tokens`, `dev.raw`, `TEST`. If no split has any and
    there is one file, or one .txt, it is cut like a text given by itself.

    Args:
        path: The text, folder or .zip.
        skip: Files with this in their names do not count; empty for none.

    Returns:
        The splits, and how one text was cut into them; empty if each has a file.

    Raises:
        UserError: If there is anything wrong with them.
    """
    try:
        if path.is_dir():
            return _choose(path, _folder_entries(path), skip)
        if path.is_file():
            if not _is_zip(path):
                return cut(_decode(path, _Entry(path.name, path.stat().st_size, path.read_bytes)))
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


def cut(text: str) -> tuple[Splits, str]:
    """Cut one text: the first 80 % of its lines train, the next 10 % validate, the last 10 % test.

    Of its words where it has fewer than `PIECES` lines, of its characters where it has fewer words.

    Returns:
        The splits, which are the text when put together, and the rule in words.
    """
    for unit, pattern in _UNITS.items():  # noqa: B007 (the last one is used below)
        pieces = re.findall(pattern, text)
        if len(pieces) >= PIECES:
            break
    first, second = len(pieces) * 8 // 10, len(pieces) * 9 // 10
    parts = (pieces[:first], pieces[first:second], pieces[second:])
    rule = f"first 80 % of the {unit} train, next 10 % validation, last 10 % test"
    return Splits(*("".join(part) for part in parts)), rule


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4)
    return path.suffix.lower() == ".zip" or head in (b"PK\3\4", b"PK\5\6")


def _folder_entries(folder: Path) -> list[_Entry]:
    # `iterdir` raises where a folder may not be read, `glob` passes over such subfolders.
    files = [*folder.iterdir(), *folder.glob("*/*")]
    return [
        _Entry(file.relative_to(folder).as_posix(), file.stat().st_size, file.read_bytes)
        for file in sorted(files)
        if file.is_file()
    ]


def _zip_entries(archive: zipfile.ZipFile) -> list[_Entry]:
    def entry(info: zipfile.ZipInfo) -> _Entry:
        return _Entry(info.filename, info.file_size, lambda: content(info))

    def content(info: zipfile.ZipInfo) -> bytes:
        with archive.open(info) as stream:
            return stream.read(info.file_size)  # `archive.read` would unpack all there is

    infos = archive.infolist()
    return [entry(info) for info in infos if not info.is_dir() and info.filename.count("/") <= 1]


def _choose(path: Path, entries: list[_Entry], skip: str) -> tuple[Splits, str]:
    """Find one file for each split among `entries` of `path`, or one for all, and read them."""
    entries = [entry for entry in entries if _counts(entry.name, skip)]
    found = {split: _matches(entries, words) for split, words in SPLIT_NAMES.items()}
    if not any(found.values()):
        alone = [entry for entry in entries if entry.name.endswith(".txt")] or entries
        if len(alone) == 1:
            return cut(_decode(path, alone[0]))
    texts = []
    for split, matches in found.items():
        if not matches:
            raise refusal(path, f"no file for the {split} split; it must hold {_WANTED}")
        if len(matches) > 1:
            names = ", ".join(entry.name for entry in matches)
            raise refusal(path, f"several files for the {split} split ({names}); leave one")
        texts.append(_decode(path, matches[0]))
    return Splits(*texts), ""


def _counts(name: str, skip: str) -> bool:
    base = name.rpartition("/")[2]
    hidden = base.startswith(".") or name.startswith("__MACOSX/")
    return not hidden and not (skip and skip in base)


def _matches(entries: list[_Entry], words: tuple[str, ...]) -> list[_Entry]:
    """The files that end in one of a split's words and .txt, else those that count if none does."""
    plain = "|".join(word for word in words if word in ("train", "valid", "validation", "test"))
    for pattern, flags in (
        (rf"(?:{plain})\.txt", re.NOFLAG),
        (rf"(?:{'|'.join(words)}){_OTHER_ENDING}", re.IGNORECASE),
    ):
        whole = re.compile(rf"(?<![^\W\d_]){pattern}$", flags)
        found = [entry for entry in entries if whole.search(entry.name.rpartition("/")[2])]
        if found:
            return found
    return []


def _decode(path: Path, entry: _Entry) -> str:
    """The text of a file, each of its lines ended by a newline, whatever ends them there."""
    if entry.size > MEMBER_LIMIT:
        reason = f"{entry.name} has {entry.size:,} bytes, at most {MEMBER_LIMIT:,} are read"
        raise refusal(path, reason)
    try:
        text = entry.read().decode("utf-8-sig")  # Some editors put a mark before the text.
    except UnicodeDecodeError as error:
        reason = f"{entry.name} is not UTF-8 (byte {error.start:,}); save it as UTF-8"
        raise refusal(path, reason) from error
    if "\0" in text:
        reason = f"{entry.name} is no text in UTF-8 (it holds zero bytes); save it as UTF-8"
        raise refusal(path, reason)
    if not text.strip():
        raise refusal(path, f"{entry.name} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")
