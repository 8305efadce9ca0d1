"""The final number: an architecture trained from scratch at full budget, and its test score.

    python scripts/retrain.py run=RUN                                        one training
    python scripts/retrain.py -m run=RUN retrain.learning_rate=0.1,0.05 seed=0,1      a grid

`run=RUN` is rewritten into the run's own configuration, so that every key of it can be overridden:
`retrain` holds the full budget, `child` and `data` what the search used. In a grid the settings are
chosen on validation, averaged over seeds, and the test split is read once, by the chosen ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nas_lightning.command import command, job, quoted
from nas_lightning.errors import UserError
from nas_lightning.experiment import make, plain, shown, whole

if TYPE_CHECKING:
    from nas_lightning.data.base import Data
    from nas_lightning.search_spaces.base import ChildNetwork, SearchSpace

RESULT = "retrained.json"
WEIGHTS = "weights.pt"
FINAL = "final.json"


def retrain(cfg: DictConfig, folder: Path) -> None:
    """Train one architecture with one seed; leaves its validation metrics and its weights.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    import torch

    from nas_lightning.run_folder import write_json

    if (folder / RESULT).exists():
        print(f"finished already: {shown(folder)}", file=sys.stderr)
        return
    if cfg.threads is not None:
        torch.set_num_threads(whole(cfg, "threads", at_least=1))
    space, data, child = parts(cfg)
    training, seed = make(cfg, "retrain"), whole(cfg, "seed", at_least=0)
    actions = [int(action) for action in cfg.architecture]
    objective = cfg.estimator.objective
    metrics: dict[str, float] = {}
    network = None
    epochs = training.epochs_of(child, data, torch.tensor([actions]), seed)
    for epoch, (network, values) in enumerate(epochs, start=1):  # noqa: B007 (used below)
        metrics = {name: value for name, (value,) in values.items()}
        line = f"epoch {epoch}/{training.epochs}: validation {objective} {metrics[objective]:.4g}"
        print(line, file=sys.stderr)
    assert network is not None
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / WEIGHTS)
    result = {
        "decisions": space.describe(actions),
        "actions": actions,
        **child.costs(actions),
        "validation": metrics,
        "kind": "final",
        "objective": objective,
        "seed": seed,
        "config": plain(cfg),
    }
    write_json(folder / RESULT, result)


def conclude(folders: Sequence[Path], into: Path) -> dict[str, Any]:
    """Choose the settings that are best on validation, and read the test split for them, once.

    Args:
        folders: Folders of finished trainings of one architecture, any settings and seeds.
        into: Where `final.json` is written.

    Returns:
        What was written.
    """
    import torch

    from nas_lightning.estimators.base import DIRECTIONS
    from nas_lightning.run_folder import write_json
    from nas_lightning.search_spaces.base import metrics_of, score_all

    results = [(f, json.loads((f / RESULT).read_text(encoding="utf-8"))) for f in folders]
    objective = results[0][1]["objective"]
    groups: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for folder, result in results:
        settings = {**result["config"], "seed": None}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append((folder, result))

    def quality(group: list[tuple[Path, dict[str, Any]]]) -> float:
        values = [float(result["validation"][objective]) for _, result in group]
        return DIRECTIONS[objective] * sum(values) / len(values)

    chosen = max(groups.values(), key=quality)
    tests: list[dict[str, float]] = []
    for folder, result in chosen:
        cfg = OmegaConf.create(result["config"])
        _, data, child = parts(cfg)
        architectures = torch.tensor([result["actions"]])
        network = child.fresh(architectures, [torch.Generator()])
        network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
        network.eval()
        with torch.no_grad():
            score = score_all(network, data.test_batches(), architectures)
        tests.append({name: float(value) for name, value in metrics_of(score).items()})
    first = chosen[0][1]
    final = {
        **{k: v for k, v in first.items() if k not in ("validation", "seed", "config")},
        "settings": first["config"]["retrain"],
        "seeds": [result["seed"] for _, result in chosen],
        "validation": [result["validation"] for _, result in chosen],
        "test": tests,
        "weights": [shown(folder / WEIGHTS) for folder, _ in chosen],
        "tried": len(groups),
    }
    write_json(into / FINAL, final)
    return final


