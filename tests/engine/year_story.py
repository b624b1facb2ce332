"""The events of a year as plain values: noted while Hypothesis chooses them, played again without it, and made fewer.

What is kept so survives other events and other strategies, which the choices of Hypothesis do not.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from hypothesis import stateful
from troubles import Trouble

Events = list[tuple[str, dict[str, Any]]]
"""Names of rules, each with its arguments."""


def rule(**strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a method as an event, which is noted in `done` when it begins."""

    def mark(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def event(machine: Any, *given: Any, **named: Any) -> None:
            values = {**signature.bind(machine, *given, **named).arguments}
            del values["self"]
            machine.done.append((function.__name__, values))
            function(machine, **values)

        marked: Callable[..., None] = stateful.rule(**strategies)(event)
        return marked

    return mark


def play(machine: Any, events: Events) -> int:
    """Let a machine live through events and come to its end; return how many of them were not possible there."""
    impossible = 0
    rules = {each.function.__name__: each for each in machine.rules}
    try:
        for name, values in events:
            known = rules.get(name)
            if known and values.keys() == known.arguments.keys() and all(fits(machine) for fits in known.preconditions):
                known.function(machine, **values)
            else:
                impossible += 1
    finally:
        machine.teardown()
    return impossible


def fewer(events: Events, fails: Callable[[Events], bool]) -> Events:
    """Return events without those that a failure does not need: first without many of them at a time, then each."""
    size = max(len(events) // 2, 1)
    while size:
        place = 0
        while place < len(events):
            rest = events[:place] + events[place + size :]
            if fails(rest):
                events = rest
            else:
                place += size
        size //= 2
    return events


def written(events: Events) -> list[list[Any]]:
    """Return events as JSON has them."""
    return [
        [name, {key: vars(value) if isinstance(value, Trouble) else value for key, value in values.items()}]
        for name, values in events
    ]


def read(events: list[list[Any]]) -> Events:
    """Return events from JSON."""
    return [
        (name, {key: Trouble(**value) if isinstance(value, dict) else value for key, value in values.items()})
        for name, values in events
    ]
