"""What a person should do after an evaluation, in words: the page, decision.json and the terminal take it from here."""

import math
from collections.abc import Iterator

from ..core.distances import MINIMUM_ROWS, Drift
from ..core.fairness import check_fairness
from ..core.metrics import METRICS, SliceScore
from ..core.panels import number
from ..core.promotion import Interval
from .evaluation import Evaluation

FEW_ROWS = 200
"""Below this many held-out rows a score moves by luck more than by most changes of a model."""

_SHOWN = 3


def better_baselines(evaluation: Evaluation) -> list[str]:
    """Return for each baseline that is better than the challenger under some metric what it is better in, in words."""
    return [
        f"{name} is better than the challenger in {', '.join(words for _, words in better)}"
        for name, better in _better(evaluation).items()
    ]


def _better(evaluation: Evaluation) -> dict[str, list[tuple[str, str]]]:
    """Return for each such baseline the metrics, each with the scores in words."""
    found = {}
    for name in evaluation.baselines:
        scores, own = evaluation.scores[name], evaluation.scores["challenger"]
        found[name] = [
            (each.name, f"{each.name} ({number(scores[each.name])} against {number(own[each.name])})")
            for each in METRICS[evaluation.schema.task]
            if each.name in scores and each.name in own and each.gain(own[each.name], scores[each.name]) < 0
        ]
    return {name: better for name, better in found.items() if better}


def next_steps(evaluation: Evaluation) -> list[str]:
    """Return what to do next, the most important first: one sentence or two each."""
    promoted = evaluation.decision.promote
    steps = list(_after_promotion(evaluation) if promoted else _after_refusal(evaluation))
    rows = len(evaluation.actual)
    if rows < FEW_ROWS:
        steps.append(
            f"Collect more examples: {rows} held-out rows are few, so this score may be luck. From about {FEW_ROWS} on "
            "it says more."
        )
    steps += _about_drift(evaluation.drift)
    return steps


def _after_promotion(evaluation: Evaluation) -> Iterator[str]:
    yield (
        "Look at the parts of the data in the report before you rely on the model. `uv run mlops serve` answers "
        "requests with the registered model on this machine, and a delivery brings it into service on Azure."
    )
    metric = evaluation.policy.metric.name
    for name, better in _better(evaluation).items():
        others = ", ".join(each for each, _ in better if each != metric)
        if others:
            yield (
                f"Decide whether {others} matters for your use: there the {name} is better. If it does, make it "
                "evaluation.metric in config/model.yml, which then decides."
            )


def _after_refusal(evaluation: Evaluation) -> Iterator[str]:
    policy, score = evaluation.policy, evaluation.scores["challenger"][evaluation.policy.metric.name]
    name = policy.metric.name
    if not math.isfinite(score):
        yield f"Find out why {name} is no finite number: the model may predict values that are not, see its log."
        return
    weak = [each for each, interval in evaluation.baselines.items() if policy.beat_baselines and not _won(interval)]
    behind = [each for each in weak if not evaluation.baselines[each].gain > 0]
    for each in behind:
        yield (
            f"Look for an error in data or features first: the {each} is at least as good in {name} without learning "
            "anything. A feature that says more is worth more than other hyperparameters."
        )
    for each in (other for other in weak if other not in behind):
        yield _undecided(f"the {each}", evaluation, evaluation.baselines[each])
    if policy.metric.gain(score, policy.floor) < 0:
        yield (
            f"Improve the model until its {name} reaches the floor of {number(policy.floor)}: `uv run mlops tune` "
            "looks for better hyperparameters, more examples and better features mostly help more. If the floor asks "
            "for what no model can predict, change promotion.floor in config/model.yml."
        )
    yield from _against_champion(evaluation)
    yield from _about_parts(evaluation)


def _won(interval: Interval, minimum: float = 0.0) -> bool:
    return all(math.isfinite(gain) and gain > minimum for gain in (interval.gain, interval.lower))


def _undecided(rival: str, evaluation: Evaluation, interval: Interval) -> str:
    name = evaluation.policy.metric.name
    return (
        f"Give it more held-out rows: it is better than {rival} by {number(interval.gain)} in {name}, which may be "
        f"luck with {evaluation.compared_rows or len(evaluation.actual):,} rows. More data in data/raw can tell; "
        "promotion.confidence says how sure you want to be."
    )


def _against_champion(evaluation: Evaluation) -> Iterator[str]:
    interval, policy = evaluation.interval, evaluation.policy
    if interval is None or _won(interval, policy.minimum_gain):
        return
    if interval.gain == interval.lower == interval.upper == 0:
        yield (
            "Change something first: this model predicts the same as the champion. Other hyperparameters, features or "
            "data make a difference; `uv run mlops compare` shows what was different so far."
        )
    elif interval.gain > policy.minimum_gain:
        yield _undecided("the champion", evaluation, interval)
    else:
        yield (
            "Keep the champion, and try something else: `uv run mlops compare` shows what helped so far, and "
            "`--no-register` tries without a change of the champion."
        )


def _about_parts(evaluation: Evaluation) -> Iterator[str]:
    worse = [each for each in evaluation.slices if _is_worse(evaluation, each)]
    if worse:
        named = ", ".join(f"{each.column}={each.value}" for each in worse[:_SHOWN])
        more = f" and {len(worse) - _SHOWN} more" if len(worse) > _SHOWN else ""
        yield (
            f"Look at what is different in {named}{more}: the model got worse there. More examples of it help; if the "
            "loss is acceptable to you, raise promotion.slice_tolerance."
        )
    unfair = [reason for each in evaluation.cohorts for passed, reason in check_fairness(each) if not passed]
    if unfair:
        yield (
            "Look at the cohorts below: one is served worse than `fairness` in config/model.yml allows. More examples "
            "of it help, and so do features that explain the difference."
        )


def _is_worse(evaluation: Evaluation, part: SliceScore) -> bool:
    return any(reason.startswith(f"slice {part.column}={part.value} ") for reason in evaluation.decision.reasons)


def _about_drift(drift: Drift | None) -> Iterator[str]:
    if drift is None:
        return
    if not drift.enough:
        yield (
            f"Wait for more production data: {drift.production_rows:,} rows are too few to look for drift, "
            f"{MINIMUM_ROWS} are needed."
        )
    elif drift.drifted:
        named = ", ".join(drift.drifted[:_SHOWN]) + (", ..." if len(drift.drifted) > _SHOWN else "")
        yield (
            f"Train on newer data: {len(drift.drifted)} columns moved since training ({named}). Put the rows that have "
            "arrived since into data/raw as soon as their target is known."
        )
