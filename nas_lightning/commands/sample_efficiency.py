"""The command `sample-efficiency`: how many evaluations does a way of learning take?

    python train.py -m experiment=uniform_weights controller=random seed=0,1,2,3,4
    python scripts/sample_efficiency.py study=outputs/uniform_weights rows=4

A reward depends on the architecture and on the minibatch on which it was judged, and ways of
learning differ in what they do about the second. Here the shared weights of finished runs stand
still, so that nothing but the controller learns; an evaluation is one architecture on one
minibatch. A killed command that is repeated learns only the curves that are missing.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.configuration import CONF, whole
from nas_lightning.assembly.make import make
from nas_lightning.assembly.rebuild import child_of, configuration, runs_of
from nas_lightning.commands.script import script
from nas_lightning.errors import UserError
from nas_lightning.files import require_writable
from nas_lightning.studies.sample_efficiency import PUBLISHED
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from nas_lightning.analysis.variance import Components
    from nas_lightning.data.base import Batch
    from nas_lightning.search_spaces.base import SearchSpace
    from nas_lightning.studies.sample_efficiency import Curve

SETTINGS = {
    "study": "???",
    "rows": 4,
    "rates": [3.5e-4, 1e-3, 3.5e-3, 1e-2, 3.5e-2],
    "output": None,
    "workers": 1,
}
"""Whose shared weights; rows of the minibatch on which a reward is measured; learning rates; the
file of the curves, in the study's folder unless it is given; processes, of one thread each."""

MEASURED = 100
"""Architectures by which a policy is measured, every time from the same random numbers."""

MEASURED_ON = 2
"""Validation minibatches of the run on which they are, always the same."""

UNIFORM = 400
"""Uniform architectures with which a policy is compared, on the same minibatches."""


class Way(NamedTuple):
    """A way of learning: the baseline, and how many architectures are judged on one minibatch."""

    baseline: str
    architectures: int


WAYS = {
    PUBLISHED: Way("moving_average", 1),
    "moving average, 10": Way("moving_average", 10),
    "leave-one-out, 10": Way("leave_one_out", 10),
}


class Task:
    """Frozen shared weights, and rewards that they give.

    Args:
        run: The finished run whose they are.
        rows: Rows of the minibatch on which a reward is measured.
    """

    def __init__(self, run: Path, rows: int) -> None:
        from nas_lightning.generators import Generators

        config = configuration(run, "search_space", "reward", "estimator", "data")
        self.space: SearchSpace = make(config, "search_space")
        self.reward = make(config, "reward")
        data = make(config, "data")
        self.estimator = make(config, "estimator", child=child_of(run), data=data)
        self.fixed = data.validation_batches()[:MEASURED_ON]
        config.data.evaluation_batch_size = rows
        self.batches = make(config, "data").validation_batches()
        self.seed = int(config.seed)
        uniform = self.space.sample(UNIFORM, Generators(self.seed)("uniform architectures"))
        self.uniform = float(self.rewards(uniform, self.fixed).mean())

    def rewards(self, architectures: Tensor, batches: Sequence[Batch]) -> Tensor:
        """Rewards `(M,)` of architectures `(M, T)` on minibatches together."""
        rewards: Tensor = self.reward(self.estimator.evaluate(architectures, batches))
        return rewards

    def minibatch(self, generator: torch.Generator) -> list[Batch]:
        """One minibatch at random."""
        import torch

        return [self.batches[int(torch.randint(len(self.batches), (), generator=generator))]]


