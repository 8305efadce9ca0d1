"""What the commands without Hydra share: arguments KEY=VALUE, `--help`, errors in one line, tab.

`eval "$(nas-lightning -sc install=bash)"` puts completion into a shell (or `=fish`, `=zsh`). With
every tab the shell calls `nas-lightning -sc query=bash` and hands over the line as a variable.
Hydra, which completes searches, takes the first word of that line for a program and all others for
arguments, so that the name of a command has to be taken out for it.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from nas_lightning import terminal
from nas_lightning.assembly.messages import MENDABLE, ending, one_line
from nas_lightning.errors import UserError
from nas_lightning.runs import stopping
from nas_lightning.terminal import called

SCRIPT = r"python (?:scripts/)?(\w+)\.py"
"""How the texts of this package call a command."""

LINE = "COMP_LINE"
"""The variable in which a shell hands over what was typed."""


def script(work: Callable[[DictConfig], None], known: Mapping[str, Any]) -> None:
    """Run a command without Hydra, whose arguments are all KEY=VALUE.

    Args:
        work: What it does, given its arguments.
        known: Every key and its default, `???` where there is none.
    """
    head = inspect.getmodule(work)
    keys = [f"  {key}={'null' if value is None else value}" for key, value in known.items()]
    text = "\n".join([str(head and head.__doc__), "Every key, its default:", "", *keys])
    if not helped(text, known):
        in_one_line(lambda: work(given(sys.argv[1:], known)))


def helped(text: str, keys: Iterable[str] = ()) -> bool:
    """Whether a command without Hydra was asked for help, which is then printed.

    Or by a shell how a line goes on, which its keys then tell.

    Args:
        text: The help.
        keys: Of its arguments.
    """
    if completing():
        offer_keys(keys)
        return True
    asked = not {"-h", "--help"}.isdisjoint(sys.argv[1:])
    terminal.forgive()
    if asked:
        print(re.sub(SCRIPT, lambda script: called(script[1].replace("_", "-")), text))
    return asked


def given(arguments: list[str], known: Mapping[str, Any]) -> DictConfig:
    """The arguments of a command without Hydra, over the defaults of its keys.

    Raises:
        UserError: If one cannot be read, or there is no such key.
    """
    cfg = OmegaConf.create(dict(known))
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in known:
            raise UserError(f"{key}: no such key; this command has {', '.join(known)}")
        try:
            cfg.merge_with_dotlist([argument])
        except (YAMLError, ValueError) as error:
            reason = f"{value!r} cannot be read as YAML: {one_line(error)}"
            raise UserError(f"{argument}: {reason}; put quotes around a text") from error
    return cfg


def in_one_line(work: Callable[[], None]) -> None:
    """Do a command's work; what the user can mend is said in a line, with exit code 2.

    That a file cannot be read or written is for the user to mend, too. A SIGTERM or Ctrl-C ends it
    at once, with exit code 143 or 130.
    """
    terminal.forgive()
    try:
        with stopping.to_the_end():
            work()
    except SystemExit as told:
        if told.code in stopping.CODES:
            print("stopped", file=sys.stderr)
        raise
    except MENDABLE as error:
        code, reason = ending(error)
    except OSError as error:
        if error.filename is None:
            raise
        code, reason = 2, f"{error.filename}: {error.strerror}; give another, or mend this one"
    else:
        return
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(code)


def completing() -> bool:
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
