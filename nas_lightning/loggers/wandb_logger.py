"""Weights & Biases as a Lightning logger, with the search's own axes.

Lightning's own WandbLogger draws everything over `trainer/global_step`, which counts the steps of
both optimizers and means nothing here.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests.utils
import wandb
from pytorch_lightning.loggers.logger import Logger

from nas_lightning.errors import UserError, require_one_of
from nas_lightning.files import write

AXES = {
    "child/*": "child_step",
    "controller/*": "controller_step",
    "memory/*": "controller_step",
    "relaxed/*": "child_step",
    **dict.fromkeys(("derive/*", "hidden/*", "probes/*", "similarity/*", "diversity/*"), "epoch"),
    **dict.fromkeys(("table/*", "architecture/*"), "epoch"),
}
"""Which counter each family of metrics is drawn over."""

LONGEST_NAME = 128
LONGEST_LABEL = 64
"""Characters that W&B's server takes, of a run's name, and of a group, a job type or a tag."""

SWITCH = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off", ""), False),
}
"""What a variable that is on or off may hold."""


class WandbLogger(Logger):
    """A W&B run of its own for every search: a copy of what is in the run's folder.

    Args:
        folder: The run's folder; W&B writes below it.
        run_config: The run's configuration, shown beside the curves.
        project: W&B's project.
        group: Runs of one study share a group.
        job_type: What the run's arm is called within the study.
        tags: Labels to filter by.
        mode: `auto` is what W&B's variables say (WANDB_DISABLED, WANDB_MODE), else online where a
            key is known, else offline; or one of W&B's own modes.

    Raises:
        ValueError: If an argument is outside what is allowed.
        UserError: If one of W&B's variables is.
    """

    def __init__(
        self,
        *,
        folder: Path,
        run_config: Mapping[str, Any],
        project: str,
        group: str,
        job_type: str,
        tags: Sequence[str],
        mode: str,
    ) -> None:
        super().__init__()
        require_one_of("mode", mode, ("auto", "online", "offline", "disabled"))
        refuse_variables(os.environ)
        if mode == "auto":
            mode = mode_of(os.environ)
        self._init: dict[str, Any] = {
            "dir": folder,
            "config": dict(run_config),
            "project": project,
            "group": shortened(group, LONGEST_LABEL),
            "job_type": shortened(job_type, LONGEST_LABEL),
            "name": shortened(folder.name, LONGEST_NAME),
            "tags": [shortened(tag, LONGEST_LABEL) for tag in tags],
            "mode": mode,
            "resume": "allow",
            "settings": wandb.Settings(silent=True, console="off"),
        }
        self._folder = folder
        self._run: wandb.Run | None = None
        self._lost = False

    @property
    def experiment(self) -> wandb.Run:
        """The W&B run; it starts at its first use."""
        if self._run is None:
            try:
                self._run = self._start()
            except (wandb.Error, ValueError) as error:  # a name, or online without a key
                reason = " ".join(str(error).split())
                raise UserError(f"logger: W&B does not start: {reason}") from error
            for metrics, axis in AXES.items():
                self._run.define_metric(axis, hidden=True)
                self._run.define_metric(metrics, step_metric=axis)
        return self._run

    def _start(self) -> wandb.Run:
        """Start the W&B run; offline, with a warning, where nobody answers in time."""
        _leave_out_launch()
        try:
            return wandb.init(id=run_id(self._folder), **self._init)
        except wandb.errors.AuthenticationError:  # it was reached, and knows no such key
            raise
        except wandb.errors.CommError as error:
            print(
                f"warning: W&B cannot be reached ({str(error).splitlines()[0]}); the run is "
                "offline, and `wandb sync` can upload it later",
                file=sys.stderr,
            )
            wandb.teardown()  # its process still holds the run's id
            return wandb.init(id=run_id(self._folder), **{**self._init, "mode": "offline"})

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self._init["name"])

    @property
    def version(self) -> str:
        """W&B's id of the run."""
        return run_id(self._folder)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers that carry the counters they belong to; `step` is not used."""
        self._log(dict(metrics))

    def log_image(self, name: str, path: Path, axes: Mapping[str, float]) -> None:
        """Log a picture, with the counters it belongs to."""
        if not self._lost:
            self._log({name: wandb.Image(str(path)), **axes})

    def log_architecture(
        self, drawing: str, decisions: Mapping[str, object], axes: Mapping[str, float]
    ) -> None:
        """Log the best architecture: its drawing, and a table of its decisions.

        Args:
            drawing: SVG.
            decisions: What each decision has chosen.
            axes: The counters it belongs to.
        """
        if not self._lost:
            table = wandb.Table(
                columns=["decision", "choice"],
                data=[[name, str(choice)] for name, choice in decisions.items()],
            )
            picture = wandb.Html(drawing, inject=False)
            self._log({"architecture/best": picture, "architecture/decisions": table, **axes})

    def _log(self, row: dict[str, Any]) -> None:
        """Log, until W&B's own process is lost; the run's folder has everything anyway."""
        if self._lost:
            return
        run = self.experiment
        try:
            run.log(row)
        except Exception as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._lost = True
        reason = " ".join(str(error).split()) or type(error).__name__
        print(
            f"warning: W&B has stopped ({reason}); the search goes on, and metrics.csv is complete",
            file=sys.stderr,
        )

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration was given when the run started."""

    def finalize(self, status: str) -> None:
        """End the W&B run, so that the next job of a multirun starts its own."""
        if self._run is not None and not self._lost:
            try:
                self._run.finish(exit_code=0 if status == "success" else 1)
            except Exception as error:
                self._lose(error)
        self._run = None


