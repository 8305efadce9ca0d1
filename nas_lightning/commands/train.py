"""The command line: one job or many, `resume=`, and what a failure prints and returns.

`experiment.py` names the other places that know Hydra. Nothing heavy is
imported here, so that `--help`, `--cfg job` and tab completion answer at once.
"""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import os
import re
import secrets
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError  # type: ignore[import-untyped]

from nas_lightning import terminal
from nas_lightning.assembly.search import CONF, MENDABLE, locate, one_line, run, verdict
from nas_lightning.errors import UserError
from nas_lightning.runs import stopping
from nas_lightning.runs.folder import DISK
from nas_lightning.terminal import called, shown

Failure = tuple[int, str]
"""An exit code and a reason."""

NO_OPTION = re.compile(r"null|true|false|[-+]?[\d.]+|\[.*", re.IGNORECASE)
"""What Hydra does not read as a word, or as none or several of them."""

SCRIPT = r"python (?:scripts/)?(\w+)\.py"
"""How the texts of this package call a command."""


def slug(overrides: str) -> str:
    """A short readable folder name for a job's overrides, unique by a hash of all of them."""
    names = re.sub(r"(^|,)[\w./]*[./](?=\w+=)", r"\1", overrides)  # controller.lr= -> lr=
    readable = re.sub(r"[^\w=.,-]+", "_", names, flags=re.ASCII).strip("_,")[:120]
    return f"{readable or 'defaults'}-{hashlib.sha256(overrides.encode()).hexdigest()[:8]}"


def study_folder(study: object) -> str:
    """The name of a study, which is a folder's below `outputs`; raises UserError if it is none."""
    parts = str(study).split("/")
    named = isinstance(study, (str, int, float)) and not isinstance(study, bool)
    if not named or not str(study).isprintable() or any(p.strip(" .") == "" for p in parts):
        raise UserError(
            f"study={study!r} is not allowed: must be a name, of "
            "which a folder below outputs/ is made"
        )
    return str(study)


OmegaConf.register_new_resolver("slug", slug, replace=True)
OmegaConf.register_new_resolver("study_folder", study_folder, replace=True)
OmegaConf.register_new_resolver("called", called, replace=True)


