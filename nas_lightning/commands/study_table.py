"""The command `python scripts/study_table.py`: a study's numbers as a CSV and a Markdown table.

python scripts/study_table.py study=outputs/inside
python scripts/study_table.py study=outputs/inside metrics=[derive/reward,probes/accuracy]
"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from nas_lightning.assembly.rebuild import study_of
from nas_lightning.commands.script import script
from nas_lightning.errors import UserError
from nas_lightning.studies.table import means, objective_of, undefined, write_numbers
from nas_lightning.terminal import shown

METRICS = [
    "seeds/best_after_50",
    "seeds/best_after_100",
    "seeds/best_after_200",
    "seeds/best_after_300",
    "seeds/best_after_1000",
    "seeds/best_after_3000",
    "seeds/best_after_50_distinct",
    "seeds/best_after_100_distinct",
    "seeds/best_after_200_distinct",
    "seeds/distinct",
    "derive/reward_minus_uniform",
    "derive/kl_to_uniform",
    "derive/entropy",
    "derive/unique_fraction",
    "hidden/uniform_variance",
    "hidden/uniform_std",
    "hidden/uniform_saturated",
    "hidden/own_information",
    "probes/accuracy",
    "similarity/uniform_final_same_activation",
    "similarity/uniform_final_same_previous_node",
    "similarity/uniform_final_common_activations",
    "similarity/uniform_final_common_connections",
    "similarity/uniform_one_hot_same_activation",
    "similarity/uniform_one_hot_same_previous_node",
    "similarity/uniform_one_hot_common_activations",
    "similarity/uniform_one_hot_common_connections",
    "similarity/own_before_last_common_activations",
    "similarity/own_before_last_common_connections",
    "similarity/own_before_last_edit_distance",
    "similarity/own_before_last_performance_difference",
]
"""Whether a controller has learned, and what it remembers; docs/metrics.md explains each."""


def tabulate(cfg: DictConfig) -> None:
    """Write a study's table.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    study = Path(str(cfg.study)).expanduser()
    metrics = [str(name) for name in cfg.metrics]
    runs = study_of(study).finished
    unknown = set(metrics) - {name for run in runs for name in run.at_end}
    if unknown and set(metrics) != set(METRICS):
        raise UserError(f"metrics={sorted(unknown)}: no run of {study} has recorded them")
    path = Path(str(cfg.output)) if cfg.output else study / "numbers.csv"
    best = objective_of(runs) if metrics == METRICS else None
    write_numbers(runs, [*([f"derive/best_{best.name}"] if best else []), *metrics], path)
    print(means(runs, metrics, best))
    for line in undefined({run.arm: run.undefined for run in runs}):
        print(f"\n{line}")
    print(f"written  {shown(path)}", file=sys.stderr)


def main() -> None:
    """The command `python scripts/study_table.py …`."""
    script(tabulate, {"study": "???", "metrics": METRICS, "output": None})


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.study_table import main as imported

    imported()
