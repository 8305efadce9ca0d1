"""What goes wrong, in words: the one line of an exception, and the exit code.

What Hydra refuses is put into words here, what a constructor refuses gets its key in `make.py`, and
`choices.py` says it by the options that were chosen where the user wrote no such key.
"""

from __future__ import annotations

import re

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from nas_lightning.assembly.choices import not_composed
from nas_lightning.assembly.configuration import ASIDE
from nas_lightning.errors import Remedy, UserError

REMEDIES = {
    Remedy.ANOTHER_BASELINE: "; or choose controller/baseline=moving_average",
    Remedy.ANOTHER_FOLDER: " (hydra.run.dir=… or study=…)",
    Remedy.ANOTHER_REWARD: "; choose another reward=…, of which reward=objective fits all",
    Remedy.FROM_SCRATCH: "; use estimator=from_scratch",
    Remedy.RELAXABLE: "; choose a space that can be relaxed, search_space=darts_rnn or modules, "
    "with estimator=weight_sharing",
    Remedy.SMALLER_STEPS: "; lower estimator.optimizer.lr or estimator.gradient_clip",
}
"""What is said behind a message: the ways out that take keys."""

MENDABLE = (UserError, HydraException, OmegaConfBaseException)
"""What the user can mend; everything else is a bug."""


def verdict(error: BaseException) -> tuple[int, str]:
    """The exit code for an exception, and its reason as one line."""
    if isinstance(error, MENDABLE):
        return 2, explained(error)
    if isinstance(error, Exception):
        return 1, f"bug: {type(error).__name__}: {one_line(error)}"
    return 1, f"stopped before its end ({type(error).__name__})"


def explained(error: BaseException) -> str:
    """What the user can mend as one line: the key, the value, what is allowed."""
    cause = error.__cause__
    said = re.search(r"UserError raised while resolving interpolation: (.+)", str(error))
    if said:  # by a resolver of ours
        return said[1]
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={option}: no such option; {group} has {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as KEY=VALUE: {one_line(error)}"
    if isinstance(error, (MissingMandatoryValue, InterpolationToMissingValueError)):
        return f"{error.full_key}: has no value; give {error.full_key}=…"
    if isinstance(error, ConfigCompositionException) and (
        combined := not_composed(one_line(error))
    ):
        return combined
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ValidationError):
        return f"{one_line(error)}: {str(cause).splitlines()[0]}"
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and cause.parent_node is not None:
        asked = one_line(error).rpartition("use +")[2]
        names = [str(name) for name in cause.parent_node if name != "hydra"]
        group, _, name = str(cause.full_key).rpartition(".")
        for inner, node in cause.parent_node.items():
            if inner not in ASIDE and isinstance(node, DictConfig) and name in node.keys():  # noqa: SIM118 (`in node` wants a value)
                return f"{asked}: no such key; did you mean {group}.{inner}.{name}?".replace(
                    " .", " "
                )
        group = group or "the configuration"
        return f"{asked}: no such key; {group} has {', '.join(names) or f'none; +{asked} adds it'}"
    remedy = error.remedy if isinstance(error, UserError) else None
    return one_line(error) + (REMEDIES[remedy] if remedy else "")


def one_line(error: BaseException) -> str:
    """An exception's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__
