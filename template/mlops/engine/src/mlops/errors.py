"""What ends a command with one line and no traceback: errors, and signals to stop."""


class UserError(Exception):
    """An error that the user can correct; its text is one line that names the problem and the remedy."""


class CommandError(UserError):
    """An external command ended with an error; `output` is what it wrote to its error stream."""

    def __init__(self, command: tuple[str, ...], code: int, output: str) -> None:
        """Make the one-line message from the last line that the command wrote."""
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or [f"exit code {code}"]
        name = " ".join(word for word in command[:4] if not word.startswith("-"))
        super().__init__(f"`{name}` failed: {errors[0].removeprefix('ERROR:').strip()}")
        self.command, self.output = command, output


class Stopped(KeyboardInterrupt):
    """A signal to stop the command; `code` is the exit code that says so."""

    def __init__(self, number: int) -> None:
        """Take the number of the signal."""
        super().__init__()
        self.code = 128 + number