def command(
    task: Callable[[DictConfig], Failure | None], rewritten: Callable[[list[str]], list[str]]
) -> None:
    """Run a Hydra application and exit: 0 finished, 1 a bug, 2 the user can mend it.

    A SIGTERM or Ctrl-C ends it in order, with exit code 143 or 130: nothing is lost, and no worker
    stays. Lightning alone would wait for the end of a step, in which children may train for hours.

    Args:
        task: One job.
        rewritten: Turns the command's own arguments into Hydra's.
    """
    stopping.listen()
    terminal.forgive()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra raises, and we say it in one line
    ListFailures.exit_code, ListFailures.error = 0, None
    try:
        refuse_no_option(sys.argv[1:])
        refuse_no_slurm(sys.argv[1:])
        sys.argv[1:] = rewritten(sys.argv[1:])
        refuse_flags(sys.argv[1:])
        start(task)
        if ListFailures.error is not None:
            raise ListFailures.error
    except MENDABLE as error:
        code, reason = verdict(error)
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(code)
    except OSError as error:  # Hydra's own, at its first files
        if error.errno not in (errno.EACCES, *DISK):
            raise
        print(
            f"error: {error.filename or 'the disk'}: cannot be written to ({error.strerror}); make "
            "it writable, or give another folder (hydra.run.dir=… or study=…)",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(ListFailures.exit_code)


def start(task: Callable[[DictConfig], Failure | None]) -> None:
    """Give the command to Hydra; raises UserError for what is no job's own.

    Flags that exclude each other, folders that cannot be made, and a killed process of joblib's.
    """
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    except MENDABLE:  # some of Hydra's are OSErrors, too, and tell more
        raise
    except KeyError as error:
        if not any("env_copy" in argument for argument in sys.argv):
            raise
        raise UserError(
            f"hydra.job.env_copy: there is no variable {error.args[0]} in the environment; set it, "
            "or leave it out"
        ) from error
    except BrokenExecutor as error:
        raise UserError(
            "a process of this multirun was killed, perhaps for want of memory, and ended the "
            "others; the same command goes on with what is not finished, and with fewer at a time "
            "(hydra.launcher.n_jobs=…) it needs less memory"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise UserError(
                f"{error.filename}: cannot be made or written to ({error.strerror}); give another "
                "folder (hydra.run.dir=… or study=…)"
            ) from error
        raise UserError(f"{' '.join(sys.argv[1:])}: {one_line(error)}; see --help") from error


def refuse_flags(arguments: list[str]) -> None:
    """Raise UserError if there is a flag that Hydra does not have, at which it prints them all."""

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; see --help")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    parser.parse_args(arguments)


def refuse_no_option(arguments: list[str]) -> None:
    """Raise UserError if a group is given null, a number or the like, at which Hydra breaks."""
    for argument in arguments:
        group, _, values = argument.partition("=")
        if not (re.match(r"\w", group) and (CONF / group).is_dir()):
            continue
        if any(NO_OPTION.fullmatch(value) for value in values.split(",")):
            options = ", ".join(sorted(path.stem for path in (CONF / group).glob("*.yaml")))
            hints = {
                "logger": "; logger=csv writes nothing beside the run's own files",
                "callbacks": "; ~callbacks.NAME leaves one out",
            }
            raise UserError(
                f"{argument}: no such option; {group} has {options or 'none'}"
                + hints.get(group, "")
            )


def refuse_no_slurm(arguments: list[str]) -> None:
    """Raise UserError if jobs shall go to Slurm and there is no way to it from here."""
    asked = "hydra/launcher=slurm"
    if asked not in arguments:
        return
    if find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        raise UserError(f"{asked}: its launcher is missing; pip install 'nas-lightning[slurm]'")
    if shutil.which("srun") is None:
        raise UserError(
            f"{asked}: there is no srun here; call it on a machine of the cluster, or try "
            "hydra/launcher=submitit_local or hydra/launcher=joblib"
        )


def job(cfg: DictConfig, work: Callable[[DictConfig, Path], None]) -> Failure | None:
    """Do one job's work in its folder.

    A failure is what is returned: in a multirun the other jobs go on, and of a single job Hydra
    would say a line of its own before ours.
    """
    hydra_config = HydraConfig.get()
    terminal.forgive()  # in a process of a launcher's, too
    try:
        with terminal.standing(hydra_config.runtime.cwd):
            if hydra_config.job.chdir:
                locate(cfg)
            work(cfg, Path(hydra_config.runtime.output_dir))
    except Exception as error:
        if hydra_config.mode != RunMode.MULTIRUN:
            ListFailures.error = error
        elif not isinstance(error, MENDABLE):
            traceback.print_exc()
        return verdict(error)
    return None


class ListFailures(Callback):
    """At the end of a multirun names the failed jobs, and gives the command its exit code.

    Jobs may run in other processes, to which Hydra sends a copy of this object: they meet in a
    file, which is there only if a job fails and only until the end.
    """

    exit_code = 0
    """What the last multirun of this process came to."""

    error: Exception | None = None
    """What has ended the last single job of this process."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Choose the file."""
        name = f".failures-{secrets.token_hex(4)}.jsonl"
        self._file = Path(config.hydra.sweep.dir).absolute() / name

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note a failed job of a multirun."""
        if config.hydra.mode == RunMode.MULTIRUN and job_return.return_value:
            line = json.dumps([config.hydra.runtime.output_dir, *job_return.return_value])
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """List what failed."""
        if not self._file.exists():
            return
        lines = self._file.read_text(encoding="utf-8").splitlines()
        self._file.unlink()
        failures = sorted(json.loads(line) for line in lines)
        for folder, _, reason in failures:
            print(f"failed: {shown(folder)}: {reason}", file=sys.stderr)
        ListFailures.exit_code = min(code for _, code, _ in failures)


def script(work: Callable[[DictConfig], None], known: Mapping[str, Any]) -> None:
    """Run a command without Hydra, whose arguments are all KEY=VALUE.

    Args:
        work: What it does, given its arguments.
        known: Every key and its default, `???` where there is none.
    """
    head = inspect.getmodule(work)
    keys = [f"  {key}={'null' if value is None else value}" for key, value in known.items()]
    if not helped("\n".join([str(head and head.__doc__), "Every key, its default:", "", *keys])):
        in_one_line(lambda: work(given(sys.argv[1:], known)))


def helped(text: str) -> bool:
    """Whether a command without Hydra was asked for help, which is then printed."""
    asked = not {"-h", "--help"}.isdisjoint(sys.argv[1:])
    terminal.forgive()
    if asked:
        print(re.sub(SCRIPT, lambda script: called(script[1].replace("_", "-")), text))
    return asked


def given(arguments: list[str], known: Mapping[str, Any]) -> DictConfig:
    """The arguments of a command without Hydra, over the defaults of its keys.

    Raises:
        UserError: If one cannot be read, or there is no such key.
    """
    cfg = OmegaConf.create(dict(known))
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in known:
            raise UserError(f"{key}: no such key; this command has {', '.join(known)}")
        try:
            cfg.merge_with_dotlist([argument])
        except (YAMLError, ValueError) as error:
            reason = f"{value!r} cannot be read as YAML: {one_line(error)}"
            raise UserError(f"{argument}: {reason}; put quotes around a text") from error
    return cfg


def in_one_line(work: Callable[[], None]) -> None:
    """Do a command's work; what the user can mend is said in a line, with exit code 2.

    That a file cannot be read or written is for the user to mend, too.
    """
    terminal.forgive()
    try:
        work()
    except MENDABLE as error:
        code, reason = verdict(error)
    except OSError as error:
        if error.filename is None:
            raise
        code, reason = 2, f"{error.filename}: {error.strerror}; give another, or mend this one"
    else:
        return
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(code)


# --------------------------------------------------------------------- python train.py


def task(cfg: DictConfig) -> Failure | None:
    """One search."""
    return job(cfg, run)


def resumed(arguments: list[str]) -> list[str]:
    """Rewrite `resume=F` into Hydra's own flags: the configuration and the folder of run F.

    Raises:
        UserError: If F is no run, or another override stands beside it.
    """
    from nas_lightning.runs.folder import read_config
    from nas_lightning.runs.state import state_of

    folders = [a.removeprefix("resume=") for a in arguments if a.startswith("resume=")]
    if not folders:
        return arguments
    others = [a for a in arguments if not a.startswith("resume=")]
    refused = [a for a in others if not a.startswith("trainer.max_epochs=")]
    refused += [f"resume={folder}" for folder in folders[1:]]
    if refused:
        raise UserError(
            f"{refused[0]}: resume={folders[0]} goes on with the run's own configuration; only "
            "trainer.max_epochs=… may stand beside it"
        )
    folder = Path(folders[0]).expanduser().absolute()
    state = state_of(folder)
    if state is None:
        raise UserError(
            f"resume={folders[0]}: no run there; give a folder that holds its config.yaml and "
            "ledger.jsonl"
        )
    if not state.begun:
        raise UserError(f"resume={folders[0]}: the run there {state.said}")
    read_config(folder)  # Hydra would not say in a line that it is damaged
    return [
        f"--config-path={folder}",
        "--config-name=config",
        f"hydra.run.dir={quoted(folder)}",
        "hydra.output_subdir=null",
        "hydra/job_logging=none",
        *others,
    ]


def quoted(path: Path) -> str:
    """A path as a value in Hydra's grammar of overrides."""
    return QuotedString(str(path), Quote.single).with_quotes()


def main() -> None:
    """The command `python train.py …`, or `nas-lightning …`."""
    command(task, resumed)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.train import main as imported

    imported()
