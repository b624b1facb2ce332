"""The infrastructure of generated projects, read by the tools that deploy it.

    python tests/real_tools.py terraform|bicep

Renders a project with no add-on, with each one, and with all of them. Terraform checks the format, validates with the
real provider and runs the project's own tests; Bicep (`az bicep`) compiles and lints every file, and a warning counts
as an error. No account is needed, but the network is: the tests of this repository do the same offline, with the
provider's schema and a checker of their own. CI runs this on GitHub.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import copier

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from combinations import add_ons, tools, with_add_ons  # noqa: E402


def main() -> None:
    """Render, and run the tool over each rendering.

    Raises:
        SystemExit: The tool found something.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=tools())
    options = parser.parse_args()
    found: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, chosen in enumerate(add_on_sets()):
            answers = with_add_ons(*chosen, infrastructure_version=options.tool)
            project = Path(temporary) / str(number)
            copier.run_copy(str(ROOT), project, data=answers, defaults=True, quiet=True, unsafe=True, vcs_ref="HEAD")
            print(", ".join(chosen) or "no add-on", flush=True)
            found += findings(options.tool, project)
    if found:
        sys.exit(f"error: {options.tool} has {len(found)} findings")
    print(f"{options.tool} finds nothing.", flush=True)


def findings(tool: str, project: Path) -> list[str]:
    """Run the tool over a project; return the commands that found something, after printing what it is."""
    found = []
    for folder, command in CHECKS[tool](project):
        print(f"> {' '.join(command)}", flush=True)
        if said := complaint(folder, command):
            print(said, flush=True)
            found.append(" ".join(command))
    return found


def complaint(folder: Path, command: list[str]) -> str:
    """What a command says when it ends with an error or, as Bicep does, with a warning."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    said = done.stdout + done.stderr
    return said if done.returncode or ": Warning " in said or ": Error " in said else ""


def add_on_sets() -> list[list[str]]:
    """No add-on, each one, and all of them."""
    return [[], *([name] for name in add_ons()), add_ons()]


def terraform(project: Path) -> list[tuple[Path, list[str]]]:
    """What Terraform checks, in each of its root modules."""
    root = project / "infrastructure" / "terraform"
    modules = [each for each in (root / "model-registry", root) if each.is_dir()]
    commands = (
        ["terraform", "fmt", "-check", "-recursive"],
        ["terraform", "init", "-backend=false", "-input=false"],
        ["terraform", "validate"],
        ["terraform", "test"],
    )
    return [(module, list(command)) for module in modules for command in commands]


def bicep(project: Path) -> list[tuple[Path, list[str]]]:
    """What Bicep compiles and lints, through the Azure CLI as in a project."""
    folder = project / "infrastructure" / "bicep"
    return [(folder, command) for command in bicep_commands(folder, "az", "bicep")]


def bicep_commands(folder: Path, *program: str) -> list[list[str]]:
    """The commands that compile and lint the files of a folder: of `az bicep`, or of the compiler by its own."""
    option = ["--file"] if program[0] == "az" else []
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.bicep"))
    parameters = sorted(path.name for path in folder.glob("*.bicepparam"))
    commands = [[*program, verb, *option, file, *more] for file in files for verb, more in BICEP.items()]
    return commands + [[*program, "build-params", *option, file, "--stdout"] for file in parameters]


BICEP: dict[str, list[str]] = {"build": ["--stdout"], "lint": []}
CHECKS = {"terraform": terraform, "bicep": bicep}


if __name__ == "__main__":
    main()
