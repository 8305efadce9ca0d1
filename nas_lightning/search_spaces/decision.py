"""A decision: one categorical choice of an architecture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """One categorical choice.

    Attributes:
        name: Unique within the space and readable, for example `"node 3 activation"`.
        kind: What sort of decision it is. Decisions of one kind share their list of options as far
            as it goes: option i of a short list means the same as option i of a longer one.
        choices: The options.
    """

    name: str
    kind: str
    choices: tuple[str | int, ...]
