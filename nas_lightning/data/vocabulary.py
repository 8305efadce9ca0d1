"""The tokens a language model knows, and the number each of them has.

Apart from the data sets, because it is the one thing that must see the training split only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

import torch
from torch import Tensor

UNKNOWN = "<unk>"
"""Stands for every token outside the vocabulary; Penn Treebank's own text holds it as well."""

END_OF_LINE = "<eos>"
"""Stands for a newline at word level."""


class Vocabulary:
    """A numbering of tokens by descending frequency.

    Attributes:
        tokens: The tokens; a token's id is its place.
        types: How many different tokens the training split has, those of `reserved` apart.

    Args:
        training_tokens: The training split, token by token.
        limit: The largest size allowed, `reserved` included; `None` keeps every training token.
        reserved: Tokens that are kept whatever their frequency; `UNKNOWN` must be one.
    """

    def __init__(
        self, training_tokens: Iterable[str], *, limit: int | None, reserved: tuple[str, ...]
    ) -> None:
        counts = Counter(training_tokens)

        # Equally frequent tokens are ordered by their letters: the order must not depend on where
        # they stand in a file, nor on Python's hashing.
        def rank(token: str) -> tuple[int, str]:
            return -counts[token], token

        others = sorted(counts.keys() - set(reserved), key=rank)
        self.types = len(others)
        kept = others if limit is None else others[: limit - len(reserved)]
        # What is left out is read as unknown, so it counts as such before ids are given.
        counts[UNKNOWN] += sum(counts[token] for token in others[len(kept) :])
        self.tokens = tuple(sorted([*reserved, *kept], key=rank))
        self._ids = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        """Its size V."""
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> Tensor:
        """The ids of `tokens`, those outside the vocabulary as `UNKNOWN`: int64 `(N,)`."""
        unknown = self._ids[UNKNOWN]
        return torch.tensor([self._ids.get(token, unknown) for token in tokens], dtype=torch.int64)

    def unknown_share(self, tokens: Collection[str]) -> float:
        """Of `tokens`, the share that `encode` reads as `UNKNOWN`."""
        unknown = self._ids[UNKNOWN]
        return sum(self._ids.get(token, unknown) == unknown for token in tokens) / len(tokens)
