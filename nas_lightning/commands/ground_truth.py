"""The command `python scripts/ground_truth.py`: every architecture of a small space, trained.

python scripts/ground_truth.py                                    all cells of three nodes, 2 seeds
python scripts/ground_truth.py output=FILE.csv folder=WORK seeds=[0,1,2] KEY=VALUE …
python scripts/ground_truth.py search_space.num_nodes=4 drawn=64  64 of them, drawn uniformly

What it makes is a table for `estimator=table`: what a search has found is then compared with all
there is to find. With `drawn` it is a sample, which says how far trainings agree. How children are
trained is `experiment=ground_truth`, of which every key can be overridden. A killed command that is
repeated trains only those that had not finished.
"""

from __future__ import annotations

import csv
import functools
import io
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.checks import refuse_uncounted
from nas_lightning.assembly.configuration import CONF, plain
from nas_lightning.assembly.make import make
from nas_lightning.commands.script import given, helped, in_one_line
from nas_lightning.errors import UserError
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from nas_lightning.search_spaces.base import SearchSpace

SETTINGS = {
    "seeds": [0, 1],
    "folder": "outputs/ground_truth",
    "output": "outputs/ground_truth/table.csv",
    "drawn": None,
}
"""What the command line can set beside the configuration: the seeds; where the children trained
are kept; where the table goes; how many architectures are drawn, all the same ones whatever else
is asked for, or null for all there are."""

LARGEST = 10_000
"""Architectures of a space that can still be trained one and all."""

DECISIVE = ["search_space", "data", "child", "estimator", "seed"]
"""What of a configuration decides what the children become."""

RESAMPLES = 1000
"""Of the bootstrap interval of tau."""

Actions = tuple[int, ...]


def every_architecture(space: SearchSpace) -> list[Actions]:
    """All architectures of a space, the last decision varying fastest.

    Raises:
        UserError: If there are too many, or nothing to compare, or the space grows.
    """
    refuse_uncounted(space)
    if not 2 <= space.size <= LARGEST or len(space.stages) > 1:
        raise UserError(
            f"search_space: has {space.largest.size:,} architectures; all of them can be trained "
            f"where there are 2 to {LARGEST:,}, as with search_space.num_nodes=3"
        )
    return [tuple(actions) for actions in space.architectures().tolist()]


def some_of(every: list[Actions], drawn: int | None) -> list[Actions]:
    """So many of them, drawn uniformly without replacement, in their order; or all.

    Raises:
        UserError: If there are not so many, or too few to be ranked.
    """
    import torch

    from nas_lightning.generators import Generators

    if drawn is None:
        return every
    if type(drawn) is not int or not 2 <= drawn <= len(every):
        raise UserError(
            f"drawn={drawn} is not allowed: must be a whole number from 2 to {len(every):,}, all "
            "that the space has"
        )
    order = torch.randperm(len(every), generator=Generators(0)("drawn architectures"))
    return [every[i] for i in sorted(order[:drawn].tolist())]


def losses(
    overrides: Sequence[str], seed: int, folder: Path, drawn: int | None
) -> tuple[SearchSpace, list[Actions], list[float]]:
    """Train architectures with one seed, those aside that the folder knows already.

    Args:
        overrides: Of the configuration.
        seed: What all randomness follows from.
        folder: Of this seed.
        drawn: How many are trained; None: all.

    Returns:
        The space; the architectures; validation loss of each, nats per target.

    Raises:
        UserError: If the folder has been used with another configuration, or a child came to
            nothing.
    """
    import torch

    from nas_lightning.generators import Generators
    from nas_lightning.runs.folder import RunFolder

    cfg = configuration([*overrides, f"seed={seed}"])
    space, data = make(cfg, "search_space"), make(cfg, "data")
    chosen = some_of(every_architecture(space), drawn)
    with RunFolder(folder).locked():
        keep_to(folder, cfg, data.fingerprint)
        estimator = make(
            cfg,
            "estimator",
            space=space,
            child=make(cfg, "child", space=space, **data.sizes),
            data=data,
            executor=functools.partial(make, cfg, "executor"),
            generators=Generators(seed),
            folder=folder,
        )
        try:
            evaluation = estimator.evaluate(torch.tensor(chosen), [])
        finally:
            estimator.close()
    bad = [status for status in evaluation.status if status != "ok"]
    if bad:
        raise UserError(
            f"seed={seed}: {len(bad)} of {len(chosen)} architectures have no loss ({bad[0]}); give "
            "a lower estimator.training.learning_rate, and another folder=…"
        )
    return space, chosen, evaluation.metrics["loss"].tolist()


def configuration(overrides: Sequence[str]) -> DictConfig:
    """The configuration in which children are trained."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", ["experiment=ground_truth", *overrides])


def measured_on(overrides: Sequence[str]) -> str:
    """The data and the budget of the losses, in words that name columns of the table."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        asked = ["experiment=ground_truth", *overrides]
        cfg = compose("config", asked, return_hydra_config=True)
    epochs = cfg.estimator.training.epochs
    data = cfg.hydra.runtime.choices.data
    return f"{data} validation | {epochs} epoch{'s' if epochs != 1 else ''}"


