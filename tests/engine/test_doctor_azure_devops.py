"""The doctor on Azure DevOps: what bootstrap makes has no finding, and each defect turns its own check red."""

from collections.abc import Callable
from typing import Any

import bootstrap_world
import pytest
from bootstrap_world import SYSTEMS, closed, name_in_pipelines, start, use_pool
from fake_cloud import SUBSCRIPTION, FakeCloud
from recorded_azure import HEALTHY, Recorded
from small_project import set_key

from mlops import orchestration
from mlops.config import load_environment
from mlops.orchestration.azure_devops.checks import EXTENSION
from mlops.orchestration.azure_devops.names import NAMES
from mlops.orchestration.azure_devops.steps import APPROVAL, BRANCHES, LOCK
from mlops.project import Project
from mlops.subscription.checks import Context, Finding

# Fixtures.
cloud, files, fresh = bootstrap_world.cloud, bootstrap_world.files, bootstrap_world.fresh

Found = list[tuple[str, Finding]]


@pytest.fixture
def system() -> str:
    """Where the pipelines run."""
    return SYSTEMS[1]


@pytest.fixture
def built(fresh: Project, cloud: FakeCloud) -> Project:
    """The project after bootstrap has connected dev and prod."""
    set_key(fresh.root / "config" / "prod.yml", "terraform_state.firewall", None)
    start(fresh, "dev", "prod")
    name_in_pipelines(fresh, environments="dev prod")
    return fresh


def look(project: Project, environment: str = "dev") -> Found:
    """Run every check of Azure DevOps."""
    context = Context(project, load_environment(project, environment))
    return [(name, each) for name, check in orchestration.of(project).checks().items() for each in check(context)]


def bad(found: Found) -> Found:
    """The problems."""
    return [(name, finding) for name, finding in found if finding.level != "ok"]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_what_bootstrap_makes_has_no_finding(built: Project, environment: str) -> None:
    found = look(built, environment)
    assert bad(found) == []
    # On Microsoft's agents there is nothing to say about agents.
    assert {name for name, _ in found} == {*orchestration.of(built).checks()} - {"agents"}


def named(things: dict[Any, dict[str, Any]], name: str) -> Any:
    """The key of the thing with a name."""
    return next(key for key, each in things.items() if each["name"] == name)


def without_environment(cloud: FakeCloud) -> None:
    """A person deleted the environment."""
    number = named(cloud.devops.environments, "a-project-dev")
    del cloud.devops.environments[number]
    cloud.devops.forget("environment", str(number))


def without_connection(cloud: FakeCloud) -> None:
    """A person deleted the connection."""
    number = named(cloud.devops.connections, "a-project-dev")
    del cloud.devops.connections[number]
    cloud.devops.forget("endpoint", number)


def without_guard(kind: str, resource: str) -> Callable[[FakeCloud], None]:
    """A person removed a check."""

    def prepare(cloud: FakeCloud) -> None:
        cloud.devops.checks = [
            each for each in cloud.devops.checks if (each["type"]["id"], each["resource"]["name"]) != (kind, resource)
        ]

    return prepare


def of_another_identity(cloud: FakeCloud) -> None:
    """The identity was made anew."""
    cloud.identities["id-deploy-dev"]["clientId"] = "another"


def of_another_subscription(cloud: FakeCloud) -> None:
    """The connection was changed."""
    number = named(cloud.devops.connections, "a-project-dev")
    cloud.devops.connections[number]["data"]["subscriptionId"] = "another"


def without_trust(cloud: FakeCloud) -> None:
    """The credential was deleted."""
    cloud.credentials["id-deploy-dev"].clear()


def with_more_trust(cloud: FakeCloud) -> None:
    """Another system may sign in, too."""
    more = {"name": "more", "issuer": "https://elsewhere", "subject": "theirs"}
    cloud.credentials["id-deploy-dev"]["more"] = more


def without_pipeline(cloud: FakeCloud) -> None:
    """A person deleted a pipeline."""
    del cloud.devops.pipelines[named(cloud.devops.pipelines, "monitor")]


def of_another_file(cloud: FakeCloud) -> None:
    """A pipeline of the same name runs something else."""
    number = named(cloud.devops.pipelines, "train")
    cloud.devops.pipelines[number]["process"]["yamlFilename"] = "azure-pipelines.yml"


def not_permitted(cloud: FakeCloud) -> None:
    """A person took a permission back."""
    number = str(named(cloud.devops.environments, "a-project-dev"))
    cloud.devops.permissions["environment", number]["pipelines"] = []


