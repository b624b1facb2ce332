"""What a type of data says of its hyperparameters: their names, and a rule for the values of each."""

from collections.abc import Callable, Mapping
from typing import Any

from .settings import number_problem, unknown_key

PLACE = "training.hyperparameters"
"""Where they stand in config/model.yml; each message begins with it."""

Rule = Callable[[Any], str]
"""Says what is wrong with a value, such as "must be an integer"; an empty text if nothing is."""

Rules = Mapping[str, "Rule | Rules"]
"""The rule of each name; rules within rules are those of a group of hyperparameters."""


def problems(given: object, rules: Rules, place: str = PLACE) -> list[str]:
    """Return what is wrong with hyperparameters, a line each; None is the same as to leave one out.

    Args:
        given: their values by name.
        rules: what is known.
        place: begins each line.
    """
    if not isinstance(given, Mapping):
        return [f"{place}: must be `name: value` lines"]
    found = []
    for key, value in given.items():
        rule = rules.get(key)
        if rule is None:
            found.append(f"{place}.{key}: {unknown_key(key, rules)}")
        elif value is None:
            continue
        elif isinstance(rule, Mapping):
            found += problems(value, rule, f"{place}.{key}")
        elif problem := rule(value):
            found.append(f"{place}.{key}: {value!r} {problem}")
    return found


def number(low: float, high: float) -> Rule:
    """Return the rule of a number within limits, both included."""
    return lambda value: number_problem(value, low, high)


def integer(low: float, high: float) -> Rule:
    """Return the rule of an integer within limits, both included."""
    return lambda value: number_problem(value, low, high) or ("" if isinstance(value, int) else "must be an integer")


def choice(*names: str) -> Rule:
    """Return the rule of one of some names."""
    return lambda value: "" if value in names else f"is unknown; choose one of {', '.join(names)}"


def boolean(value: object) -> str:
    """Say what is wrong with a value that should be true or false."""
    return "" if isinstance(value, bool) else "must be true or false"
