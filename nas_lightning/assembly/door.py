"""A search begun from within Python: that of the command line, in somebody else's process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from nas_lightning.assembly.composition import composed
from nas_lightning.assembly.messages import MENDABLE, ending, one_line
from nas_lightning.assembly.run import run
from nas_lightning.errors import Remedy, UserError
from nas_lightning.runs import stopping
from nas_lightning.terminal import here


def search_with(overrides: Mapping[str, Any], folder: Path | None) -> Path:
    """Search, or go on with the search in a folder; returns the folder.

    Args:
        overrides: What the command's arguments would be.
        folder: Of the run; None for that of the configuration, with the time in its name.

    Raises:
        UserError: If the user can mend what is wrong.
        KeyboardInterrupt: After Ctrl-C; the run has stopped in order, and can go on.
    """
    try:
        with composed(overrides) as (cfg, hydra), undisturbed(), stoppable():
            where = here() / (folder or Path(str(hydra.run.dir))).expanduser()
            run(cfg, where)
    except MENDABLE as error:
        if isinstance(error, UserError) and error.remedy is Remedy.ANOTHER_FOLDER:
            raise UserError(f"{one_line(error)} (folder=…)") from None
        raise UserError(ending(error)[1]) from None
    return where


@contextmanager
def undisturbed() -> Iterator[None]:
    """What a search sets for its whole process is afterwards as it was before."""
    import torch
    from pytorch_lightning.utilities.seed import isolate_rng

    threads = torch.get_num_threads()
    main = sys.modules["__main__"]
    # Workers that train children would else begin by running the caller's script once more. No part
    # of a search is in it (`checks.refuse_nameless`).
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        with isolate_rng():
            yield
    finally:
        sys.modules["__main__"] = main
        torch.set_num_threads(threads)


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and Ctrl-C stop a search in order, as they do a command; afterwards as before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stopping.listen()
    try:
        yield
    except SystemExit as stopped:
        if stopped.code != 128 + signal.SIGINT:
            raise
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
