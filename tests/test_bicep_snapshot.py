"""The real Bicep compiler over rendered projects: it finds nothing, and agrees with bicep_eval.

It is on no package index, so that its tests are skipped where `bicep` is not on the path; GitHub's Ubuntu machines have
it, and there they always run. The comparison is tested everywhere, with a snapshot as the compiler writes one.
"""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bicep_eval import DEPLOYER, Resource, evaluate
from bicep_layout import problems
from bicep_snapshot import FIXED, differences, expand
from combinations import add_ons, with_add_ons
from conftest import Render
from real_tools import bicep_commands, complaint

BICEP = "infrastructure/bicep"
SETS = [[], *([name] for name in add_ons()), add_ons()]
of_each_set = pytest.mark.parametrize("chosen", SETS, ids=lambda chosen: "+".join(chosen) or "nothing")

Folder = Callable[[list[str]], Path]


@pytest.fixture(scope="session")
def bicep() -> str:
    """The compiler."""
    found = shutil.which("bicep")
    if found is None and os.environ.get("GITHUB_ACTIONS") == "true":
        pytest.fail("this machine of GitHub has no bicep on the path: install it in .github/workflows/ci.yml")
    if found is None:
        pytest.skip("no bicep on the path; CI on GitHub has it")
    return found


@pytest.fixture(scope="session")
def folder(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The Bicep files of a project with these add-ons, beside its config, each entry with its parameters."""

    @cache
    def build(*chosen: str) -> Path:
        project = render(**with_add_ons(*chosen, infrastructure_version="bicep"))
        root = tmp_path_factory.mktemp("bicep")
        for name in ("infrastructure", "config"):
            shutil.copytree(project / name, root / name)
        made = root / BICEP
        who = f"param deployerPrincipalId = '{DEPLOYER}'\n"
        for file in made.glob("*.bicepparam"):
            file.write_text(file.read_text(encoding="utf-8") + who + FIXED, encoding="utf-8")
        if (made / "model-registry.bicep").exists():
            source = f"using 'model-registry.bicep'\n\nparam environment = 'dev'\n{who}"
            (made / "model-registry.bicepparam").write_text(source, encoding="utf-8")
        return made

    return lambda chosen: build(*chosen)


@of_each_set
def test_the_compiler_and_its_linter_find_nothing(bicep: str, folder: Folder, chosen: list[str]) -> None:
    made = folder(chosen)
    found = {" ".join(command): complaint(made, command) for command in bicep_commands(made, bicep)}
    assert len(found) >= 2 * len([*made.rglob("*.bicep")]) > 20
    assert {command: said[-4000:] for command, said in found.items() if said} == {}


@of_each_set
def test_every_file_is_as_the_compiler_formats_it(bicep: str, folder: Folder, chosen: list[str]) -> None:
    made = folder(chosen)
    for file in sorted(made.rglob("*.bicep")):
        name = file.relative_to(made).as_posix()
        done = subprocess.run([bicep, "format", name, "--stdout"], cwd=made, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, file.read_text(encoding="utf-8")), name


@of_each_set
def test_the_compiler_requests_what_the_evaluator_does(bicep: str, folder: Folder, chosen: list[str]) -> None:
    for file in sorted(folder(chosen).glob("*.bicepparam")):
        resources = evaluate(file).resources
        assert len(resources) >= 5
        assert differences(expand(bicep, file), resources) == [], file.name


# The comparison, with a snapshot in the compiler's form.

SOURCE = """
param lock bool = true
var query = 'Table\\n'
resource account 'Microsoft.Storage/storageAccounts@2026-04-01' = {
  name: 'stone'
  location: 'westeurope'
  sku: { name: 'Standard_LRS' }
  properties: { allowSharedKeyAccess: false, tier: null, zones: [1, 2], about: query }
  resource blobs 'blobServices' = {
    name: 'default'
    properties: { days: 14 }
  }
}
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: 'id-one'
}
resource right 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (lock) {
  name: guid(account.id, 'id-one')
  scope: account
  properties: { principalId: identity.properties.principalId }
}
"""


def snapshot(resources: list[Resource]) -> dict[str, Any]:
    """A snapshot of SOURCE, with the forms that the compiler has and the evaluator has not."""
    account, blobs, right = (each.id for each in resources)
    path = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.ManagedIdentity"
    principal = f"[reference('{path}/userAssignedIdentities/id-one', '2024-11-30').principalId]"
    return {
        "predictedResources": [
            {
                "id": "/subscriptions/s/providers/Microsoft.Resources/deployments/storage",
                "type": "Microsoft.Resources/deployments",
                "name": "storage",
                "apiVersion": "2025-04-01",
            },
            {
                "id": account.replace("Microsoft.Storage", "microsoft.storage"),
                "type": "Microsoft.Storage/storageAccounts",
                "name": "stone",
                "apiVersion": "2026-04-01",
                "location": "westeurope",
                "sku": {"name": "Standard_LRS"},
                "properties": {"allowSharedKeyAccess": False, "zones": [1, 2], "about": "Table"},
            },
            {
                "id": blobs,
                "type": "Microsoft.Storage/storageAccounts/blobServices",
                "name": "stone/default",
                "apiVersion": "2026-04-01",
                "properties": {"days": 14},
            },
            {
                "id": right,
                "type": "Microsoft.Authorization/roleAssignments",
                "name": right.rpartition("/")[2],
                "apiVersion": "2022-04-01",
                "scope": "Microsoft.Storage/storageAccounts/stone",
                "properties": {"principalId": principal},
            },
        ],
        "diagnostics": [],
    }


@pytest.fixture
def resources(tmp_path: Path) -> list[Resource]:
    """What the evaluator makes of SOURCE."""
    path = tmp_path / "main.bicep"
    path.write_text(SOURCE, encoding="utf-8")
    return evaluate(path).resources


def test_a_snapshot_of_the_same_has_no_differences(resources: list[Resource]) -> None:
    assert differences(snapshot(resources), resources) == []


@pytest.mark.parametrize(
    ("number", "path", "value", "said"),
    [
        (
            1,
            ("properties", "allowSharedKeyAccess"),
            True,
            "properties.allowSharedKeyAccess: False, in the snapshot True",
        ),
        (1, ("properties", "allowSharedKeyAccess"), 0, "properties.allowSharedKeyAccess: False, in the snapshot 0"),
        (1, ("properties", "new"), 1, "properties.new: None, in the snapshot 1"),
        (1, ("properties", "zones"), [1], "properties.zones: [1, 2], in the snapshot [1]"),
        (1, ("properties", "zones"), [1, 3], "properties.zones[1]: 2, in the snapshot 3"),
        (1, ("sku",), None, "sku: {'name': 'Standard_LRS'}, in the snapshot None"),
        (1, ("location",), "[parameters('location')]", "location: 'westeurope', in the snapshot \"[parameters"),
        (2, ("properties", "days"), "14", "properties.days: 14, in the snapshot '14'"),
        (2, ("apiVersion",), "2025-01-01", "2026-04-01, in the snapshot 2025-01-01"),
        (3, ("properties", "principalId"), "another", "in the snapshot 'another'"),
    ],
)
def test_another_value_is_a_difference(
    resources: list[Resource], number: int, path: tuple[str, ...], value: Any, said: str
) -> None:
    changed = copy.deepcopy(snapshot(resources))
    place = changed["predictedResources"][number]
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    [found] = differences(changed, resources)
    assert said in found


def test_a_resource_that_one_of_them_lacks_or_has_twice_is_a_difference(resources: list[Resource]) -> None:
    full = snapshot(resources)
    less = full | {"predictedResources": full["predictedResources"][:-1]}
    assert [each.rpartition(": ")[2] for each in differences(less, resources)] == ["-1 in the snapshot"]
    assert [each.rpartition(": ")[2] for each in differences(full, resources[:-1])] == ["+1 in the snapshot"]
    twice = full | {"predictedResources": [*full["predictedResources"], full["predictedResources"][2]]}
    assert [each.rpartition(": ")[2] for each in differences(twice, resources)] == ["+1 in the snapshot"]


def test_a_resource_whose_id_only_azure_knows_is_a_difference(resources: list[Resource]) -> None:
    unknown = copy.deepcopy(snapshot(resources))
    del unknown["predictedResources"][-1]["id"]
    assert len(differences(unknown, resources)) == 2


def test_what_the_compiler_says_is_a_difference(resources: list[Resource]) -> None:
    assert differences(snapshot(resources) | {"diagnostics": ["NestedDeploymentShortCircuited"]}, resources) == [
        "NestedDeploymentShortCircuited"
    ]


STAND_IN = """#!{python}
import json, pathlib, sys
words = sys.argv[1:]
assert words[0] == "snapshot" and words[2:4] == ["--mode", "overwrite"], words
pathlib.Path(words[1]).with_suffix(".snapshot.json").write_text(json.dumps({{"predictedResources": [], "said": words}}))
"""


def test_the_snapshot_is_asked_for_with_the_place_that_the_evaluator_assumes(tmp_path: Path) -> None:
    program = tmp_path / "bicep"
    program.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "dev.bicepparam").touch()
    said = expand(str(program), tmp_path / "dev.bicepparam")["said"]
    assert said[1] == "dev.bicepparam"
    assert "--subscription-id 00000000-0000-0000-0000-000000000001" in " ".join(said)


@of_each_set
def test_the_parameters_of_a_snapshot_leave_nothing_to_the_machine(folder: Folder, chosen: list[str]) -> None:
    """Neither its date, nor who is signed in; everything that the tests above ask of the compiler is there."""
    made = folder(chosen)
    files = sorted(made.glob("*.bicepparam"))
    assert [each.stem for each in files] == [
        "dev",
        *(["model-registry"] if "model-registry" in chosen else []),
        "prod",
        "test",
    ]
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert f"param deployerPrincipalId = '{DEPLOYER}'" in text
        assert evaluate(file).resources


@pytest.mark.parametrize(("said", "code"), [("", 0), ("a.bicep(1,1) : Warning BCP081: x", 0), ("x : Error BCP1", 1)])
def test_what_the_compiler_complains_of_is_found(tmp_path: Path, said: str, code: int) -> None:
    """With a stand-in, on each machine."""
    program = tmp_path / "bicep"
    program.write_text(f"#!{sys.executable}\nprint({said!r})\nraise SystemExit({code})\n", encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "modules").mkdir()
    for name in ("main.bicep", "modules/a.bicep", "dev.bicepparam"):
        (tmp_path / name).touch()
    commands = bicep_commands(tmp_path, str(program))
    assert [command[1:] for command in commands] == [
        ["build", "main.bicep", "--stdout"],
        ["lint", "main.bicep"],
        ["build", "modules/a.bicep", "--stdout"],
        ["lint", "modules/a.bicep"],
        ["build-params", "dev.bicepparam", "--stdout"],
    ]
    assert [bool(complaint(tmp_path, command)) for command in commands] == [bool(said)] * 5
    assert bicep_commands(tmp_path, "az", "bicep")[1] == ["az", "bicep", "lint", "--file", "main.bicep"]


# The layout, by the rules of the formatter.


@of_each_set
def test_every_file_keeps_the_rules_of_the_formatter(render: Render, chosen: list[str]) -> None:
    """On each machine; where there is a compiler, it has the last word above."""
    root = render(**with_add_ons(*chosen, infrastructure_version="bicep")) / BICEP
    files = sorted(root.rglob("*.bicep"))
    assert len(files) > 10
    found = [(path.name, *each) for path in files for each in problems(path.read_text(encoding="utf-8"))]
    assert found == []


ONE = "param one string\n"
OF_V03 = [  # what `bicep format` 0.49 was seen to rewrite
    (
        """var rights = map(
  filter(assignments, one => contains(names, one.value)),
  one => {
    on: one.value
  }
)
""",
        "it fits into one line",
    ),
    (
        """var rights = flatten(map(users, user => map(assignments, one => {
  on: one.value
})))
""",
        "a line for each item",
    ),
]
SEEDS = [
    *OF_V03,
    (f"{ONE} \n", "a space at the end"),
    ("var a = {\n\tb: 1\n}\n", "a tab"),
    ("var a = {\n   b: 1\n}\n", "no multiple of two"),
    (f"{ONE}\n\n{ONE}", "an empty line too many"),
    ("var a = {\n\n  b: 1\n}\n", "an empty line too many"),
    ("var a = {\n  b: 1\n\n}\n", "an empty line too many"),
    (ONE.strip(), "one new line at the end"),
    (f"{ONE}\n", "one new line at the end"),
    (f"var a = ['{'a' * 60}', '{'b' * 60}']\n", "a line for each item"),
    (f"var a = {{ b: '{'b' * 60}', c: '{'c' * 60}' }}\n", "a line for each item"),
    (f"var a = union('{'b' * 60}', '{'c' * 60}')\n", "a line for each item"),
    ("var a = union(\n  b,\n  c\n)\n", "it fits into one line"),
    ("var a = empty(\n  b\n)\n", "it has one item, which goes beside it"),
    ("var a = [\n  for b in c: b.d\n]\n", "it fits into one line"),
    ("var a = b\n  ? c\n  : d\n", "the condition fits into one line"),
    (f"var a = b ? {'c' * 60} : {'d' * 60}\n", "the condition does not fit"),
]


@pytest.mark.parametrize(("source", "said"), SEEDS)
def test_another_layout_is_found(source: str, said: str) -> None:
    found = [text for _, text in problems(source)]
    assert any(said in text for text in found), found


@pytest.mark.parametrize(
    "source",
    [
        ONE,
        "var a = {\n  b: 1\n}\n",
        "var a = { b: 1 }\n",
        "var a = [\n  1\n]\n",
        "var a = [1, 2]\n",
        "var a = map(b, one => {\n  c: one\n})\n",
        "var a = union(b, {\n  c: 1 // why\n})\n",
        "var a = union(\n  {\n    b: 1\n  },\n  c\n)\n",
        f"var a = union(\n  '{'b' * 60}',\n  '{'c' * 60}'\n)\n",
        f"@description('{'long ' * 30}(')\n{ONE}",
        f"// {'long ' * 30}text\n{ONE}",
        "var a = b\n  ? c\n  : {\n      d: 1\n    }\n",
        "var a = b ? c : d\n",
        "var a = [\n  for b in c: {\n    d: b\n  }\n]\n",
    ],
)
def test_the_layout_of_the_formatter_passes(source: str) -> None:
    assert [*problems(source)] == []
