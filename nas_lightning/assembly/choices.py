"""Refusals in the words of the user: the options that they chose, not the keys these brought.

An option of a group (`estimator=table`, `arm=entropy`) sets keys of which the user knows nothing.
Where such a key is refused the options that were chosen are named instead.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig

from nas_lightning.errors import UserError

BESIDE = {"budget", "callbacks", "executor", "logger", "trainer"}
"""Groups that go with every option of the others."""

REFUSED = re.compile(r"(?P<key>[\w.]+)(=.*? is not allowed: (?!must be)|=.*?: (?=no such key;)|: )")
"""How a refusal begins that may come from a combination; one of a bare number does not."""


def by_choices(error: UserError) -> UserError:
    """The refusal of a key that the user did not write, by what they chose; others as they are."""
    if not HydraConfig.initialized():
        return error
    config = HydraConfig.get()
    chosen, keys = parted(config.overrides.task, set(config.runtime.choices))
    key = re.match(r"[\w.]*", str(error))[0]  # type: ignore[index]
    node = key.partition(".")[0]
    of_environment = node.isupper()
    if (
        not chosen
        or of_environment
        or node in BESIDE
        or any(key_of_ones_own(str(error), key, own) for own in keys)
    ):
        return error
    return UserError(f"{' '.join(chosen)}: {reason(str(error))}", error.remedy)


def parted(overrides: Sequence[str], groups: set[str]) -> tuple[list[str], list[str]]:
    """The options that the user chose, `BESIDE` left out, and the keys that they wrote."""
    pairs = [override.lstrip("+~").partition("=") for override in overrides]
    chosen = [f"{name}={value}" for name, _, value in pairs if name in groups - BESIDE]
    return chosen, [name for name, _, _ in pairs if name not in groups]


def key_of_ones_own(message: str, key: str, own: str) -> bool:
    """Whether a refusal is that of a key which the user wrote, or may follow from it.

    A value may be refused because of another in its node. What is said of a whole node (`memory:
    needs …`), or of a key that it does not have, is not about another key within it.
    """
    if own.startswith(("budget.", "hints.")) or f"{key}.".startswith(f"{own}."):
        return True
    beside = own.partition(".")[0] == key.partition(".")[0]
    return beside and "." in key and ": no such key;" not in message


def reason(message: str) -> str:
    """What remains of a refusal without a key that the user did not write."""
    found = REFUSED.match(message)
    rest = message[found.end() :] if found else message
    if found is None or "." not in found["key"]:
        return message
    if rest.startswith("no such key;"):
        node = found["key"].partition(".")[0]
        return (
            f"one of them sets what the {node} that is chosen does not have; leave one of them out"
        )
    return rest


def not_composed(message: str) -> str | None:
    """In the user's words that an option asks for a part which another has none of, if it is so."""
    found = re.match(r"(?:In '(\w+)/(\w+)': )?Could not override '(\w+)/(\w+)'", message)
    if not found:
        return None
    group, option, node, part = found.groups()
    starts = (f"{node}=", f"{node}/{part}=")
    chosen = [argument for argument in sys.argv[1:] if argument.startswith(starts)]
    asked = [f"{group}={option}", *chosen] if group else chosen
    return (
        f"{' '.join(asked)}: the {node} that is chosen has no {part}; leave one of them "
        "out, or choose another"
    )
