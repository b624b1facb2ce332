"""What bootstrap makes in Azure DevOps, what it leaves there, and what it says; test_bootstrap.py has the rest."""

import copy
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bootstrap_world
import fake_azure_devops
import pytest
from bootstrap_world import (
    EMPTY,
    PIPELINES,
    SYSTEMS,
    closed,
    fail,
    fails,
    granted,
    name_in_pipelines,
    start,
    use_pool,
)
from fake_azure_devops import ACCOUNT, HOST, ME, PROJECT, FakeAzureDevOps
from fake_azure_devops import RefusedError as DevOpsRefusedError
from fake_cloud import PERSON, SUBSCRIPTION, TENANT, FakeCloud
from small_project import write_yaml

from mlops import infrastructure, orchestration
from mlops.errors import CommandError, UserError
from mlops.orchestration.azure_devops.names import Address, Names
from mlops.orchestration.azure_devops.steps import APPROVAL, BRANCHES, LOCK
from mlops.project import Project, load_yaml

# Fixtures.
cloud, files, fresh = bootstrap_world.cloud, bootstrap_world.files, bootstrap_world.fresh

MARK = "mlops-bootstrap"
ISSUER = f"https://login.microsoftonline.com/{TENANT}/v2.0"


@pytest.fixture
def system() -> str:
    """Where the pipelines run."""
    return SYSTEMS[1]


def pushed(cloud: FakeCloud) -> FakeAzureDevOps:
    """The project has been pushed to its repository."""
    devops = cloud.devops
    devops.create_project()
    devops.create_repository("a-project")["branches"]["main"] = "1"
    cloud.top, cloud.head = str(cloud.root), "1"
    cloud.origin = "https://dev.azure.com/my-org/Data%20Science/_git/a-project"
    return devops


def environment(devops: FakeAzureDevOps, name: str, description: str = "") -> str:
    """Make an environment, as a person would; return its number."""
    number = devops.take_number()
    devops.environments[number] = {"id": number, "name": name, "description": description}
    return str(number)


def guards(devops: FakeAzureDevOps) -> dict[str, set[str]]:
    """The kinds of checks of each environment and connection."""
    names = {APPROVAL.type: "approval", BRANCHES.type: "main only", LOCK.type: "lock"}
    found: dict[str, set[str]] = {}
    for each in devops.checks:
        key = f"{each['resource']['type']} {each['resource']['name']}"
        found.setdefault(key, set()).add(names[each["type"]["id"]])
    return found


# What is made.


