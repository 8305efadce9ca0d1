"""The command `python scripts/doctor.py`: what is installed, what is found, what is missing.

    python scripts/doctor.py

It changes nothing, and asks nothing of a network.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import nas_lightning
from nas_lightning.commands.script import helped, in_one_line

SWITCHES = ("WANDB_DISABLED", "WANDB_MODE")
NEEDED = ("torch", "pytorch-lightning", "hydra-core", "numpy", "wandb")
DOWNLOADED = {
    "ptb": "penn_treebank",
    "fashion_mnist": "fashion-mnist",
    "mnist": "mnist",
    "cifar10": "cifar10",
}
"""Data that are downloaded when they are first used -> their folder in the cache."""


def findings(environment: Mapping[str, str]) -> dict[str, str]:
    """What there is, in words, by what it is.

    Args:
        environment: The process's variables.
    """
    from nas_lightning.loggers.wandb_logger import mode_of

    mode = mode_of(environment)
    chosen = next((name for name in SWITCHES if environment.get(name)), None)
    key = "; `wandb login` sends runs to a server" if mode == "offline" else ""
    return {
        "nas-lightning": f"{nas_lightning.__version__}, {Path(nas_lightning.__file__).parent}",
        "Python": f"{platform.python_version()}, {platform.platform(terse=True)}",
        **{name: version(name) or "not installed" for name in NEEDED},
        **{f"extra {name}": said for name, said in extras().items()},
        "processors": processors(environment),
        "devices": devices(),
        "W&B": f"{mode}, by {chosen}" if chosen else f"{mode}{key}",
        **data_found(),
    }


def version(name: str) -> str | None:
    """Of an installed library."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def extras() -> dict[str, str]:
    """Every extra that a user may want, and how to get what it lacks."""
    found: dict[str, list[str]] = {}
    for requirement in metadata.requires("nas-lightning") or ():
        matched = re.match(r"([\w-]+).*extra == ['\"](\w+)['\"]", requirement)
        if matched and matched[2] != "test" and matched[1] != "nas-lightning":
            found.setdefault(matched[2], []).append(matched[1])
    said = {}
    for extra, names in found.items():
        missing = [name for name in names if version(name) is None]
        said[extra] = (
            f"lacks {', '.join(missing)}: pip install 'nas-lightning[{extra}]'"
            if missing
            else ", ".join(f"{name} {version(name)}" for name in names)
        )
    return said


def processors(environment: Mapping[str, str]) -> str:
    """How many there are, and which variable limits the threads."""
    from nas_lightning.assembly.threads import processors as count

    limit = environment.get("OMP_NUM_THREADS")
    return f"{count()}" + (f", but OMP_NUM_THREADS={limit}" if limit else "")


def devices() -> str:
    """GPUs by name, or that there are none."""
    import torch

    if torch.cuda.is_available():
        return ", ".join(
            torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
        )
    if torch.backends.mps.is_available():
        return "Apple GPU (trainer.accelerator=mps)"
    return "no GPU; everything runs on the processors"


def data_found() -> dict[str, str]:
    """Named data: what needs no download, what is here already, what will be downloaded."""
    import pooch

    from nas_lightning.data.image_sources import IdxImages

    cache = Path(pooch.os_cache("nas-lightning"))
    said = {"data python_docs, digits": "here, no download"}
    for name, folder in DOWNLOADED.items():
        places = [cache / folder, *filter(None, [IdxImages.DEBIAN.get(folder)])]
        held = [str(place) for place in places if any(place.glob("*"))]
        absent = "downloaded when it is first used; or data.source.path=…"
        said[f"data {name}"] = f"in {held[0]}" if held else absent
    return said


def look() -> None:
    """Print it."""
    from rich import print as print_rich
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, said in findings(os.environ).items():
        table.add_row(name, Text(said))
    print_rich(table)


def main() -> None:
    """The command."""
    if not helped(str(__doc__)):
        if len(sys.argv) > 1:
            print(f"error: {sys.argv[1]}: doctor takes no arguments", file=sys.stderr)
            sys.exit(2)
        in_one_line(look)
