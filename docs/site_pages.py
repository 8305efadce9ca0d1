"""What mkdocs adds to the written pages: a page for each group of `conf/`, read from its YAML.

A key, its default and its comment stand in the YAML alone, so the reference cannot differ from
what is run. mkdocs calls what is named `on_…` (`hooks` in `mkdocs.yml`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
KEY = re.compile(r"^(\s*)([\w./@-]+):(?:\s+(.*?))?(?:\s+#\s*(.*)|)$")
COMMENT = re.compile(r"^\s*# ?(.*)$")
BEGINS = re.compile(r"^ {2,4}- \S")
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
    first = head(text)
    body = text.split(first.split()[-1], 1)[1] if first else text
    found = list(keys(body))
    made = [value for name, value, _ in found if name == "_target_"]
    begins = [line.split("#")[0].strip(" -") for line in body.splitlines() if BEGINS.match(line)]
    rows = [
        f"| `{prefix}{name}` | {cell(value, code=True)} | {cell(remark or meaning(value))} |"
        for name, value, remark in found
        if name != "_target_" and not name.endswith("_partial_")
    ]
    parts = [f"## {file.stem}\n", first and f"{first}\n"]
    if "defaults:" in body:
        parts.append(f"Starts from {', '.join(f'`{b}`' for b in begins if b != '_self_')}.\n")
    if made:
        parts.append(f"Made by `{made[0]}`.\n")
    if rows:
        parts.append("| key | default | meaning, unit, source |\n|---|---|---|\n" + "\n".join(rows))
    return "\n".join(filter(None, parts)) + "\n"


@cache
def meanings() -> dict[str, str]:
    """What the keys of the default budget mean; other keys refer to them."""
    text = (CONF / "budget/default.yaml").read_text(encoding="utf-8")
    return {name: remark for name, _, remark in keys(text)}


def meaning(value: str) -> str:
    """The meaning of a value that is looked up in the budget."""
    refers = re.match(r"\$\{(?:oc\.select:)?budget\.([\w.]+)", value)
    return meanings().get(refers[1], "") if refers else ""


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


def on_config(config: Any) -> Any:
    """Put the pages into the navigation."""
    [reference] = [part["Reference"] for part in config.nav if "Reference" in part]
    reference.append({"Configuration": list(pages())})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to files outside of `docs/` become words: the site does not hold them."""
    depth = page.file.src_uri.count("/")
    outside = rf"\[([^\]]+)\]\((?:\.\./){{{depth + 1},}}[^)]*\)"
    return re.sub(outside, r"\1", markdown)
