"""What the commands started by Hydra share: one job or many, what a failure prints and returns.

Nothing heavy is imported here, so that `--help`, `--cfg job` and tab completion answer at once.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from nas_lightning import terminal
from nas_lightning.assembly.composition import refuse_no_option
from nas_lightning.assembly.configuration import CONF, locate
from nas_lightning.assembly.messages import MENDABLE, ending, one_line
from nas_lightning.errors import UserError
from nas_lightning.runs import stopping
from nas_lightning.runs.folder import DISK
from nas_lightning.terminal import shown

Failure = tuple[int, str]
"""An exit code and a reason."""

Outcome = Failure | float | None
"""What has become of a job: a failure, or the value of its objective if there is one."""


def command(
    task: Callable[[DictConfig], Outcome], rewritten: Callable[[list[str]], list[str]]
) -> None:
    """Run a Hydra application and exit: 0 finished, 1 a bug, 2 the user can mend it.

    A SIGTERM or Ctrl-C ends it in order, with exit code 143 or 130: nothing is lost, and no worker
    stays. Lightning alone would wait for the end of a step, in which children may train for hours.

    Args:
        task: One job.
        rewritten: Turns the command's own arguments into Hydra's.
    """
    with stopping.to_the_end():
        carry_out(task, rewritten)
        sys.exit(ListFailures.exit_code)


def carry_out(
    task: Callable[[DictConfig], Outcome], rewritten: Callable[[list[str]], list[str]]
) -> None:
    """Run it, and exit where the user can mend what is wrong."""
    terminal.forgive()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra raises, and we say it in one line
    ListFailures.exit_code, ListFailures.error, ListFailures.noted = 0, None, Path(os.devnull)
    try:
        refuse_no_option(sys.argv[1:])
        refuse_no_slurm(sys.argv[1:])
        sys.argv[1:] = rewritten(sys.argv[1:])
        refuse_flags(sys.argv[1:])
        start(task)
        if ListFailures.error is not None:
            raise ListFailures.error
    except MENDABLE as error:
        code, reason = ending(error)
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
    finally:
        ListFailures.tell()  # also where it was stopped


def start(task: Callable[[DictConfig], Outcome]) -> None:
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


def job(cfg: DictConfig, work: Callable[[DictConfig, Path], float | None]) -> Outcome:
    """Do one job's work in its folder; returns its objective, by which Hydra's sweepers go.

    A failure is what is returned, too: in a multirun the other jobs go on, and of a single job
    Hydra would say a line of its own before ours.
    """
    hydra_config = HydraConfig.get()
    terminal.forgive()  # in a process of a launcher's, too
    stopping.stop_if_asked()
    try:
        with terminal.standing(hydra_config.runtime.cwd):
            if hydra_config.job.chdir:
                locate(cfg)
            return work(cfg, Path(hydra_config.runtime.output_dir))
    except SystemExit as told:
        # In a launcher's process by Lightning, whose own kind of exit has no code.
        lost = told.code is None and type(told) is not SystemExit
        sys.exit(128 + signal.SIGTERM if lost else told.code)
    except Exception as error:
        stopping.stop_if_asked()  # what a library has made of it is no failure
        if hydra_config.mode != RunMode.MULTIRUN:
            ListFailures.error = error
        elif not isinstance(error, MENDABLE):
            traceback.print_exc()
        return ending(error)


class ListFailures(Callback):
    """At the end of a multirun names the failed jobs, and gives the command its exit code.

    Jobs may run in other processes, to which Hydra sends a copy of this object: they meet in a
    file, which is there only if a job fails and only until the end.
    """

    exit_code = 0
    """What the last multirun of this process came to."""

    error: Exception | None = None
    """What has ended the last single job of this process."""

    noted = Path(os.devnull)
    """Where the failures of this process's multirun are noted."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Choose the file."""
        name = f".failures-{secrets.token_hex(4)}.jsonl"
        self._file = ListFailures.noted = Path(config.hydra.sweep.dir).absolute() / name

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note a failed job of a multirun."""
        failed = isinstance(job_return.return_value, (tuple, list))
        if config.hydra.mode == RunMode.MULTIRUN and failed:
            line = json.dumps([config.hydra.runtime.output_dir, *job_return.return_value])
            with self._file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """List what failed."""
        self.tell()

    @classmethod
    def tell(cls) -> None:
        """List what has failed in this process's multirun, once."""
        if not cls.noted.is_file():
            return
        lines = cls.noted.read_text(encoding="utf-8").splitlines()
        cls.noted.unlink()
        failures = sorted(json.loads(line) for line in lines)
        for folder, _, reason in failures:
            print(f"failed: {shown(folder)}: {reason}", file=sys.stderr)
        ListFailures.exit_code = min(code for _, code, _ in failures)


class SayWhatNext(Callback):
    """At the end of a multirun of searches says how they are compared."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Say it, on the error stream like all that is not the result."""
        folder = shlex.quote(shown(config.hydra.sweep.dir))
        print(f"compare  {terminal.called('report', folder)}", file=sys.stderr)
