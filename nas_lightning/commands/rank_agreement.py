"""The command `python scripts/rank_agreement.py`: do shared weights rank as training does?

    python train.py -m search_space.num_nodes=3 arm=random seed=0,1,2 study=shared
    python scripts/rank_agreement.py study=outputs/shared

All architectures of a table (`scripts/ground_truth.py`; the one of three nodes comes with the
package), or some uniform ones (`architectures=200`), are scored under the shared weights of every
finished run of a study. How well that ranks them is Kendall's tau with the table; the most to be
expected of it is what two trainings from scratch agree on, and the least what the number of
parameters knows. Fewer than a hundred architectures, or an interval around zero, are inconclusive.

    python scripts/rank_agreement.py study=outputs/nas_bench_201_small architectures=200 \
        table=nas_bench_201_12_epochs objective=accuracy 'data_set=cifar10 validation'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from nas_lightning.assembly.make import make
from nas_lightning.assembly.rebuild import child_of, configuration, data_of, runs_of
from nas_lightning.commands.script import script
from nas_lightning.errors import UserError, require_one_of, require_whole
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from nas_lightning.analysis.statistics import RankAgreement

RESAMPLES = 1000
"""Of the bootstrap intervals."""

OPTIONS = {
    "study": "???",
    "table": "enas_rnn_3",  # of a shipped one the name, or a CSV file
    "objective": "loss",  # which is measured under the shared weights, too
    "data_set": None,
    "budget": None,
    "architectures": None,  # so many uniform ones; None: all
}


def agreements(cfg: DictConfig) -> None:
    """Show how well the shared weights of a study rank the architectures of a table.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from nas_lightning.analysis.statistics import rank_agreement
    from nas_lightning.estimators.table_file import SHIPPED

    path = SHIPPED.get(str(cfg.table)) or Path(str(cfg.table)).expanduser()
    runs = runs_of(Path(str(cfg.study)).expanduser())
    lines, taus = [], []
    for run in runs:
        rows, sign = rows_of(path, run.folder, cfg)
        truth = [sign * mean(row) for row in rows.values()]
        values = shared_values(run.folder, list(rows), cfg.objective)
        ranked = [sign * value if math.isfinite(value) else math.inf for value in values]
        diverged = ranked.count(math.inf)
        who = f"{run.arm}, seed {run.seed}"
        if diverged == len(ranked):
            lines.append(f"{who}: all {diverged} architectures have diverged")
            continue
        found = rank_agreement(ranked, truth, resamples=RESAMPLES, seed=0)
        taus.append(found.value)
        last = f"; {diverged} have diverged and rank last" if diverged else ""
        lines.append(f"{who}: {spoken(found)}{last}")
    print(
        f"Kendall's tau of {cfg.objective} under shared weights (shared) and {shown(path)} (proxy)"
    )
    print("\n".join(lines))
    if len(taus) > 1:
        print(
            f"over {len(taus)} runs: mean {mean(taus):.3f} ± {stdev(taus):.2g}, "
            f"median {median(taus):.3f}"
        )
    child = child_of(run.folder)
    sizes = [-float(child.costs(actions)["parameters"]) for actions in rows]
    if len(set(sizes)) > 1:
        by_size = rank_agreement(sizes, truth, resamples=RESAMPLES, seed=0)
        print(f"the number of parameters, the more the better: {spoken(by_size)}")
    print("\n".join(ceilings(list(rows.values()))))


def rows_of(
    path: Path, run: Path, cfg: DictConfig
) -> tuple[dict[tuple[int, ...], list[float]], int]:
    """What a table holds of a run's architectures, all or some uniform ones, a value a seed.

    Returns:
        The values, and the factor by which less is better.

    Raises:
        UserError: If the table does not hold what is asked for.
    """
    import torch

    from nas_lightning.estimators.table_file import read_table

    space = make(configuration(run, "search_space"), "search_space")
    try:
        if cfg.architectures is not None:
            require_whole("architectures", cfg.architectures, at_least=2)
        table = read_table(path, space)
        column = table.column(cfg.objective, cfg.data_set, cfg.budget)
    except ValueError as error:
        raise UserError(str(error).replace("path=", "table=", 1)) from None
    rows = table.rows(column)
    if cfg.architectures is not None:
        drawn = space.sample(cfg.architectures, torch.Generator().manual_seed(0)).tolist()
        rows = {actions: rows[actions] for actions in dict.fromkeys(map(tuple, drawn))}
    return rows, -int(column.metric.sign)


def ceilings(table: Sequence[Sequence[float]]) -> list[str]:
    """What is the most that could have been reached, from the losses of a table's seeds."""
    from nas_lightning.analysis.statistics import rank_agreement, rank_ceiling

    seeds = list(zip(*table, strict=True))
    if len(seeds) < 2:
        return ["ceiling: unknown, the table has a single seed"]
    most = rank_ceiling(table, len(seeds))
    lines = [f"ceiling, a predictor without noise and the mean of {len(seeds)} seeds: {most:.3f}"]
    for one, other in combinations(range(len(seeds)), 2):
        between = rank_agreement(seeds[one], seeds[other], resamples=RESAMPLES, seed=0)
        lines.append(f"one seed of the table and another: {spoken(between)}")
    return lines


def shared_values(run: Path, architectures: list[tuple[int, ...]], metric: str) -> list[float]:
    """A metric of each under a run's shared weights, as it judges, on its whole validation split.

    Raises:
        UserError: If the run's networks do not measure it.
    """
    import torch

    from nas_lightning.search_spaces.child import LOSS, measured, score_all

    child, data, estimator = child_of(run), data_of(run), configuration(run).estimator
    try:
        require_one_of("objective", metric, [m.name for m in (*child.metrics, LOSS)])
    except ValueError as error:
        raise UserError(str(error)) from None
    training = [data.train_batch(i) for i in range(estimator.get("calibration_minibatches", 0))]
    batches = data.validation_batches()
    values: list[float] = []
    with torch.no_grad():
        for some in torch.split(torch.tensor(architectures), int(estimator.max_evaluation)):
            judging = child.recalibrated(some, training) if training else child
            score = score_all(judging, batches, some)
            found = {**measured(child, score), LOSS.name: score.loss_sum.double() / score.count}
            values += found[metric].tolist()
    return values


def spoken(found: RankAgreement) -> str:
    """Tau, its interval, on how many architectures, and whether that says anything."""
    says = "" if found.conclusive else ", inconclusive"
    return (
        f"tau {found.value:.3f} (95 % interval {found.low:.3f} to {found.high:.3f}, "
        f"{found.n} architectures{says})"
    )


def main() -> None:
    """The command `python scripts/rank_agreement.py …`."""
    script(agreements, OPTIONS)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.rank_agreement import main as imported

    imported()
