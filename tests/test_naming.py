"""Derived names obey Azure's rules for every project name that the validator accepts."""

import importlib.util
import ipaddress
import itertools
import keyword
import re
import sys
import unicodedata
import uuid

import pytest
from combinations import ROOT, questions
from hypothesis import assume, example, given
from hypothesis import strategies as st

spec = importlib.util.spec_from_file_location("naming", ROOT / "extensions" / "naming.py")
assert spec is not None
assert spec.loader is not None
naming = importlib.util.module_from_spec(spec)
spec.loader.exec_module(naming)

RULES = {
    "resource_group": r"[-\w._()]{1,89}[-\w_()]",
    "workspace": r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}",
    "storage_account": r"[a-z0-9]{3,24}",
    "storage_redundancy": r"LRS|ZRS",
    "key_vault": r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "container_registry": r"[A-Za-z0-9]{5,50}",
    "log_analytics": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "application_insights": r"[\w.()-]{1,254}[\w()-]",
    "workspace_identity": r"[A-Za-z0-9][\w-]{2,127}",
    "compute_identity": r"[A-Za-z0-9][\w-]{2,127}",
    "endpoint_identity": r"[A-Za-z0-9][\w-]{2,127}",
    "registry": r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}",
    "registry_resource_group": r"[-\w._()]{1,89}[-\w_()]",
    "registry_log_analytics": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "online_endpoint": r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]",
    "batch_endpoint": r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]",
    "state_resource_group": r"[-\w._()]{1,89}[-\w_()]",
    "state_storage_account": r"[a-z0-9]{3,24}",
}
# fmt: off
BAD_NAMES = [
    "", "ab", "a" * 51, "a" * 200, '"quoted"', "it's", "two\nlines", "tab\there", "${{ secrets.X }}", "a ]] b",
    "[[ a ]]", "../up", "a/b", "a\\b", "rocket 🚀", "1st project", "-lead", "trail-", "con", "Lambda", "import",
    "Pandas", "json", "Microsoft Churn", "my windows app", "login page", "Xbox sales", "a: b", "#hash", "$(id)",
    "`id`", "  ", "é", "模型",
]
# fmt: on
SHARED = {"registry", "registry_resource_group", "registry_log_analytics", "state_resource_group"}
LETTERS = "abcxyzABCXYZ0123456789 -_éüñçßæøłÅŒ"
accepted = st.text(alphabet=LETTERS, min_size=3, max_size=50).filter(lambda name: not naming.project_name_error(name))
suffixes = st.from_regex(r"[a-z][a-z0-9]{5}", fullmatch=True)


@given(accepted, suffixes)
@example("A" * 50, "a1b2c3")
@example("Ærø Fjord Zürich Wärmepumpen Vorhersage Übersicht", "zzzzzz")
@example("x0123456789-0123456789_0123456789 0123456789", "a00000")
@example("a-b", "a1b2c3")
@example("q " * 24 + "q9", "a1b2c3")
def test_every_accepted_name_gives_valid_resource_names(name: str, suffix: str) -> None:
    names = naming.resource_names(naming.slug(name), suffix)
    assert set(names) == {"dev", "test", "prod"}
    for environment in names.values():
        assert set(environment) == set(RULES)
        for kind, value in environment.items():
            assert re.fullmatch(RULES[kind], value), f"{kind}: {value}"


@given(accepted, suffixes)
def test_no_two_environments_share_a_name_that_must_be_unique(name: str, suffix: str) -> None:
    names = naming.resource_names(naming.slug(name), suffix)
    for kind in set(RULES) - SHARED - {"storage_redundancy"}:  # no name
        assert len({environment[kind] for environment in names.values()}) == 3
    for environment in names.values():
        assert environment["storage_account"] != environment["state_storage_account"]
        assert environment["online_endpoint"] != environment["batch_endpoint"]


@given(accepted, suffixes, suffixes)
def test_another_suffix_gives_other_global_names(name: str, suffix: str, other: str) -> None:
    assume(suffix != other)
    mine, theirs = (naming.resource_names(naming.slug(name), each)["dev"] for each in (suffix, other))
    for kind in ("storage_account", "key_vault", "container_registry", "online_endpoint", "state_storage_account"):
        assert mine[kind] != theirs[kind]


@given(accepted)
def test_every_accepted_name_gives_a_python_package(name: str) -> None:
    package = naming.package(name)
    assert package.isidentifier()
    assert not keyword.iskeyword(package)
    assert package not in sys.stdlib_module_names
    assert not naming.slug_error(naming.slug(name))
    assert not naming.slug_error(naming.slug(name) + "-training")


@given(st.text(max_size=60))
def test_what_is_accepted_is_safe_in_yaml_hcl_shell_and_paths(name: str) -> None:
    error = naming.project_name_error(name)
    assert "\n" not in error
    if not error:
        plain = unicodedata.normalize("NFKD", name)
        assert not set(plain) & set("\"'`$\\{}[]()<>|&;:#!?*%@=+,./~^\n\r\t\0")
        assert len(name) <= 50


