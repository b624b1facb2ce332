"""docs/menu.md says what is proven of each combination, and it is what the tests are."""

import itertools
import json
import os
import subprocess
import sys

import pytest
from combinations import AXES, ROOT, combinations, label
from conftest import DEFAULTS
from menu_levels import LEVELS, Item, Items, Level, by_name, page, proofs

PAGE = ROOT / "docs" / "menu.md"
# Prints what pytest would run, with the answers among each test's parameters.
COLLECT = """
import json, sys
import pytest
defaults = json.loads(sys.argv[1])
NAMES = {"version": "mlops_version", "system": "orchestration", "built": "infrastructure_version"}

class Collected:
    def pytest_collection_finish(self, session):
        found = []
        for item in session.items:
            answers = {}
            for name, value in (item.callspec.params if hasattr(item, "callspec") else {}).items():
                if isinstance(value, dict):
                    answers |= {key: each for key, each in value.items() if isinstance(each, str)}
                elif isinstance(value, str) and name in NAMES:
                    answers[NAMES[name]] = value
                elif isinstance(getattr(value, "answers", None), dict):
                    given = defaults | value.answers  # a project of a release
                    answers |= {key: each for key, each in given.items() if isinstance(each, str)}
            function = getattr(item, "originalname", None) or item.name
            found.append([f"{item.path.stem}.{function}", answers])
        print("COLLECTED" + json.dumps(found))

marks = "not big and not year and not failures"
sys.exit(pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "-m", marks], [Collected()]))
"""


@pytest.fixture(scope="module")
def items() -> Items:
    """All tests of `make test`."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "ONLY"))}
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, json.dumps(DEFAULTS)], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("COLLECTED"))
    return by_name(Item(*each) for each in json.loads(line.removeprefix("COLLECTED")))


def test_the_page_about_the_menu_is_what_the_tests_are(items: Items) -> None:
    if os.environ.get("MLOPS_WRITE_MENU"):
        PAGE.write_text(page(items), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(items)


def test_every_combination_reaches_every_level(items: Items) -> None:
    for cell, level in itertools.product(combinations(), LEVELS):
        for proof, count in zip(level.proofs, proofs(cell, level, items), strict=True):
            assert count, f"{label(cell)} has none of {', '.join(proof.tests)}"


@pytest.mark.parametrize("level", LEVELS, ids=[level.letter for level in LEVELS])
def test_without_its_tests_no_combination_reaches_a_level(level: Level, items: Items) -> None:
    for proof in level.proofs:
        others = {name: found for name, found in items.items() if name not in proof.tests}
        # Tests of what differs in the axes prove nothing.
        unlike = by_name(Item(name, dict.fromkeys(AXES, "another")) for name in proof.tests)
        for rest in (others, others | unlike):
            assert not any(all(proofs(cell, level, rest)) for cell in combinations()), proof
