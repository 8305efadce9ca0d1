"""A configuration is composed: what its files call by name, and composing it from within Python."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf, open_dict

from nas_lightning.assembly.configuration import CONF
from nas_lightning.errors import UserError
from nas_lightning.runs.folder import LONGEST_NAME
from nas_lightning.terminal import called

NO_OPTION = re.compile(r"null|true|false|[-+]?[\d.]+|\[.*", re.IGNORECASE)
"""What Hydra does not read as a word, or as none or several of them."""


def slug(overrides: str) -> str:
    """A short readable folder name for a job's overrides, unique by a hash of all of them."""
    names = re.sub(r"(^|,)[\w./]*[./](?=\w+=)", r"\1", overrides)  # controller.lr= -> lr=
    readable = re.sub(r"[^\w=.,-]+", "_", names, flags=re.ASCII).strip("_,")[:LONGEST_NAME]
    return f"{readable or 'defaults'}-{hashlib.sha256(overrides.encode()).hexdigest()[:8]}"


def study_folder(study: object) -> str:
    """The name of a study, which is a folder's below `outputs`; raises UserError if it is none."""
    parts = str(study).split("/")
    named = isinstance(study, (str, int, float)) and not isinstance(study, bool)
    if not named or not str(study).isprintable() or any(p.strip(" .") == "" for p in parts):
        raise UserError(
            f"study={study!r} is not allowed: must be a name, of "
            "which a folder below outputs/ is made"
        )
    return str(study)


OmegaConf.register_new_resolver("slug", slug, replace=True)

OmegaConf.register_new_resolver("study_folder", study_folder, replace=True)

OmegaConf.register_new_resolver("called", called, replace=True)


def refuse_no_option(arguments: list[str]) -> None:
    """Raise UserError if a group is given null, a number or the like, at which Hydra breaks."""
    for argument in arguments:
        group, _, values = argument.partition("=")
        if not (re.match(r"\w", group) and (CONF / group).is_dir()):
            continue
        if any(NO_OPTION.fullmatch(value) for value in values.split(",")):
            options = ", ".join(sorted(path.stem for path in (CONF / group).glob("*.yaml")))
            hints = {
                "logger": "; logger=csv writes nothing beside the run's own files",
                "callbacks": "; ~callbacks.NAME leaves one out",
            }
            raise UserError(
                f"{argument}: no such option; {group} has {options or 'none'}"
                + hints.get(group, "")
            )


def quoted(text: object) -> str:
    """A text or a path as a value in Hydra's grammar of overrides."""
    return QuotedString(str(text), Quote.single).with_quotes()


@contextmanager
def composed(overrides: Mapping[str, Any]) -> Iterator[tuple[DictConfig, DictConfig]]:
    """The configuration that a command with these arguments would have, and Hydra's own.

    Within the context Hydra knows of it as in a command; afterwards it knows what it knew before.

    Args:
        overrides: Dotted keys, or groups, and their values. `+` before a key adds it, and `~` with
            None leaves it out.
    """
    arguments = [argument(key, value) for key, value in overrides.items()]
    refuse_no_option(arguments)
    before = Singleton.get_state()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=arguments, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        hydra = cfg.hydra
        with open_dict(cfg):
            del cfg["hydra"]
        yield cfg, hydra
    finally:
        Singleton.set_state(before)


def argument(key: str, value: object) -> str:
    """A key and its value as one argument of a command."""
    if key.startswith("~") and value is None:
        return key
    group = (CONF / key.lstrip("+~")).is_dir()
    return f"{key}={value if group and isinstance(value, str) else in_grammar(value)}"


def in_grammar(value: object) -> str:
    """A value in Hydra's grammar of overrides."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{in_grammar(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(in_grammar, value)) + "]"
    return repr(value) if isinstance(value, (int, float)) else quoted(value)
