"""Whether a Bicep file is laid out as `bicep format` does it, as far as that can be told without the compiler.

The rules are those of the compiler's PrettyPrintV2 at 120 columns: what is in brackets is on one line if that fits, and
else has a line for each item; an object or array with a new line behind its bracket keeps it; a call hugs an object or
array that is its last argument. Of v0.3.0 they find the three statements that the real one was seen to rewrite.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

WIDTH = 120
PAIRS = {"(": ")", "[": "]", "{": "}"}
STRING = re.compile(r"'''.*?'''", re.DOTALL)


@dataclass
class Bracket:
    """A pair of brackets, with what is between them: text, and other pairs."""

    sign: str
    start: int
    call: bool
    """Whether it belongs to what is before it: the arguments of a function, or an index."""
    end: int = 0
    parts: list["str | Bracket"] = field(default_factory=list)

    @property
    def inner(self) -> list["Bracket"]:
        return [part for part in self.parts if isinstance(part, Bracket)]

    @property
    def empty(self) -> bool:
        return not any(isinstance(part, Bracket) or part.strip() for part in self.parts)

    @property
    def items(self) -> int:
        """How many arguments a call has."""
        return 0 if self.empty else 1 + sum(part.count(",") for part in self.parts if isinstance(part, str))

    @property
    def forced(self) -> bool:
        """Whether it has a line for each item wherever it is."""
        if any("//" in part for part in self.parts if isinstance(part, str)):
            return True
        loop = self.sign == "[" and bool(re.match(r"\s*for\b", str(self.parts[0]) if self.parts else ""))
        if self.sign in "[{" and not loop and not self.empty and str(self.parts[0]).startswith("\n"):
            return not self.call
        return any(each.breaks for each in self.inner if each is not self.tail)

    @property
    def breaks(self) -> bool:
        """Whether it goes over several lines wherever it is."""
        return self.forced or (self.tail is not None and self.tail.breaks)

    @property
    def tail(self) -> "Bracket | None":
        """The object or array that a call ends with, if it has more than one argument."""
        if self.sign != "(" or not self.call or self.items < 2:
            return None
        last = next((part for part in reversed(self.parts) if isinstance(part, Bracket) or part.strip()), None)
        before = self.parts[self.parts.index(last) - 1] if last in self.parts[1:] else ""
        fits = isinstance(last, Bracket) and last.sign in "[{" and not last.call
        return last if fits and isinstance(last, Bracket) and re.search(r"(,|=>)\s*$", str(before)) else None

    @property
    def flat(self) -> str:
        """It in one line; of a tail with lines of its own, the part up to its bracket."""
        text = ""
        for part in self.parts:
            if part is self.tail and self.tail is not None and self.tail.forced:
                return f"{self.sign}{text.strip()}{part.sign}"
            text += part.flat if isinstance(part, Bracket) else re.sub(r"\s*\n\s*", self._separator, part)
        text = re.sub(r",\s*$", "", text.strip().removeprefix(self._separator.strip()).strip())
        space = " " if self.sign == "{" and text else ""
        return f"{self.sign}{space}{text}{space}{PAIRS[self.sign]}"

    @property
    def _separator(self) -> str:
        return " " if self.sign == "(" else ", "


def brackets(source: str) -> list[Bracket]:
    """The outermost pairs of brackets of a file, without what is in strings; a comment is its two slashes."""
    outer = Bracket("", 0, call=False)
    stack, position, text = [outer], 0, ""

    def flush() -> None:
        nonlocal text
        if text:
            stack[-1].parts.append(text)
        text = ""

    while position < len(source):
        if match := STRING.match(source, position) or re.compile(r"'(\\.|\$\{[^}]*\}|[^'\\])*'").match(
            source, position
        ):
            # A string is what it is; its brackets are none.
            text += re.sub(r"[(){}\[\],/\n]", "_", match[0])
            position = match.end()
            continue
        if source.startswith("//", position):
            text += "//"
            position = source.find("\n", position)
            continue
        sign = source[position]
        if sign in PAIRS:
            before = source[position - 1] if position else ""
            flush()
            opened = Bracket(sign, position, call=sign != "{" and bool(re.match(r"[\w\])!?]", before)))
            stack[-1].parts.append(opened)
            stack.append(opened)
        elif sign in PAIRS.values():
            flush()
            stack.pop().end = position + 1
        else:
            text += sign
        position += 1
    flush()
    return outer.inner


def problems(source: str) -> Iterator[tuple[int, str]]:
    """Give the lines that the formatter would lay out in another way, each with the reason."""
    for number, line in enumerate(source.split("\n"), 1):
        indent = len(line) - len(line.lstrip(" "))
        if line != line.rstrip() or "\t" in line:
            yield number, "a space at the end, or a tab"
        if indent % 2:
            yield number, "the indent is no multiple of two"
    for match in re.finditer(r"\n\n\n|[\[{(]\n\n|\n\n *[\]})]", source):
        yield source.count("\n", 0, match.start()) + 2, "an empty line too many"
    if not source.endswith("\n") or source.endswith("\n\n"):
        yield source.count("\n"), "one new line at the end"
    for each in _nested(brackets(source)):
        where = source.count("\n", 0, each.start) + 1
        column = each.start - source.rfind("\n", 0, each.start) - 1
        own = source[each.start : each.end].split("\n")[0]
        broken = own == each.sign  # with a new line behind the bracket
        if each.empty or (each.sign == "(" and (not each.call or each.items < 2)) or (each.sign == "[" and each.call):
            if broken:
                yield where, "it has one item, which goes beside it"
        elif each.forced:
            if not broken:
                yield where, f"{each.flat[:30]}: a line for each item, because one of them has lines of its own"
        elif (column + len(each.flat) > WIDTH) != broken:
            yield where, f"{each.flat[:30]}: {'a line for each item' if not broken else 'it fits into one line'}"
    yield from _questions(source)


def _questions(source: str) -> Iterator[tuple[int, str]]:
    """Give conditions over three lines that fit into one, and those in one that do not."""
    lines = source.split("\n")
    for number, line in enumerate(lines[:-2]):
        question, answer = lines[number + 1].strip(), lines[number + 2].strip()
        if question.startswith("? ") and answer.startswith(": "):
            joined = f"{line} {question} {answer}"
            if len(joined.rstrip(")}],")) <= WIDTH and not re.search(r"[\[({]$", joined):
                yield number + 2, "the condition fits into one line"
    for number, line in enumerate(lines, 1):
        code = re.sub(r"'[^']*'", "", line)
        if len(line) > WIDTH and " ? " in code and " : " in code and not line.lstrip().startswith("//"):
            yield number, "the condition does not fit into one line"


def _nested(found: list[Bracket]) -> Iterator[Bracket]:
    for each in found:
        yield each
        yield from _nested(each.inner)
