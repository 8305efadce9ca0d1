"""Architectures that somebody has written down, as actions or in words.

    {"actions": [0, 3, …]}          {"decisions": {"node 1": "0 relu", …}}

In words a space whose options stand in another order reads them alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nas_lightning.errors import NotAllowedError, require

if TYPE_CHECKING:
    from nas_lightning.search_spaces.base import SearchSpace


def actions_of(written: object, space: SearchSpace) -> list[int]:
    """What is written, as an architecture of a space, of any of its stages.

    A decision that is left out must be closed: have one open option after those before it.

    Args:
        written: `actions`, or `decisions` in words, or both, of which the words count.
        space: Whose architecture it must be.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(written, Mapping) or not written.keys() & {"actions", "decisions"}:
        raise ValueError("is not allowed: must have `decisions` in words, or `actions`")
    actions = written.get("actions")
    if "decisions" in written:
        actions = in_words(written["decisions"], space)
    space.check(actions)
    assert isinstance(actions, list)
    return actions


def require_architecture(name: str, actions: object, space: SearchSpace) -> None:
    """Check that an argument is an architecture of a space, of any of its stages.

    Raises:
        ValueError: If it is none.
    """
    try:
        space.check(actions)
    except ValueError as error:
        raise NotAllowedError(name, actions, str(error).partition(" is not allowed: ")[2]) from None


def require_whole_ones(name: str, rows: object, space: SearchSpace) -> Tensor:
    """Check that an argument is a list of architectures of a space at its full growth, or None.

    Returns:
        int64 `(N, T)`, each once, in order.

    Raises:
        ValueError: If one of them is none.
    """
    require(rows is None or isinstance(rows, list), name, rows, "a list of architectures")
    found = list[list[int]]()
    for number, row in enumerate(rows if isinstance(rows, list) else ()):
        require_architecture(f"{name}[{number}]", row, space.largest)
        found += [row] if row not in found else []
    return torch.tensor(found, dtype=torch.int64).reshape(-1, len(space.largest.decisions))


def in_words(chosen: object, space: SearchSpace) -> list[int]:
    """The actions of an architecture in words; raises ValueError as `actions_of` does."""
    if not isinstance(chosen, Mapping):
        raise ValueError("decisions: must be names of decisions and of what each chooses")
    decisions = space.largest.decisions
    unknown = sorted(map(str, chosen.keys() - {decision.name for decision in decisions}))
    if unknown:
        raise ValueError(f"decision {unknown[0]}: there is no such one in the space")
    last = max((n for n, d in enumerate(decisions) if d.name in chosen), default=-1)
    longest = min(
        (len(s.decisions) for s in space.stages if len(s.decisions) > last), default=len(decisions)
    )
    actions: list[int] = []
    for decision in decisions[:longest]:
        options = [str(option) for option in decision.choices]
        prefix = torch.tensor([actions], dtype=torch.int64)
        open_ = space.largest.open_options(prefix)[0].nonzero().flatten().tolist()
        word = _word(chosen, decision.name, open_)
        if word is not None and word not in options:
            raise ValueError(f"decision {decision.name}={word}: must be {' or '.join(options)}")
        actions.append(open_[0] if word is None else options.index(word))
    return actions


def _word(chosen: Mapping[Any, Any], name: str, open_: list[int]) -> str | None:
    """What is chosen at a decision; None for one that is closed and left out."""
    if name in chosen:
        return str(chosen[name])
    if len(open_) > 1:
        raise ValueError(f"decision {name}: is not there")
    return None
