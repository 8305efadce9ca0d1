"""What tells the content of data from another content: sizes and a hash, whatever file they are in.

It is taken of what a source has read, not of its files: data may be moved, packed or unpacked and
stay the same, and no byte is read twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Part = str | NDArray[np.generic] | None
"""A text, an array, or nothing."""


def fingerprint_of(splits: Mapping[str, Iterable[Part]]) -> dict[str, str]:
    """Size and hash of each split, as words.

    Args:
        splits: Name -> all that decides what a search or a training sees of the split.
    """
    return {name: _words(parts) for name, parts in splits.items()}


def _words(parts: Iterable[Part]) -> str:
    digest, size = hashlib.blake2b(digest_size=8), 0
    for part in parts:
        if isinstance(part, str):
            content = memoryview(part.encode("utf-8", "surrogatepass"))
        elif part is not None:
            digest.update(f"{part.dtype} {part.shape}".encode())
            content = memoryview(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        else:
            content = memoryview(b"")
        digest.update(content)
        size += content.nbytes
    return f"{size:,} bytes, hash {digest.hexdigest()}"
