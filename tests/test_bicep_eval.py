"""The evaluator of Bicep files does what Bicep and Azure do, and stops at whatever it does not know."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from bicep_eval import DEPLOYER, SUBSCRIPTION, TENANT, BicepError, Deployment, evaluate

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/st"


def deployed(folder: Path, source: str, **parameters: Any) -> Deployment:
    path = folder / "main.bicep"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return evaluate(path, **parameters)


def value(folder: Path, expression: str, before: str = "") -> Any:
    return deployed(folder, f"{before}\noutput found object = {expression}").outputs["found"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'it\\'s \\u{41} $x ${1 + 2}\\n'", "it's A $x 3\n"),
        ("'${true} ${[1, 'a']}'", 'True [1,"a"]'),
        ("'''\nas it ${is}'''", "as it ${is}"),
        ("1 + 2 * 3 - 8 / 3", 5),
        ("-1 < 0 && !(1 > 2) || fail('is not evaluated')", True),
        ("true ? 'yes' : fail('is not evaluated')", "yes"),
        ("false\n  ? 'a'\n  : true ? 'b' : 'c'", "b"),
        ("null ?? 'other'", "other"),
        ("'Ab' =~ 'aB'", True),
        ("{ a: 1, 'b-c': 2 }['b-c']", 2),
        ("{ a: { b: [1, 2] } }.a.b[1]", 2),
        ("{ a: 1 }.?b.?c ?? 'none'", "none"),
        ("[1, 2][?5]", None),
        ("{ ...{ a: 1, b: 1 }, b: 2 }", {"a": 1, "b": 2}),
        ("[\n  1 // one\n  ...[2, 3]\n]", [1, 2, 3]),
        ("[for (each, i) in ['a', 'b']: '${each}${i}']", ["a0", "b1"]),
        ("[for a in [1, 2]: [for b in [a]: { '${b}': a + b }]]", [[{"1": 2}], [{"2": 4}]]),
        ("filter([1, 2, 3], each => each > 1 && !(each == 3))", [2]),
        ("map(items({ b: 1, a: 2 }), (each, i) => '${each.key}${i}')", ["a0", "b1"]),
        ("map([{ a: { b: 1 } }], each => each.a.b == 1 ? each.a : null)", [{"b": 1}]),
        ("reduce([1, 2], 10, (sum, each) => sum + each)", 13),
        ("toObject(['a'], each => each, each => { is: each })", {"a": {"is": "a"}}),
        ("sort([2, 1], (a, b) => a < b)", [1, 2]),
        ("union({ a: { b: 1, c: 1 } }, { a: { b: 2 } })", {"a": {"b": 2, "c": 1}}),
        ("union([1, 1], [2, 1])", [1, 2]),
        ("contains({ a: null }, 'a') && contains('abc', 'b') && !contains([1], 2)", True),
        ("empty('') && empty([]) && empty({}) && empty(null)", True),
        ("startsWith('Abc', 'aB') && endsWith('Abc', 'BC')", True),
        ("format('{0}-{1}', 'a', 2)", "a-2"),
        ("split(replace('a_b', '_', '.'), '.')", ["a", "b"]),
        ("join(concat(['a'], ['b']), take('-+', 1))", "a-b"),
        ("guid('a', 'b')", "2d796349-8c7e-55ec-9624-54ece82ed031"),
        ("last(['a', 'b'])", "b"),
        ("guid('a', 'b') == guid('a', 'b') && guid('a') != guid('b')", True),
        ("subscription().subscriptionId", SUBSCRIPTION),
        ("[deployer().objectId, az.tenant().tenantId]", [DEPLOYER, TENANT]),
        ("subscriptionResourceId('Microsoft.X/y', 'z')", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.X/y/z"),
        ("resourceGroup('rg').id", GROUP),
    ],
)
def test_an_expression_has_the_value_that_azure_gives_it(tmp_path: Path, expression: str, expected: Any) -> None:
    assert value(tmp_path, expression) == expected


def test_a_file_declares_parameters_variables_functions_and_outputs(tmp_path: Path) -> None:
    source = """
        metadata description = 'whatever'
        targetScope = 'subscription'
        /* a type is for
           the compiler */
        type pet = {
          @description('What it is called.')
          name: string
          kind: ('cat' | 'dog')?
        }[]
        @description('Whom to greet.')
        @allowed(['Ada', 'Bob'])
        param name string
        param pets pet = []
        param nothing string?
        param loud bool = length(name) > 2
        var greeting = loud ? greet(name, '!') : name
        func greet(who string, end string) string => 'Hello ${who}${end}'
        output greeting string = greeting
        output nothing string? = nothing
    """
    assert deployed(tmp_path, source, name="Ada").outputs == {"greeting": "Hello Ada!", "nothing": None}
    assert deployed(tmp_path, source, name="Ada", loud=False).outputs["greeting"] == "Ada"


def test_files_are_loaded_from_beside_the_file_that_asks(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("names: { a: 1 }\n", encoding="utf-8")
    (tmp_path / "config.json").write_text('{"b": [2]}', encoding="utf-8")
    (tmp_path / "modules").mkdir()
    inner = (
        "output c string = loadTextContent('../config.yml')\noutput d int = loadJsonContent('../config.json').b[0]\n"
    )
    (tmp_path / "modules" / "inner.bicep").write_text(inner, encoding="utf-8")
    source = """
        var config = loadYamlContent('config.yml')
        module inner 'modules/inner.bicep' = {}
        output found array = [config.names.a, inner.outputs.c, inner.outputs.d]
    """
    assert deployed(tmp_path, source).outputs["found"] == [1, "names: { a: 1 }\n", 2]


def test_resources_are_what_conditions_and_loops_leave(tmp_path: Path) -> None:
    source = """
        param lock bool
        resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
          name: 'rg'
          location: 'westeurope'
        }
        module inner 'inner.bicep' = {
          name: 'inner'
          scope: group
          params: { names: ['a', 'skip', 'b'], lock: lock }
        }
        module never 'inner.bicep' = if (!lock && lock) {
          scope: resourceGroup('other')
          params: { names: [], lock: fail('is not evaluated') }
        }
        output location string = group.location
        output never string? = never.?outputs.?principal
        output principal string = inner.outputs.principal
    """
    inner = """
        param names string[]
        param lock bool
        resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
          name: 'st'
          location: resourceGroup().location
          properties: { isHnsEnabled: true }
          resource blobs 'blobServices' = {
            name: 'default'
            resource containers 'containers' = [for name in names: if (name != 'skip') {
              name: name
              properties: { hns: account.properties.isHnsEnabled }
            }]
          }
        }
        resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
          name: 'id'
        }
        resource shares 'Microsoft.Storage/storageAccounts/fileServices@2025-01-01' = {
          parent: account
          name: 'default'
          properties: { '${identity.id}': identity.properties.principalId }
          dependsOn: [account]
        }
        resource protection 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
          scope: account::blobs
          name: 'keep'
        }
        output principal string = identity.properties.principalId
    """
    (tmp_path / "inner.bicep").write_text(textwrap.dedent(inner), encoding="utf-8")
    found = deployed(tmp_path, source, lock=True)
    identity = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
    assert {each.id: each.body for each in found.resources} == {
        GROUP: {"location": "westeurope"},
        ACCOUNT: {"location": "resourceGroup().location", "properties": {"isHnsEnabled": True}},
        f"{ACCOUNT}/blobServices/default": {},
        f"{ACCOUNT}/blobServices/default/containers/a": {"properties": {"hns": True}},
        f"{ACCOUNT}/blobServices/default/containers/b": {"properties": {"hns": True}},
        f"{ACCOUNT}/fileServices/default": {"properties": {identity: f"{identity}.properties.principalId"}},
        f"{ACCOUNT}/blobServices/default/providers/Microsoft.Authorization/locks/keep": {},
    }
    assert found.resources[2].version == "2025-01-01"
    assert found.outputs == {
        "location": "westeurope",
        "never": None,
        "principal": f"{identity}.properties.principalId",
    }
    assert len(deployed(tmp_path, source, lock=False).resources) == 6


def test_a_parameter_file_gives_the_parameters(tmp_path: Path) -> None:
    deployed(tmp_path, "param a string\nparam b int = 1\noutput both string = '${a}${b}'", a="")
    path = tmp_path / "dev.bicepparam"
    path.write_text("using './main.bicep' // comment\n\nvar x = 'x'\nparam a = '${x}y'\n", encoding="utf-8")
    assert evaluate(path).outputs == {"both": "xy1"}
    assert evaluate(path, b=2).outputs == {"both": "xy2"}


def test_types_variables_and_functions_are_imported(tmp_path: Path) -> None:
    shared = "@export()\ntype t = string\n@export()\nvar v = 1\n@export()\nfunc f(n int) int => n + v\n"
    (tmp_path / "shared.bicep").write_text(shared, encoding="utf-8")
    source = "import { t, v, f } from 'shared.bicep'\nparam p t = 'p'\noutput found array = [p, v, f(2)]"
    assert deployed(tmp_path, source).outputs["found"] == ["p", 1, 3]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("output a string = unheard(1)", "main.bicep:1: the function 'unheard' is not known"),
        ("output a string = missing", "nothing is called 'missing'"),
        ("extension kubernetes", "main.bicep:1: the statement 'extension' is not known"),
        ("var a = [1, 2", "main.bicep:1: expected"),
        ("var a = 'open\n", "main.bicep:1: a string does not end"),
        ("var a = 1 +* 2", "main.bicep:1: expected"),
        ("\nvar a = b[^1]", "main.bicep:2: expected"),
        ("param a string", "main.bicep needs the parameter a"),
        ("output a string = { b: 1 }.c", "has no 'c'"),
        ("output a string = 'x' ? 1 : 2", "'x' is not a condition"),
        ("output a string = 'x${null}'", "null is not a string"),
        ("output a string = fail('on purpose')", "on purpose"),
        ("resource a 'Microsoft.X/y@1' = {\n  name: 'a/b'\n}\noutput i string = a.id", "Microsoft.X/y has 1 names"),
        ("resource a 'Microsoft.X/y@1' = {\n  name: 'a'\n}\noutput i object = a", "a Resource is not a value"),
        ("resource a 'Microsoft.X/y@1' = {\n  name: 'a'\n  dependsOn: [b]\n}\noutput i string = a.sku.name", "'b'"),
        ("module m 'main.bicep' = {\n  parameters: {}\n}", "the module m has no parameters"),
        ("module m 'main.bicep' = if (false) {}\noutput o string = m.outputs.o", "the module m is not deployed"),
        ("resource a 'Microsoft.X/y@1' = if (deployer().x) {\n  name: 'a'\n}", "has no 'x'"),
    ],
)
def test_what_is_wrong_or_unknown_is_never_passed_over(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(BicepError, match=re.escape(words)):
        [each.body for each in deployed(tmp_path, source).resources]


def test_a_parameter_that_a_file_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BicepError, match="has no parameter b"):
        deployed(tmp_path, "param a string", a="", b="")