def keep_to(folder: Path, cfg: DictConfig, data: Mapping[str, str]) -> None:
    """Note what decides what the children in a folder become; another folder is for others.

    Args:
        folder: Where the children are.
        cfg: The configuration.
        data: The fingerprint of their data.

    Raises:
        UserError: If the folder holds children of another configuration, or on other data.
    """
    from nas_lightning.files import write
    from nas_lightning.runs.config import CONFIG, differences
    from nas_lightning.runs.folder import begin_stretch, refuse_other_data

    file, config = folder / CONFIG, plain(cfg, DECISIVE)
    if file.exists():
        before = OmegaConf.to_container(OmegaConf.load(file))
        for key, old, new in differences(before, config):
            raise UserError(
                f"{key}={new}: the children in {shown(folder)} have {key}={old}; give the value "
                "they have, or another folder=…"
            )
    refuse_other_data(folder, data, otherwise="give another folder=…")
    text = OmegaConf.to_yaml(OmegaConf.create(config))
    write(file, text)
    begin_stretch(folder, text, data, anew=False)


def table(
    space: SearchSpace,
    architectures: Sequence[Actions],
    seeds: Sequence[int],
    columns: Sequence[Sequence[float]],
    of: str,
) -> str:
    """The losses of architectures as CSV: the options by decision, then a loss for each seed.

    Args:
        space: Whose they are.
        architectures: They.
        seeds: Their numbers.
        columns: For each seed the losses.
        of: On which data and after which budget, as `estimators.table_file` has it.
    """
    from nas_lightning.search_spaces.child import LOSS

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [decision.name for decision in space.decisions]
    writer.writerow([*names, *(f"{LOSS.label()} | {of} | seed {seed}" for seed in seeds)])
    for actions, *row in zip(architectures, *columns, strict=True):
        writer.writerow([*space.describe(actions).values(), *(f"{loss:.6f}" for loss in row)])
    return text.getvalue()


def summary(
    space: SearchSpace,
    architectures: Sequence[Actions],
    seeds: Sequence[int],
    columns: Sequence[Sequence[float]],
) -> str:
    """What there is to find, how far seeds agree on it, and what uniform sampling comes to.

    Args:
        space: As in `table`.
        architectures: Likewise.
        seeds: Likewise.
        columns: Likewise.
    """
    from statistics import mean, pstdev

    from nas_lightning.analysis.statistics import expected_best, rank_agreement

    means = [mean(row) for row in zip(*columns, strict=True)]
    best = min(range(len(means)), key=means.__getitem__)
    lines = [
        space.draw(architectures[best]),
        "",
        "validation loss, nats per target (proxy), mean of seeds "
        + ", ".join(str(seed) for seed in seeds),
        f"architectures  {len(means)}",
        f"best           {means[best]:.4f}",
        f"worst          {max(means):.4f}",
        f"mean           {mean(means):.4f}, standard deviation {pstdev(means):.4f}",
    ]
    for (one, first), (other, second) in itertools.combinations(
        zip(seeds, columns, strict=True), 2
    ):
        tau = rank_agreement(first, second, resamples=RESAMPLES, seed=0)
        lines.append(
            f"Kendall's tau  {tau.value:.3f} between seeds {one} and {other} "
            f"(95 % interval {tau.low:.3f} to {tau.high:.3f})"
        )
    powers = [2**i for i in range(len(means).bit_length())]
    lines += ["", "uniform sampling, expected best of k", "    k    loss  regret"]
    for k, loss in zip(powers, expected_best(means, powers), strict=True):
        lines.append(f"{k:5d}  {loss:.4f}  {loss - means[best]:.4f}")
    return "\n".join(lines)


def run(
    overrides: Sequence[str],
    *,
    seeds: Sequence[int],
    folder: Path,
    output: Path,
    drawn: int | None,
) -> None:
    """Train what is missing, write the table and show what it holds.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from nas_lightning.files import write

    columns = []
    for seed in seeds:
        space, chosen, column = losses(overrides, seed, folder / f"seed-{seed}", drawn)
        columns.append(column)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write(output, table(space, chosen, seeds, columns, measured_on(overrides)))
    except OSError as error:
        raise UserError(f"output={output}: cannot be written ({error.strerror})") from None
    print(summary(space, chosen, seeds, columns))
    print(f"written  {shown(output)}", file=sys.stderr)


def train_all(arguments: Sequence[str]) -> None:
    """Read the arguments, train and write.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    ours = [a for a in arguments if a.partition("=")[0] in SETTINGS]
    settings: Any = OmegaConf.to_container(given(ours, SETTINGS))
    seeds = settings["seeds"]
    good = isinstance(seeds, list) and all(type(s) is int and s >= 0 for s in seeds)
    if not good or not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"seeds={seeds} is not allowed: must be a list such as [0,1]")
    run(
        [a for a in arguments if a not in ours],
        seeds=seeds,
        folder=Path(str(settings["folder"])).expanduser(),
        output=Path(str(settings["output"])).expanduser(),
        drawn=settings["drawn"],
    )


def main() -> None:
    """The command `python scripts/ground_truth.py …`."""
    if not helped(str(__doc__), SETTINGS):
        in_one_line(lambda: train_all(sys.argv[1:]))


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.ground_truth import main as imported

    imported()
