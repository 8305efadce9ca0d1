"""The command `python scripts/rank_agreement.py`: do shared weights rank as training does?

    python train.py -m search_space.num_nodes=3 arm=random seed=0,1,2 study=shared
    python scripts/rank_agreement.py study=outputs/shared

All architectures of a table (`scripts/ground_truth.py`; the one of three nodes comes with the
package) are scored under the shared weights of every finished run of a study. How well that ranks
them is Kendall's tau with the table; the most to be expected of it is what two trainings from
scratch agree on. Fewer than a hundred architectures, or an interval around zero, are inconclusive.
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
from nas_lightning.errors import UserError
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from nas_lightning.analysis.statistics import RankAgreement

RESAMPLES = 1000
"""Of the bootstrap intervals."""

OPTIONS = {"study": "???", "table": None}


def agreements(cfg: DictConfig) -> None:
    """Show how well the shared weights of a study rank the architectures of a table.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from nas_lightning.analysis.statistics import rank_agreement
    from nas_lightning.estimators.table_file import SHIPPED, read_table

    path = SHIPPED["enas_rnn_3"] if cfg.table is None else Path(str(cfg.table)).expanduser()
    runs = runs_of(Path(str(cfg.study)).expanduser())
    lines, taus = [], []
    for run in runs:
        space = make(configuration(run.folder, "search_space"), "search_space")
        try:
            table = read_table(path, space)
            rows = table.rows(table.column("loss", None, None))
            losses = shared_losses(run.folder, list(rows))
        except ValueError as error:
            raise UserError(str(error).replace("path=", "table=", 1)) from None
        truth = [mean(row) for row in rows.values()]
        ranked = [loss if math.isfinite(loss) else math.inf for loss in losses]
        diverged = ranked.count(math.inf)
        who = f"{run.arm}, seed {run.seed}"
        if diverged == len(ranked):
            lines.append(f"{who}: all {diverged} architectures have diverged")
            continue
        found = rank_agreement(ranked, truth, resamples=RESAMPLES, seed=0)
        taus.append(found.value)
        last = f"; {diverged} have diverged and rank last" if diverged else ""
        lines.append(f"{who}: {spoken(found)}{last}")
    print(f"Kendall's tau between losses under shared weights (shared) and {shown(path)} (proxy)")
    print("\n".join(lines))
    if len(taus) > 1:
        print(
            f"over {len(taus)} runs: mean {mean(taus):.3f} ± {stdev(taus):.2g}, "
            f"median {median(taus):.3f}"
        )
    print("\n".join(ceilings(list(rows.values()))))


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


def shared_losses(run: Path, architectures: list[tuple[int, ...]]) -> list[float]:
    """Loss of each under a run's shared weights, on its whole validation split, nats per token."""
    import torch

    from nas_lightning.search_spaces.child import score_all

    child, batches = child_of(run), data_of(run).validation_batches()
    limit = int(configuration(run).estimator.max_evaluation)
    losses: list[float] = []
    with torch.no_grad():
        for some in torch.split(torch.tensor(architectures), limit):
            score = score_all(child, batches, some)
            losses += (score.loss_sum.double() / score.count).tolist()
    return losses


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
