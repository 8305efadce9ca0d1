"""How soon the command answers: in fresh interpreters, for a second import costs nothing."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.numbers import Number, over_rounds
from benchmarks.timing import repeats, seconds

IMPORT = """
import time
began = time.perf_counter()
import nas_lightning
print(time.perf_counter() - began)
"""
COMMAND = "from nas_lightning.commands.train import main; main()"


def startup(rounds: int) -> list[Number]:
    """Seconds that `import nas_lightning` takes, and all of `python train.py --cfg job`.

    Args:
        rounds: How often each is done, in turn; one more round warms up the disk.
    """
    times = [(imported(), answered()) for _ in repeats(rounds + 1)][1:]
    imports, answers = zip(*times, strict=True)
    return [
        over_rounds("import, seconds", imports, at_most=0.2),
        over_rounds("--cfg job, seconds", answers, at_most=1.0),
    ]


def imported() -> float:
    """Seconds of the import in an interpreter that is up."""
    return float(_python(IMPORT))


def answered() -> float:
    """Seconds from the start of an interpreter to its end."""
    return seconds(lambda: _python(COMMAND, "--cfg", "job"))


def _python(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
