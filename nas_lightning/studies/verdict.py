"""Is the controller better than random? A study's answer in plain sentences, with its uncertainty.

Every sentence says over how many seeds it stands and what kind of number it is about. Differences
of losses are in nats per token. An answer is one of few; whoever reads only it reads nothing that
the data do not allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas_lightning.studies.comparisons import Comparison, Ranking, ranking
from nas_lightning.studies.differences import (
    AGAINST,
    contenders,
    paired,
    spoken,
    spoken_at_once,
    values,
)
from nas_lightning.studies.finals import final_numbers, retrained
from nas_lightning.studies.learned import KL, signs, who_learned
from nas_lightning.studies.plan import Plan, read_plan
from nas_lightning.studies.questions import Question, compared, kind_of, mixed_arms, questions_of
from nas_lightning.studies.shares import diversity, fewer_to_serve, whose_merit
from nas_lightning.studies.study import Study
from nas_lightning.terminal import called


@dataclass(frozen=True)
class Verdict:
    """What a study says.

    Attributes:
        summary: Of all arms together, the answer first; empty where there is one arm alone.
        arms: Of every arm, its answer first.
        rankings: The arms by each question, the one that was planned first.
        learned: Arm -> whether its controller has learned: a difference is no merit otherwise.
    """

    summary: list[str]
    arms: dict[str, list[str]]
    rankings: list[Ranking]
    learned: dict[str, bool]


def verdict_of(study: Study) -> Verdict:
    """What a study says of every arm; nothing without two seeds of two arms."""
    runs = study.finished
    plan = read_plan(study.folder)
    margin = None if plan is None else plan.margin
    arms = contenders(runs)
    questions = [*final_numbers(runs), *questions_of(study)]
    if plan is not None:
        questions.sort(key=lambda question: question.name != plan.question)
    rankings = [ranking(question, arms, margin) for question in questions]
    rankings = [found for found in rankings if found.against]
    learners = who_learned(runs)
    of_arms = {
        arm: lines
        for arm in arms
        if (lines := _of_arm(arm, study, rankings, plan, has_learned=learners[arm]))
    }
    mixed = [arm for arm in mixed_arms(runs) if arm in of_arms]
    summary = _summary(rankings, of_arms, learners, plan, mixed)
    return Verdict(summary, of_arms, rankings, learners)


def _of_arm(
    arm: str, study: Study, rankings: Sequence[Ranking], plan: Plan | None, *, has_learned: bool
) -> list[str]:
    """The sentences about one arm."""
    runs = study.finished
    found = [(r.question, r.against[arm]) for r in rankings if arm in r.against]
    mixed = arm in mixed_arms(runs)
    if found:
        sentences = _answers(arm, study, found, plan, has_learned=has_learned)
    elif mixed or kind_of(runs) == "shared":
        sentences = _not_known(arm, study, mixed=mixed)
    else:
        sentences = []
    if not sentences:
        return []
    scores = [] if mixed else study.scores
    more = [
        whose_merit(arm, scores),
        signs(arm, runs),
        fewer_to_serve(arm, runs, scores),
        diversity(arm, runs),
        retrained(arm, runs) if all(question.kind != "final" for question, _ in found) else "",
    ]
    return [*sentences, *(sentence for sentence in more if sentence)]


def _answers(
    arm: str,
    study: Study,
    found: Sequence[tuple[Question, Comparison]],
    plan: Plan | None,
    *,
    has_learned: bool,
) -> list[str]:
    """The answer in a few words, and what it stands on."""
    runs = study.finished
    if not has_learned:
        moved = (
            "Its policy is no further from uniform than those of runs with permuted rewards"
            if values(runs, KL).get(arm)
            else "It has no policy"
        )
        head = [
            f"{arm}: the controller is not shown to have learned.",
            f"{moved}, and what it proposes is not shown to be better than uniform architectures "
            f"judged beside it. So no other difference from {AGAINST} counts as its merit.",
        ]
    else:
        by_answer: dict[str, list[str]] = {}
        for question, comparison in found:
            by_answer.setdefault(answer_in_words(comparison), []).append(f"its {question.name}")
        named = [f"{answer} by {' and '.join(by)}" for answer, by in by_answer.items()]
        head = [f"{arm}: {'; '.join(named if len(found) > 1 else by_answer)}."]
    for question, comparison in found:
        head += _stands_on(question, comparison, plan)
    return head


def answer_in_words(comparison: Comparison) -> str:
    """The answer, short."""
    other = comparison.against
    return {
        "better": f"yes, better than {other}",
        "worse": f"no, worse than {other}",
        "the same": f"no different from {other} within the margin",
        "not shown": f"not shown to be better than {other}",
        "no spread": "no verdict, for its difference is the same for every seed",
        "too much lost": f"no verdict, for {comparison.why_not}",
    }[comparison.answer]


def _stands_on(question: Question, found: Comparison, plan: Plan | None) -> list[str]:
    """The sentences behind an answer: the difference, what carries it, what seeds could show."""
    said = question.said[0].upper() + question.said[1:]
    how = {
        "exact": "Known exactly, ",
        "proxy": "Trained from scratch, ",
        "final": "Retrained from scratch alike, ",
    }.get(question.kind, "")
    said = f"{how}{question.said}" if how else said
    p = f"Holm's p {found.p:.2g}" if found.arms > 1 else f"p {found.p:.2g}"
    tested = [question.kind, p] if found.difference.spread else [question.kind]
    lines = [
        f"{said} {found.difference.mean:+.3g} {question.unit} against {found.against}'s "
        f"{spoken_at_once(found.at_once, found.arms, *tested)}."
    ]
    lines += [_by_medians(question, found)] if found.medians is not None else []
    lines += question.losses_said(found.arm, found.against)
    if found.within and plan is not None and plan.margin is not None:
        lines.append(
            f"It differs by less than the margin of {plan.margin:g} {question.unit} that was named "
            f"beforehand, on {plan.made}."
        )
    if found.smallest is not None:
        lines.append(_power(question, found))
    return lines


def _by_medians(question: Question, found: Comparison) -> str:
    """The medians beside the means, and whether the answer rests on one of them alone."""
    medians = found.medians
    assert medians is not None
    text = (
        f"By the medians of the same samples it is {medians.mean:+.3g} "
        f"{spoken_at_once(medians, found.arms)}"
    )
    claims = found.answer in ("better", "worse")
    if medians.mean * found.difference.mean < 0:
        return f"{text}: the sign turns, so that a few architectures carry the means."
    if claims and not medians.sign:
        return f"{text}: the answer rests on the means alone."
    if not claims and medians.sign:
        return f"{text}: the medians do differ, the means are too noisy to."
    return f"{text}."


def _power(question: Question, found: Comparison) -> str:
    """What these seeds could have shown, and how many would show what was seen."""
    assert found.smallest is not None
    text = (
        f"With {found.difference.n} seeds a difference of {found.smallest:.3g} {question.unit} "
        "would have been shown with 80 % probability"
    )
    if found.answer in ("better", "worse"):
        return f"{text}."
    needed = found.seeds_needed
    more = (
        "; no number of seeds in reach would show one as small as was seen"
        if needed is None
        else f"; to show one of the size that was seen takes {needed:,} seeds"
    )
    return f"{text}{more}."


def _not_known(arm: str, study: Study, *, mixed: bool) -> list[str]:
    """Under shared weights, before they have been exchanged, or if those are of mixtures."""
    metric = compared(study.finished)
    own = paired(values(study.finished, f"derive/{metric.name}_mean"), arm)
    if own is None:
        return []
    if mixed:
        return [
            f"{arm}: no verdict by shared numbers.",
            "Its weights were trained through mixtures of options, which favour what it derives: "
            f"neither its own numbers nor an exchange of weights compare it with {AGAINST}. A "
            f"table does, or networks trained from scratch, or final numbers: {called('retrain')}.",
        ]
    return [
        f"{arm}: not known yet.",
        f"Under its own weights what it proposes scores {own.mean:+.3g} "
        f"{metric.unit or metric.title} against {AGAINST}'s {spoken(own, 'shared')}; whether that "
        "is the merit of its architectures or of weights that serve fewer of them is what "
        f"{called('cross-evaluate')} tells.",
    ]


def _summary(
    rankings: Sequence[Ranking],
    of_arms: dict[str, list[str]],
    learners: dict[str, bool],
    plan: Plan | None,
    mixed: Sequence[str],
) -> list[str]:
    """Of several arms: which are better, which cannot be told apart, what it would take."""
    if len(of_arms) < 2:
        return []
    without = [
        f"No verdict by shared numbers, for weights were trained through mixtures of options: {m}."
        for m in [", ".join(mixed)]
        if m
    ]
    if not rankings:
        others = [
            "Each is judged by weights that were trained for what it proposes; whether a "
            f"difference is the architectures' merit is what {called('cross-evaluate')} tells."
        ]
        known = f"Whether any of {len(of_arms)} arms is better than {AGAINST} is not known yet."
        return [known, *(others if len(mixed) < len(of_arms) else []), *without]
    first = rankings[0]
    by_answer: dict[str, list[str]] = {}
    for arm in first.means:
        if arm in first.against:
            answer = first.against[arm].answer if learners[arm] else "not learned"
            by_answer.setdefault(answer, []).append(arm)
    better = by_answer.get("better", [])
    of = f"of {len(first.against)} arms"
    head = f"{len(better) or 'None'} {of} {'is' if len(better) < 2 else 'are'} shown to be better "
    lines = [f"{head}than {AGAINST}{': ' * bool(better)}{', '.join(better)}."]
    words = {
        "worse": f"Worse than {AGAINST}",
        "the same": f"No different from {AGAINST} within the margin named beforehand",
        "not shown": f"Not shown to differ from {AGAINST}",
        "not learned": "Not shown to have learned",
        "no spread": "No verdict, for every seed has the same difference",
        "too much lost": "No verdict, for too much of them diverged",
    }
    lines += [f"{says}: {', '.join(by_answer[a])}." for a, says in words.items() if a in by_answer]
    lines += without
    planned = " as planned" if plan is not None and plan.question == first.question.name else ""
    lines.append(
        f"Compared by {first.question.name}{planned} ({first.question.kind}); p-values are Holm's "
        f"and intervals hold for all {len(first.against)} arms at once."
    )
    lines += _best_of(first)
    lines += _takes(first, by_answer.get("not shown", []))
    return lines


def _best_of(found: Ranking) -> list[str]:
    """What can be said of the arm that comes first."""
    best = next(iter(found.means))
    peers = sorted({arm for group in found.groups if best in group for arm in group} - {best})
    order = [arm for arm in found.means if arm in peers]
    if not order:
        return [f"{best} comes first, and every other arm can be told from it."]
    return [
        f"{best} comes first, but these cannot be told from it: {', '.join(order)}. That two "
        "cannot be told apart does not say that they are equal."
    ]


def _takes(found: Ranking, undecided: Sequence[str]) -> list[str]:
    """How many seeds would be needed for what was not shown."""
    needed = {arm: found.against[arm].seeds_needed for arm in undecided}
    known = [f"{arm} {n:,}" for arm, n in needed.items() if n is not None]
    if not known:
        return []
    return [
        "Seeds that would show, with 80 % probability, differences of the sizes that were seen: "
        f"{', '.join(known)}."
    ]