def open_to_all(cloud: FakeCloud) -> None:
    """A person opened the connection to all pipelines."""
    number = named(cloud.devops.connections, "a-project-dev")
    cloud.devops.permissions["endpoint", number]["all"] = True


def open_to_another(cloud: FakeCloud) -> None:
    """A person let a pipeline of another project use the connection."""
    cloud.devops.permissions["endpoint", named(cloud.devops.connections, "a-project-dev")]["pipelines"].append(999)


def paused(cloud: FakeCloud) -> None:
    """A person paused a pipeline."""
    cloud.devops.pipelines[named(cloud.devops.pipelines, "train")]["queueStatus"] = "paused"


def without_file(cloud: FakeCloud) -> None:
    """An update removed a pipeline's file."""
    (cloud.root / ".azuredevops" / "monitor.yml").unlink()


def of_a_repository_that_is_gone(cloud: FakeCloud) -> None:
    """The repository was deleted and made again; a person gave the new one its policy and rights."""
    cloud.devops.pipelines[named(cloud.devops.pipelines, "train")]["repository"]["id"] = "gone"


def of_another_repository(cloud: FakeCloud) -> None:
    """A pipeline of that name is another project's."""
    cloud.devops.create_repository("theirs")
    cloud.devops.pipelines[named(cloud.devops.pipelines, "train")]["repository"]["id"] = "id-of-theirs"


def switched_off(cloud: FakeCloud) -> None:
    """A person switched the lock off."""
    for each in cloud.devops.checks:
        each["isDisabled"] = (each["type"]["id"], each["resource"]["name"]) == (LOCK.type, "a-project-dev")


def without_policy(cloud: FakeCloud) -> None:
    """The policy of main was switched off."""
    for each in cloud.devops.policies.values():
        each["isEnabled"] = False


def without_right(cloud: FakeCloud) -> None:
    """A person took back the right to comment, and left the one to read."""
    key = next(key for key in cloud.devops.rights if key[1].startswith("repoV2"))
    cloud.devops.rights[key] &= ~16384


def without_work_items(cloud: FakeCloud) -> None:
    """A person took back the right to write work items."""
    key = next(key for key in cloud.devops.rights if key[1].startswith("vstfs"))
    del cloud.devops.rights[key]


def without_a_look(cloud: FakeCloud) -> None:
    """A person took back the role on the environment."""
    cloud.devops.roles.clear()


def without_a_run(cloud: FakeCloud) -> None:
    """The first run could not be started."""
    cloud.devops.runs.clear()
    cloud.devops.has_run = False


def without_project(cloud: FakeCloud) -> None:
    """The project is gone, or no longer to be seen."""
    cloud.devops.project = None


def without_repository(cloud: FakeCloud) -> None:
    """The repository is gone."""
    del cloud.devops.repositories["a-project"]


def without_main(cloud: FakeCloud) -> None:
    """Nothing was pushed."""
    cloud.devops.repositories["a-project"]["branches"].clear()


def failed(*messages: str) -> Callable[[FakeCloud], None]:
    """The newest run has failed with these messages."""

    def prepare(cloud: FakeCloud) -> None:
        (run,) = cloud.devops.runs
        run |= {"result": "failed", "buildNumber": "20261129.1"}
        cloud.devops.timelines[run["id"]] = list(messages)

    return prepare


