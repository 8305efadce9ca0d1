"""What was searched and how; final numbers; the runs, their configuration and versions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nas_lightning.data.base import in_words
from nas_lightning.files import read_json
from nas_lightning.report.contents import Cell, Section, Source, Table
from nas_lightning.runs.config import CONFIG, REFERENCES, at, differences
from nas_lightning.runs.folder import DATA
from nas_lightning.runs.records import finite, objective_in
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.studies.arms import NOT_AN_ARM, controller_of
from nas_lightning.studies.retraining import mean_over_seeds
from nas_lightning.studies.study import Study
from nas_lightning.terminal import words

MOST_KEYS = 40
"""Of the table of what the arms differ in; the whole is in the runs' folders."""


def facts(study: Study, space: SearchSpace | None) -> dict[str, str]:
    """What was searched and how, a line each."""
    first = study.runs[0]
    config = first.config
    size = f"; {space.largest.size:.2g} architectures" if space is not None else ""
    judged = _range(run.judged.rows for run in study.runs)
    lines = {
        "search space": _node(config, "search_space") + size,
        "proposed by": "; ".join(
            ("" if study.single else f"{arm}: ") + _proposer(study.of(arm)[0].config)
            for arm in study.arms
        ),
        "judged by": f"{_node(config, 'estimator')}; kind of the numbers: {study.kind}",
        "data": "; ".join(filter(None, (_node(config, "data.source"), _node(config, "data")))),
        "what the data are": in_words(_without_schema(read_json(first.folder / DATA) or {})),
        "bits per character": _bits(study),
        "budget": f"{_range(run.epochs for run in study.runs)} epochs of "
        f"{at(config, 'trainer.max_epochs')}; {judged} architectures judged"
        + ("" if study.single else " a run"),
        "seeds": ", ".join(map(str, sorted({run.seed for run in study.runs}))),
    }
    return {name: line for name, line in lines.items() if line}


def _without_schema(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "schema"}


def _bits(study: Study) -> str:
    """The best perplexities as bits per character, where tokens are characters."""
    if at(study.runs[0].config, "data.level") != "character":
        return ""
    found = [
        finite(((run.best or {}).get("metrics") or {}).get("perplexity")) for run in study.runs
    ]
    bits = sorted(math.log2(value) for value in found if value is not None and value > 0)
    ends = bits if len(bits) < 2 else [bits[0], bits[-1]]
    shown = " to ".join(f"{value:.4g}" for value in ends)
    return f"{shown} (log2 of the best perplexity)" if shown else ""


def final_numbers(study: Study) -> Section | None:
    """What retraining from scratch has come to."""
    rows: list[list[Cell]] = []
    for run in study.runs:
        for path, final in run.finals[0]:
            if not {"objective", "test", "validation"} <= final.keys():
                continue
            name = final["objective"]
            networks = {f"{run.arm}, seed {run.seed}: the architecture found": final}
            for reference in filter(None, map(final.get, REFERENCES)):
                if "test" in reference:
                    networks[str(reference.get("description", "reference"))] = reference
            for who, network in networks.items():
                rows.append(
                    [
                        who,
                        objective_in(final).label(),
                        mean_over_seeds(network["test"], name),
                        mean_over_seeds(network["validation"], name),
                        network.get("parameters"),
                        network.get("multiply_adds"),
                        str(path.relative_to(run.folder)),
                    ]
                )
    if not rows:
        return None
    head = [
        "network",
        "metric",
        "test (final)",
        "validation (final)",
        "parameters",
        "multiply-adds",
        "file",
    ]
    text = ["Trained from scratch at full budget; the settings were chosen on validation."]
    return Section(
        "final", "Final numbers", text, tables=[Table("Mean ± standard deviation", head, rows)]
    )


def runs(study: Study) -> Section:
    """Every run, in what they differ, the configuration and the versions."""
    head = ["arm", "seed", "state", "architectures judged", "best", "kind", "folder"]
    rows: list[list[Cell]] = [
        [
            run.arm,
            run.seed,
            run.status,
            run.judged.rows,
            run.best_value,
            str((run.best or {}).get("kind", "–")),
            run.folder.name,
        ]
        for run in [*study.runs, *study.failed]
    ]
    rows += [[None, None, state.words, 0, None, None, name] for name, state in study.absent.items()]
    title = f"Runs; best {study.runs[0].objective.label()}"
    tables = [Table(title, head, rows)]
    tables += [table for table in (_different(study), _stretches(study)) if table is not None]
    first = study.runs[0]
    title = CONFIG if study.single else f"{CONFIG} of {first.folder.name}"
    source = Source(title, (first.folder / CONFIG).read_text(encoding="utf-8"))
    return Section("runs", "Runs and configuration", _versions(study), (), tables, [source])


def _different(study: Study) -> Table | None:
    """The keys in which the first runs of the arms differ."""
    firsts = {arm: study.of(arm)[0].config for arm in study.arms}
    one, *others = firsts.values()
    keys = [
        key
        for key in {key: None for other in others for key, *_ in differences(one, other)}
        if key.split(".")[0] not in NOT_AN_ARM
    ]
    if not keys:
        return None
    rows: list[list[Cell]] = [
        [key.removesuffix("._target_"), *(_setting(config, key) for config in firsts.values())]
        for key in keys[:MOST_KEYS]
    ]
    more = f"; {len(keys) - MOST_KEYS} more are left out" if len(keys) > MOST_KEYS else ""
    return Table(f"What the arms differ in{more}", ["key", *firsts], rows)


def _versions(study: Study) -> list[str]:
    """With which versions the runs were made, a line each."""
    found = dict.fromkeys(line for run in study.runs for line in run.versions)
    return [f"Made with {line}." for line in found]


def _stretches(study: Study) -> Table | None:
    """Every stretch of the runs that were resumed, and its versions."""
    rows: list[list[Cell]] = [
        [run.folder.name, stretch.began, ", ".join(f"{k} {v}" for k, v in stretch.versions.items())]
        for run in study.runs
        if len(run.stretches) > 1
        for stretch in run.stretches
    ]
    head = ["run", "began", "versions"]
    return Table("Stretches, from each start or resume on", head, rows) if rows else None


def _proposer(config: Mapping[str, Any]) -> str:
    """The controller, and the memory if there is one that does something."""
    controller = controller_of(config)
    memory = words(at(config, "memory._target_"))
    return controller if memory in ("", "no memory", "none") else f"{controller} with {memory}"


def _node(config: Mapping[str, Any], name: str) -> str:
    """What stands at a node: its class in words, and its plain settings."""
    node = at(config, name)
    if not isinstance(node, Mapping):
        return ""
    settings = [
        f"{key}={_value(value)}"
        for key, value in node.items()
        if key != "_target_" and value is not None and not isinstance(value, Mapping)
    ]
    return words(node.get("_target_")) + (f" ({', '.join(settings)})" if settings else "")


def _setting(config: Mapping[str, Any], key: str) -> str:
    value = at(config, key)
    return words(value) if key.endswith("._target_") and value else _value(value)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_value(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)).join("[]")
    return "–" if value is None else str(value)


def _range(numbers: Any) -> str:
    found = sorted(set(numbers))
    ends = found if len(found) < 2 else [found[0], found[-1]]
    return " to ".join(f"{number:,}" for number in ends)
