"""The choice among retrainings, on validation alone, and the table of the final numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas_lightning.errors import Remedy, UserError
from nas_lightning.runs.config import REFERENCES, at, differences
from nas_lightning.runs.folder import SCHEMA
from nas_lightning.runs.records import objective_in
from nas_lightning.training.child_training import ChildResult

PER_SEED = ("status", "validation", "history", "weights")
"""What a job has of its own; the rest of a network's record is the same for all seeds."""

Settings = dict[str, Any]


def outcome(result: ChildResult) -> dict[str, Any]:
    """A finished training as JSON has it, where NaN and infinity are no numbers.

    Returns:
        Its status, and its metrics on the validation split, at the end and after every epoch.
    """
    history = {
        name: [value if math.isfinite(value) else None for value in values]
        for name, values in result.history.items()
    }
    last = {name: values[-1] for name, values in history.items()}
    return {"status": result.status, "validation": last, "history": history}


@dataclass(frozen=True)
class Retraining:
    """One finished job: both networks, one setting, one seed.

    Attributes:
        folder: Where its weights are.
        result: What its `retrained.json` holds.
    """

    folder: Path
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """The jobs that differ in their seed only.

    Attributes:
        jobs: In the order of their seeds.
        varied: Full key -> value, of all keys in which the settings of the grid differ.
    """

    jobs: Sequence[Retraining]
    varied: Settings

    def outcomes(self, network: str) -> list[Mapping[str, Any]]:
        """What became of one of the networks, for every seed."""
        return [job.result["networks"][network] for job in self.jobs]

    def value(self, network: str) -> float | None:
        """The mean over seeds of the objective on validation; None if any seed has diverged."""
        name = self.jobs[0].result["objective"]
        values = [outcome["validation"][name] for outcome in self.outcomes(network)]
        diverged = any(outcome["status"] != "ok" for outcome in self.outcomes(network))
        return None if diverged or None in values else mean(values)


def settings_of(jobs: Iterable[Retraining]) -> list[Setting]:
    """The jobs of a grid by their settings, whatever the seed."""
    groups: dict[str, list[Retraining]] = {}
    for job in sorted(jobs, key=lambda job: int(job.result["seed"])):
        config = {**job.result["config"], "seed": None}
        groups.setdefault(json.dumps(config, sort_keys=True), []).append(job)
    first, *others = (json.loads(config) for config in groups)
    keys = {key: None for other in others for key, *_ in differences(first, other)}
    return [
        Setting(jobs, {key: at(json.loads(config), key) for key in keys})
        for config, jobs in groups.items()
    ]


def best(grid: Sequence[Setting], network: str) -> Setting | None:
    """The setting that is best for one of the networks; None if all have diverged."""
    sign = objective_in(grid[0].jobs[0].result).sign
    finite = [(s, v) for s in grid if (v := s.value(network)) is not None]
    return max(finite, key=lambda pair: sign * pair[1], default=(None, 0))[0]


def concluded(
    jobs: Sequence[Retraining], tested: Callable[[Retraining, str], dict[str, float]]
) -> dict[str, Any]:
    """What `final.json` shall hold, the settings chosen for each network apart.

    Args:
        jobs: Of one architecture, any settings and seeds.
        tested: Reads the test split for one of a job's two networks; called for the chosen only.

    Raises:
        UserError: If the architecture has diverged with every setting.
    """
    grid, first = settings_of(jobs), jobs[0].result
    names = list(first["networks"])
    chosen = {name: best(grid, name) for name in names}
    if chosen["architecture"] is None:
        rates = sorted({job.result["config"]["retrain"]["learning_rate"] for job in jobs})
        raise UserError(
            "training has diverged with every setting (learning_rate="
            f"{', '.join(map(str, rates))})",
            Remedy.SMALLER_RETRAIN_STEPS,
        )
    known = {
        name: {
            **{k: v for k, v in first["networks"][name].items() if k not in PER_SEED},
            **(_numbers(setting, name, tested) if setting else {"status": "diverged"}),
        }
        for name, setting in chosen.items()
    }
    objective = objective_in(first)
    return {
        "schema": SCHEMA,
        **{key: first[key] for key in ("decisions", "actions", "kind", "objective")},
        "unit": objective.unit,
        "direction": objective.direction,
        "level": at(first["config"], "data.level"),
        **known["architecture"],
        "tried": len(grid),
        "grid": [{"varied": s.varied, **{name: s.value(name) for name in names}} for s in grid],
        "reference": known.get("reference"),
        **{name: known[name] for name in REFERENCES[1:] if name in known},
    }


