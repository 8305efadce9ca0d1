"""The command `python scripts/wandb_workspace.py`: a saved W&B workspace, built from code.

python scripts/wandb_workspace.py
python scripts/wandb_workspace.py project=nas-lightning entity=TEAM output=FILE.json

Runs of one arm are drawn as one line with a band, arms over each other, each family of metrics
over its own counter. With a login the workspace is saved and its address shown; without one its
description is written to a file.
"""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from nas_lightning.commands.script import script
from nas_lightning.errors import UserError
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

SETTINGS = {
    "entity": None,
    "project": "nas-lightning",
    "name": "nas-lightning",
    "output": "outputs/wandb_dashboard.json",
}
"""What the command line can set: user or team, null for the one logged in; the runs' project; what
the workspace is called; where its description goes when nobody is logged in."""

PANELS: dict[str, dict[str, list[str]]] = {
    "search": {
        "Best architecture": ["derive/best_perplexity", "derive/best_accuracy"],
        "Sampled candidates: median loss": ["derive/loss_median"],
        "Is the controller better than uniform?": ["derive/reward_minus_uniform"],
        "Regret (tables that come with the package)": [
            "derive/best_regret_after_2_epochs",
            "derive/best_regret_after_12_epochs",
        ],
        "Training loss of the shared weights": ["child/loss"],
    },
    "controller": {
        "Reward": ["controller/reward"],
        "Entropy": ["controller/entropy"],
        "KL to uniform": ["derive/kl_to_uniform"],
        "Loss": ["controller/loss"],
        "Memory: loss": ["memory/loss"],
        "Memory: gradient, over the controller's": ["memory/gradient_ratio"],
        "Decisions read off the final state": ["probes/accuracy", "probes/chance"],
        "Variance between architectures": ["hidden/uniform_variance"],
        "Saturated entries": ["hidden/uniform_saturated"],
    },
    "diversity": {
        "Unique candidates": ["derive/unique_fraction"],
        "Unique networks": ["diversity/canonical_unique_fraction"],
        "Hamming distance": ["diversity/hamming_distance"],
        "Effective architectures": ["diversity/effective_policy", "diversity/effective_sample"],
        "Judged before": ["diversity/revisit_rate"],
    },
    "architectures": {
        "Perplexity of candidates": ["derive/perplexity_median"],
        "Accuracy of candidates": ["derive/accuracy_mean"],
        "Parameters of candidates": ["derive/parameters_mean"],
        "Multiply-adds of candidates": ["derive/multiply_adds_mean"],
        "Decisions of the space": ["derive/decisions"],
        "Near the best of the ledger": ["diversity/recreated", "diversity/slightly_changed"],
    },
    "search by gradient": {
        "Loss: of the mixture, of the derived": ["relaxed/loss", "relaxed/derived_loss"],
        "Entropy of the weights": ["relaxed/entropy"],
        "Skips in the derived architecture": ["relaxed/skips"],
        "Greatest eigenvalue": ["relaxed/eigenvalue"],
    },
    "system": {
        "Budget: tokens": ["derive/tokens_spent"],
        "Budget: images": ["derive/images_spent"],
        "Budget: epochs": ["derive/epochs_spent"],
        "CPU": ["system/cpu"],
        "Memory of the process": ["system/proc.memory.rssMB"],
        "GPU": ["system/gpu.0.gpu"],
    },
}
"""Section -> title of a panel -> the metrics it draws; docs/metrics.md explains each. W&B itself
records `system/*`."""

DRAWINGS = {"Best architecture": ["architecture/best"], "Its decisions": ["architecture/decisions"]}
"""Title of a panel of the section `architectures` -> what it shows."""

ARM = (
    "controller._target_",
    "controller.policy._target_",
    "controller.entropy_weight",
    "controller.predictor._target_",
    "controller.initial",
    "controller.sampler.multivariate",
    "controller.support",
    "controller.population",
    "controller.sample",
    "controller.replacement",
    "controller.optimizer.lr",
    "controller.baseline._target_",
    "memory._target_",
    "memory.recall_from",
)
"""Keys of the configuration in which arms differ, `conf/arm`: runs that agree in them are one."""


def axis(metric: str) -> str:
    """What a metric is drawn over: its family's counter, seconds for what W&B records itself."""
    from nas_lightning.loggers.wandb_logger import AXES

    return next(
        (x for family, x in AXES.items() if fnmatch(metric, family)), "RelativeTime(Process)"
    )


def workspace(entity: str, project: str, name: str) -> Workspace:
    """The workspace of `PANELS`; nothing is sent yet.

    Args:
        entity: User or team that the project belongs to.
        project: Where the runs are.
        name: What it is called in the list of saved views.
    """
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports.v2.interface import LinePlot, MediaBrowser

    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            ws.Section(
                name=section,
                is_open=True,
                panels=[
                    *(
                        MediaBrowser(title=title, media_keys=list(shows))
                        for title, shows in DRAWINGS.items()
                        if section == "architectures"
                    ),
                    *(
                        LinePlot(
                            title=title,
                            x=axis(metrics[0]),
                            y=list(metrics),
                            groupby_aggfunc="mean",
                            groupby_rangefunc="stddev",
                        )
                        for title, metrics in panels.items()
                    ),
                ],
            )
            for section, panels in PANELS.items()
        ],
        settings=ws.WorkspaceSettings(max_runs=100),
        runset_settings=ws.RunsetSettings(groupby=[expr.Config(key) for key in ARM]),
    )


def run(*, entity: str | None, project: str, name: str, output: Path) -> None:
    """Save the workspace, or write it to a file where nobody is logged in.

    Raises:
        UserError: If W&B refuses it, or the file cannot be written.
    """
    import wandb

    from nas_lightning.files import write_json
    from nas_lightning.loggers.wandb_logger import has_key

    if has_key():
        try:
            owner = entity or wandb.Api().default_entity
            if owner is None:
                raise UserError("entity=null: W&B knows no default for you; give entity=NAME")
            view = workspace(owner, project, name)
            view.save()  # type: ignore[no-untyped-call]
            print(view.url)
        except (wandb.Error, ValueError, OSError) as error:
            raise UserError(f"project={project}: W&B does not save there: {error}") from error
        return
    model = workspace(entity or "", project, name)._to_model()
    spec = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(output, {"project": project, "displayName": name, "spec": spec})
    except OSError as error:
        raise UserError(f"output={output}: cannot be written ({error.strerror})") from None
    print(
        f"written  {shown(output)}: nobody is logged in to W&B; after `wandb login` the same "
        "command saves the workspace there"
    )


def build(cfg: DictConfig) -> None:
    """Build the workspace that is asked for.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    try:
        run(
            entity=None if cfg.entity is None else str(cfg.entity),
            project=str(cfg.project),
            name=str(cfg.name),
            output=Path(str(cfg.output)).expanduser(),
        )
    except ImportError as error:
        raise UserError(f"{error}; pip install -c constraints.txt -e '.[dashboard]'") from error


def main() -> None:
    """The command `python scripts/wandb_workspace.py …`."""
    script(build, SETTINGS)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.wandb_workspace import main as imported

    imported()
