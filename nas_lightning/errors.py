"""The one exception that means: the user can mend this.

`commands.application.command` prints its message on one line, without a traceback, and exits with
2. Anything else that reaches the top is a bug and keeps its traceback.
"""

import math
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any, cast


class Remedy(Enum):
    """A way out that takes keys or commands, which only `assembly/messages.py` knows."""

    ALL_OF_THE_SPACE = auto()
    ANOTHER_BASELINE = auto()
    ANOTHER_CLUSTER = auto()
    ANOTHER_FOLDER = auto()
    ANOTHER_REWARD = auto()
    ANOTHER_STUDY = auto()
    ANOTHER_TABLE = auto()
    ANOTHER_TEXT = auto()
    A_FUNCTION = auto()
    FED_DECISIONS = auto()
    FIRST_ORDER = auto()
    FROM_SCRATCH = auto()
    HIDDEN_STATES = auto()
    IN_THIS_PROCESS = auto()
    KEPT_WEIGHTS = auto()
    LESS_A_CHILD = auto()
    MORE_EPOCHS = auto()
    MORE_SECONDS = auto()
    RELAXABLE = auto()
    SAME_DEVICE = auto()
    SMALLER_CHILD_STEPS = auto()
    SMALLER_RETRAIN_STEPS = auto()
    SMALLER_STEPS = auto()
    TRAINED_POLICY = auto()


class UserError(Exception):
    """A mistake in what the user asked for.

    Args:
        message: One line: the name, the value, what is allowed, the way out. A room calls its
            arguments as they are called there, `path=…`; `assembly.make` puts the full key.
            Arguments are positional, because launchers pickle exceptions between processes.
        remedy: A way out that is put into words at the top, behind the message.
    """

    def __init__(self, message: str, remedy: Remedy | None = None) -> None:
        super().__init__(message, remedy)
        self.remedy = remedy

    def __str__(self) -> str:
        """The message."""
        return str(self.args[0])


class NotAllowedError(ValueError):
    """A value of a constructor's argument that is not allowed, as data.

    Args:
        name: The argument's name, as it stands in the YAML.
        value: The value that was given.
        why: What is allowed, or why this is not: `must be a whole number >= 1`.
        remedy: A way out that is put into words at the top.
    """

    def __init__(self, name: str, value: object, why: str, remedy: Remedy | None = None) -> None:
        super().__init__(name, value, why, remedy)
        self.name, self.value, self.why, self.remedy = name, value, why, remedy

    def __str__(self) -> str:
        """All of it in a line; who knows the key puts what it lacks before the name."""
        value = self.value if isinstance(self.value, Path) else repr(self.value)
        return f"{self.name}={value} is not allowed: {self.why}"


class UnfitError(ValueError):
    """What a constructor was handed does not go together with it.

    Args:
        why: What it needs.
        remedy: A way out that is put into words at the top.
    """

    def __init__(self, why: str, remedy: Remedy) -> None:
        super().__init__(why, remedy)
        self.remedy = remedy

    def __str__(self) -> str:
        """What it needs."""
        return str(self.args[0])


def raised(error: BaseException) -> str:
    """What a user's own code has raised, in one line: `OSError: no such file`."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Check one constructor argument.

    Args:
        condition: Whether the value is allowed.
        name: The argument's name, as it stands in the YAML.
        value: The value that was given.
        allowed: What is allowed, in words, for example `"a whole number >= 1"`.

    Raises:
        NotAllowedError: If the condition does not hold. `assembly` puts the full key before it.
    """
    if not condition:
        raise NotAllowedError(name, value, f"must be {allowed}")


def require_whole(name: str, value: object, *, at_least: int, at_most: int | None = None) -> None:
    """Check that `value` is a whole number within the bounds; raises ValueError."""
    good = isinstance(value, int) and not isinstance(value, bool) and value >= at_least
    if at_most is None:
        require(good, name, value, f"a whole number >= {at_least}")
    else:
        small = good and value <= at_most  # type: ignore[operator]
        require(small, name, value, f"a whole number >= {at_least} and <= {at_most}")


def require_bool(name: str, value: object) -> None:
    """Check that `value` is true or false, for any word would count as true; raises ValueError."""
    require(isinstance(value, bool), name, value, "true or false")


def require_number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> None:
    """Check that `value` is a finite number within the bounds; raises ValueError."""
    good = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and above < value < below
        and at_least <= value <= at_most
    )
    bounds = [
        f"{word} {bound:g}"
        for word, bound in ((">", above), (">=", at_least), ("<=", at_most), ("<", below))
        if math.isfinite(bound)
    ]
    require(good, name, value, " ".join(["a number", " and ".join(bounds)]).strip())


def require_one_of(name: str, value: object, options: Sequence[str]) -> None:
    """Check that `value` is one of `options`; raises ValueError."""
    require(value in options, name, value, " or ".join(options))


def require_callable(name: str, value: object) -> Callable[..., Any]:
    """What an argument names, `my_package.my_function`, or is itself.

    Args:
        name: The argument's.
        value: A dotted name, or something that can be called.

    Raises:
        ValueError: If there is no such thing, other processes would not find it, or it cannot be
            called.
    """
    made = value
    if isinstance(value, str):
        import pkgutil

        importable = "in a module that other processes can import: my_package.my_function"
        require(not value.startswith("__main__.") and "." in value, name, value, importable)
        try:
            made = pkgutil.resolve_name(value)
        except (ImportError, AttributeError, ValueError) as error:
            raise NotAllowedError(name, value, f"{type(error).__name__}: {error}") from error
    require(callable(made), name, value, "a class or a function, such as my_package.my_function")
    return cast("Callable[..., Any]", made)


def require_optimizer(name: str, factory: Callable[..., object]) -> None:
    """Check a partial optimizer from YAML by making it for a parameter; raises ValueError.

    Torch would speak of a bad value only when the search starts, and without its key.
    """
    import torch

    made = "an optimizer: a _target_ such as torch.optim.Adam, and _partial_: true"
    require(callable(factory), name, factory, made)
    keywords = getattr(factory, "keywords", {})
    if "lr" in keywords:
        require_number(f"{name}.lr", keywords["lr"], above=0)
    for key in ("momentum", "weight_decay"):
        if key in keywords:
            require_number(f"{name}.{key}", keywords[key], at_least=0)
    if "betas" in keywords:
        betas = keywords["betas"]
        pair = isinstance(betas, (list, tuple)) and len(betas) == 2
        good = pair and all(isinstance(b, (int, float)) and 0 <= b < 1 for b in betas)
        require(good, f"{name}.betas", betas, "two numbers >= 0 and < 1")
    try:
        factory([torch.nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
        raise ValueError(f"{name}=({given}) is not allowed: {error}") from error
