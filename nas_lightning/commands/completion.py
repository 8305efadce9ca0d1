"""Tab completion: of the commands, of the keys of those without Hydra; of the rest by Hydra.

`eval "$(nas-lightning -sc install=bash)"` puts it into a shell (or `=fish`, `=zsh`). With every tab
the shell calls `nas-lightning -sc query=bash` and hands over the line as a variable. Hydra takes
the first word of that line for a program and all others for arguments, so that the name of a
command has to be taken out for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

LINE = "COMP_LINE"
"""The variable in which a shell hands over what was typed."""


def asked() -> bool:
    """Whether this process was started by a shell that completes."""
    first, then = [*sys.argv[1:3], "", ""][:2]
    return (
        first in ("-sc", "--shell-completion") and then.startswith("query=") and LINE in os.environ
    )


def command_of_line(commands: Iterable[str]) -> str:
    """The command by which the line is completed, whose name is taken out of it; "" if it has none.

    While it is the name itself that is being typed, those that begin alike are printed.
    """
    program, _, rest = os.environ[LINE].partition(" ")
    word, ended, arguments = rest.lstrip().partition(" ")
    if not ended:
        offer(commands, word)
    elif word in commands:
        os.environ[LINE] = f"{program} {arguments}"
        return word
    return ""


def offer_keys(keys: Iterable[str]) -> None:
    """Print the keys that begin like the last word of the line."""
    offer((f"{key}=" for key in keys), os.environ[LINE].rpartition(" ")[2])


def offer(words: Iterable[str], beginning: str) -> None:
    """Print what begins so, a line each."""
    print("\n".join(word for word in words if word.startswith(beginning)))
