"""The written documentation: its links lead somewhere, its pages are short, its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import site_pages
import yaml

import nas_lightning
from nas_lightning.__main__ import COMMANDS
from nas_lightning.assembly.configuration import CONF
from tests.given import composed

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub and mkdocs make them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", TEXTS)
def test_links(name: str) -> None:
    page = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", TEXTS[name])):
        if link.startswith(("http", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: {link}"


@pytest.mark.parametrize("name", TEXTS)
def test_pages_are_short(name: str) -> None:
    assert site_pages.words(TEXTS[name]) <= site_pages.LONGEST


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE)
    assert sorted(named) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_every_controller_has_a_page() -> None:
    """`controller=NAME` stands in a page of the controllers."""
    overview = TEXTS["docs/controllers/index.md"]
    for file in (CONF / "controller").glob("*.yaml"):
        assert f"`{file.stem}`" in overview, file.stem


@pytest.mark.parametrize("suffix", ["py", "yaml", "md"])
def test_what_names_a_page_names_one_that_is_there(suffix: str) -> None:
    folders = (ROOT / "nas_lightning", ROOT / "conf", ROOT / "scripts", ROOT / "tests")
    for file in (path for folder in folders for path in folder.rglob(f"*.{suffix}")):
        for named in re.findall(r"\bdocs/[\w/-]+\.\w+", file.read_text(encoding="utf-8")):
            assert (ROOT / named).exists(), f"{file}: {named}"


COMMAND = r"python (train|scripts/\w+)\.py|nas-lightning "
REMARK = re.compile(r"\s{2,}|\s#")
"""Behind it, a command's line says what it is for."""


def commands() -> list[tuple[str, str]]:
    """Every command in a fence or in backquotes, with its page."""
    found = []
    for name, text in TEXTS.items():
        blocks = re.findall(r"^```(?:bash|sh|)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        blocks += re.findall(r"^    python (?:.*\\\n)*.*$", text, re.MULTILINE)
        lines = re.sub(r"\\\n\s*", " ", "\n".join(blocks)).splitlines()
        said = r"`((?:python (?:train|scripts/)|nas-lightning )[^`]+)`"
        lines += [" ".join(line.split()) for line in re.findall(said, FENCE.sub("", text))]
        found += [(name, line.strip()) for line in lines if re.search(COMMAND, line)]
    return found


def test_the_scripts_of_the_commands_exist() -> None:
    scripts = {path for _, line in commands() for path in re.findall(r"scripts/\w+\.py", line)}
    assert len(scripts) > 8
    for script in scripts:
        assert (ROOT / script).exists(), script
    called = {
        w for t in TEXTS.values() for w in re.findall(r"`nas-lightning ([a-z][\w-]*)(?=[ `])", t)
    }
    assert called <= {*COMMANDS}


HERE = "docs/laptop-to-cluster.md"
"""Its commands are launched by `tests/commands/test_laptop_to_cluster.py`."""

NOT_COMPOSED = ("--config-dir", "--help", "--cfg", "=…")
"""Of other tests: the own project, the help; and what is an idea rather than a command."""

APART = (
    *("-", "resume=", "hydra/launcher=", "hydra.", "…"),
    *("seed=", "seeds=", "study=", "threads=", "logger=csv"),
)
"""What Hydra reads by itself, and keys that every search has: not composed again and again."""


def searches() -> list[str]:
    """What every `python train.py` and `nas-lightning` of a search is given, the first of lists."""
    lines = []
    for name, line in commands():
        said = re.split(r" train\.py |^nas-lightning (?=[\w./]+=)", f" {line}".strip(), maxsplit=1)
        if name != HERE and len(said) == 2 and not any(word in line for word in NOT_COMPOSED):
            words = shlex.split(REMARK.split(said[1])[0])
            several = "-m" in words
            first = [re.sub(r"=([^\[{]*?),.*", r"=\1", w) if several else w for w in words]
            lines.append(shlex.join(w for w in first if not w.startswith(APART)))
    return sorted({*lines} - {""})


def test_searches_are_found() -> None:
    assert len(searches()) > 40


@pytest.mark.parametrize("line", searches())
def test_it_composes(line: str) -> None:
    """What it names is there."""
    composed(*shlex.split(line))


def test_the_reference_has_every_key() -> None:
    """As the YAML's own reader finds them: the top of each file, and each value of it."""
    pages = site_pages.pages()
    for group, files in site_pages.groups().items():
        for file in files:
            text = file.read_text(encoding="utf-8")
            prefix = "" if "@package _global_" in text else group.replace("/", ".") + "."
            content = yaml.safe_load(text) or {}
            content.pop("defaults", None)
            shown = "".join(t for n, t in pages.items() if group.replace("/", "-") in n)
            for key in flat(content):
                if key.split(".")[-1] not in ("_target_", "_partial_"):
                    assert f"| `{prefix}{key}` |" in shown, f"{file}: {key}"


def test_no_cell_of_the_reference_is_empty() -> None:
    """Every key has a name, a default and a meaning."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for text in site_pages.pages().values()
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    assert len(rows) > 500
    assert [row for row in rows if len(row) != 3 or not all(row)] == []


def flat(content: object, path: str = "") -> list[str]:
    """The full names of all values."""
    if not isinstance(content, dict) or (path and not content):
        return [path]
    return [key for name, c in content.items() for key in flat(c, f"{path}.{name}".strip("."))]


def test_a_comment_becomes_the_meaning() -> None:
    text = "a: 1    # seconds\nb:\n  # above\n  c: [1, 2]   # beside\n  d: x\n"
    assert list(site_pages.keys(text)) == [
        ("a", "1", "seconds"),
        ("b.c", "[1, 2]", "above beside"),
        ("b.d", "x", ""),
    ]


def test_what_a_key_means_is_said_by_the_constructor_that_takes_it() -> None:
    """Then by the comment on its value, such as its source; and it holds where the key is set."""
    known = site_pages.meanings()
    assert known["search.candidates"] == "Architectures proposed at a derivation."
    assert known["budget.search.candidates"] == known["search.candidates"]
    assert site_pages.said("Units.", "DARTS, its code") == "Units. DARTS, its code"
    body = "_target_: torch.optim.Adam\nlr: 1  # ours\n"
    [made, rate] = site_pages.rows_of(body, "controller.optimizer.", {})
    assert made[2].startswith("Implements Adam")
    assert rate == ("controller.optimizer.lr", "1", rate[2], "ours")
    assert rate[2].startswith("learning rate")


def test_a_notebook_can_be_read_on_the_site() -> None:
    made = site_pages.notebooks()
    assert sorted(made) == ["notebooks/after-the-search.md", "notebooks/first-search.md"]
    text = made["notebooks/first-search.md"]
    assert text.startswith("# ")
    assert text.count("```python\n") >= 5
    for page in (DOCS / "tutorial").glob("*.md"):
        assert ".ipynb)" in page.read_text(encoding="utf-8"), "a link that leads to it"


def test_one_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert nas_lightning.__version__ == cited
    assert f"## {cited}\n" in TEXTS["CHANGELOG.md"]