def learn(task: Task, way: Way, rate: float) -> list[float]:
    """A controller's gain at each of `POINTS` while it learns, in the reward's unit."""
    import torch

    from nas_lightning.generators import Generators
    from nas_lightning.studies.sample_efficiency import POINTS

    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = [f"controller/baseline={way.baseline}", f"controller.optimizer.lr={rate}"]
        controller = make(compose("config", chosen), "controller", space=task.space)
    generators = Generators(task.seed)
    controller.reset_parameters(generators("controller weights"))
    optimizer = controller.make_optimizer(controller.parameters())
    gains, done = [], 0
    for point in POINTS:
        for _ in range((point - done) // way.architectures):
            proposal = controller.ask(way.architectures, generators("rollouts"))
            batches = task.minibatch(generators("minibatches"))
            evaluation = task.estimator.evaluate(proposal.architectures, batches)
            rewards = task.reward(evaluation)
            loss = controller.tell(proposal, rewards, evaluation, generators("controller"))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            drawn = controller.ask(MEASURED, generators.constant("measured")).architectures
        gains.append(float(task.rewards(drawn, task.fixed).mean()) - task.uniform)
        done = point
    return gains


def noise(run: Path, rows: int) -> Components:
    """What the rewards of uniform architectures are made of."""
    import torch

    from nas_lightning.analysis.variance import components
    from nas_lightning.generators import Generators

    task, generators = task_of(run, rows), Generators(0)
    drawn = task.space.sample(50, generators("architectures"))
    rewards = [task.rewards(drawn, task.minibatch(generators("minibatches"))) for _ in range(50)]
    return components(torch.stack(rewards, dim=1))


def compare(cfg: DictConfig) -> None:
    """Learn what is missing, and show what follows.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    from joblib import Parallel, delayed

    from nas_lightning.report.sample_efficiency import draw
    from nas_lightning.studies.sample_efficiency import Curve, answers, read, table, write

    rows, workers = whole(cfg, "rows", at_least=1), whole(cfg, "workers", at_least=1)
    rates = list(cfg.rates) if OmegaConf.is_list(cfg.rates) else []
    if not rates or not all(type(rate) in (int, float) and 0 < rate < 1 for rate in rates):
        raise UserError(
            f"rates={cfg.rates} is not allowed: must be a list of numbers between 0 and 1, such "
            "as [1e-3,1e-2]"
        )
    rates = list(dict.fromkeys(map(float, rates)))
    study = Path(str(cfg.study)).expanduser()
    finished = runs_of(study)
    runs = {run.seed: run.folder for run in finished}
    if len(runs) < len(finished):
        raise UserError(f"study={study}: has several runs of one seed; it needs one arm's alone")
    path = Path(str(cfg.output)).expanduser() if cfg.output else study / f"evaluations_{rows}.csv"
    if path.suffix != ".csv":  # the drawing lies beside it, as .svg
        raise UserError(f"output={cfg.output} is not allowed: must end in .csv")
    require_writable(path)
    wanted = [
        Curve(study.resolve().name, way, rate, rows, seed)
        for seed in runs
        for rate in rates
        for way in WAYS
    ]
    known = read(path)
    missing = [curve for curve in wanted if curve not in known]
    jobs = (delayed(one_curve)(curve, runs[curve.seed]) for curve in missing)
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered")
    for number, (curve, gains) in enumerate(parallel(jobs), start=1):
        known[curve] = gains
        write(path, known)
        of = f"{number} of {len(missing)}"
        print(f"{of}: {curve.way}, rate {curve.rate:g}, seed {curve.seed}", file=sys.stderr)
    curves = {curve: known[curve] for curve in wanted}
    found = answers(curves)
    draw(curves, found, path.with_suffix(".svg"))

    parts = Parallel(n_jobs=workers)(delayed(noise)(run, rows) for run in runs.values())
    print(f"rewards on {rows} rows, {len(runs)} seeds; standard deviations of their parts")
    for name, values in zip(parts[0]._fields, zip(*parts, strict=True), strict=True):
        print(f"  {name:<13} {mean(values):.4f}")
    signal = mean(part.architecture for part in parts)
    ratio = mean(part.minibatch for part in parts) / signal if signal else math.inf
    print(f"the minibatch's over the architecture's: {ratio:.1f}")
    print(table(found))
    print(f"written  {shown(path)}, {shown(path.with_suffix('.svg'))}", file=sys.stderr)


def one_curve(curve: Curve, run: Path) -> tuple[Curve, list[float]]:
    """A curve, learned in whatever process this is."""
    return curve, learn(task_of(run, curve.rows), WAYS[curve.way], curve.rate)


@functools.lru_cache(maxsize=1)
def task_of(run: Path, rows: int) -> Task:
    """A run's task; the last one made serves all its curves."""
    import torch

    torch.set_num_threads(1)  # the workers share the cores
    return Task(run, rows)


def main() -> None:
    """The command `python scripts/sample_efficiency.py …`."""
    script(compare, SETTINGS)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.sample_efficiency import main as imported

    imported()
