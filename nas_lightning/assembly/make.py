"""From a node of the configuration to an object, its refusals with the full key."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import re
from collections.abc import Mapping
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from nas_lightning import __version__
from nas_lightning.assembly.configuration import CONF
from nas_lightning.assembly.messages import one_line
from nas_lightning.assembly.versions import absent
from nas_lightning.errors import NotAllowedError, UnfitError, UserError


def make(cfg: DictConfig, key: str, **offers: Any) -> Any:
    """Instantiate the node at `key`, handing it those of the offers that its target asks for.

    A node within it that says `_partial_: true` is handed them, too, if it asks for any; others
    stay factories, like optimizers. An offer that is a `functools.partial` is called, and only if
    it is asked for.

    Raises:
        UserError: If there is no such node, or its target refuses its arguments.
    """
    refuse_words(cfg, key)
    node = OmegaConf.select(cfg, key)
    if not isinstance(node, DictConfig) or "_target_" not in node:
        raise UserError(f"{key}: nothing is chosen; it needs a _target_, see --help for options")
    try:
        # Two steps: what is offered must not pass through Hydra, which would copy and convert it.
        factory = hydra.utils.instantiate(node, _convert_="all", _partial_=True)
        refuse_unknown(factory, key, offers)
        return handed(factory, key, offers)
    except UserError as error:
        raise UserError(with_keys(str(error), node, key), error.remedy) from error
    except InstantiationException as error:  # raised by a node within this one
        cause = error.__cause__ or error
        within = re.search(r"full_key: ([\w.]+)", str(error))
        key = within[1] if within else key
    except Exception as error:
        cause = error
    raise mendable(cause, key)


def handed(factory: functools.partial[Any], key: str, offers: Mapping[str, Any]) -> Any:
    """Call a factory with those of the offers that it, and the factories given to it, ask for.

    Raises:
        UserError: If a factory within it refuses its arguments; the message names its key.
    """
    parts = {}
    for name, part in factory.keywords.items():
        if isinstance(part, functools.partial) and asks(part, offers):
            try:
                parts[name] = handed(part, f"{key}.{name}", offers)
            except Exception as error:
                raise mendable(error, f"{key}.{name}") from error
    given = {
        name: offers[name]() if isinstance(offers[name], functools.partial) else offers[name]
        for name in asked_of(factory, offers)
    }
    return factory(**{**parts, **given})


def asked_of(factory: functools.partial[Any], offers: Mapping[str, Any]) -> list[str]:
    """The names of the offers that a factory asks for."""
    return [name for name in inspect.signature(factory.func).parameters if name in offers]


def asks(factory: functools.partial[Any], offers: Mapping[str, Any]) -> bool:
    """Whether a factory, or one within it, asks for any of the offers."""
    within = [part for part in factory.keywords.values() if isinstance(part, functools.partial)]
    return bool(asked_of(factory, offers)) or any(asks(part, offers) for part in within)


def refuse_words(cfg: DictConfig, key: str) -> None:
    """Raise UserError if a word stands at `key` or below it where a group has its option."""
    for folder in CONF.joinpath(*key.split(".")).glob("**/"):
        group = folder.relative_to(CONF).as_posix()
        dotted = group.replace("/", ".")
        word = OmegaConf.select(cfg, dotted)
        if isinstance(word, str):
            raise UserError(f"{dotted}={word}: write {group}={word}")


def refuse_unknown(factory: functools.partial[Any], key: str, offers: Mapping[str, Any]) -> None:
    """Raise UserError if YAML gives what the target, or one still to be called in it, lacks."""
    wanted = inspect.signature(factory.func).parameters
    for name, value in factory.keywords.items():
        if name not in wanted:
            known = ", ".join(sorted(wanted.keys() - offers.keys() - {"args", "kwargs", "params"}))
            raise UserError(f"{key}.{name}={value}: no such key; {key} has {known or 'none'}")
        if isinstance(value, functools.partial):
            refuse_unknown(value, f"{key}.{name}", offers)


def with_keys(message: str, node: DictConfig, key: str) -> str:
    """A message about arguments, `path=…`, with their full keys where this node has them."""
    for name, value in ((str(name), value) for name, value in node.items()):
        message = re.sub(rf"(?<![\w./]){re.escape(name)}(?=[=:])", f"{key}.{name}", message)
        if isinstance(value, DictConfig):
            message = with_keys(message, value, f"{key}.{name}")
    return message


def mendable(error: BaseException, key: str) -> BaseException:
    """What a constructor raised, as a UserError that names the key, or as it is if it is a bug."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    if not isinstance(error, (ValueError, TypeError, ImportError, MisconfigurationException)):
        return error
    unfound = isinstance(error.__cause__ or error, ModuleNotFoundError)
    if isinstance(error, NotAllowedError) and not unfound:
        return UserError(f"{key}.{one_line(error)}", error.remedy)
    lacks = re.search(r"missing \d+ required keyword-only arguments?: (.+)", str(error))
    if lacks:
        given = "nothing that is chosen gives it; choose another data=… or search_space=…"
        return UserError(f"{key}: needs {lacks[1]}, and {given}")
    text = one_line(error)
    joint = "." if re.match(r"[\w.]+=", str(error)) else ": "  # of one of a user
    if unknown := re.search(
        r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text
    ):
        # by a node within another, which is made first
        return UserError(f"{key}.{unknown[2]}: no such key; {unknown[1]} does not have it")
    if unknown := re.match(r"(\w+)\(\) takes no arguments", text):
        return UserError(f"{key}: {unknown[1]} has no keys, but some are given; leave them out")
    if missing := absent(error):
        return UserError(
            f"{key}: {missing} is not in nas-lightning {__version__}; if another version has "
            "written this configuration, only that one can go on with it"
        )
    if unfound and (extra := extra_of(str(error))):
        return UserError(f"{key}: {extra} is not installed; pip install 'nas-lightning[{extra}]'")
    if unfound:
        hint = "; if it is a file of yours: PYTHONPATH=FOLDER python train.py …, or PYTHONPATH=."
        return UserError(f"{key}{joint}{text}{hint}")
    return UserError(f"{key}{joint}{text}", error.remedy if isinstance(error, UnfitError) else None)


def extra_of(message: str) -> str | None:
    """The extra of this package by which a module comes that was not found, if one does."""
    missing = re.search(r"No module named '(\w+)'", message)
    for requirement in importlib.metadata.requires("nas-lightning") or []:
        found = re.match(r"([\w-]+).*extra == ['\"](\w+)['\"]", requirement)
        if missing and found and found[1].replace("-", "_") == missing[1] and found[2] != "test":
            return found[2]
    return None
