"""The command `python scripts/cross_evaluate.py`: every arm's cells under every arm's weights.

    python scripts/cross_evaluate.py study=outputs/study
    python scripts/cross_evaluate.py study=outputs/study architectures=1000 against=random workers=2

Under its own shared weights a controller is judged by weights that were trained for what it
proposes. Here the architectures of each arm are also scored under the weights of the arm `against`
which it is compared, and the other way round, on the same validation minibatches. Rows go to
`cross_evaluation.jsonl` in the study's folder as they come: a command that was killed goes on.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from nas_lightning.assembly.configuration import whole
from nas_lightning.assembly.rebuild import child_of, configuration, controller_of, data_of, study_of
from nas_lightning.commands.script import script
from nas_lightning.errors import UserError
from nas_lightning.terminal import called, shown

if TYPE_CHECKING:
    from nas_lightning.runs.run import Run
    from nas_lightning.studies.cross_evaluation import Scores

OPTIONS = {
    "study": "???",
    "architectures": 300,  # of each controller; 1,000 in Adam & Lorraine's figure
    "against": "random",
    "minibatches": 4,  # of the validation split, from its beginning, where it has so many
    "calibration_minibatches": 4,  # of the training split, for batch normalisation
    "workers": 2,
}
MUST_AGREE = ("search_space", "data", "child")
"""The nodes that all runs of a study must have in common, or their losses say nothing."""

Task = tuple["Run", list["Run"]]
"""Whose weights, and whose architectures under them."""


def tasks(runs: Sequence[Run], against: str, known: set[tuple[Any, ...]]) -> Iterator[Task]:
    """What is to be scored: each arm under its own weights and, both ways, with `against`.

    Args:
        runs: The finished runs.
        against: An arm.
        known: Seed, architectures' arm and weights' arm of what has been scored already.
    """
    for judge in runs:
        same_seed = [run for run in runs if run.seed == judge.seed]
        wanted = [
            run
            for run in same_seed
            if (run is judge or against in (run.arm, judge.arm))
            and (judge.seed, run.arm, judge.arm) not in known
        ]
        if wanted:
            yield judge, wanted


def score(task: Task, options: DictConfig) -> list[Scores]:
    """Score the architectures of several runs under the weights of one.

    Args:
        task: Whose weights, and whose architectures.
        options: See `OPTIONS`.
    """
    import torch

    from nas_lightning.search_spaces.child import score_all
    from nas_lightning.studies.cross_evaluation import Scores

    torch.set_num_threads(1)  # the workers share the cores
    judge, others = task
    config, data = configuration(judge.folder), data_of(judge.folder)
    child = child_of(judge.folder)
    batches = data.validation_batches()[: options.minibatches]
    training = [data.train_batch(i) for i in range(options.calibration_minibatches)]
    scored = []
    for run in others:
        generator = torch.Generator().manual_seed(seed_of_draw(run))
        drawn = controller_of(run.folder).ask(options.architectures, generator).architectures
        distinct, counts = torch.unique(drawn, dim=0, return_counts=True)
        losses: dict[str, list[float]] = {"trained": [], "own": []}
        with torch.no_grad():
            for some in distinct.split(int(config.estimator.max_evaluation)):
                calibrated = child.recalibrated(some, training)
                networks = {"trained": child, "own": calibrated}
                for name, network in networks.items():
                    if name == "trained" and calibrated is child:
                        continue
                    result = score_all(network, batches, some)
                    losses[name] += (result.loss_sum.double() / result.count).tolist()
        scored.append(
            Scores(
                seed=judge.seed,
                architectures_of=run.arm,
                weights_of=judge.arm,
                losses=losses["own"],
                counts=counts.tolist(),
                uncalibrated=losses["trained"] or None,
                minibatches=len(batches),
                epochs=(epochs(run), epochs(judge)),
            )
        )
    return scored


def seed_of_draw(run: Run) -> int:
    """What the draw of a run's architectures follows from."""
    from nas_lightning.generators import seed_of

    return seed_of(run.seed, "cross evaluation", run.arm)


def epochs(run: Run) -> int:
    """How many the run has had: with more it is another run."""
    return int(run.config["trainer"]["max_epochs"])


def refuse_incomparable(runs: Sequence[Run]) -> None:
    """Raise UserError if the runs are not of one space, data and child, or share no weights."""
    from nas_lightning.studies.arms import refuse_mixed

    configs = {run.folder: run.config for run in runs}
    if not all(
        str(c["estimator"]["_target_"]).endswith(".WeightSharing") for c in configs.values()
    ):
        raise UserError(
            f"study={shown(runs[0].folder.parent)}: these runs share no weights, so there is "
            f"nothing to exchange; {called('report')} compares them as they are"
        )
    refuse_mixed(configs, MUST_AGREE)


def cross_evaluate(options: DictConfig) -> None:
    """Score what is missing, and show what follows.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from joblib import Parallel, delayed

    from nas_lightning.studies.cross_evaluation import RECORD, append_scores, write_csv
    from nas_lightning.studies.shares import comparison
    from nas_lightning.studies.verdict import verdict_of

    for name in ("architectures", "minibatches", "calibration_minibatches", "workers"):
        whole(options, name, at_least=1)
    study, against = Path(str(options.study)).expanduser(), str(options.against)
    read = study_of(study)
    runs = read.finished
    arms = list(dict.fromkeys(run.arm for run in runs))
    if against not in arms:
        raise UserError(
            f"against={against}: no finished run of that arm; there is {', '.join(arms)}"
        )
    refuse_incomparable(runs)
    had = {(run.arm, run.seed): epochs(run) for run in runs}
    current = [
        s
        for s in read.scores
        if s.epochs == (had.get((s.architectures_of, s.seed)), had.get((s.weights_of, s.seed)))
        and s.drawn == options.architectures
    ]
    missing = list(tasks(runs, against, {s.place for s in current}))
    jobs = (delayed(score)(task, options) for task in missing)
    parallel = Parallel(n_jobs=options.workers, return_as="generator_unordered")
    for number, scores in enumerate(parallel(jobs), 1):
        append_scores(study, scores)
        place = f"seed {scores[0].seed}, weights of {scores[0].weights_of}"
        print(f"{number} of {len(missing)}: {place}", file=sys.stderr)
    crossed = dataclasses.replace(read)  # with the record as it is now
    write_csv(crossed.scores, study / "cross_evaluation.csv")
    found = verdict_of(crossed)
    for sentences in filter(None, [found.summary, *found.arms.values()]):
        print("\n".join([*sentences, ""]))
    print(comparison(crossed.scores, against))
    print(f"written  {shown(study / RECORD)}", file=sys.stderr)
    print(f"look at  {called('report', shlex.quote(shown(study)))}", file=sys.stderr)


def main() -> None:
    """The command `python scripts/cross_evaluate.py …`."""
    script(cross_evaluate, OPTIONS)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.cross_evaluate import main as imported

    imported()