def parts(cfg: DictConfig) -> tuple[SearchSpace, Data, ChildNetwork]:
    """Space, data and child network of a configuration."""
    space, data = make(cfg, "search_space"), make(cfg, "data")
    return space, data, make(cfg, "child", space=space, **data.sizes)


def show(final: dict[str, Any], into: Path) -> None:
    """Print the table of a finished retraining."""
    from statistics import mean, stdev

    from rich.console import Console
    from rich.table import Table

    name = final["objective"]

    def spread(metrics: list[dict[str, float]]) -> str:
        values = [m[name] for m in metrics]
        text = f"{mean(values):.4g}"
        return f"{text} ± {stdev(values):.2g} ({len(values)} seeds)" if len(values) > 1 else text

    table = Table(title="retrained from scratch", show_header=False)
    table.add_row(f"test {name} (final)", spread(final["test"]))
    table.add_row(f"validation {name}", spread(final["validation"]))
    for cost in ("parameters", "multiply_adds"):
        if cost in final:
            table.add_row(cost.replace("_", "-"), f"{final[cost]:,}")
    table.add_row("settings tried", str(final["tried"]))
    settings = {k: v for k, v in final["settings"].items() if k != "_target_"}
    table.add_row("settings chosen", ", ".join(f"{k}={v}" for k, v in settings.items()))
    table.add_row("written", shown(into / FINAL))
    Console().print(table)


class ConcludeGrid(Callback):
    """At the end of a multirun chooses among its jobs."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Choose among all finished jobs in the grid's folder."""
        into = Path(config.hydra.sweep.dir)
        folders = sorted(path.parent for path in into.glob(f"*/{RESULT}"))
        if folders:
            show(conclude(folders, into), into)


def task(cfg: DictConfig) -> tuple[int, str] | None:
    """One job: in a multirun the choice is made when all are done."""
    return job(cfg, _run)


def _run(cfg: DictConfig, folder: Path) -> None:
    retrain(cfg, folder)
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        show(conclude([folder], folder), folder)


def rewritten(arguments: list[str]) -> list[str]:
    """Rewrite `run=RUN` or `architecture=JSON` into Hydra's flags: the configuration of that run.

    Raises:
        UserError: If neither is given, or there is no finished run.
    """
    given = [a for a in arguments if a.startswith(("run=", "architecture="))]
    if len(given) != 1:
        raise UserError("give one of run=FOLDER and architecture=FILE.json, the result of a search")
    key, _, value = given[0].partition("=")
    file = Path(value).expanduser().absolute()
    if key == "run":
        file = file / "best_architecture.json"
    if not (file.is_file() and (file.parent / "config.yaml").is_file()):
        raise UserError(f"{given[0]}: no finished search there; it leaves a best_architecture.json")
    try:
        actions = [int(a) for a in json.loads(file.read_text(encoding="utf-8"))["actions"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{given[0]}: {shown(file)} holds no list `actions`") from error

    single = file.parent / "retrain" / "single" / "${now:%Y-%m-%d_%H-%M-%S-%f}"

    return [
        f"--config-path={file.parent}",
        "--config-name=config",
        *(a for a in arguments if a != given[0]),
        f"hydra.run.dir={quoted(single)}",
        f"hydra.sweep.dir={quoted(file.parent / 'retrain')}",
        "hydra.sweep.subdir='${slug:${hydra:job.override_dirname}}'",
        "hydra.job.config.override_dirname.exclude_keys=[+architecture]",
        "hydra.output_subdir=null",
        "hydra/job_logging=none",
        "+hydra.callbacks.failures._target_=nas_lightning.command.ListFailures",
        "+hydra.callbacks.conclude._target_=nas_lightning.retrain.ConcludeGrid",
        f"+architecture={actions}".replace(" ", ""),
    ]


def main() -> None:
    """The command `python scripts/retrain.py …`."""
    command(task, rewritten)
