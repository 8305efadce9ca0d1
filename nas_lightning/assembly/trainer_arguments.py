"""Which arguments of Lightning's Trainer a search takes: each has its effect, or is refused.

A search has an alternation, optimizers, records and checkpoints of its own, on which many of the
Trainer's switches would act wrongly or not at all. Every argument stands in one of two tables here:
`SUPPORTED` with the check of its value, or `REFUSED` with the reason and the key that does it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from nas_lightning.errors import (
    UserError,
    require,
    require_bool,
    require_one_of,
    require_whole,
)

FULL = "32-true"
VARIABLE = "PL_TRAINER_"
"""How the variables begin from which Lightning would take arguments, unseen by `config.yaml`."""


def by_lightning(name: str, value: object) -> None:
    """Nothing: the Trainer itself refuses what it cannot do."""


def require_deterministic(name: str, value: object) -> None:
    """Check a value of `deterministic`; raises ValueError."""
    require(isinstance(value, bool) or value == "warn", name, value, "true, false or warn")


def require_time(name: str, value: object) -> None:
    """Check that a value may be a span of time; raises ValueError."""
    require(isinstance(value, (str, Mapping)), name, value, "DD:HH:MM:SS, or such as {hours: 8}")


def require_profiler(name: str, value: object) -> None:
    """Check that a value may be a profiler; raises ValueError."""
    require(isinstance(value, (str, Mapping)), name, value, "simple, advanced or a _target_")


SUPPORTED: Mapping[str, Callable[[str, object], None]] = {
    "accelerator": by_lightning,
    "devices": by_lightning,
    "precision": partial(require_one_of, options=(FULL, "bf16-mixed")),
    "max_epochs": partial(require_whole, at_least=1),
    "min_epochs": partial(require_whole, at_least=0),
    "max_time": require_time,
    "deterministic": require_deterministic,
    "detect_anomaly": require_bool,
    "profiler": require_profiler,
}
"""Argument -> the check of its value."""

SHARED_WEIGHTS_ONLY = ("precision", "deterministic")
"""What would not reach child networks that are trained elsewhere, or are not there."""

RETRAINING_TOO = ("accelerator", "devices", "deterministic")
"""What a retraining takes. What else its search was given is of no effect there."""

ONE_DEVICE = "a run uses one device; several runs at once take a launcher (-m hydra/launcher=…)"
STEPS = (
    "Lightning counts the steps of both optimizers together; give trainer.max_epochs, or "
    "trainer.max_time=DD:HH:MM:SS to stop earlier and go on later"
)
SIZES = (
    "an epoch is as long as estimator.child_steps and estimator.controller_steps say, and "
    "experiment=smoke has small ones"
)
JUDGED = (
    "Lightning's validation is not used; search.candidate_minibatches says on how much data "
    "architectures are judged"
)
ALONE = "a search is trained and derived, and nothing else; leave it out"
CLIP = "each side has its own; estimator.gradient_clip is that of the shared weights"
LOGGER = "choose it by logger=wandb or logger=csv, which writes nothing beside the run's own files"
OWN = "a search sets it itself; leave it out"

REFUSED: Mapping[str, str] = {
    "strategy": ONE_DEVICE,
    "num_nodes": ONE_DEVICE,
    "use_distributed_sampler": ONE_DEVICE,
    "sync_batchnorm": ONE_DEVICE,
    "fast_dev_run": "experiment=smoke is a whole search in seconds",
    "max_steps": STEPS,
    "min_steps": "Lightning counts the steps of both optimizers together; give trainer.min_epochs",
    "limit_train_batches": SIZES,
    "overfit_batches": SIZES,
    "limit_val_batches": JUDGED,
    "val_check_interval": JUDGED,
    "check_val_every_n_epoch": JUDGED,
    "num_sanity_val_steps": JUDGED,
    "limit_test_batches": ALONE,
    "limit_predict_batches": ALONE,
    "inference_mode": ALONE,
    "accumulate_grad_batches": "every step has its own optimizer; give a larger data.batch_size",
    "gradient_clip_val": CLIP,
    "gradient_clip_algorithm": CLIP,
    "reload_dataloaders_every_n_epochs": "the order of the data follows from seed",
    "benchmark": "kernels chosen by their speed would give other numbers each time; leave it out",
    "callbacks": "give callbacks.NAME; +callbacks.NAME._target_=… adds one, ~callbacks.NAME "
    "leaves one out",
    "enable_checkpointing": "callbacks.checkpoint.every_seconds says how often a run is saved",
    "enable_progress_bar": "~callbacks.progress leaves it out",
    "enable_model_summary": OWN,
    "log_every_n_steps": "search.log_every says how often the shared weights' loss is recorded",
    "logger": LOGGER,
    "enable_autolog_hparams": "config.yaml holds the whole configuration, and W&B a copy; leave it "
    "out",
    "default_root_dir": "hydra.run.dir=… is the run's folder",
    "plugins": "precision is chosen by trainer.precision; checkpoints are written by a plugin of "
    "the search's own",
    "model_registry": "checkpoints stay in the run's folder; leave it out",
    "barebones": "it leaves out what a run is resumed from; ~callbacks.NAME and logger=csv leave "
    "out what takes time",
}
"""Argument -> why not, and what does it here."""


def check_arguments(given: Mapping[str, object]) -> None:
    """Raise UserError if an argument of the Trainer would break a search, or change nothing.

    Args:
        given: The arguments by name, as they are configured.
    """
    for variable, value in sorted(os.environ.items()):
        if variable.startswith(VARIABLE) and value:
            name = variable.removeprefix(VARIABLE).lower()
            raise UserError(
                f"{variable}={value}: would not be on record in config.yaml; unset it, and give "
                f"trainer.{name}"
            )
    for name, argument in given.items():
        if name in REFUSED:
            raise UserError(f"trainer.{name}={argument}: {REFUSED[name]}")
        if name not in SUPPORTED and not name.startswith("_"):  # Hydra's own
            raise UserError(
                f"trainer.{name}={argument}: no such key, or one that no search was tried with; "
                f"trainer has {', '.join(SUPPORTED)}"
            )
        if name in SUPPORTED and argument is not None:
            try:
                SUPPORTED[name](f"trainer.{name}", argument)
            except ValueError as error:
                raise UserError(str(error)) from None


def devices_of(cfg: DictConfig) -> object:
    """What the Trainer is told of devices: of several GPUs each job of a sweep takes the next."""
    import torch

    if cfg.trainer.devices == 1 and HydraConfig.initialized():
        hydra = HydraConfig.get()
        gpus = torch.cuda.device_count()
        on_gpu = cfg.trainer.accelerator in ("auto", "gpu", "cuda")
        if hydra.mode == RunMode.MULTIRUN and on_gpu and gpus > 1:
            return [hydra.job.num % gpus]
    return cfg.trainer.devices


def check_devices(world_size: int, devices: object) -> None:
    """Raise UserError if a Trainer would use more than one device."""
    if world_size != 1:
        raise UserError(
            f"trainer.devices={devices} is not allowed: must be 1, or [NUMBER]; a run uses one "
            "device, several runs at once take a launcher (-m hydra/launcher=joblib)"
        )


def check_retraining(overrides: Iterable[str]) -> None:
    """Raise UserError if a retraining is given an argument that has no effect on it.

    Args:
        overrides: What was typed, `KEY=VALUE`.
    """
    for override in overrides:
        name = re.match(r"[+~]*trainer\.(\w+)", override)
        if name and name[1] not in RETRAINING_TOO:
            raise UserError(
                f"{override}: has no effect on a retraining, which takes of trainer "
                f"{', '.join(RETRAINING_TOO)}, and its length from retrain.epochs"
            )


def check_reach(given: Mapping[str, object], *, shared_weights: bool) -> None:
    """Raise UserError if an argument would not reach the child networks.

    Args:
        given: The arguments by name, as they are configured.
        shared_weights: Whether the search itself scores child networks.
    """
    for name in SHARED_WEIGHTS_ONLY:
        if given.get(name) not in (None, FULL, False) and not shared_weights:
            raise UserError(
                f"trainer.{name}={given[name]}: acts on shared weights alone, and this estimator "
                "has none; leave it out"
            )
