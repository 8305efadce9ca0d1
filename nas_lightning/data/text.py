"""Language modelling: a text becomes minibatches of windows, each continuing the one before it.

The text comes from a source (`text_sources.py`). Nothing here is random: a split is laid out as B
parallel streams, and window number i is a pair of column ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from torch import Tensor

from nas_lightning.data.base import Batch, Data, Fact
from nas_lightning.data.fingerprint import fingerprint_of
from nas_lightning.data.sources import TextSource
from nas_lightning.data.vocabulary import END_OF_LINE, UNKNOWN, Vocabulary
from nas_lightning.errors import UserError, require, require_one_of, require_whole

Level = Literal["word", "character"]


class TextData(Data):
    """A text as three splits of parallel streams.

    At word level every newline becomes `<eos>`; at character level it is a character like others.
    The vocabulary is built from the training split only, and what it lacks is read as `<unk>`.

    Attributes:
        source: Where the text comes from, which tells its words apart.
        vocabulary: The tokens by descending frequency in the training split, V of them.
        tokens: The number of tokens in each split, those counted that do not fill a stream.

    Args:
        source: Where the text comes from.
        batch_size: Rows B of a training minibatch.
        evaluation_batch_size: Rows B of a validation or test minibatch.
        sequence_length: Tokens L in a row, through which gradients are propagated back.
        vocabulary_size: The largest V allowed, `<unk>` and `<eos>` included; the least frequent
            training tokens are left out. `None` keeps all.
        level: What a token is.
    """

    def __init__(
        self,
        *,
        source: TextSource,
        batch_size: int,
        evaluation_batch_size: int,
        sequence_length: int,
        vocabulary_size: int | None,
        level: Level,
    ) -> None:
        require(isinstance(source, TextSource), "source", source, "a source of text: a TextSource")
        require_whole("batch_size", batch_size, at_least=1)
        require_whole("evaluation_batch_size", evaluation_batch_size, at_least=1)
        require_whole("sequence_length", sequence_length, at_least=1)
        if vocabulary_size is not None:  # <unk>, <eos> and one token that says something
            require_whole("vocabulary_size", vocabulary_size, at_least=3)
        require_one_of("level", level, ("word", "character"))
        self.source = source
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.sequence_length = sequence_length
        self.level = level

        splits = source.read()
        self._fingerprint = fingerprint_of(
            {"training": [splits.train], "validation": [splits.validation], "test": [splits.test]}
        )
        train, validation = self.tokenize(splits.train), self.tokenize(splits.validation)
        # The test text is counted now, so that one too short is refused before a search instead
        # of after it; it is encoded only when it is asked for.
        self._test_text = splits.test
        tokens = {
            "train": train,
            "validation": validation,
            "test": self.tokenize(splits.test),
        }
        self.tokens = {split: len(found) for split, found in tokens.items()}
        self._require_enough()

        reserved = (UNKNOWN, END_OF_LINE) if level == "word" else (UNKNOWN,)
        self.vocabulary = Vocabulary(train, limit=vocabulary_size, reserved=reserved)
        self._require_choice(train)
        self._unknown = {
            split: self.vocabulary.unknown_share(found) for split, found in tokens.items()
        }
        self._train = _streams(self.vocabulary.encode(train), batch_size)
        self._windows = (self._train.shape[1] - 1) // sequence_length
        self._validation = _streams(self.vocabulary.encode(validation), evaluation_batch_size)

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, newlines included."""
        if self.level == "character":
            return list(text)
        *lines, rest = text.split("\n")
        tokens = [token for line in lines for token in (*self.source.words(line), END_OF_LINE)]
        return tokens + self.source.words(rest)

    @property
    def description(self) -> dict[str, Fact]:
        """What a token is, how many, which share unknown, how many differ; what the source adds."""
        return {
            "level": self.level,
            "tokens": self.tokens,
            "unknown": self._unknown,
            "types": self.vocabulary.types,
            "vocabulary": len(self.vocabulary),
            **self.source.description,
        }

    @property
    def preparation(self) -> dict[str, Any]:
        """The vocabulary, and what a word is, where the source says it by a regular expression."""
        known = type(self.source).words is TextSource.words
        return {
            "vocabulary": list(self.vocabulary.tokens),
            "level": self.level,
            "words": self.source.word if known else None,
            "lower_case": self.source.lower_case,
        }

    @property
    def sizes(self) -> dict[str, int]:
        """The vocabulary's size V, as `{"vocabulary_size": V}`."""
        return {"vocabulary_size": len(self.vocabulary)}

    def train_batch(self, index: int) -> Batch:
        """Training window number `index` modulo the windows in the split, `(B, L)`.

        The rest of the streams after the last whole window is not used.
        """
        return _window(self._train, index % self._windows, self.sequence_length)

    @property
    def train_batches(self) -> int:
        """Windows of one pass over the training split."""
        return self._windows

    def validation_batches(self) -> Sequence[Batch]:
        """The whole validation split in order; the last batch may be shorter than L."""
        return self._validation_windows

    def test_batches(self) -> Sequence[Batch]:
        """The whole test split in order; the last batch may be shorter than L."""
        return self._test_windows

    @cached_property
    def _validation_windows(self) -> tuple[Batch, ...]:
        return _all_windows(self._validation, self.sequence_length)

    @cached_property
    def _test_windows(self) -> tuple[Batch, ...]:
        ids = self.vocabulary.encode(self.tokenize(self._test_text)).to(self._validation.device)
        return _all_windows(_streams(ids, self.evaluation_batch_size), self.sequence_length)

    def _require_choice(self, train: list[str]) -> None:
        """Refuse a text that is one token over and over: its perplexity would be 1 and say nothing.

        The ends of its lines do not count as words.
        """
        if self.vocabulary.types < 2:
            token = next((token for token in train if token != END_OF_LINE), "")
            raise self.source.refusal(
                f"the training text has one {self.level} only, {token!r:.60}; "
                "there is nothing to learn, give a text with more"
            )

    def _require_enough(self) -> None:
        """Refuse a text shorter than one minibatch; an evaluation's may be one target wide."""
        rows, columns = self.batch_size, self.sequence_length + 1
        if self.tokens["train"] < rows * columns:
            raise UserError(
                f"batch_size={rows}: the training text has {self.tokens['train']} tokens, one "
                f"batch needs batch_size * (sequence_length + 1) = {rows * columns}; "
                "lower it or sequence_length"
            )
        rows = self.evaluation_batch_size
        for split in ("validation", "test"):
            if self.tokens[split] < rows * 2:
                raise UserError(
                    f"evaluation_batch_size={rows}: the {split} text has "
                    f"{self.tokens[split]} tokens, one batch needs at least "
                    f"evaluation_batch_size * 2 = {rows * 2}; lower it"
                )


def _streams(ids: Tensor, rows: int) -> Tensor:
    """Ids `(N,)` as continuous streams `(rows, N // rows)`; what does not fill them is dropped."""
    columns = ids.shape[0] // rows
    return ids[: rows * columns].view(rows, columns)


def _window(streams: Tensor, number: int, length: int) -> Batch:
    """Window `number` of `streams (B, columns)`: up to `length` inputs and their successors."""
    start = number * length
    stop = min(start + length, streams.shape[1] - 1)
    return Batch(
        inputs=streams[:, start:stop].contiguous(),
        targets=streams[:, start + 1 : stop + 1].contiguous(),
        continues=number > 0,
    )


def _all_windows(streams: Tensor, length: int) -> tuple[Batch, ...]:
    """All windows of `streams (B, columns)`, every token but the first of a row a target once."""
    return tuple(
        _window(streams, number, length)
        for number in range(-(-(streams.shape[1] - 1) // length))  # rounded up
    )