def test_one_command_makes_everything_from_nothing(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    devops = cloud.devops
    assert devops.project is not None
    assert devops.repositories["a-project"]["branches"] == {"main": "1"}
    assert cloud.origin == "https://dev.azure.com/my-org/Data%20Science/_git/a-project"
    for name in ("dev", "dev-read"):
        (connection,) = [each for each in devops.connections.values() if each["name"] == f"a-project-{name}"]
        known = connection["authorization"]["parameters"]
        assert (known["tenantid"], known["serviceprincipalid"]) == (TENANT, f"client-of-id-deploy-{name}")
        assert connection["data"]["subscriptionId"] == SUBSCRIPTION
        (credential,) = cloud.credentials[f"id-deploy-{name}"].values()
        # The subject has the id of the connection, which only the connection knows.
        assert credential["subject"] == f"/eid1/c/pub/t/x/a/y/sc/{HOST}/{connection['id']}"
        assert credential["issuer"] == ISSUER
    assert {each["name"]: each["process"]["yamlFilename"] for each in devops.pipelines.values()} == {
        name: f".azuredevops/{name}.yml" for name in PIPELINES
    }
    assert {each["path"] for each in devops.pipelines.values()} == {"\\a-project"}
    assert cloud.registered == {*infrastructure.of(fresh).providers()}
    assert not [line for line in cloud.log if line[0] == "gh"]


def test_a_pull_request_has_to_pass_its_pipeline(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    (policy,) = cloud.devops.policies.values()
    number = policy["settings"]["buildDefinitionId"]
    assert cloud.devops.pipelines[number]["name"] == "pull-request"
    assert (policy["isEnabled"], policy["isBlocking"]) == (True, True)
    assert policy["settings"]["scope"] == [{"repositoryId": "id-of-a-project", "refName": "refs/heads/main"}]


def test_test_and_prod_need_an_approval_and_dev_does_not_and_main_alone_changes_them(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh, "dev", "test", "prod")
    changing, approved = {"main only", "lock"}, {"main only", "approval", "lock"}
    assert guards(cloud.devops) == {
        "environment a-project-dev": changing,
        "environment a-project-dev-rollback": changing,
        "environment a-project-test": approved,
        "environment a-project-test-rollback": approved,
        "environment a-project-prod": approved,
        "environment a-project-prod-rollback": approved,
        "endpoint a-project-dev": {"main only"},
        # A pull request plans for dev from its own branch, so a-project-dev-read has none.
        "endpoint a-project-test": {"main only"},
        "endpoint a-project-test-read": {"main only"},
        "endpoint a-project-prod": {"main only"},
        "endpoint a-project-prod-read": {"main only"},
    }
    (approval,) = [
        each
        for each in cloud.devops.checks
        if each["type"]["id"] == APPROVAL.type and each["resource"]["name"] == "a-project-prod"
    ]
    assert approval["settings"]["approvers"] == [{"id": ME}]
    assert approval["timeout"] == 30 * 24 * 60
    (branch,) = [
        each
        for each in cloud.devops.checks
        if each["type"]["id"] == BRANCHES.type and each["resource"]["name"] == "a-project-prod-read"
    ]
    assert branch["settings"]["inputs"]["allowedBranches"] == "refs/heads/main"


def test_without_a_plan_in_pull_requests_no_connection_is_open_to_every_branch(
    fresh: Project, cloud: FakeCloud
) -> None:
    (fresh.root / ".azuredevops" / "infrastructure.yml").unlink()
    name_in_pipelines(fresh, infrastructure="existing")
    start(fresh)
    assert guards(cloud.devops)["endpoint a-project-dev-read"] == {"main only"}


def test_a_pipeline_may_use_what_it_names_and_nothing_else(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "prod")
    changing = ["deliver", "infrastructure", "monitor", "rollback", "teardown", "train"]
    through = [name for name in changing if name != "rollback"]
    assert cloud.devops.contents()["permissions"] == {
        "environment a-project-dev": through,
        "environment a-project-dev-rollback": ["rollback"],
        "environment a-project-prod": through,
        "environment a-project-prod-rollback": ["rollback"],
        "endpoint a-project-dev": changing,
        "endpoint a-project-dev-read": ["deliver", "infrastructure", "monitor", "pull-request", "rollback", "train"],
        "endpoint a-project-prod": changing,
        "endpoint a-project-prod-read": ["deliver", "infrastructure", "monitor", "rollback", "train"],
    }


def test_nothing_may_be_used_before_its_checks_are_there(
    fresh: Project, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    permit, seen = cloud.devops.on_pipelines_pipelinepermissions, []

    def watch(method: str, rest: list[str], *more: Any) -> Any:
        if method == "patch":
            seen.append((rest[0], len([each for each in cloud.devops.checks if each["resource"]["id"] == rest[1]])))
        return permit(method, rest, *more)

    monkeypatch.setattr(cloud.devops, "on_pipelines_pipelinepermissions", watch)
    start(fresh, "prod")
    assert seen == [("environment", 3), ("environment", 3), ("endpoint", 1), ("endpoint", 1)]


def test_the_first_run_builds_the_first_environment_when_all_is_ready(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "test")
    (run,) = cloud.devops.runs
    assert cloud.devops.pipelines[run["definition"]["id"]]["name"] == "infrastructure"
    assert run["parameters"] == {"environment": "dev", "action": "apply"}
    lines = [" ".join(line) for line in cloud.changes]
    started = next(number for number, line in enumerate(lines) if line.startswith("az pipelines run"))
    # Only the rights of the account that the first run makes come after it.
    rights = ("accesscontrolentries", "securityroles")
    assert [line for line in lines[started + 1 :] if not any(right in line for right in rights)] == []
    assert len(lines) - started == 5


# What the pipelines name.


def refused(cloud: FakeCloud) -> set[str]:
    """The pipelines that Azure DevOps starts for no person, no push and no schedule."""
    found = set()
    for each in cloud.devops.pipelines.values():
        try:
            cloud.devops.check_resources(each, {})
        except DevOpsRefusedError:
            found.add(each["name"])
    return found


def test_every_pipeline_starts_when_dev_alone_is_there_and_as_environments_come_and_go(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh)
    assert refused(cloud) == set()
    # Months later, one by one; what is made and not named yet changes nothing.
    for name, listed in (("test", "dev test"), ("prod", "dev test prod")):
        start(fresh, name)
        assert refused(cloud) == set()
        name_in_pipelines(fresh, environments=listed)
        assert refused(cloud) == set()
    name_in_pipelines(fresh, environments="dev prod")
    start(fresh, "test", undo=True)
    assert refused(cloud) == set()
    start(fresh, "dev", "prod", undo=True)
    assert (cloud.devops.environments, cloud.devops.pipelines) == ({}, {})


def test_a_run_for_an_environment_that_a_person_asks_for_by_name_is_refused_where_it_is_not_there(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh, "dev", "test")
    by_name = {each["name"]: each for each in cloud.devops.pipelines.values()}
    for name in ("infrastructure", "teardown"):
        cloud.devops.check_resources(by_name[name], {"environment": "test"})  # made, and not named yet
        with pytest.raises(DevOpsRefusedError, match=r"The pipeline is not valid\. .* a-project-prod"):
            cloud.devops.check_resources(by_name[name], {"environment": "prod"})
    for name in ("deliver", "monitor", "rollback"):
        cloud.devops.check_resources(by_name[name], {"environment": "prod"})  # it says what to do


def test_a_name_too_many_stops_bootstrap_before_the_first_push(fresh: Project, cloud: FakeCloud) -> None:
    name_in_pipelines(fresh, environments="dev test")
    with pytest.raises(UserError) as error:
        start(fresh)
    assert str(error.value) == (
        "no first run would start, because .azuredevops/templates/names.yml has test in `environments` beside dev: "
        "write `dev` as `environments` into .azuredevops/templates/names.yml, or bootstrap test with it: `uv run mlops "
        "bootstrap --environment dev --environment test --create-repository`"
    )
    with pytest.raises(UserError, match=r"write `dev` as .* --environment dev --environment test --environment prod"):
        start(fresh, "prod")
    name_in_pipelines(fresh, environments="dev,test")
    with pytest.raises(UserError, match=r"write `dev` as `environments` into \S+$"):
        start(fresh)
    assert cloud.changes == []
    name_in_pipelines(fresh, environments="dev test")
    start(fresh, "dev", "test")
    assert refused(cloud) == set()
    assert started(cloud) == ["infrastructure"]


def started(cloud: FakeCloud) -> list[str]:
    """The pipelines of the runs so far."""
    return [cloud.devops.pipelines[each["definition"]["id"]]["name"] for each in cloud.devops.runs]


def test_a_name_too_many_on_main_starts_nothing_and_its_remedy_ends_with_the_first_run(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed(cloud)
    name_in_pipelines(fresh, environments="dev test")
    start(fresh)
    assert refused(cloud) == {"deliver", "infrastructure", "train"}
    said = capsys.readouterr().out
    assert (
        "warning: nothing was started, because Azure DevOps refuses each run while the pipelines name test, which is "
        "not there: run `uv run mlops bootstrap --environment test`, or write `dev` as `environments` into "
        ".azuredevops/templates/names.yml, in a pull request, then run this again\n"
    ) in said
    assert "builds dev now" not in said
    assert "Next: " not in said
    assert (cloud.devops.runs, cloud.devops.rights) == ([], {})
    start(fresh, "test", create_repository=False)
    assert (refused(cloud), started(cloud)) == (set(), ["pull-request"])
    capsys.readouterr()
    start(fresh)
    assert started(cloud) == ["pull-request", "infrastructure"]
    said = capsys.readouterr().out
    assert "builds dev now" in said
    assert "Next: " not in said
    start(fresh)
    assert "Nothing to do." in capsys.readouterr().out
    assert len(cloud.devops.runs) == 2


def test_the_names_on_main_count_and_not_those_of_an_edit_that_is_not_merged(
    fresh: Project, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(cloud)
    expand = fake_azure_devops.expanded
    monkeypatch.setattr(
        fake_azure_devops, "expanded", lambda file, given, **rest: expand(file, given, environments="dev test")
    )
    with pytest.raises(UserError) as error:
        start(fresh)
    assert str(error.value).startswith(
        "Azure DevOps refuses the run, because .azuredevops/templates/names.yml on main names what is not there: your "
        "edit of it counts once it is merged; then run this again"
    )
    assert "\n" not in str(error.value)


def test_no_next_run_is_shown_that_would_be_refused_where_the_first_one_is_long_over(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh)
    name_in_pipelines(fresh, environments="dev test")
    capsys.readouterr()
    start(fresh, "prod")
    said = capsys.readouterr().out
    assert "Next: " not in said
    assert "No run starts yet, because Azure DevOps refuses each run while the pipelines name test, which is" in said


@pytest.mark.parametrize("listed", ["dev,test", "dev, test", "[dev, test]"])
def test_a_list_with_other_characters_is_no_advice(
    listed: str, fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed(cloud)
    name_in_pipelines(fresh, environments=listed)
    (found,) = orchestration.of(fresh).findings(fresh)
    assert str(found) == (
        f"{NAMES_FILE}: environments: the names have spaces between them, and nothing else: write `dev test` as "
        f"`environments` into {NAMES_FILE}, in a pull request"
    )
    start(fresh)
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "nothing was started" in each]
    assert f"which the project does not have: write `dev test` as `environments` into {NAMES_FILE}" in line
    assert "bootstrap" not in line


def test_a_list_beside_the_variables_is_found(fresh: Project) -> None:
    file = fresh.root / NAMES_FILE
    file.write_text(file.read_text(encoding="utf-8") + "environments: dev test prod\n", encoding="utf-8")
    (found,) = orchestration.of(fresh).findings(fresh)
    assert str(found) == (
        f"{NAMES_FILE}: environments: it is no key beside `variables`, but one of the names below it: delete it here, "
        f"and write `dev test prod` as `environments` into {NAMES_FILE}, in a pull request"
    )


def test_an_environment_that_its_pipelines_may_not_use_yet_is_not_there(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed(cloud)
    cloud.failures["pipelinepermissions"] = "ERROR: TF401027"
    with pytest.raises((UserError, CommandError)):
        start(fresh, "test", create_repository=False)
    cloud.failures.clear()
    name_in_pipelines(fresh, environments="dev test")
    start(fresh)
    assert refused(cloud)
    assert cloud.devops.runs == []
    assert "while the pipelines name test, which " in capsys.readouterr().out
    start(fresh, "test", create_repository=False)
    start(fresh)
    assert (refused(cloud), started(cloud)[-1]) == (set(), "infrastructure")


def test_the_first_environment_does_not_go_while_another_one_needs_the_pipelines(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh, "dev", "test")
    before = cloud.devops.contents()
    with pytest.raises(UserError) as error:
        start(fresh, undo=True)
    assert str(error.value) == (
        "Azure DevOps would refuse each run, because the pipelines name dev and stay for test: undo dev last, or all "
        "at once: `uv run mlops bootstrap --environment dev --environment test --undo`"
    )
    assert cloud.devops.contents() == before
    start(fresh, "test", undo=True)
    start(fresh, undo=True)
    assert cloud.devops.pipelines == {}


def test_a_dry_run_says_what_it_depends_on(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    name_in_pipelines(fresh, environments="dev test")
    start(fresh, dry_run=True)
    said = capsys.readouterr().out
    assert said.startswith(f"note: {NAMES_FILE}: nothing is pushed or started while the pipelines name test, unless")
    assert "builds dev now" not in said
    start(fresh, "test", undo=True, dry_run=True)
    assert capsys.readouterr().out.startswith(
        f"note: {NAMES_FILE}: nothing is removed while the pipelines name test and dev or prod is there\n"
    )
    start(fresh, "prod", undo=True, dry_run=True)
    assert "note: " not in capsys.readouterr().out


def test_an_environment_that_the_pipelines_name_does_not_go_before_its_name(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "test", "prod")
    name_in_pipelines(fresh, environments="dev test prod")
    before = cloud.devops.contents()
    with pytest.raises(UserError) as error:
        start(fresh, "test", "prod", undo=True)
    assert str(error.value) == (
        "Azure DevOps would refuse each run, because the pipelines name test and prod: first write `dev` as "
        "`environments` into .azuredevops/templates/names.yml, in a pull request"
    )
    assert cloud.devops.contents() == before
    name_in_pipelines(fresh)
    start(fresh, "test", "prod", undo=True)
    assert refused(cloud) == set()


NAMES_FILE = ".azuredevops/templates/names.yml"


@pytest.mark.parametrize(
    ("listed", "following", "lines"),
    [
        ("dev", {}, []),
        ("dev  test prod", {"dev": "test", "test": "prod"}, []),
        ("", {}, [f"{NAMES_FILE}: environments: the key is missing: write `dev` as `environments` into"]),
        ("test", {}, [f"{NAMES_FILE}: environments: models are trained in dev: write `dev test` as `environments`"]),
        ("dev staging", {}, [f"{NAMES_FILE}: environments: there is no config/staging.yml: take staging out"]),
        (
            "dev prod",
            {"dev": "test", "test": "prod"},
            [
                "config/dev.yml: delivery.next: the pipelines do not name test yet: once `uv run mlops bootstrap "
                "--environment test` has made it, write `dev test prod` as `environments` into"
            ],
        ),
    ],
)
def test_the_lint_compares_what_the_pipelines_name_with_the_configuration(
    listed: str, following: dict[str, str], lines: list[str], fresh: Project
) -> None:
    name_in_pipelines(fresh, environments=listed)
    for name, other in following.items():
        file = fresh.root / "config" / f"{name}.yml"
        write_yaml(file, load_yaml(file) | {"delivery": {"next": other}})
    found = [str(each) for each in orchestration.of(fresh).findings(fresh)]
    assert len(found) == len(lines)
    assert all(one.startswith(other) for one, other in zip(found, lines, strict=True)), found


# As a team added it to a project of v0.14.0; its two halves are of one release each after an update without a conflict.
BLOCK_OF_OLDER_RELEASE = """
  - template: delivery-environment.yml
    parameters:
      environment: qa
      dependsOn:
        - ${{ parameters.dependsOn }}
        - choose
      condition: >-
        and(not(canceled()), eq('${{ parameters.environment }}', 'qa'))
      ${{ if ne(parameters.sha256, '') }}:
        sha256: ${{ parameters.sha256 }}
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("", "", ""),
        (
            "",
            BLOCK_OF_OLDER_RELEASE,
            ".azuredevops/templates/delivery.yml: qa: delivery-environment.yml does not declare condition and requires "
            "reached, and Azure DevOps refuses each run: pass the parameters that are at its top, as other blocks for "
            "it do",
        ),
        ("", re.sub("condition: >-\n *(.*)", r"reached: [\"\1\"]", BLOCK_OF_OLDER_RELEASE), ""),
        # Names that a run knows: what is missing cannot be said.
        ("", BLOCK_OF_OLDER_RELEASE.replace("condition: >-", "${{ each one in parameters.option }}: >-"), ""),
        (
            "sha256: ${{",
            "hash: ${{",
            ".azuredevops/templates/delivery.yml: dev: delivery-environment.yml does not declare hash, and",
        ),
    ],
)
def test_the_lint_compares_what_a_template_gets_with_its_parameters(
    old: str, new: str, line: str, fresh: Project
) -> None:
    file = fresh.root / ".azuredevops" / "templates" / "delivery.yml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")
    found = [str(each) for each in orchestration.of(fresh).findings(fresh)]
    assert len(found) == bool(line), found
    assert not line or found[0].startswith(line)


def test_all_environments_go_at_once_with_the_pipelines_that_name_them(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "test", "prod")
    name_in_pipelines(fresh, environments="dev test prod")
    start(fresh, "dev", "test", "prod", undo=True)
    assert cloud.devops.pipelines == {}


@pytest.mark.parametrize("create", [False, True])
def test_without_infrastructure_of_its_own_or_a_new_repository_the_first_run_changes_nothing(
    fresh: Project, cloud: FakeCloud, create: bool
) -> None:
    pushed(cloud)
    if create:
        (fresh.root / ".azuredevops" / "infrastructure.yml").unlink()
        name_in_pipelines(fresh, infrastructure="existing")
    start(fresh, create_repository=create)
    (run,) = cloud.devops.runs
    assert cloud.devops.pipelines[run["definition"]["id"]]["name"] == "pull-request"


def test_the_pipelines_may_comment_push_a_branch_keep_a_work_item_and_look_at_approvals(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh, "dev", "prod")
    namespaces = {token: bits for (_, token), bits in cloud.devops.rights.items()}
    assert namespaces == {
        "repoV2/project-id/id-of-a-project": 16384 + 16 + 4,
        "vstfs:///Classification/Node/area-id": 1 + 16 + 32,
    }
    assert cloud.devops.contents()["environment roles"] == {
        "a-project-dev": {ACCOUNT: "Reader"},
        "a-project-prod": {ACCOUNT: "Reader"},
    }


@pytest.mark.parametrize("limited", [True, False])
def test_the_account_of_the_pipelines_is_that_of_the_project_unless_jobs_are_not_limited_to_it(
    fresh: Project, cloud: FakeCloud, limited: bool
) -> None:
    cloud.devops.limited = limited
    start(fresh)
    asked = [line for line in cloud.log if any("_apis/identities" in word for word in line)]
    assert f"filterValue={'project-id' if limited else HOST}" in asked[0]


def test_the_account_of_the_pipelines_is_waited_for(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.devops.account_after = 4
    start(fresh)
    assert "the account of the pipelines is not there yet: waiting" in capsys.readouterr().out
    assert cloud.devops.rights


def test_but_not_forever_and_the_next_run_grants_its_rights(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.devops.account_after = 1000
    start(fresh)
    said = capsys.readouterr().out
    assert "warning: missing: rights of the pipelines: comment on pull requests, push a branch" in said
    assert "the account of the pipelines appears with their first run: run this again then" in said
    cloud.devops.account_after = 0
    cloud.log.clear()
    start(fresh)
    assert len(cloud.changes) == 3
    assert cloud.devops.rights


def test_a_machine_that_is_signed_in_cannot_approve_and_says_so(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.user_type = "servicePrincipal"
    start(fresh, "dev", "prod")
    assert guards(cloud.devops)["environment a-project-prod"] == {"main only", "lock"}
    assert "warning: a-project-prod is changed without approval" in capsys.readouterr().out
    assert granted(cloud, PERSON) == set()
    start(fresh, "dev", "prod", yes=False)
    said = capsys.readouterr().out
    assert "  never  checks of environment a-project-prod: main only, approval by you, one run at a time" in said
    assert "Nothing to do." in said


def test_agents_in_a_private_network_are_a_pool_for_each_environment(fresh: Project, cloud: FakeCloud) -> None:
    use_pool(fresh, "mlops")
    cloud.devops.pools = {"mlops-dev": [], "mlops-prod": []}
    start(fresh, "dev", "prod")
    permissions = cloud.devops.contents()["permissions"]
    assert isinstance(permissions, dict)
    changing = ["deliver", "infrastructure", "monitor", "rollback", "teardown", "train"]
    assert permissions["queue 100"] == permissions["queue 101"] == changing


def test_only_main_may_use_a_pool_and_undo_opens_it_again(fresh: Project, cloud: FakeCloud) -> None:
    use_pool(fresh, "mlops")
    cloud.devops.pools = {"mlops-dev": [], "mlops-prod": []}
    theirs = {"id": 7, "type": {"id": LOCK.type}, "settings": {}, "resource": {"type": "queue", "id": "101"}}
    cloud.devops.checks.append({**theirs, "resource": theirs["resource"] | {"name": "mlops-prod"}})
    start(fresh, "dev", "prod")
    assert guards(cloud.devops)["queue mlops-dev"] == {"main only"}
    assert guards(cloud.devops)["queue mlops-prod"] == {"lock", "main only"}
    start(fresh, "dev", "prod", yes=False)
    start(fresh, "dev", "prod", undo=True)
    assert [each["id"] for each in cloud.devops.checks] == [7]


def test_a_pool_that_is_not_there_yet_is_named(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    use_pool(fresh, "mlops")
    start(fresh)
    said = [line for line in capsys.readouterr().out.splitlines() if "mlops-dev" in line and "warning" in line]
    assert said == [
        "warning: no pipeline may use pool mlops-dev, because there is none",
        "warning: nothing was started, because Azure DevOps refuses each run while the pipelines name dev, whose pool "
        "mlops-dev is not there: add mlops-dev in the project's settings, under Agent pools, and run `uv run mlops "
        "bootstrap --environment dev --create-repository`",
    ]
    assert cloud.devops.runs == []
    cloud.devops.pools = {"mlops-dev": []}
    start(fresh)
    assert len(cloud.devops.runs) == 1


def test_a_private_network_needs_agents_inside_it(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(closed(fresh))
    said = capsys.readouterr().out
    assert "in a pool for each environment, mlops-dev, and write mlops as `pool` into .azuredevops/templates" in said


def test_the_plan_asks_azure_devops_each_question_once(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "prod")
    cloud.log.clear()
    start(fresh, "dev", "prod", yes=False)
    asked = [" ".join(line) for line in cloud.log if line[:4] == ["az", "rest", "--method", "get"]]
    assert len(asked) > 20
    assert len(asked) == len(set(asked))


# After something was taken away by hand.


def forget(things: dict[Any, dict[str, Any]], name: str) -> Any:
    """Delete the thing with a name; return its key."""
    key = next(key for key, each in things.items() if each["name"] == name)
    del things[key]
    return key


def delete_environment(name: str) -> Callable[[FakeAzureDevOps], None]:
    """A person deletes an environment, and its checks, permissions and roles with it."""

    def change(devops: FakeAzureDevOps) -> None:
        number = forget(devops.environments, name)
        devops.forget("environment", str(number))
        devops.roles.pop(f"project-id_{number}", None)

    return change


def delete_connection(name: str) -> Callable[[FakeAzureDevOps], None]:
    """A person deletes a service connection."""
    return lambda devops: devops.forget("endpoint", forget(devops.connections, name))


def delete_pipeline(name: str) -> Callable[[FakeAzureDevOps], None]:
    """A person deletes a pipeline, and its runs, permissions and policies with it."""

    def change(devops: FakeAzureDevOps) -> None:
        number = forget(devops.pipelines, name)
        devops.runs = [each for each in devops.runs if each["definition"]["id"] != number]
        for found in devops.permissions.values():
            found["pipelines"] = [each for each in found["pipelines"] if each != number]
        used = [key for key, each in devops.policies.items() if each["settings"]["buildDefinitionId"] == number]
        for key in used:
            del devops.policies[key]

    return change


def delete_check(kind: str, name: str) -> Callable[[FakeAzureDevOps], None]:
    """A person deletes a check."""

    def change(devops: FakeAzureDevOps) -> None:
        devops.checks = [
            each for each in devops.checks if (each["type"]["id"], each["resource"]["name"]) != (kind, name)
        ]

    return change


def delete_permissions(devops: FakeAzureDevOps) -> None:
    """A person takes back every permission of a pipeline."""
    devops.permissions.clear()


def switch_policy_off(devops: FakeAzureDevOps) -> None:
    """A person switches the policy of main off."""
    for each in devops.policies.values():
        each["isEnabled"] = False


def delete_rights(devops: FakeAzureDevOps) -> None:
    """A person takes back all rights of the account of the pipelines."""
    devops.rights.clear()
    devops.roles.clear()


BY_HAND = {
    "an environment": delete_environment("a-project-prod"),
    "an environment of rollbacks": delete_environment("a-project-dev-rollback"),
    "a connection": delete_connection("a-project-prod"),
    "a connection that reads": delete_connection("a-project-dev-read"),
    "the pipeline of the policy": delete_pipeline("pull-request"),
    "the pipeline that ran": delete_pipeline("infrastructure"),
    "another pipeline": delete_pipeline("rollback"),
    "an approval": delete_check(APPROVAL.type, "a-project-prod"),
    "a branch control": delete_check(BRANCHES.type, "a-project-prod-read"),
    "a lock": delete_check(LOCK.type, "a-project-prod-rollback"),
    "permissions": delete_permissions,
    "the policy": switch_policy_off,
    "rights": delete_rights,
}


def compared(cloud: FakeCloud) -> dict[str, object]:
    """All that there is; what an identity trusts has the new id of a connection in it, which doctor compares."""
    trust = {name: sorted(each) for name, each in cloud.credentials.items() if each}
    return copy.deepcopy(cloud.contents() | {"credentials": trust})


@pytest.mark.parametrize("what", BY_HAND)
def test_what_a_person_took_away_comes_back_as_it_was(fresh: Project, cloud: FakeCloud, what: str) -> None:
    start(fresh, "dev", "prod")
    whole = compared(cloud)
    BY_HAND[what](cloud.devops)
    start(fresh, "dev", "prod")
    assert compared(cloud) == whole
    start(fresh, "dev", "prod", yes=False)
    start(fresh, "dev", "prod", undo=True)
    assert cloud.contents() == EMPTY


@pytest.mark.parametrize("what", BY_HAND)
def test_undo_takes_away_what_a_person_left(fresh: Project, cloud: FakeCloud, what: str) -> None:
    start(fresh, "dev", "prod")
    BY_HAND[what](cloud.devops)
    start(fresh, "dev", "prod", undo=True)
    assert cloud.contents() == EMPTY


def test_an_approval_that_was_switched_off_is_asked_for_again(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "prod")
    for each in cloud.devops.checks:
        each["isDisabled"] = each["type"]["id"] == APPROVAL.type
    start(fresh, "prod")
    on = [each["resource"]["name"] for each in cloud.devops.checks if each["type"]["id"] == APPROVAL.type]
    assert sorted(on) == 2 * ["a-project-prod"] + 2 * ["a-project-prod-rollback"]


def remade(devops: FakeAzureDevOps) -> None:
    """A person deleted the repository, made it again and pushed to it: same name, another id; policies go with it."""
    devops.repositories["a-project"] |= {"id": "another-id"}
    devops.policies.clear()


def test_pipelines_of_a_repository_that_is_gone_are_made_for_the_new_one(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "prod")
    whole = compared(cloud)
    remade(cloud.devops)
    start(fresh, "dev", "prod")
    assert {each["repository"]["id"] for each in cloud.devops.pipelines.values()} == {"another-id"}
    whole["repository rights"] = {
        (space, token.replace("id-of-a-project", "another-id")): bits
        for (space, token), bits in cloud.devops.rights.items()
        if token == "repoV2/project-id/another-id"
    }
    found = compared(cloud)
    found["repository rights"] = {
        key: bits for key, bits in cloud.devops.rights.items() if key[1] == "repoV2/project-id/another-id"
    }
    assert found == whole
    start(fresh, "dev", "prod", yes=False)


def test_what_bootstrap_did_not_make_is_not_deleted_because_its_repository_is_gone(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh)
    remade(cloud.devops)
    next(each for each in cloud.devops.pipelines.values() if each["name"] == "train")["description"] = ""
    before = len(cloud.changes)
    with pytest.raises(UserError, match=r"the pipeline train .* runs the repository that was here before: delete it"):
        start(fresh)
    assert len(cloud.changes) == before
    start(fresh, undo=True)
    assert [each["name"] for each in cloud.devops.pipelines.values()] == ["train"]


@pytest.mark.parametrize("undo", [False, True])
def test_pipelines_of_another_repository_are_left_to_it(fresh: Project, cloud: FakeCloud, undo: bool) -> None:
    start(fresh)
    before = compared(cloud)
    other = dataclasses.replace(fresh, repository=f"my-org/{PROJECT}/other")
    cloud.devops.create_repository("other")["branches"]["main"] = "1"
    cloud.origin = "https://dev.azure.com/my-org/Data%20Science/_git/other"
    with pytest.raises(UserError) as error:
        start(other, create_repository=False, undo=undo)
    assert "the pipeline deliver in folder a-project of Data Science runs the repository a-project" in str(error.value)
    assert "(`project` in .azuredevops/templates/names.yml)" in str(error.value)
    assert compared(cloud) == before


@pytest.mark.parametrize("create", [False, True])
def test_a_project_that_was_renamed_is_not_made_again(fresh: Project, cloud: FakeCloud, create: bool) -> None:
    start(fresh)
    cloud.devops.project, before = None, len(cloud.changes)
    with pytest.raises(UserError, match=r"was pushed to the project Data Science .*`git remote set-url origin URL`"):
        start(fresh, create_repository=create)
    assert len(cloud.changes) == before


# What is there already.


def test_a_project_and_a_repository_that_are_there_are_used_and_not_pushed_to(fresh: Project, cloud: FakeCloud) -> None:
    pushed(cloud)
    start(fresh, create_repository=False)
    assert not [line for line in cloud.changes if line[0] == "git"]
    assert cloud.ran("devops project create") == cloud.ran("repos create") == []
    assert len(cloud.devops.pipelines) == len(PIPELINES)


def test_a_repository_that_was_made_and_is_still_empty_is_filled(fresh: Project, cloud: FakeCloud) -> None:
    cloud.devops.create_project()
    cloud.devops.create_repository("a-project")
    start(fresh)
    assert cloud.ran("repos create") == []
    assert cloud.devops.repositories["a-project"]["branches"] == {"main": "1"}


def test_the_repository_that_comes_with_a_new_project_is_taken_where_it_has_the_name(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(dataclasses.replace(fresh, repository=f"my-org/{PROJECT}/{PROJECT}"))
    assert [*cloud.devops.repositories] == [PROJECT]
    assert cloud.ran("repos create") == []


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://dev.azure.com/my-org/Data%20Science/_git/a-project", ("my-org", "Data Science", "a-project")),
        ("https://ada@dev.azure.com/my-org/Data%20Science/_git/a-project/", ("my-org", "Data Science", "a-project")),
        ("https://dev.azure.com/my-org/_git/a-project", ("my-org", "a-project", "a-project")),
        ("git@ssh.dev.azure.com:v3/my-org/Data%20Science/a-project", ("my-org", "Data Science", "a-project")),
        ("https://my-org.visualstudio.com/DefaultCollection/One/_git/two", ("my-org", "One", "two")),
        ("https://my-org.visualstudio.com/_git/two", ("my-org", "two", "two")),
        ("my-org@vs-ssh.visualstudio.com:v3/my-org/One/two", ("my-org", "One", "two")),
        ("", ("o", "p q", "r")),
    ],
)
def test_the_remote_says_which_repository_it_is(remote: str, address: tuple[str, str, str]) -> None:
    assert Address.of(remote, "o/p q/r") == Address(*address)


@pytest.mark.parametrize("remote", ["https://github.com/ada/a-project", "https://dev.azure.com/my-org", "x"])
def test_a_remote_elsewhere_is_refused(remote: str) -> None:
    with pytest.raises(UserError, match="the remote origin is not a repository of Azure DevOps"):
        Address.of(remote, "o/p/r")


@pytest.mark.parametrize("setting", ["", "ada/a-project", "a//b"])
def test_without_an_address_it_says_what_to_write(setting: str) -> None:
    with pytest.raises(UserError, match="write ORGANISATION/PROJECT/REPOSITORY"):
        Address.of("", setting)


def test_a_push_over_https_uses_the_sign_in_of_az_and_over_ssh_that_of_ssh(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    (push,) = cloud.ran(" push ")
    assert "credential.https://dev.azure.com.helper=!f() " in push
    cloud.devops.repositories["a-project"]["branches"].clear()
    cloud.origin = "git@ssh.dev.azure.com:v3/my-org/Data%20Science/a-project"
    cloud.log.clear()
    start(fresh)
    assert cloud.ran("push") == ["git push --set-upstream origin main"]


def test_approvals_and_branches_that_a_user_chose_stay(fresh: Project, cloud: FakeCloud) -> None:
    devops = pushed(cloud)
    number = environment(devops, "a-project-test")
    resource = {"type": "environment", "id": number, "name": "a-project-test"}
    theirs = {"type": {"id": APPROVAL.type}, "settings": {"approvers": [{"id": "bob"}]}, "resource": resource}
    devops.checks.append(copy.deepcopy(theirs))
    start(fresh, "test")
    approvals = [each for each in devops.checks if each["type"]["id"] == APPROVAL.type]
    assert [each["settings"]["approvers"] for each in approvals if each["resource"] == resource] == [[{"id": "bob"}]]
    assert guards(devops)["environment a-project-test"] == {"approval", "main only", "lock"}
    start(fresh, "test", undo=True)
    assert [each["name"] for each in devops.environments.values()] == ["a-project-test"]


def test_an_identity_that_was_made_anew_is_what_the_connection_signs_in_as(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    ids = {each["name"]: each["id"] for each in cloud.devops.connections.values()}
    cloud.identities["id-deploy-dev"]["clientId"] = "another"
    cloud.credentials["id-deploy-dev"] = {}
    start(fresh)
    connection = cloud.devops.connections[ids["a-project-dev"]]
    assert connection["authorization"]["parameters"]["serviceprincipalid"] == "another"
    (credential,) = cloud.credentials["id-deploy-dev"].values()
    assert credential["subject"].endswith(ids["a-project-dev"])


def test_a_connection_that_was_made_anew_is_trusted_in_place_of_the_old_one(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    (number,) = [key for key, each in cloud.devops.connections.items() if each["name"] == "a-project-dev"]
    del cloud.devops.connections[number]
    cloud.devops.forget("endpoint", number)
    start(fresh)
    (credential,) = cloud.credentials["id-deploy-dev"].values()
    assert not credential["subject"].endswith(f"/{number}")
    before = len(cloud.changes)
    start(fresh, yes=False)
    assert len(cloud.changes) == before


def test_a_connection_of_another_owner_is_not_changed(fresh: Project, cloud: FakeCloud) -> None:
    devops = pushed(cloud)
    federation = {f"workloadIdentityFederation{each}": "x" for each in ("Issuer", "Subject")}
    known = {"tenantid": TENANT, "serviceprincipalid": "theirs", **federation}
    devops.connections["x"] = {
        "id": "x",
        "name": "a-project-dev",
        "description": "",
        "authorization": {"scheme": "ServicePrincipal", "parameters": known},
    }
    with pytest.raises(UserError, match="the service connection a-project-dev signs in as another identity"):
        start(fresh)
    assert cloud.changes == []
    known.clear()
    devops.connections["x"]["description"] = MARK
    with pytest.raises(UserError, match="a-project-dev has no workload identity federation: delete it"):
        start(fresh)
    devops.connections["x"]["description"] = ""
    start(fresh, undo=True)
    assert [*devops.connections] == ["x"]


def test_two_projects_share_a_project_of_azure_devops_and_nothing_in_it(
    fresh: Project, cloud: FakeCloud, tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    start(fresh)
    first = copy.deepcopy(cloud.contents())
    own = {
        name: text.replace("a-project", "topics").replace("id-deploy", "id-topics").replace("rg-state", "rg-topics")
        .replace("account: st", "account: other").replace("-shared", "-others")
        for name, text in files.items()
    }  # fmt: skip
    other = bootstrap_world.written(tmp_path_factory.mktemp("other"), own, SYSTEMS[1])
    other = dataclasses.replace(other, repository=f"my-org/{PROJECT}/topics")
    cloud.root, cloud.top, cloud.head, cloud.origin, cloud.tracked = other.root, "", "", "", []
    start(other)
    assert len(cloud.devops.pipelines) == 2 * len(PIPELINES)
    assert {each["name"] for each in cloud.devops.environments.values()} == {
        "a-project-dev", "a-project-dev-rollback", "topics-dev", "topics-dev-rollback",
    }  # fmt: skip
    start(other, undo=True)
    assert cloud.contents() == first


def test_undo_keeps_pipelines_whose_runs_are_retained_and_goes_on(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh)
    cloud.devops.retained = {"train"}
    start(fresh, undo=True)
    assert "warning: pipelines train stay: some of their runs are retained" in capsys.readouterr().out
    assert [each["name"] for each in cloud.devops.pipelines.values()] == ["train"]
    assert cloud.devops.connections == cloud.devops.environments == {}
    cloud.devops.retained = set()
    start(fresh, undo=True)
    assert cloud.contents() == EMPTY


def test_undo_leaves_pipelines_of_another_owner_in_the_folder(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    theirs = {"id": 999, "name": "theirs", "path": "\\a-project", "process": {"yamlFilename": "x.yml"}}
    cloud.devops.pipelines[999] = theirs
    start(fresh, undo=True)
    assert [*cloud.devops.pipelines] == [999]
    assert [*cloud.devops.folders] == ["\\a-project"]


def test_undo_of_one_environment_leaves_what_the_others_need(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "prod")
    start(fresh, "prod", undo=True)
    assert len(cloud.devops.pipelines) == len(PIPELINES)
    assert cloud.devops.policies
    assert ("2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87", "repoV2/project-id/id-of-a-project") in cloud.devops.rights
    assert {each["name"] for each in cloud.devops.connections.values()} == {"a-project-dev", "a-project-dev-read"}
    start(fresh, "dev", yes=False)


def test_rights_that_a_user_widened_stay(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    key = ("2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87", "repoV2/project-id/id-of-a-project")
    cloud.devops.rights[key] |= 8
    start(fresh, undo=True)
    assert cloud.devops.rights[key] == 16384 + 16 + 4 + 8


# What is said.


def test_the_end_says_what_to_do_next(fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]) -> None:
    start(fresh, "dev", "test")
    said = capsys.readouterr().out
    assert "Azure DevOps: my-org/Data Science/a-project, new and private, Ada Lovelace" in said
    assert "Azure Pipelines builds dev now, trains and deploys the first model: `az pipelines runs list`" in said
    assert "https://aka.ms/azpipelines-parallelism-request" in said
    command = (
        "az pipelines run --name infrastructure --folder-path a-project --parameters environment=test action=apply"
    )
    assert f"Next: `{command}`" in said
    assert said.endswith(
        "Then, to let models go there, write `dev test` as `environments` into .azuredevops/templates/names.yml, in a "
        "pull request, beside `delivery.next` in config/\n"
    )
    start(fresh)
    assert "to let models go there" not in capsys.readouterr().out


def test_a_dry_run_shows_the_documents_that_it_would_send(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh, "prod", dry_run=True)
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# .local/azure/")]
    documents = {line[2:].split(": ", 1)[0]: json.loads(line.split(": ", 1)[1]) for line in shown}
    assert len(documents) == len(shown), "two documents in one file"
    connection = documents[".local/azure/connection-a-project-prod.json"]
    assert connection["authorization"]["parameters"] == {"tenantid": "TENANT_ID", "serviceprincipalid": "CLIENT_ID"}
    assert not (fresh.root / ".local").exists()


def test_main_that_is_not_pushed_yet_has_no_pipelines(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    devops = pushed(cloud)
    devops.repositories["a-project"]["branches"].clear()
    start(fresh, create_repository=False)
    said = capsys.readouterr().out
    assert (
        "warning: there are no pipelines, because main is not in Azure DevOps yet: push it and run this again" in said
    )
    assert "warning: nothing was started, because main is not in Azure DevOps yet" in said
    assert devops.pipelines == devops.policies == {}
    devops.repositories["a-project"]["branches"]["main"] = "1"
    start(fresh, create_repository=False)
    assert len(devops.pipelines) == len(PIPELINES)
    assert devops.policies
    assert devops.rights


# Errors: one line that names the remedy, and nothing changed that could have been known before.


def changed(**values: Any) -> Callable[[FakeCloud], None]:
    """Azure DevOps has this."""

    def prepare(cloud: FakeCloud) -> None:
        for name, value in values.items():
            setattr(cloud.devops, name, value)

    return prepare


def other_repository(cloud: FakeCloud) -> None:
    """The name is in use, by other code."""
    cloud.devops.create_project()
    cloud.devops.create_repository("a-project")["branches"]["main"] = "another's"


def other_history(cloud: FakeCloud) -> None:
    """Another user has pushed something else in the meantime."""
    pushed(cloud)
    cloud.devops.repositories["a-project"]["branches"] = {"develop": "x"}
    cloud.failures["push --set-upstream"] = " ! [rejected] main -> main (fetch first)"


def other_subscription(cloud: FakeCloud) -> None:
    """The connection was made for another subscription."""
    pushed(cloud)
    data = {"subscriptionId": "11111111-1111-1111-1111-111111111111"}
    cloud.devops.connections["x"] = {"id": "x", "name": "a-project-dev", "description": MARK, "data": data}


def elsewhere(cloud: FakeCloud) -> None:
    """The code is hosted elsewhere."""
    cloud.top, cloud.head, cloud.origin = str(cloud.root), "1", "https://github.com/ada/a-project.git"


def without_names(cloud: FakeCloud) -> None:
    """The file that all names come from says none."""
    write_yaml(cloud.root / ".azuredevops" / "templates" / "names.yml", {"variables": []})


def without_pipelines(cloud: FakeCloud) -> None:
    """All files are gone."""
    for path in (cloud.root / ".azuredevops").glob("*.yml"):
        path.unlink()


def on_master(cloud: FakeCloud) -> None:
    """Git's old name of the first branch."""
    cloud.top, cloud.branch = str(cloud.root), "master"


FORBIDDEN = str(DevOpsRefusedError(403, "TF50309: The following account does not have sufficient permissions"))


@pytest.mark.parametrize(
    ("prepare", "words", "early"),
    [
        (fail("account show", "ERROR: Please run 'az login' to setup account."), "run `az login`", True),
        (
            fail("connectionData", "ERROR: AADSTS50020: User account does not exist in tenant."),
            f"run `az login --tenant {TENANT}`",
            True,
        ),
        (changed(extension=False), "is not installed: run `az extension add --name azure-devops`", True),
        (changed(organisation="other"), "there is no organisation my-org in Azure DevOps that you can see", True),
        (changed(signed_in=False), "Azure DevOps does not accept your sign-in for my-org: run `az login`", True),
        (
            fail("connectionData", str(DevOpsRefusedError(401, "TF400813: The user '' is not authorized."))),
            "you may not use the organisation my-org: ask its owner for access",
            True,
        ),
        (fail("devops project create", FORBIDDEN), "you need to be a Project Collection Administrator", False),
        (changed(denied="repos create"), "you need to be its Project Administrator (TF401027: You need", False),
        (changed(denied="pipelines/environments"), "you need to be its Project Administrator", False),
        (changed(denied="service-endpoint create"), "you need to be its Project Administrator", False),
        (changed(denied="pipelines create"), "you need to be its Project Administrator", False),
        (changed(denied="checks/configurations"), "you need to be its Project Administrator", False),
        (changed(denied="policy build create"), "you need to be its Project Administrator", False),
        (
            fail("push --set-upstream", "fatal: Authentication failed for 'https://dev.azure.com/my-org'"),
            "Git cannot sign",
            False,
        ),
        (fail("git commit", "*** Please tell me who you are."), "git config --global user.name NAME", False),
        (other_repository, "a-project is in Azure DevOps already, with commits of its own", True),
        (other_history, "run `git pull --rebase origin main`", False),
        (other_subscription, "run `az account set --subscription 11111111-1111-1111-1111-111111111111`", True),
        (without_names, ".azuredevops/templates/names.yml: variables: project: the key is missing", True),
        (without_pipelines, "there are no pipelines in .azuredevops: restore its files from Git", True),
        (on_master, "run `git branch -m main`", True),
        (elsewhere, "the remote origin is not a repository of Azure DevOps", True),
    ],
)
def test_each_error_is_one_line_with_its_remedy(
    fresh: Project, cloud: FakeCloud, prepare: Callable[[FakeCloud], None], words: str, early: bool
) -> None:
    fails(fresh, cloud, prepare, words, early=early)


@pytest.mark.parametrize("missing", ["project", "repository"])
def test_without_a_project_or_repository_it_says_how_to_get_one(fresh: Project, cloud: FakeCloud, missing: str) -> None:
    if missing == "repository":
        cloud.devops.create_project()
    with pytest.raises(UserError, match=rf"there is no {missing} .*`uv run mlops bootstrap --create-repository` makes"):
        start(fresh, create_repository=False)
    assert cloud.changes == []


def test_a_project_in_a_folder_of_a_repository_is_not_connected(
    fresh: Project, cloud: FakeCloud, tmp_path: Path
) -> None:
    pushed(cloud)
    moved = tmp_path / "repository" / "flights"
    moved.parent.mkdir()
    (tmp_path / "repository" / ".git").mkdir()
    for name in ("config", "infrastructure", ".azuredevops"):
        moved.mkdir(exist_ok=True)
        (fresh.root / name).rename(moved / name)
    with pytest.raises(UserError, match="has to be the top of a repository of its own"):
        start(dataclasses.replace(fresh, root=moved), create_repository=False)
    assert cloud.changes == []


def test_undo_where_there_is_no_project_has_nothing_to_remove(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh, undo=True)
    assert "Nothing to remove." in capsys.readouterr().out
    assert cloud.changes == []


def test_names_are_read_as_a_list_or_as_a_mapping(fresh: Project) -> None:
    path = fresh.root / ".azuredevops" / "templates" / "names.yml"
    assert isinstance(load_yaml(path)["variables"], list)
    assert Names(fresh).environment("dev") == "a-project-dev"
    write_yaml(path, {"variables": {"project": "another", "pool": "mine"}})
    assert (Names(fresh).connection("dev", reads=True), Names(fresh).pool("dev")) == ("another-dev-read", "mine-dev")
