"""The command `python scripts/report.py FOLDER [OTHER]`: the page of a run or a study, or of two.

python scripts/report.py outputs/default/RUN
python scripts/report.py outputs/STUDY markdown=true
python scripts/report.py outputs/STUDY outputs/OTHER_STUDY

A study over search spaces has a page that compares what can be compared, and one for each of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from nas_lightning.assembly.make import make
from nas_lightning.assembly.messages import MENDABLE, ending
from nas_lightning.commands.script import helped, in_one_line
from nas_lightning.errors import UserError
from nas_lightning.terminal import called, shown

if TYPE_CHECKING:
    from nas_lightning.report.page import Page
    from nas_lightning.search_spaces.base import SearchSpace

MARKDOWN = {"markdown=true": True, "markdown=false": False}


def arguments(given: Sequence[str]) -> tuple[list[Path], bool]:
    """The folder or the two folders, and whether Markdown is asked for.

    Raises:
        UserError: If there are not one or two, or one is not there.
    """
    usage = (
        f"give one folder, of a run or of a study: {called('report')} FOLDER [markdown=true]; "
        "or two, to compare them"
    )
    named = [argument for argument in given if argument not in MARKDOWN]
    if len(named) not in (1, 2):
        raise UserError(usage)
    folders = []
    for name in named:
        folder = Path(name).expanduser()
        if not folder.is_dir():  # named as for the other scripts
            folder = Path(re.sub("^(run|study)=", "", name)).expanduser()
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; {usage}")
        folders.append(folder)
    if len(folders) == 2 and folders[0].resolve() == folders[1].resolve():
        raise UserError(f"{folders[1]}: is the same folder twice; {usage}")
    return folders, any(MARKDOWN.get(argument, False) for argument in given)


def report(folder: Path, *others: Path, markdown: bool) -> None:
    """Write the page of a run or a study, or of two of them, into the first one's folder.

    Raises:
        UserError: If nothing in a folder can be shown, or two cannot be compared.
    """
    from nas_lightning.report.page import write_page

    pages = pages_of(folder, *others)
    for note in pages[0].notes:
        print(f"note: {note}", file=sys.stderr)
    for page in pages:
        for path in write_page(page, folder, markdown=markdown):
            print(f"written  {shown(path)}")


def pages_of(folder: Path, *others: Path) -> list[Page]:
    """The page of a run, a study, or two; of a study over search spaces one more for each."""
    from nas_lightning.report import spaces
    from nas_lightning.report.page import page_of
    from nas_lightning.report.two import page_of_two
    from nas_lightning.studies.spaces import not_read, spaces_in
    from nas_lightning.studies.study import read_study

    by_space = {} if others else spaces_in(folder)
    if len(by_space) > 1:
        studies = {name: read_study(folder, paths) for name, paths in by_space.items()}
        made = {name: space_of(study.runs[0].config) for name, study in studies.items()}
        first, *rest = spaces.pages_of(studies, made)
        known = [path for paths in by_space.values() for path in paths]
        return [replace(first, notes=[*first.notes, *not_read(folder, known)]), *rest]
    study, *more = (read_study(one) for one in (folder, *others))
    space = space_of(study.runs[0].config)
    return [page_of_two(study, more[0], space) if more else page_of(study, space)]


def space_of(config: Mapping[str, Any]) -> SearchSpace | None:
    """The search space of a run; None, with a word on it, if it can no longer be made."""
    try:
        space: SearchSpace = make(OmegaConf.create(dict(config)), "search_space")
    except MENDABLE as error:
        print(f"note: architectures are not drawn: {ending(error)[1]}", file=sys.stderr)
        return None
    return space


def main() -> None:
    """The command `python scripts/report.py …`."""

    def work() -> None:
        folders, markdown = arguments(sys.argv[1:])
        report(*folders, markdown=markdown)

    if not helped(str(__doc__), ("run", "study", "markdown")):
        in_one_line(work)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from nas_lightning.commands.report import main as imported

    imported()
