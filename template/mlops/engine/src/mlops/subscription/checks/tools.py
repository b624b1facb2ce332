"""The programs on this machine."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlops.azureml.remedies import INSTALL_EXTENSION
from mlops.errors import CommandError, UserError
from mlops.subscription.account import REMEDIES
from mlops.subscription.checks import Context, Finding, error, ok, warning


@dataclass(frozen=True)
class Tool:
    """A program, the command that prints its version, and the oldest version that works."""

    name: str
    command: tuple[str, ...]
    version: str
    """A pattern whose group is the version."""
    minimum: str
    remedy: str
    essential: bool = False
    """The workflows bring their own of all that is not essential."""

    def check(self, context: Context) -> Finding:
        """Run the command and compare the version."""
        problem = error if self.essential else warning
        try:
            output = context.shell.read(*self.command)
        except CommandError as failure:
            return problem(f"{self.name} does not work: {failure}", self.remedy)
        except UserError:
            return problem(f"{self.name} is not installed", self.remedy)
        found = re.search(self.version, output)
        if found is None:
            return problem(f"{self.name} is not installed", self.remedy)
        if _numbers(found[1]) < _numbers(self.minimum):
            return problem(f"{self.name} {found[1]} is too old: at least {self.minimum}", self.remedy)
        return ok(f"{self.name} {found[1]}")


AZ = Tool("az", ("az", "version", "--output", "json"), r'"azure-cli": "([\d.]+)"', "2.61", "`az upgrade`", True)
ML_EXTENSION = Tool(
    "the extension ml of az",
    AZ.command,
    r'"ml": "([\d.]+)"',
    "2.26",
    f"`{INSTALL_EXTENSION} --upgrade`",
)
UV = Tool("uv", ("uv", "--version"), r"([\d.]+\.\d+)", "0", REMEDIES["uv"])


def tools(context: Context, needed: Sequence[Tool]) -> Iterator[Finding]:
    """Look for the programs and compare their versions."""
    has_az = shutil.which("az") is not None
    for tool in needed:
        # The check of the sign-in reports a missing az.
        if has_az or tool.command[0] != "az":
            yield tool.check(context)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".") if number]
