"""What goes wrong, in words: the one line of an exception, and the exit code.

What Hydra refuses is put into words here, what a constructor refuses gets its key in `make.py`, and
`choices.py` says it by the options that were chosen where the user wrote no such key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import Container, OmegaConf
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
from nas_lightning.terminal import called

REMEDIES = {
    Remedy.ALL_OF_THE_SPACE: "; give null, as arm=random has it",
    Remedy.ANOTHER_BASELINE: "; or choose controller/baseline=moving_average",
    Remedy.ANOTHER_CLUSTER: "; give executor.address=host:port of a running cluster, auto, or null "
    "for one on this machine",
    Remedy.ANOTHER_FOLDER: " (hydra.run.dir=… or study=…)",
    Remedy.ANOTHER_REWARD: "; choose another reward=…, of which reward=objective fits all",
    Remedy.ANOTHER_STUDY: "; give another study=…",
    Remedy.ANOTHER_TABLE: "; give the search space that the table was made for "
    "(search_space.num_nodes=3 for enas_rnn_3, which comes with the package), or make a table of "
    "this one by {ground_truth}",
    Remedy.ANOTHER_TEXT: "; or choose data=text data.source.path=FOLDER, a text of your own",
    Remedy.A_FUNCTION: "; give search_space.build=my_package.build, or an estimator that trains "
    "nothing, estimator=function",
    Remedy.FED_DECISIONS: "; choose controller=lstm, or memory=replay, which needs likelihoods "
    "only",
    Remedy.FIRST_ORDER: "; give controller.order=1, or "
    "estimator.optimizer._target_=torch.optim.SGD",
    Remedy.FROM_SCRATCH: "; use estimator=from_scratch",
    Remedy.HIDDEN_STATES: "; choose controller=lstm, or memory=replay, which needs likelihoods "
    "only",
    Remedy.IN_THIS_PROCESS: "; executor=in_process trains in this one",
    Remedy.KEPT_WEIGHTS: ", or keep its weights by search_space.pretrained=true",
    Remedy.LESS_A_CHILD: "; lower executor.cpus or executor.gpus, or give another executor.address",
    Remedy.MORE_EPOCHS: ", or raise trainer.max_epochs",
    Remedy.MORE_SECONDS: "; give more controller.seconds, and the same command goes on from the "
    "last checkpoint",
    Remedy.RELAXABLE: "; choose a space that can be relaxed, search_space=darts_rnn, modules or "
    "nas_bench_201, with estimator=weight_sharing",
    Remedy.SAME_DEVICE: "; set trainer.accelerator for that, or begin anew with another retrain.*",
    Remedy.SMALLER_CHILD_STEPS: "; give a lower estimator.training.learning_rate, or an "
    "estimator.training.gradient_clip",
    Remedy.SMALLER_RETRAIN_STEPS: "; give a lower retrain.learning_rate, or a "
    "retrain.gradient_clip",
    Remedy.SMALLER_STEPS: "; lower estimator.optimizer.lr or estimator.gradient_clip",
    Remedy.TRAINED_POLICY: "; choose controller=lstm or controller=factorized, or memory=none",
}
"""What is said behind a message: the ways out that take keys."""


def way_out(remedy: Remedy) -> str:
    """What is said behind a message, with commands as from where the user stands."""
    return REMEDIES[remedy].format(ground_truth=called("ground-truth"))


MENDABLE = (UserError, HydraException, OmegaConfBaseException)
"""What the user can mend; everything else is a bug."""


def ending(error: BaseException) -> tuple[int, str]:
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
        return no_such_key(asked, str(cause.full_key), cause.parent_node)
    remedy = error.remedy if isinstance(error, UserError) else None
    return one_line(error) + (way_out(remedy) if remedy else "")


def no_such_key(asked: str, key: str, node: Container) -> str:
    """That a node has no such key, and where in the configuration one of that name stands."""
    group, _, name = key.rpartition(".")
    configuration = OmegaConf.select(node, "." * (len(group.split(".")) + 1 if group else 1))
    tree = OmegaConf.to_container(configuration)
    assert isinstance(tree, dict)
    tree = {part: inner for part, inner in tree.items() if part not in (*ASIDE, "hydra")}
    named = keys_called(name, tree)
    within = [other for other in named if other.startswith(f"{group}.")] if group else named
    if within:
        return f"{asked}: no such key; did you mean {' or '.join(within)}?"
    instead = f"did you mean {' or '.join(named)}? " if named else ""
    names = ", ".join(str(there) for there in node if there != "hydra")
    known = f"{group or 'the configuration'} has {names or f'none; +{asked} adds it'}"
    return f"{asked}: no such key; {instead}{known}"


def keys_called(name: str, tree: Mapping[Any, Any], prefix: str = "") -> list[str]:
    """The keys in a tree whose last part is a name, those of a part without what is within them."""
    found = [f"{prefix}{name}"] if name in tree else []
    for part, inner in tree.items():
        if part != name and isinstance(inner, Mapping):
            found += keys_called(name, inner, f"{prefix}{part}.")
    return found


def one_line(error: BaseException) -> str:
    """An exception's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__
