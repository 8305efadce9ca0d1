"""The command `python scripts/tune.py …`: searches one after another, their keys chosen by Optuna.

    python scripts/tune.py trials=20 'controller.optimizer.lr=tag(log,interval(1e-4,1e-1))'
    python scripts/tune.py 'search_space.num_nodes=range(3,9)' controller=lstm,random seed=1

What is tuned is written as in Hydra: `interval(a,b)`, logarithmic as `tag(log,interval(a,b))`,
`range(a,b)`, `choice(a,b,…)` or `a,b,…`. Every other argument is one of a search, the same for all.
Each trial is a run in `outputs/STUDY/trial=N`, judged by the best value of its objective (with
`seeds=N` by the mean over its seeds), and `tune.json` beside them has them all. Killed, the same
command goes on: what has finished is not searched again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
)
from hydra.errors import OverrideParseException

from nas_lightning.api import load
from nas_lightning.assembly.composition import in_grammar
from nas_lightning.assembly.door import search_with
from nas_lightning.assembly.messages import one_line
from nas_lightning.commands.script import helped, in_one_line
from nas_lightning.errors import UserError, require_whole
from nas_lightning.files import write_json
from nas_lightning.runs.folder import SCHEMA
from nas_lightning.studies.seeds import seed_runs
from nas_lightning.terminal import here, shown

if TYPE_CHECKING:
    import optuna

OWN = {"trials": 20, "study": "tuned", "sampler_seed": 0}
"""The command's own keys and their defaults."""


def tune(arguments: Sequence[str]) -> None:
    """Ask for values, search with them, and tell what came of it, until all trials are done.

    Raises:
        UserError: If an argument cannot be read, or no trial comes to an end.
    """
    own, fixed, tuned = parted(arguments)
    if not find_spec("optuna"):
        raise UserError("tune: optuna is missing; pip install 'nas-lightning[optuna]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # It proposes the same again when it is told the same: a killed command needs no memory.
    sampler = optuna.samplers.TPESampler(seed=own["sampler_seed"])
    study = optuna.create_study(sampler=sampler)
    folder = here() / "outputs" / str(own["study"])
    rows: list[dict[str, Any]] = []
    for number in range(own["trials"]):
        trial = study.ask()
        values = {override.get_key_element(): suggested(trial, override) for override in tuned}
        said = ", ".join(f"{key}={in_grammar(value)}" for key, value in values.items())
        print(f"trial {number + 1}/{own['trials']}: {said}", file=sys.stderr)
        row: dict[str, Any] = {"trial": number, "values": values, "value": None}
        rows.append(row)
        try:
            row["value"], sign = searched(
                {**fixed, **values, "study": own["study"]}, folder / f"trial={number}"
            )
            study.tell(trial, -sign * row["value"])
        except UserError as error:
            if not any(row["value"] is not None for row in rows):
                raise
            row["failed"] = str(error)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            print(f"failed: {error}", file=sys.stderr)
        write_json(folder / "tune.json", {"schema": SCHEMA, "trials": rows})
    best = rows[study.best_trial.number]
    said = " ".join(f"{key}={in_grammar(value)}" for key, value in best["values"].items())
    print(f"best     {said}\nvalue    {best['value']:.6g} (trial {best['trial']})")
    print(f"written  {shown(folder / 'tune.json')}")


def searched(overrides: Mapping[str, Any], folder: Path) -> tuple[float, int]:
    """Search, or take the run that is there; its best value, and 1 where more is better, or -1.

    Of many seeds in one folder it is the mean.

    Raises:
        UserError: If it has come to no number.
    """
    where, _ = search_with(overrides, folder)
    record = load(where).record
    found = [run.best_value for run in seed_runs(record)]
    values = [value for value in found if value is not None]
    if not values or len(values) < len(found):
        raise UserError(f"{shown(where)}: has come to no number")
    return fmean(values), int(record.objective.sign)


def parted(
    arguments: Sequence[str],
) -> tuple[dict[str, Any], dict[str, Any], list[Override]]:
    """The command's own settings, those of every search, and what is tuned.

    Raises:
        UserError: If an argument cannot be read, or nothing is to be tuned.
    """
    own, fixed, tuned = dict(OWN), {}, []
    try:
        overrides = OverridesParser.create().parse_overrides(list(arguments))
    except OverrideParseException as error:
        raise UserError(f"{error.override}: cannot be read: {one_line(error)}") from error
    for override in overrides:
        if override.is_sweep_override():
            tuned.append(override)
        elif override.input_line is not None and override.get_key_element() in own:
            own[override.get_key_element()] = override.value()
        else:
            key, _, _ = str(override.input_line).partition("=")
            fixed[key] = override.value()
    for name in ("trials", "sampler_seed"):
        try:
            require_whole(name, own[name], at_least=1 if name == "trials" else 0)
        except ValueError as error:
            raise UserError(str(error)) from None
    if not tuned:
        raise UserError(
            "tune: nothing is to be tuned; give a key several values: "
            "'controller.optimizer.lr=tag(log,interval(1e-4,1e-1))' or seed=0,1"
        )
    return own, fixed, tuned


def suggested(trial: optuna.Trial, override: Override) -> Any:
    """A value for a key."""
    key, sweep = override.get_key_element(), override.value()
    if isinstance(sweep, IntervalSweep):
        low, high = float(sweep.start or 0), float(sweep.end or 0)
        return trial.suggest_float(key, low, high, log="log" in sweep.tags)
    assert isinstance(sweep, (ChoiceSweep, RangeSweep))
    if isinstance(sweep, RangeSweep):
        whole = [int(value) if float(value).is_integer() else value for value in sweep.range()]
        if all(isinstance(value, int) for value in whole):
            return trial.suggest_int(key, whole[0], whole[-1], step=int(sweep.step))
        values: list[Any] = whole
    else:
        values = [Override._convert_value(value) for value in sweep.list]
    # Optuna takes no lists for options.
    by_name = {in_grammar(value): value for value in values}
    return by_name[trial.suggest_categorical(key, list(by_name))]


def main() -> None:
    """The command `python scripts/tune.py …`."""
    keys = [f"  {key}={value}" for key, value in OWN.items()]
    if not helped("\n".join([str(__doc__), "Its own keys, their defaults:", "", *keys]), OWN):
        in_one_line(lambda: tune(sys.argv[1:]))


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.tune import main as imported

    imported()