@pytest.mark.parametrize(
    "name",
    BAD_NAMES,
)
def test_a_bad_project_name_is_refused_in_one_line(name: str) -> None:
    error = naming.project_name_error(name)
    assert error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["Flight Delays", "Crème brûlée", "Straße 7", "x_1", "ABX", "Łódź", "a2b"])
def test_ordinary_and_accented_names_are_accepted(name: str) -> None:
    assert not naming.project_name_error(name)


ranges = st.builds(
    lambda private, bits, length: str(
        ipaddress.IPv4Network((int(private.network_address) | bits, length), strict=False)
    ),
    st.sampled_from([ipaddress.IPv4Network(each) for each in naming.PRIVATE_RANGES]),
    st.integers(0, 2**24 - 1),
    st.integers(8, 22),
).filter(lambda text: not naming.network_range_error(text))
AZURE_KEEPS = 5  # addresses of every subnet


@given(ranges)
@example("10.0.0.0/8")
@example("192.168.252.0/22")
@example("172.31.128.0/17")
def test_every_accepted_range_gives_each_environment_two_subnets_of_its_own(text: str) -> None:
    found = [{name: ipaddress.IPv4Network(each) for name, each in spaces.items()} for spaces in naming.subnets(text)]
    assert len(found) == 3
    for spaces in found:
        assert spaces["space"].subnet_of(ipaddress.IPv4Network(text))
        for name in ("endpoints", "runners"):
            assert spaces[name].subnet_of(spaces["space"])
            assert spaces[name].num_addresses - AZURE_KEEPS >= 16
        assert not spaces["endpoints"].overlaps(spaces["runners"])
    for one, other in itertools.combinations(found, 2):
        assert not one["space"].overlaps(other["space"])


@given(st.text(max_size=20))
@example("10.80.0.0/16\n")
@example("::/0")
def test_any_other_text_is_refused_as_a_range_in_one_line(text: str) -> None:
    error = naming.network_range_error(text)
    assert len(error.splitlines()) <= 1
    assert error or ipaddress.IPv4Network(text)


names = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,5})?", fullmatch=True)


@given(st.dictionaries(names, st.uuids(), min_size=1, max_size=5), suffixes)
def test_every_accepted_user_gets_an_instance_with_a_valid_name(users: dict[str, uuid.UUID], suffix: str) -> None:
    text = " , ".join(f"{name} = {str(identity).upper()}" for name, identity in users.items())
    assert not naming.instance_users_error(text)
    assert naming.user_pairs(text) == [(name, str(identity)) for name, identity in users.items()]
    for name in users:
        assert re.fullmatch(r"[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]", f"ci-{name}-{suffix}")


@given(st.text(max_size=60))
@example("ada=00000000-0000-0000-0000-00000000000a,")
@example("\N{LATIN SMALL LETTER DOTLESS I}=00000000-0000-0000-0000-00000000000a")
@example("ada=0000000\N{FULLWIDTH DIGIT ONE}-0000-0000-0000-00000000000a")
def test_what_is_accepted_as_users_workspaces_or_address_is_safe_in_yaml(text: str) -> None:
    for check in (naming.instance_users_error, naming.existing_workspaces_error, naming.email_error):
        error = check(text)
        assert len(error.splitlines()) <= 1
        assert error or (text.isascii() and not set(text) & set("\"'`$\\[]<>\n\r\t\0"))


def test_existing_workspaces_are_read_in_the_order_of_the_environments() -> None:
    text = "rg-1/mlw-1 ,rg-2/mlw-2, rg_(3).x/mlw_3"
    assert not naming.existing_workspaces_error(text)
    assert naming.workspace_pairs(text) == [("rg-1", "mlw-1"), ("rg-2", "mlw-2"), ("rg_(3).x", "mlw_3")]


@given(st.text())
@example("churn-model_v2")
@example("..")
@example("ßß")
def test_the_name_that_a_folder_suggests_is_always_accepted(folder: str) -> None:
    assert naming.project_name_error(naming.name_of_folder(folder, "Flight Delays")) == ""


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("churn-model", "Churn Model"),
        ("churn_model.v2", "Churn Model V2"),
        ("customerChurn", "CustomerChurn"),
        ("Bücher", "Bücher"),
        ("2026-churn", "Flight Delays"),
        ("x", "Flight Delays"),
        ("test", "Flight Delays"),
        ("", "Flight Delays"),
    ],
)
def test_a_folder_suggests_a_name_or_the_fixed_one(folder: str, name: str) -> None:
    assert naming.name_of_folder(folder, "Flight Delays") == name


def test_accents_become_their_letters() -> None:
    assert naming.slug("Crème Brûlée Straße Łódź Ærø") == "creme-brulee-strasse-lodz-aero"