def _leave_out_launch() -> None:
    """Spare the start of a W&B run the import of W&B Launch, which takes a second.

    It would look for inputs, but they are given by functions of the module that is not there yet.
    """
    if "wandb.sdk.launch" not in sys.modules:
        wandb.Run._detect_and_apply_job_inputs = lambda run: None  # type: ignore[assignment]


def mode_of(environment: Mapping[str, str]) -> str:
    """W&B's mode where the configuration leaves it to the environment."""
    if SWITCH[environment.get("WANDB_DISABLED", "").lower()]:
        return "disabled"
    return environment.get("WANDB_MODE") or ("online" if has_key() else "offline")


def refuse_variables(environment: Mapping[str, str]) -> None:
    """Raise UserError if one of W&B's variables holds what W&B would not take.

    W&B itself looks at them when it starts, and is the judge of most.
    """
    for name, value in sorted(environment.items()):
        allowed = None
        if name == "WANDB_DISABLED" and value.lower() not in SWITCH:
            allowed = "must be true or false"
        elif name == "WANDB_ENTITY" and not re.fullmatch(r"[\w.-]{0,64}", value):
            allowed = "must be the name of a user or a team"
        elif name.startswith("WANDB_"):
            allowed = refusal(name, value)
        if allowed is not None:
            shown = "…" if name == "WANDB_API_KEY" else repr(value)
            raise UserError(f"{name}={shown} is not allowed: {allowed}; unset it, or mend it")


def refusal(name: str, value: str) -> str | None:
    """What W&B has against the value of a variable, as one line; None if it takes it."""
    try:
        wandb.Settings().update_from_env_vars({name: value})
    except wandb.Error as error:
        return " ".join(str(error).split())
    except ValueError as error:  # pydantic's, whose second line is whose value it is
        reasons = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
        return re.sub(r" \[type=.*|^Value error, ", "", reasons[0] if reasons else str(error))
    return None


def shortened(name: str, longest: int) -> str:
    """A name of at most so many characters, and still its own: by a hash, if it is longer."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def has_key() -> bool:
    """Whether W&B could log in: a key in the environment or in the netrc file."""
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return bool(os.environ.get("WANDB_API_KEY") or requests.utils.get_netrc_auth(host))


def run_id(folder: Path) -> str:
    """W&B's id of the run in this folder: drawn once and kept, so that a resumed run merges."""
    path = folder / "wandb" / "id"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write(path, secrets.token_hex(8))
    return path.read_text()