AGAIN = "`uv run mlops bootstrap --environment dev`"
# Each defect, and then: the check, the level, words of the text, words of the remedy.
DEFECTS: dict[str, tuple[Callable[[FakeCloud], None], str, str, str, str]] = {
    "no project": (
        without_project, "project in Azure DevOps", "warning", "no project Data Science that Ada Lovelace can see",
        "--create-repository",
    ),
    "no repository": (
        without_repository, "project in Azure DevOps", "warning", "no repository my-org/Data Science/a-project",
        "--create-repository",
    ),
    "no main": (without_main, "project in Azure DevOps", "warning", "has no branch main", "git push"),
    "no environment": (
        without_environment, "approvals and branches", "error", "no environment a-project-dev", AGAIN,
    ),
    "no connection": (
        without_connection, "trust in Azure DevOps", "error", "no service connection a-project-dev", AGAIN,
    ),
    "no branch control": (
        without_guard(BRANCHES.type, "a-project-dev-rollback"), "approvals and branches", "warning",
        "environment a-project-dev-rollback lacks: main only", AGAIN,
    ),
    "no lock": (
        without_guard(LOCK.type, "a-project-dev"), "approvals and branches", "warning",
        "environment a-project-dev lacks: one run at a time", AGAIN,
    ),
    "another identity": (
        of_another_identity, "trust in Azure DevOps", "error",
        "a-project-dev signs in as client-of-id-deploy-dev, not as another", AGAIN,
    ),
    "another subscription": (
        of_another_subscription, "trust in Azure DevOps", "error",
        f"a-project-dev is for subscription another, not {SUBSCRIPTION}", "az account set --subscription another",
    ),
    "no credential": (
        without_trust, "trust in Azure DevOps", "error", "id-deploy-dev does not trust /eid1/c/pub/t/x/a/y/sc/", AGAIN,
    ),
    "another credential": (
        with_more_trust, "trust in Azure DevOps", "warning", "id-deploy-dev trusts theirs, too",
        "az identity federated-credential list --identity-name id-deploy-dev",
    ),
    "no pipeline": (without_pipeline, "pipelines", "error", "no pipelines monitor in folder a-project", AGAIN),
    "another file": (
        of_another_file, "pipelines", "error", "the pipeline train runs azure-pipelines.yml", "delete it",
    ),
    "no permission": (
        not_permitted, "pipelines", "error", "train, deliver, monitor, teardown may not use environment a-project-dev",
        AGAIN,
    ),
    "open to all": (
        open_to_all, "pipelines", "warning", "every pipeline of Data Science may use connection a-project-dev",
        "limit it",
    ),
    "open to another": (
        open_to_another, "pipelines", "warning", "a-project-dev is open to more pipelines than need it: number 999",
        "remove them",
    ),
    "paused": (paused, "pipelines", "warning", "the pipeline train is paused", "enable it in its settings"),
    "file gone": (
        without_file, "pipelines", "warning", "the pipeline monitor runs .azuredevops/monitor.yml, which is not there",
        "delete it in Azure DevOps",
    ),
    "repository gone": (
        of_a_repository_that_is_gone, "pipelines", "error", "train runs the repository that was here before", AGAIN,
    ),
    "another repository": (
        of_another_repository, "pipelines", "error", "train runs the repository theirs, not my-org/Data Science/",
        "delete it",
    ),
    "switched off": (
        switched_off, "approvals and branches", "warning", "environment a-project-dev lacks: one run at a time", AGAIN,
    ),
    "a right less": (
        without_right, "pipelines", "warning", "missing: rights of the pipelines: comment on pull requests", AGAIN,
    ),
    "no work items": (
        without_work_items, "pipelines", "warning", "missing: rights of the pipelines: keep a work item", AGAIN,
    ),
    "not looking": (
        without_a_look, "pipelines", "warning", "rights of the pipelines: look at the checks of a-project-dev", AGAIN,
    ),
    "never run": (
        without_a_run, "pipelines", "warning", "has no rights yet, because none of them has run", AGAIN,
    ),
    "no policy": (without_policy, "pipelines", "warning", "main accepts any push: no policy requires", AGAIN),
    **{
        code: (failed(f"##[error]AADSTS{code}: ..."), "runs", "warning", text, remedy)
        for code, text, remedy in [
            ("70021", "no credential with the issuer of the connection", AGAIN),
            ("700211", "no credential with the issuer of the connection", AGAIN),
            ("700213", "no credential with the subject of the connection", AGAIN),
            ("70025", "the identity has no federated credential at all", AGAIN),
            ("700223", "the tenant forbids federated credentials", "an administrator of Microsoft Entra"),
            ("700238", "the tenant forbids federated credentials", "an administrator of Microsoft Entra"),
            ("700016", "the identity is gone", AGAIN),
            ("700024", "used for another token too late", "run the failed stage again"),
            ("70052", "an app registration of several tenants", AGAIN),
        ]
    },
    "no agents": (
        failed("No hosted parallelism has been purchased or granted. To request a free parallelism grant, ..."),
        "runs", "warning", "the organisation has no agents", "https://aka.ms/azpipelines-parallelism-request",
    ),
    "not authorised": (
        failed("Environment a-project-dev could not be found. It does not exist or has not been authorized for use."),
        "runs", "warning", "names what is not there, or what it may not use", AGAIN,
    ),
    "too long": (
        failed("The job running on agent Hosted Agent ran longer than the maximum time of 60 minutes."),
        "runs", "warning", "a job took longer than it may", "buy a parallel job",
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_turns_its_own_check_red_and_has_a_remedy(built: Project, cloud: FakeCloud, defect: str) -> None:
    prepare, check, level, text, remedy = DEFECTS[defect]
    prepare(cloud)
    found = bad(look(built))
    matching = [finding for name, finding in found if name == check and finding.level == level and text in finding.text]
    assert len(matching) == 1, found
    assert remedy in matching[0].remedy
    assert all(finding.remedy and "\n" not in finding.text + finding.remedy for _, finding in found)


@pytest.mark.parametrize("defect", [name for name in DEFECTS if not name.startswith("no ")])
def test_a_defect_is_named_once(built: Project, cloud: FakeCloud, defect: str) -> None:
    DEFECTS[defect][0](cloud)
    assert len(bad(look(built))) == 1


def test_prod_without_an_approval_is_named(built: Project, cloud: FakeCloud) -> None:
    without_guard(APPROVAL.type, "a-project-prod")(cloud)
    ((check, finding),) = bad(look(built, "prod"))
    assert (check, finding.text) == ("approvals and branches", "environment a-project-prod lacks: approval by you")
    assert finding.remedy == "`uv run mlops bootstrap --environment prod`"


def test_an_environment_that_the_pipelines_name_and_that_is_gone_is_an_error_for_all(
    built: Project, cloud: FakeCloud
) -> None:
    name_in_pipelines(built, environments="dev test prod")
    ((check, finding),) = bad(look(built))
    assert (check, finding.level) == ("environments of the pipelines", "error")
    assert finding.text == (
        "Azure DevOps refuses each run, because .azuredevops/templates/names.yml has test in `environments`, which is "
        "not there"
    )
    assert finding.remedy == "run `uv run mlops bootstrap --environment test`, or take test out, in a pull request"


def test_what_the_pipelines_may_not_use_of_another_environment_is_an_error_for_all(
    built: Project, cloud: FakeCloud
) -> None:
    numbers = {str(key) for key, each in cloud.devops.environments.items() if each["name"] == "a-project-prod"}
    for key in [each for each in cloud.devops.permissions if each[0] == "environment" and each[1] in numbers]:
        cloud.devops.permissions[key]["pipelines"] = []
    ((check, finding),) = bad(look(built))
    assert (check, finding.level) == ("environments of the pipelines", "error")
    assert finding.text.endswith(
        "has prod in `environments`, which infrastructure, train, deliver, monitor, teardown may not use"
    )
    assert finding.remedy.startswith("run `uv run mlops bootstrap --environment prod`, or take prod out")


@pytest.mark.parametrize(
    ("listed", "text", "remedy"),
    [
        ("", f"{NAMES} has no `environments`", "write `dev` as"),
        (
            "dev,prod",
            f"{NAMES} has dev,prod in `environments`, which the project does not have",
            "write `dev prod` as",
        ),
    ],
)
def test_a_list_that_names_nothing_is_an_error(listed: str, text: str, remedy: str, built: Project) -> None:
    name_in_pipelines(built, environments=listed)
    (found,) = [each for check, each in bad(look(built)) if check == "environments of the pipelines"]
    assert (found.level, found.text) == ("error", text)
    assert found.remedy.startswith(remedy)


def test_a_pool_of_another_environment_that_is_not_there_is_named(built: Project, cloud: FakeCloud) -> None:
    name_in_pipelines(built, environments="dev prod", pool="ml")
    found = [each for check, each in bad(look(built)) if check == "environments of the pipelines"]
    assert [each.text.partition("`environments`, ")[2] for each in found] == ["whose pool ml-prod is not there"]
    assert found[0].remedy.startswith("add ml-prod in the project's settings, under Agent pools, and run `uv run mlops")


def test_an_environment_that_is_there_and_that_no_pipeline_names_gets_no_model(built: Project) -> None:
    name_in_pipelines(built, environments="dev")
    ((check, finding),) = bad(look(built, "prod"))
    assert (check, finding.level, finding.text) == (
        "environments of the pipelines", "warning", "no model goes to prod",
    )  # fmt: skip
    assert finding.remedy == (
        "once its workspace is built, write `dev prod` as `environments` into .azuredevops/templates/names.yml, in a "
        "pull request"
    )
    assert bad(look(built, "dev")) == []


def test_before_bootstrap_it_says_what_is_missing_and_does_not_fail(fresh: Project, cloud: FakeCloud) -> None:
    found = bad(look(fresh))
    assert {name for name, _ in found} == {
        "project in Azure DevOps", "trust in Azure DevOps", "approvals and branches", "pipelines",
    }  # fmt: skip
    assert cloud.changes == []


def test_a_failure_that_says_nothing_known_is_left_to_the_page_of_the_run(built: Project, cloud: FakeCloud) -> None:
    failed("Bash exited with code '1'.")(cloud)
    assert bad(look(built)) == []


def test_a_message_before_the_first_job_counts_too(built: Project, cloud: FakeCloud) -> None:
    failed()(cloud)
    cloud.devops.runs[0]["validationResults"] = [{"result": "error", "message": "AADSTS700213: no match"}]
    ((check, finding),) = bad(look(built))
    assert (check, finding.text.split(": ")[0]) == ("runs", "run 20261129.1 of infrastructure failed")


@pytest.mark.parametrize("result", ["failed", "canceled"])
@pytest.mark.parametrize(("approvals", "named"), [(["succeeded", "skipped"], 1), (["succeeded", None], 0), ([], 0)])
def test_an_approval_that_was_refused_or_came_too_late_is_named(
    built: Project, cloud: FakeCloud, result: str, approvals: list[str | None], named: int
) -> None:
    failed()(cloud)
    cloud.devops.runs[0]["result"] = result
    cloud.devops.approvals = approvals
    found = bad(look(built))
    assert [finding.text for _, finding in found] == named * [
        f"run 20261129.1 of infrastructure {result}: it was not approved, or not in time"
    ]
    assert all("nothing was changed: start it again" in finding.remedy for _, finding in found)


# Agents.


@pytest.mark.parametrize(
    ("pool", "pools", "level", "text"),
    [
        ("", {}, "warning", "the pipelines run outside of the private network"),
        ("mlops", {}, "error", "asks for the pool mlops-dev, and Data Science has none of that name"),
        ("mlops", {"mlops-dev": []}, "warning", "no agent of the pool mlops-dev is online"),
        ("mlops", {"mlops-dev": [{"name": "one", "status": "offline"}]}, "warning", "no agent of the pool"),
        (
            "mlops",
            {"mlops-dev": [{"name": "one", "status": "online", "enabled": False}]},
            "warning",
            "no agent of the pool",
        ),
        ("mlops", {"mlops-dev": [{"name": "one", "status": "online"}]}, "ok", "the pipelines run on one"),
    ],
)
def test_agents_are_looked_for_in_the_private_network(
    built: Project, cloud: FakeCloud, pool: str, pools: dict[str, Any], level: str, text: str
) -> None:
    cloud.devops.pools = pools
    use_pool(built, pool)
    ((_, finding),) = [each for each in look(closed(built)) if each[0] == "agents"]
    assert (finding.level, text in finding.text) == (level, True)


def test_agents_are_looked_for_that_the_firewall_of_the_state_admits(fresh: Project, cloud: FakeCloud) -> None:
    set_key(fresh.root / "config" / "dev.yml", "terraform_state.firewall", {"addresses": ["20.50.7.9"]})
    start(fresh)
    [(name, finding)] = bad(look(fresh))
    assert (name, finding.level) == ("agents", "warning")
    assert "Microsoft's agents, which the firewall of the state keeps out" in finding.text
    assert "to the pools build-dev, build-test, build-prod, and write build as `provision_pool` into" in finding.remedy
    name_in_pipelines(fresh, provision_pool="build")
    cloud.devops.pools = {"build-dev": [{"name": "one", "status": "online"}]}
    start(fresh)
    assert bad(look(fresh)) == []
    allowed = cloud.devops.permissions["queue", "100"]["pipelines"]
    assert len(allowed) == 2  # what builds, and what deletes all
    cloud.devops.pools = {}
    assert {each.text for name, each in bad(look(fresh)) if name == "agents"} == {
        ".azuredevops/templates/names.yml asks for the pool build-dev, and Data Science has none of that name"
    }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda cloud: cloud.devops.permissions.pop(("queue", "100")), "may not use pool mlops-dev"),
        (without_guard(BRANCHES.type, "mlops-dev"), "pool mlops-dev lacks: main only"),
    ],
)
def test_a_pool_is_for_the_pipelines_of_main(
    fresh: Project, cloud: FakeCloud, change: Callable[[FakeCloud], None], text: str
) -> None:
    use_pool(fresh, "mlops")
    cloud.devops.pools = {"mlops-dev": [{"name": "one", "status": "online"}]}
    start(fresh)
    assert bad(look(fresh)) == []
    change(cloud)
    ((_, finding),) = bad(look(fresh))
    assert text in finding.text
    assert finding.remedy == AGAIN


# The program.


@pytest.mark.parametrize(
    ("extensions", "level"),
    [({"azure-devops": "1.0.8"}, "ok"), ({"azure-devops": "0.26.0"}, "warning"), ({}, "warning")],
)
def test_the_extension_of_az_is_looked_for(built: Project, extensions: dict[str, str], level: str) -> None:
    recorded = Recorded(HEALTHY | {"az version": {"azure-cli": "2.91.0", "extensions": extensions}})
    with recorded.in_place():
        finding = EXTENSION.check(Context(built, load_environment(built, "dev")))
    assert finding.level == level
    assert level == "ok" or "az extension add --name azure-devops" in finding.remedy
