"""The answer of a study as a picture: every arm's difference from random search and its interval.

A row an arm, the best first, one sentence each. It is laid out by the page itself and not drawn,
so that it reads on a phone as on a screen; the same figure, to be saved, is in the section on arms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from nas_lightning.report.contents import aligned
from nas_lightning.studies.comparisons import Comparison, Ranking
from nas_lightning.studies.differences import AGAINST
from nas_lightning.studies.verdict import Verdict

SIGNS = {"better": "✓", "worse": "✗", "the same": "="}
"""Of an answer, beside its words: it is not told by colour alone."""


@dataclass(frozen=True)
class Row:
    """An arm.

    Attributes:
        arm: Its name.
        colour: Its colour.
        sign: Of its answer.
        says: Its answer in one sentence.
        letters: Arms that share one cannot be told apart when all pairs are compared at once.
        value: The difference and its interval in numbers; empty for random search itself.
        places: Lower end, mean and upper end, in per cent of the axis; None without an interval.
        rest: What the answer stands on, in sentences.
    """

    arm: str
    colour: str
    sign: str
    says: str
    letters: str
    value: str
    places: tuple[float, float, float] | None
    rest: Sequence[str]


@dataclass(frozen=True)
class Forest:
    """All arms.

    Attributes:
        caption: What is shown.
        better: On which side better arms are: "left" or "right".
        zero: Where no difference is, in per cent of the axis.
        rows: The arms, the best first.
        alike: Sets of arms no two of which can be told apart, a line each.
    """

    caption: str
    better: str
    zero: float
    rows: Sequence[Row]
    alike: Sequence[str]


def forest_of(verdict: Verdict, colours: Mapping[str, str]) -> Forest | None:
    """The answer by the study's first question; None where there is none yet."""
    if not verdict.rankings:
        return None
    found = verdict.rankings[0]
    values = dict(zip(found.against, differences(list(found.against.values())), strict=True))
    drawn = [c.at_once for c in found.against.values() if c.difference.spread]
    low = min([0.0, *(d.low for d in drawn)])
    high = max([0.0, *(d.high for d in drawn)])
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    letters = letters_of(found)
    rows = []
    for arm in found.means:
        if (c := found.against.get(arm)) is not None:
            ends = c.at_once.low, c.at_once.mean, c.at_once.high
            places = (place(ends[0]), place(ends[1]), place(ends[2]))
            says = sentence(c, learned=verdict.learned[arm])
            sign = SIGNS.get(c.answer, "?") if verdict.learned[arm] else "?"
            shown = places if c.difference.spread else None
            rest = verdict.arms.get(arm, [])
            rows.append(Row(arm, colours[arm], sign, says, letters[arm], values[arm], shown, rest))
        elif arm == AGAINST:
            says = "what the others are measured by"
            rows.append(Row(arm, colours[arm], "", says, letters[arm], "", None, ()))
    question = found.question
    better = "left" if question.metric.sign < 0 else "right"
    many = len(found.against) > 1
    caption = (
        f"{question.name[0].upper()}{question.name[1:]}, {question.unit} ({question.kind}), minus "
        f"{AGAINST}'s: the dot is the mean over {_seeds(found)} seeds, the line its 95 % interval"
        f"{' (Bonferroni, for all arms at once)' * many}; {better} is better"
    )
    if found.margin is not None:
        caption += f"; the margin named beforehand is {found.margin:g}"
    if any("would show it" in row.says for row in rows):
        caption += ". N seeds would show it with 80 % probability, if it is as large as was seen"
    alike = [", ".join(group) for group in found.groups if len(group) > 1]
    return Forest(caption, better, place(0.0), rows, alike)


def sentence(found: Comparison, *, learned: bool) -> str:
    """An arm's answer in one sentence."""
    if not learned:
        return "not shown to have learned; no difference can be taken for its merit"
    if found.answer == "not shown":
        needed = found.seeds_needed
        seeds = "no number of seeds in reach" if needed is None else f"about {needed:,} seeds"
        return f"not shown; {seeds} would show it"
    return {
        "better": f"better than {found.against}",
        "worse": f"worse than {found.against}",
        "the same": f"equal to {found.against} within the margin",
        "no spread": "no verdict: the same difference for every seed",
        "too much lost": f"no verdict: {found.why_not}",
    }[found.answer]


def differences(found: Sequence[Comparison]) -> list[str]:
    """Differences and their intervals, all with the same digits after the point."""
    ends = [(c.at_once.mean, c.at_once.low, c.at_once.high) for c in found]
    spread = [c.difference.spread for c in found]
    shown = [e if s else e[:1] for e, s in zip(ends, spread, strict=True)]
    digits = iter(aligned([v for row in shown for v in row], signed=True, digits=2))
    rows = [[_unsigned_zero(next(digits)) for _ in row] for row in shown]
    return [
        f"{row[0]} [{row[1]}, {row[2]}]" if len(row) > 1 else f"{row[0]}, the same for every seed"
        for row in rows
    ]


def _unsigned_zero(number: str) -> str:
    """Without the sign of what is zero to the digits shown."""
    return number if number.strip("+-0.") else number.lstrip("+-")


def letters_of(found: Ranking) -> dict[str, str]:
    """Arm -> the letters of the groups in which it cannot be told from others."""
    return {
        arm: " ".join(_letter(n) for n, group in enumerate(found.groups) if arm in group)
        for arm in found.means
    }


def _letter(place: int) -> str:
    return ascii_lowercase[place] if place < len(ascii_lowercase) else str(place)


def _seeds(found: Ranking) -> str:
    counts = sorted({c.difference.n for c in found.against.values()})
    return " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