def _numbers(
    chosen: Setting, name: str, tested: Callable[[Retraining, str], dict[str, float]]
) -> dict[str, Any]:
    """The numbers of one network with the setting chosen for it, a value for every seed."""
    outcomes = chosen.outcomes(name)
    elsewhere = {k: v for k, v in chosen.varied.items() if not k.startswith("retrain.")}
    return {
        "settings": {**chosen.jobs[0].result["config"]["retrain"], **elsewhere},
        "seeds": [job.result["seed"] for job in chosen.jobs],
        "validation": [outcome["validation"] for outcome in outcomes],
        "test": [tested(job, name) for job in chosen.jobs],
        "history": [outcome["history"] for outcome in outcomes],
        "weights": [job.folder / job.result["networks"][name]["weights"] for job in chosen.jobs],
    }


def final_table(final: Mapping[str, Any]) -> RenderableType:
    """What a person wants to know of finished retrainings.

    Args:
        final: What `final.json` holds.
    """
    objective = objective_in(final)
    name = objective.name
    references = [final[of] for of in REFERENCES if final.get(of)]
    columns = [final, *references]
    table = Table(title="retrained from scratch")
    table.add_column("")
    table.add_column("the architecture found")
    for reference in references:
        table.add_column(reference["description"])
    table.add_row(
        f"test {objective.label('final')}", *(mean_over_seeds(c["test"], name) for c in columns)
    )
    if final.get("level") == "character":
        table.add_row("test bits per character", *(_bits(c["test"]) for c in columns))
    table.add_row(
        f"validation {objective.label()}",
        *(mean_over_seeds(c["validation"], name) for c in columns),
    )
    for cost in ("parameters", "multiply_adds"):
        if cost in final:
            table.add_row(cost.replace("_", "-"), *(f"{c[cost]:,}" for c in columns))
    table.add_row("seeds", *(", ".join(map(str, c["seeds"])) or "diverged" for c in columns))
    parts: list[RenderableType] = [table]
    varied = {
        key.removeprefix("retrain.") for setting in final["grid"] for key in setting["varied"]
    }
    if varied:
        chosen = [{k: v for k, v in c["settings"].items() if k in varied} for c in columns]
        table.add_row("settings chosen", *(_listed(c) or "diverged" for c in chosen))
        parts.append(_grid_table(final))
    hidden = {"_target_", *varied}
    shared = {k: v for k, v in final["settings"].items() if k not in hidden}
    parts.append(Text(f"settings {_listed(shared)}"))
    return Group(*parts)


def _grid_table(final: Mapping[str, Any]) -> Table:
    """The validation of every setting that was tried."""
    name = objective_in(final).label()
    table = Table(title=f"validation {name} of the {len(final['grid'])} settings tried")
    table.add_column("")
    networks = ["architecture", *(of for of in REFERENCES if final.get(of))]
    for network in networks:
        table.add_column(network.replace("_", " "))
    for setting in final["grid"]:
        values = [setting[network] for network in networks]
        shown = ("diverged" if v is None else f"{v:.4g}" for v in values)
        table.add_row(_listed(_short(setting["varied"])), *shown)
    return table


def _short(settings: Settings) -> Settings:
    """The settings with those of training under their own names, as `settings` has them."""
    return {key.removeprefix("retrain."): value for key, value in settings.items()}


def _bits(metrics: Sequence[Mapping[str, float | None]]) -> str:
    """Log2 of the perplexities, which are of characters."""
    perplexities = [of_seed.get("perplexity") for of_seed in metrics]
    return mean_over_seeds([{"bits": p and math.log2(p)} for p in perplexities], "bits")


def _listed(settings: Settings) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())


def mean_over_seeds(metrics: Sequence[Mapping[str, float | None]], name: str) -> str:
    """Mean and standard deviation over seeds."""
    values = [value for of_seed in metrics if (value := of_seed.get(name)) is not None]
    if not values or len(values) < len(metrics):
        return "diverged"
    text = f"{mean(values):.4g}"
    return f"{text} ± {stdev(values):.2g} ({len(values)} seeds)" if len(values) > 1 else text