def test_the_random_suffix_is_a_valid_one_and_changes() -> None:
    drawn = {naming.unique_suffix("") for _ in range(50)}
    assert len(drawn) > 40
    assert not any(naming.suffix_error(suffix) for suffix in drawn)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("github_org_error", ["my-org", "A", "a" * 39], ["", "-a", "a-", "a--b", "a_b", "a" * 40, "a b", 'a"']),
        ("azure_devops_organisation_error", ["my-org", "A1"], ["", "-a", "a-", "a_b", "a b", "a" * 51, "a/b"]),
        (
            "azure_devops_name_error",
            ["Data Science", "flights", "Météo 2.0", "a-b_c"],
            ["", " a", "a ", "a.", ".a", "_a", "a/b", 'a"b', "a&b", "a\n", "CON", "web", "a" * 65],
        ),
        (
            "location_error",
            ["westeurope", "eastus2", "uksouth"],
            ["", "West Europe", "eu", "west-europe", "westeurope\n", "$x"],
        ),
        (
            "vm_size_error",
            ["Standard_D4as_v4", "Standard_NC4as_T4_v3", "Standard_E4s_v3"],
            ["", "D4", "Standard_", "a b", 'S"'],
        ),
        (
            "gpu_vm_size_error",
            ["Standard_NC4as_T4_v3", "Standard_ND96isr_H100_v5"],
            ["", "Standard_D4as_v4", "NC4as_T4_v3"],
        ),
        ("email_error", ["", "team@example.com", "a.b+c@sub.example.co"], ["a", "a@b", "a b@c.de", "a@b.de, c@d.de"]),
        ("budget_error", ["1", "300", "10000000"], ["", "0", "-1", "1.5", "1e3", "0300", "300 EUR", "999999999"]),
        ("registry_error", ["mlr-shared", "a_1"], ["", "ab", "-ab", "a b", "a" * 34]),
        ("environments_error", ["dev", "dev test prod"], ["", "dev, test", "dev  test", "Dev", "dev\nprod"]),
        ("cluster_error", ["cpu-cluster", "CPU1"], ["", "a", "1cpu", "cpu_cluster", "cpu-", "a" * 33]),
        (
            "existing_workspaces_error",
            ["a/mlw1,b/mlw2,c/mlw3", "rg/mlw1, rg/mlw2, rg/mlw3"],
            [
                "",
                "a/mlw1,b/mlw2",
                "a/mlw1,b/mlw2,a/MLW1",
                "mlw1,mlw2,mlw3",
                "a/b/c,a/b/d,a/b/e",
                "a/mlw1;b/mlw2;c/mlw3",
                "a./mlw1,b/mlw2,c/mlw3",
            ],
        ),
        (
            "network_range_error",
            ["10.80.0.0/16", "10.0.0.0/8", "192.168.0.0/22", "172.18.0.0/16"],
            [
                "",
                "10.0.0.0",
                "10.0.0.1/16",
                "10.0.0.0/255.255.0.0",
                "10.0.0.0/23",
                "172.17.0.0/16",
                "172.16.0.0/12",
                "100.64.0.0/16",
                "fd00::/22",
            ],
        ),
        ("suffix_error", ["a1b2c3"], ["", "A1B2C3", "a1b2c", "a1b2c34", "a-b2c3"]),
        (
            "package_error",
            ["flight_delays", "a1"],
            ["", "Flight", "flight-delays", "1a", "a__b", "_a", "class", "numpy", "a" * 51],
        ),
        ("slug_error", ["flight-delays", "abc"], ["", "Flight", "a b", "a--b", "-ab", "ab-", "1ab", "a" * 61]),
    ],
)
def test_each_free_answer_has_a_check_that_accepts_and_refuses(check: str, good: list[str], bad: list[str]) -> None:
    error = getattr(naming, check)
    assert [value for value in good if error(value)] == []
    assert [value for value in bad if not error(value)] == []


def test_every_default_is_an_answer_that_its_own_check_accepts() -> None:
    # Copier checks a default before it prompts, and ends with an error if it is a bad one.
    checks = {
        name: re.findall(rf"{name} \| (\w+_error)", str(details.get("validator")))
        for name, details in questions().items()
    }
    defaults = {name: str(questions()[name]["default"]) for name, found in checks.items() if found}
    constant = {name: default for name, default in defaults.items() if "[[" not in default}
    assert len(constant) > 8
    assert {name: getattr(naming, checks[name][0])(default) for name, default in constant.items()} == dict.fromkeys(
        constant, ""
    )


def test_tags_of_the_company_are_pairs_of_name_and_value() -> None:
    text = "owner=data science, Cost Center=4711, contact=team@example.com,"
    assert naming.tags_error(text) == ""
    assert naming.tag_pairs(text) == [
        ("owner", "data science"),
        ("Cost Center", "4711"),
        ("contact", "team@example.com"),
    ]
    assert (naming.tags_error(""), naming.tag_pairs("")) == ("", [])
