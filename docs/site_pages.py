"""What mkdocs adds to the written pages: one for each group of `conf/`, and one for each notebook.

A key, its default and its comment stand in the YAML alone, so the reference cannot differ from
what is run. mkdocs calls what is named `on_…` (`hooks` in `mkdocs.yml`).
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
KEY = re.compile(r"^(\s*)([\w./@-]+):(?:\s+(.*?))?(?:\s+#\s*(.*)|)$")
COMMENT = re.compile(r"^\s*# ?(.*)$")
BEGINS = re.compile(r"^ {2,4}- \S")
REFERS = re.compile(r"\$\{(?:oc\.select:)?([a-z_]+(?:\.\w+)+)(?=[,}])")
DECLARES = (CONF / "budget/default.yaml", CONF / "config.yaml")
BELOW = "the keys below"
"""The default of a key that has none of its own."""
LONGEST = 1200
"""Words of a page."""


def keys(text: str) -> Iterator[tuple[str, str, str]]:
    """Each key with a value, its default, and the comments above, beside and below it."""
    path: list[tuple[int, str]] = []
    above: list[str] = []
    found: list[tuple[str, str, list[str]]] = []
    block: int | None = None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if block is not None and (not line.strip() or indent > block):
            continue
        block = None
        if remark := COMMENT.match(line):
            beside = indent > 20 and found
            (found[-1][2] if beside else above).append(remark[1])
        elif pair := KEY.match(line):
            path = [*((i, name) for i, name in path if i < indent), (indent, pair[2])]
            value = pair[3] or ""
            if value.startswith("#"):
                value, pair_comment = "", value.lstrip("# ")
            else:
                pair_comment = pair[4] or ""
            if value.startswith("|"):
                block = indent
            elif not found or path[0][1] != "defaults":
                name = ".".join(name for _, name in path)
                found.append((name, value, [*above, *filter(None, [pair_comment])]))
            above = []
        elif not line.strip():
            above = []
    for name, value, remarks in found:
        if (value or remarks) and not name.startswith("defaults"):
            yield name, value, " ".join(remarks)


def head(text: str) -> str:
    """The comment at the head of a file, in one paragraph."""
    lines = [line for line in text.splitlines() if not line.startswith("# @package")]
    said = []
    for line in lines:
        if not line.startswith("#"):
            break
        said.append(line.lstrip("# "))
    return " ".join(said)


def section(file: Path, prefix: str) -> str:
    """An option: what it is, what makes it, what it starts from, and its keys."""
    text = file.read_text(encoding="utf-8")
    prefix = "" if "@package _global_" in text else prefix
    first, body = head(text), body_of(text)
    made = [value for name, value, _ in keys(body) if name == "_target_"]
    begins = [line.split("#")[0].strip(" -") for line in body.splitlines() if BEGINS.match(line)]
    rows = [
        f"| `{name}` | {cell(value, code=True) or BELOW} | {cell(said(meaning, remark))} |"
        for name, value, meaning, remark in rows_of(body, prefix, meanings())
        if name != f"{prefix}_target_" and not name.endswith("_partial_")
    ]
    parts = [f"## {file.stem}\n", first and f"{first}\n"]
    if "defaults:" in body:
        parts.append(f"Starts from {', '.join(f'`{b}`' for b in begins if b != '_self_')}.\n")
    if made:
        parts.append(f"Made by `{made[0]}`.\n")
    if rows:
        parts.append("| key | default | meaning, unit, source |\n|---|---|---|\n" + "\n".join(rows))
    return "\n".join(filter(None, parts)) + "\n"


def body_of(text: str) -> str:
    """A file behind the comment at its head."""
    first = head(text)
    return text.split(first.split()[-1], 1)[1] if first else text


def said(meaning: str, remark: str) -> str:
    """What a key means, then what the YAML remarks on its value, such as its source."""
    if not meaning or not remark or meaning == remark:
        return meaning or remark
    return f"{meaning.rstrip('.')}. {remark[0].upper()}{remark[1:]}"


def rows_of(
    body: str, prefix: str, known: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    """Every key of a file by its full name, its default, what it means, and the comment on it.

    What it means is said by the constructor that takes it, else where the key is declared, else by
    the key that it refers to.
    """
    found = list(keys(body))
    targets = {n.removesuffix("_target_"): v for n, v, _ in found if n.endswith("_target_")}
    for name, value, remark in found:
        owner, _, last = name.rpartition(".")
        made_by = targets.get(f"{owner}." if owner else "")
        if last == "_target_":
            meaning = summary(value)
        else:
            meaning = arguments(made_by).get(last, "") if made_by else ""
        full = prefix + name
        for other in (full, full.removeprefix("retrain_with."), *REFERS.findall(value)):
            meaning = meaning or known.get(other, "")
        yield full, value, meaning, remark


@cache
def meanings() -> dict[str, str]:
    """What keys mean, by their full names: what the constructors that take them say.

    A key that another one refers to, as all budgets are, means the same. Of keys that no
    constructor takes the comments of the default budget and of the top of everything say it.
    """
    known: dict[str, str] = {}
    remarks: dict[str, str] = {}
    files = [(f, group) for group, found in {"": [DECLARES[1]], **groups()}.items() for f in found]
    for file, group in 2 * files:  # twice: some refer to what comes later
        text = file.read_text(encoding="utf-8")
        own = group and "@package _global_" not in text
        prefix = f"{group.replace('/', '.')}." if own else ""
        for name, value, meaning, remark in rows_of(body_of(text), prefix, known):
            if meaning and not name.endswith("_target_"):
                known.setdefault(name, meaning)
                for other in REFERS.findall(value):
                    known.setdefault(other, meaning)
            if file in DECLARES:
                remarks.setdefault(name, remark)
    return {**remarks, **known}


@cache
def documented(target: str) -> str:
    """The docstring of what a `_target_` names."""
    place, _, name = target.rpartition(".")
    return inspect.getdoc(getattr(import_module(place), name)) or ""


def summary(target: str) -> str:
    """Its first sentence."""
    return " ".join(documented(target).partition("\n\n")[0].split())


@cache
def arguments(target: str) -> dict[str, str]:
    """What its docstring says of its arguments, the first sentence of each."""
    _, _, block = documented(target).partition("Args:\n")
    block = re.split(r"\n(?=\S)|\n\n", block)[0]
    entries = re.findall(r"^ {4}(\w+)(?: \([^\n]*\))?: (.*(?:\n {5,}.*)*)", block, re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in entries}


def cell(text: str, *, code: bool = False) -> str:
    """A text in a table."""
    text = text.strip().replace("|", "\\|")
    return f"`{text}`" if code and text else text


def groups() -> dict[str, list[Path]]:
    """The groups of `conf/`, those within others too, and their options."""
    folders = sorted(folder for folder in CONF.rglob("*") if folder.is_dir())
    found = {
        folder.relative_to(CONF).as_posix(): sorted(folder.glob("*.yaml")) for folder in folders
    }
    return {name: files for name, files in found.items() if files}


def words(text: str) -> int:
    """How many words a page has; marks of tables are none."""
    return sum(any(sign.isalnum() for sign in word) for word in text.split())


def pages_of(group: str) -> list[str]:
    """The pages of a group, of at most `LONGEST` words each."""
    said = f"# {group}\n\nChoose one by `{group}=NAME`; change a key by `KEY=VALUE`.\n"
    made = [said]
    for file in groups()[group]:
        text = section(file, group.replace("/", ".") + ".")
        if made[-1] != said and words(made[-1] + text) > LONGEST:
            made.append(said)
        made[-1] += "\n" + text
    return made


def pages() -> dict[str, str]:
    """Where each generated page lies, and its text."""
    made = {"config": section(CONF / "config.yaml", "").replace("## config", "# Top of everything")}
    for group in groups():
        name = group.replace("/", "-")
        for number, text in enumerate(pages_of(group), 1):
            made[name if number == 1 else f"{name}-{number}"] = text
    return {f"reference/{name}.md": text for name, text in made.items()}


def notebooks() -> dict[str, str]:
    """Where the page of each notebook lies, and its text: what is written, code, and outputs."""
    made = {}
    for file in sorted((ROOT / "docs").glob("*.ipynb")):
        parts = []
        for one in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            text = "".join(one["source"])
            parts.append(text if one["cell_type"] == "markdown" else f"```python\n{text}\n```")
            shown = [out.get("text") or out["data"]["text/plain"] for out in one.get("outputs", [])]
            parts += [f"```text\n{''.join(lines).rstrip()}\n```" for lines in shown]
        title, *rest = parts
        download = f"This is a notebook: [{file.name}](../{file.name}) can be run."
        made[f"notebooks/{file.stem}.md"] = "\n\n".join([title, download, *rest]) + "\n"
    return made


def on_config(config: Any) -> Any:
    """Put the pages into the navigation."""
    [tutorial] = [part["Tutorial"] for part in config.nav if "Tutorial" in part]
    tutorial.append({"Notebooks": list(notebooks())})
    [reference] = [part["Reference"] for part in config.nav if "Reference" in part]
    reference.append({"Configuration": list(pages())})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    from mkdocs.structure.files import File

    for path, text in {**pages(), **notebooks()}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to files outside of `docs/` become words; those to notebooks lead to their pages."""
    if not page.file.src_uri.startswith("notebooks/"):
        markdown = re.sub(r"\]\(((?:\.\./)*)([\w-]+)\.ipynb\)", r"](\1notebooks/\2.md)", markdown)
    depth = page.file.src_uri.count("/")
    outside = rf"\[([^\]]+)\]\((?:\.\./){{{depth + 1},}}[^)]*\)"
    return re.sub(outside, r"\1", markdown)
