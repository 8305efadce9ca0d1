"""The Python door: search, and take what was found into one's own code.

    import nas_lightning as nl

    run = nl.search("nas_cnn", controller="random", budget="smoke", folder="outputs/mine")
    network = nl.load("outputs/mine").network(weights="fresh")

A search here is that of the command line: the same configuration, engine, folder, resume and page.
What is searched may also be a model of one's own, some of whose modules are a `Choice` or a
`Repeat`. Nothing heavy is imported before something needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas_lightning.api.run import Drawing, Run, records_in, run_in
from nas_lightning.api.study import Study
from nas_lightning.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas_lightning.search_spaces.choices import Choice, ChoiceSpace, Repeat

    Model = nn.Module | Callable[..., nn.Module]

__all__ = [
    "Choice",
    "Drawing",
    "Repeat",
    "Run",
    "Study",
    "UserError",
    "load",
    "load_study",
    "search",
    "space",
]


def __getattr__(name: str) -> Any:
    """The parts of a model of one's own, which need torch, when they are asked for."""
    if name not in ("Choice", "Repeat"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("nas_lightning.search_spaces.choices"), name)


def search(
    search_space: str | Model | None = None,
    data: Any = None,
    *,
    controller: str | None = None,
    estimator: str | Callable[..., Mapping[str, float]] | None = None,
    budget: str | None = None,
    folder: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Run:
    """Search, and give back the run. What is None is as on the command line.

    A search that was killed goes on when it is called again with the same folder, and ends as if
    it had never been; one that has finished is given back as it is.

    Args:
        search_space: What is searched: an option of the group, `enas_rnn` or `nas_cnn`; or a model
            with choices: its class, a function that makes it, or itself where each of its modules
            that have parameters has `reset_parameters`.
        data: What child networks learn: an option of the group; or a `Dataset`, a dict of them for
            `train`, `validation` and `test`, a LightningDataModule, or what makes one of these.
        controller: What proposes architectures.
        estimator: How they are judged; or a function that judges one.
        budget: Sizes: `smoke` is a search of seconds.
        folder: Of the run; by default `outputs/default/` and the time.
        overrides: Any other key or group and its value: `{"search_space.num_nodes": 4, "seed": 1}`.

    Raises:
        UserError: In one line, if a value is not allowed or the folder holds another run.
    """
    from nas_lightning.assembly.door import search_with
    from nas_lightning.assembly.given import OWN, is_part

    keys: dict[str, Any] = {}
    for group, option in (
        ("search_space", search_space),
        ("data", data),
        ("controller", controller),
        ("estimator", estimator),
        ("budget", budget),
    ):
        if group in OWN and is_part(option):
            keys |= {group: OWN[group][0], OWN[group][1]: option}
        elif isinstance(option, str):
            keys[group] = option
        elif option is not None:
            raise UserError(f"{group}={option!r} is not allowed: must be the name of an option")
    where, parts = search_with(
        {**keys, **(overrides or {})}, None if folder is None else Path(folder)
    )
    return run_in(where, parts)


def space(
    model: Model, example: Tensor | None = None, *, arguments: Mapping[str, Any] | None = None
) -> ChoiceSpace:
    """Read the space off a model with choices, and print a table of it.

    Args:
        model: As in `search`.
        example: A few inputs, as the model takes them: with them the table has multiply-adds and
            the time of a forward.
        arguments: What a class or a function is called with.

    Raises:
        UserError: If there is nothing to search, or the model cannot be made.
    """
    from nas_lightning.search_spaces.choices import ChoiceSpace, space_table

    try:
        found = ChoiceSpace(model=model, arguments=arguments, pretrained=True)
    except ValueError as error:
        raise UserError(str(error)) from None
    print(space_table(found.recipe.build(seed=0), example))
    return found


def load(
    folder: str | Path,
    *,
    model: Model | None = None,
    data: Any = None,
    parts: Mapping[str, Any] | None = None,
) -> Run:
    """A run, as it is now.

    Args:
        folder: Where it lies.
        model: What was searched, where it cannot be imported.
        data: What was learned, likewise.
        parts: Whatever else was handed to the search: `{"search_space.build": build}`.

    Raises:
        UserError: If there is none in the folder.
    """
    own = {"search_space.model": model, "data.source.dataset": data, **(parts or {})}
    return run_in(folder, {key: part for key, part in own.items() if part is not None})


def load_study(folder: str | Path) -> Study:
    """A study, a folder of runs.

    Raises:
        UserError: If there are no runs in the folder.
    """
    return Study(records_in(folder))
