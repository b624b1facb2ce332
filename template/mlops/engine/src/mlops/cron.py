"""Cron expressions in the dialect of Azure ML: five fields, no extensions."""

from collections.abc import Iterator

_FIELDS = (  # name, lowest, highest, names that may stand for numbers
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


def problems(expression: str) -> Iterator[str]:
    """Give what is wrong with a cron expression."""
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        names = ", ".join(name for name, *_ in _FIELDS)
        yield f'"{expression}" has {len(fields)} fields, but five are needed: {names}'
        return
    found = [
        f'"{text}" is no {name}: {problem}'
        for text, (name, low, high, words) in zip(fields, _FIELDS, strict=True)
        for part in text.split(",")
        if (problem := _problem(part, low, high, words))
    ]
    yield from found or _never(expression)


def _never(expression: str) -> Iterator[str]:
    _, _, days, months, weekdays = values(expression)
    longest = max(30 + (month in (1, 3, 5, 7, 8, 10, 12)) - (month == 2) for month in months)
    # With a day of the week, too, either of the two is enough.
    if min(days) > longest and len(weekdays) == 7:
        yield f'"{expression}" never comes: in these months the last day is the {longest}th'


def values(expression: str) -> list[list[int]]:
    """Return the numbers that each field of a valid cron expression stands for, in their order."""
    found = []
    for text, (_, low, high, words) in zip(expression.split(), _FIELDS, strict=True):
        numbers: set[int] = set()
        for part in text.split(","):
            span, _, step = part.partition("/")
            ends = [low, high] if span == "*" else [_number(value, low, words) for value in span.split("-")]
            # One number with a step begins there and goes on to the end.
            last = high if len(ends) == 1 and step else ends[-1]
            numbers |= set(range(ends[0], last + 1, int(step or 1)))
        found.append(sorted(numbers))
    return found


def _number(text: str, low: int, words: tuple[str, ...]) -> int:
    return words.index(text.lower()) + low if text.lower() in words else int(text)


def _problem(part: str, low: int, high: int, words: tuple[str, ...]) -> str | None:
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and 0 < int(step) <= high):
        return f"the step after / must be between 1 and {high}"
    if span == "*":
        return None
    numbers = []
    for value in span.split("-"):
        if value.lower() in words or (value.isdecimal() and low <= int(value) <= high):
            numbers.append(_number(value, low, words))
        else:
            return f"numbers between {low} and {high} are expected"
    if len(numbers) > 2 or numbers != sorted(numbers):
        return "a range goes from the smaller to the greater number"
    return None
