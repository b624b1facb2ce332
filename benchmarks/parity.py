"""How much of what Terraform and Bicep build is compared, and is it the same?

    uv run python benchmarks/parity.py [--environment prod] [--add-ons NAME ...] [--rows]

Renders the project in both tools, lets Terraform evaluate one and tests/bicep_eval.py the other, and prints a line for
each kind of resource: how many there are, how many of their values are compared, how many differ. With --rows it prints
each value. Terraform runs with the stand-in provider, whose folder MLOPS_TEMPLATE_TOOLS names; without it there is
nothing to compare.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import copier

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from combinations import add_ons, with_add_ons  # noqa: E402
from conftest import SUFFIX, copy_template  # noqa: E402
from parity_table import differences  # noqa: E402
from test_parity import compared, initialise  # noqa: E402


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", default="dev", choices=("dev", "test", "prod"))
    parser.add_argument("--add-ons", nargs="*", default=add_ons(), choices=add_ons(), help="all, if not given")
    parser.add_argument("--rows", action="store_true", help="print every value")
    options = parser.parse_args()
    tools = Path(os.environ.get("MLOPS_TEMPLATE_TOOLS", ROOT.parent / "shared" / "tools"))
    if not tools.is_dir():
        print("parity: skipped, no stand-in provider: set MLOPS_TEMPLATE_TOOLS to its folder")
        return
    with tempfile.TemporaryDirectory() as temporary:
        source, folders = copy_template(Path(temporary) / "source"), {}
        for tool in ("terraform", "bicep"):
            folders[tool] = Path(temporary) / tool
            answers = with_add_ons(*options.add_ons, infrastructure_version=tool, name_suffix=SUFFIX)
            copier.run_copy(str(source), folders[tool], data=answers, defaults=True, quiet=True, unsafe=True)
        initialise(folders["terraform"], tools)
        table, other = compared(folders, tools, (options.environment,))[options.environment]
    lines = differences(table, other)
    if options.rows:
        for (kind, name), row in sorted(table.items()):
            print(f"{kind} {name}", *(f"  {setting}: {value}" for setting, value in row.items()), sep="\n")
    resources = Counter(kind for kind, _ in table)
    values = Counter(kind for (kind, _), row in table.items() for _ in row)
    print(f"{'kind':<22}{'resources':>10}{'values':>10}{'differ':>10}")
    for kind in sorted(resources):
        differ = sum(line.startswith(f"{kind} ") for line in lines)
        print(f"{kind:<22}{resources[kind]:>10}{values[kind]:>10}{differ:>10}")
    print(f"{'all':<22}{resources.total():>10}{values.total():>10}{len(lines):>10}")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
