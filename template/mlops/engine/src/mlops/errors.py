"""What ends a command with one line and no traceback: errors, and signals to stop."""

import re
from collections.abc import Iterable
from difflib import get_close_matches


def without_colours(text: str) -> str:
    """Return a text without the escape codes by which a program colours a terminal."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


class UserError(Exception):
    """An error that the user can correct; its text is one line that names the problem and the remedy."""


class CommandError(UserError):
    """An external command ended with an error; `output` is what it wrote to its error stream."""

    def __init__(self, command: tuple[str, ...], code: int, output: str) -> None:
        """Make the one-line message from the last line that the command wrote."""
        # Terraform draws a box around its errors.
        lines = [text for line in without_colours(output).splitlines() if (text := line.strip(" \t\r│╷╵"))]
        errors = [line for line in lines if line.startswith(("ERROR:", "Error:"))] or lines[-1:]
        reason = errors[0] if errors else f"exit code {code}"
        name = " ".join(word for word in command[:4] if not word.startswith("-"))
        super().__init__(f"`{name}` failed: {re.sub('^(ERROR|Error):', '', reason).strip()}")
        self.command, self.output = command, output


class Stopped(KeyboardInterrupt):
    """A signal to stop the command; `code` is the exit code that says so."""

    def __init__(self, number: int) -> None:
        """Take the number of the signal."""
        super().__init__()
        self.code = 128 + number


def first_line(error: object) -> str:
    """Return the first line of what an error says, or what it is called if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def did_you_mean(name: object, known: Iterable[object], cutoff: float = 0.5) -> str:
    """Return ` (did you mean "x"?)` when a known name is close, else the known names when they are few."""
    names = sorted(str(item) for item in known)
    if close := get_close_matches(str(name), names, n=1, cutoff=cutoff):
        return f' (did you mean "{close[0]}"?)'
    return f" (there is {', '.join(names)})" if 0 < len(names) <= 8 else ""
