"""Each `az` command line that the infrastructure verbs can emit, read by the real Azure CLI's own parser.

Off unless MLOPS_TEMPLATE_AZURE_CLI=1: the environment of azure-cli has 733 MB. No user signs in and no request goes to
Azure: a command line is parsed and not run. `az ml` is an extension, which is on no package index; tests/engine has a
table for it.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import Render, Run, run_uv
from test_engine import SUITE, run_suite

pytestmark = [
    pytest.mark.big,
    pytest.mark.skipif(os.environ.get("MLOPS_TEMPLATE_AZURE_CLI") != "1", reason="MLOPS_TEMPLATE_AZURE_CLI is not 1"),
]

MODULES = ["bootstrap", "doctor", "provision", "teardown"]

# A pytest plugin for the project: it records each command of each Shell, on whatever cloud a test brings.
RECORDER = """
import json, os
from mlops.shell import Shell

original = Shell._execute

def recorded(self, command, **options):
    with open(os.environ["COMMAND_LOG"], "a", encoding="utf-8") as log:
        log.write(json.dumps(command) + "\\n")
    return original(self, command, **options)

Shell._execute = recorded
"""

# For the environment of azure-cli: a line of JSON for each command line, with its parser's message.
PARSER = """
import contextlib, io, json, sys
from azure.cli.core import get_default_cli

cli = get_default_cli()

def error(words):
    parts = {"parser_cls": cli.parser_cls, "commands_loader_cls": cli.commands_loader_cls, "help_cls": cli.help_cls}
    cli.invocation = cli.invocation_cls(cli_ctx=cli, **parts)
    loader = cli.invocation.commands_loader
    loader.load_command_table(words)
    name = cli.invocation._rudimentary_get_command(words)
    if name not in loader.command_table:
        return "unknown command"
    cli.invocation.data["command_string"] = loader.command_name = name
    loader.load_arguments(name)
    loader.command_table = {name: loader.command_table[name]}
    cli.invocation.parser.cli_ctx = cli
    cli.invocation.parser.load_command_table(loader)
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message), contextlib.redirect_stdout(io.StringIO()):
            cli.invocation.parser.parse_args(words)
    except SystemExit:
        return " ".join(message.getvalue().split())[:300] or "refused"
    return ""

for line in sys.stdin:
    print(json.dumps(error(json.loads(line)[1:])))
"""


@pytest.fixture(scope="module")
def azure_cli(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with azure-cli in it."""
    folder = tmp_path_factory.mktemp("azure-cli")
    made = run_uv(uv, folder, "venv", "--quiet", "environment")
    assert made.returncode == 0, made.stderr
    python = folder / "environment" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = run_uv(uv, folder, "pip", "install", "--quiet", "--python", str(python), "azure-cli")
    assert installed.returncode == 0, installed.stderr
    return python


def errors(python: Path, lines: list[list[str]], folder: Path) -> dict[str, str]:
    """What the parser refuses: the command line and its message."""
    env = os.environ | {"AZURE_CONFIG_DIR": str(folder / "azure"), "AZURE_CORE_COLLECT_TELEMETRY": "no"}
    text = "\n".join(json.dumps(line) for line in lines)
    result = subprocess.run([python, "-c", PARSER], input=text, capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr[-3000:]
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    return {" ".join(line): text for line, text in zip(lines, messages, strict=True) if text}


@pytest.fixture(scope="module")
def emitted(render: Render, run_in: Run, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The command lines of `az` that the tests of the verbs cause with both infrastructures, each form once."""
    forms: dict[tuple[str, ...], list[str]] = {}
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "recorder.py").write_text(RECORDER, encoding="utf-8")
    log = folder / "commands.jsonl"
    sources = [str(render() / name) for name in ("mlops/engine/src", "data-science/src")]
    path = os.pathsep.join([*sources, str(SUITE), str(folder)])
    more = {"COMMAND_LOG": str(log), "PYTEST_PLUGINS": "recorder", "PYTHONPATH": path}
    result = run_suite(render(), folder, run_in, *MODULES, **more)
    assert result.returncode == 0, result.stdout[-3000:]
    for text in log.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        # With one word it is a test of the shell and no command of Azure.
        if line[0] == "az" and line[1] != "ml" and len(line) > 2:
            forms[(*line[1:4], *sorted(word for word in line if word.startswith("-")))] = line
    return list(forms.values())


def test_the_azure_cli_understands_each_command_line(azure_cli: Path, emitted: list[list[str]], tmp_path: Path) -> None:
    # Of each verb and of both infrastructures.
    assert {line[1] for line in emitted} >= {"identity", "role", "provider", "version", "deployment", "keyvault"}
    assert errors(azure_cli, emitted, tmp_path) == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("az group create --name x", "--location"),
        ("az group create --name x --location y --tgs a=b", "unrecognized arguments: --tgs"),
        ("az storage account create --name x --resource-group y --kind StorageV3", "StorageV3"),
        ("az identity federated-credentials list --identity-name x --resource-group y", ""),
        ("az grup show --name x", "unknown command"),
    ],
)
def test_a_command_line_with_an_error_is_noticed(line: str, words: str, azure_cli: Path, tmp_path: Path) -> None:
    (message,) = errors(azure_cli, [line.split()], tmp_path).values()
    assert words in message
