"""What the pipelines of a project do, on GitHub and on Azure DevOps alike: their steps really run.

`uv`, `az` and other programs are stand-ins that log their call, so that a test compares the verbs that were called.
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure_pipelines import AzureRuns
from combinations import EXISTING, combinations
from combinations import tools as infrastructures
from conftest import Render
from github_workflows import GitHubRuns, workflow_runner
from workflow_runs import CHAIN, EARLIER, HASH, NOT_BEGUN, OUTPUTS, SKIPPED, UNCHANGED, Runs, delivery, through

SYSTEMS = sorted({each["orchestration"] for each in combinations()})
OPEN_MACHINE = "ubuntu-24.04"


@pytest.fixture(scope="session")
def runner(tools: Path) -> Path:
    return workflow_runner(tools)


def runs(project: Path, folder: Path, request: pytest.FixtureRequest) -> Runs:
    """The pipelines of a project, whichever system it has."""
    if (project / ".github").is_dir():
        return GitHubRuns(request.getfixturevalue("runner"), project, folder)
    return AzureRuns(project, folder)


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pipelines(system: str, render: Render, tmp_path: Path, request: pytest.FixtureRequest) -> Runs:
    return runs(render(orchestration=system), tmp_path, request)


@pytest.fixture(params=infrastructures())
def built(system: str, render: Render, tmp_path: Path, request: pytest.FixtureRequest) -> Runs:
    """The pipelines of a project with either tool for its infrastructure."""
    return runs(render(orchestration=system, infrastructure_version=request.param), tmp_path, request)


@pytest.fixture
def existing(system: str, render: Render, tmp_path: Path, request: pytest.FixtureRequest) -> Runs:
    """The pipelines of a project whose workspaces another team runs."""
    return runs(render(orchestration=system, **EXISTING), tmp_path, request)


def training(pipelines: Runs, overrides: str = "", job: str = "") -> list[str]:
    """The verbs of a job that trains."""
    return ["lint", f"train --environment dev --overrides {overrides} --job {job or pipelines.job}"]


# Deliveries.


def test_one_version_goes_from_dev_through_test_to_prod(pipelines: Runs) -> None:
    outcome = pipelines.run("deliver")
    assert outcome.results == through(), outcome.log
    assert pipelines.work.stages == [
        "models --environment dev",
        *delivery("dev"),
        *delivery("test"),
        *delivery("prod"),
    ]


def test_the_version_is_chosen_once_by_who_may_only_read_and_before_any_approval(pipelines: Runs) -> None:
    outcome = pipelines.run("deliver")
    assert outcome.identities == {
        "choose": "dev-read",
        **{f"{name}_look": f"{name}-read" for name in CHAIN},
        **{name: name for name in CHAIN},
    }
    assert len([verb for verb in pipelines.work.verbs if verb.startswith("models")]) == 1


def test_version_and_hash_that_were_typed_are_delivered(pipelines: Runs) -> None:
    typed = {"environment": "dev", "model-version": "5", "sha256": "f" * 64}
    other = {"models": {"model_version": "5", "sha256": HASH, "label": "version 5"}}
    pipelines.run("deliver", inputs=typed, outputs=other)
    assert pipelines.work.stages[0] == "models --environment dev --model-version 5"
    assert f"deliver --environment prod --model-version 5 --sha256 {'f' * 64}" in pipelines.work.verbs


def test_a_delivery_that_ends_a_pin_chooses_as_if_there_were_none(pipelines: Runs) -> None:
    pipelines.run("deliver", inputs={"environment": "dev", "option": "--unpin"})
    assert pipelines.work.stages[0] == "models --environment dev --unpin"


@pytest.mark.parametrize(("stays_in", "last"), [("dev", "test"), ("test", "prod")])
def test_a_model_goes_no_further_than_the_configuration_says(pipelines: Runs, stays_in: str, last: str) -> None:
    outcome = pipelines.run("deliver", outputs={f"deliver-{stays_in}": {"delivered": "true", "next": ""}})
    assert outcome.results[stays_in] == "success"
    assert outcome.results[last] == outcome.results["prod"] == "skipped"


def test_an_environment_can_be_left_out(pipelines: Runs) -> None:
    outcome = pipelines.run("deliver", outputs={"deliver-dev": {"delivered": "true", "next": "prod"}})
    assert outcome.results == through(test="skipped")


@pytest.mark.parametrize("environment", CHAIN)
def test_a_failed_delivery_returns_the_traffic_and_stops_all_later_ones(pipelines: Runs, environment: str) -> None:
    outcome = pipelines.run("deliver", fail=f"uv run mlops {delivery(environment)[-1]}")
    assert outcome.results[environment] == "failure"
    assert pipelines.work.verbs[-1] == f"deliver --environment {environment} --abort"
    later = CHAIN[CHAIN.index(environment) + 1 :]
    assert {outcome.results[name] for name in later} <= {"skipped"}


def test_a_cancelled_delivery_returns_the_traffic(pipelines: Runs) -> None:
    outcome = pipelines.run("deliver", cancel=f"uv run mlops {delivery('test')[-1]}")
    assert pipelines.work.verbs[-1] == "deliver --environment test --abort"
    assert outcome.results["prod"] == "skipped"


def test_a_failed_sign_in_does_not_try_to_return_traffic(pipelines: Runs) -> None:
    fetch = "az account get-access-token --resource https://ml.azure.com --output none"
    outcome = pipelines.run("deliver", fail=fetch)
    assert outcome.results == NOT_BEGUN
    assert pipelines.work.stages == []


def test_a_version_that_is_not_there_reaches_no_approval(pipelines: Runs) -> None:
    models = "uv run mlops models --environment dev --model-version 99"
    outcome = pipelines.run("deliver", inputs={"model-version": "99"}, fail=models)
    assert outcome.results == NOT_BEGUN


@pytest.mark.parametrize("environment", ["test", "prod"])
def test_a_version_that_is_not_there_asks_no_user_where_a_delivery_begins(pipelines: Runs, environment: str) -> None:
    models = f"uv run mlops models --environment {environment} --model-version 99"
    outcome = pipelines.run("deliver", inputs={"environment": environment, "model-version": "99"}, fail=models)
    assert outcome.results == NOT_BEGUN


def test_without_an_approval_nothing_reaches_prod_by_itself(pipelines: Runs) -> None:
    outcome = pipelines.run("deliver", fail="uv run mlops approval --environment prod")
    assert outcome.results == through(prod="failure")
    assert delivery("prod")[-1] not in pipelines.work.verbs


def test_a_delivery_without_an_approval_ends_no_rollout_of_another_one(pipelines: Runs) -> None:
    pipelines.run("deliver", fail="uv run mlops approval --environment prod")
    assert pipelines.work.verbs[-1] == "approval --environment prod"


TYPED = {"environment": "prod", "model-version": "7", "sha256": HASH}


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [(TYPED, False), (TYPED | {"sha256": ""}, True), (TYPED | {"model-version": ""}, True)],
    ids=["both", "no hash", "no version"],
)
def test_version_and_hash_typed_for_prod_are_an_approval(pipelines: Runs, inputs: dict[str, str], asked: bool) -> None:
    outcome = pipelines.run("deliver", inputs=inputs)
    assert outcome.results == through(dev="skipped", test="skipped")
    assert outcome.identities == {"choose": "prod-read", "prod_look": "prod-read", "prod": "prod"}
    assert ("approval --environment prod" in pipelines.work.verbs) == asked
    assert pipelines.work.verbs[-1] == delivery("prod")[-1]


# Each option and each environment, twice at most: where an option counts, its environment decides, whichever it is.
@pytest.mark.parametrize(
    ("option", "environment"),
    [
        ("--force", "dev"),
        ("--hold", "test"),
        ("--pin", "prod"),
        ("--unpin", "dev"),
        ("--force", "test"),
        ("--hold", "prod"),
    ],
)
def test_an_option_counts_in_the_environment_that_was_chosen_alone(
    pipelines: Runs, environment: str, option: str
) -> None:
    pipelines.run("deliver", inputs={"environment": environment, "option": option})
    deliveries = [verb.split() for verb in pipelines.work.verbs if verb.startswith("deliver ")]
    assert deliveries[:2] == [verb.split() for verb in delivery(environment, option) if verb.startswith("deliver ")]
    assert not [verb for verb in deliveries[2:] if option in verb]


# The look before an approval.


@pytest.mark.parametrize("unchanged", [["dev"], ["test"], ["dev", "test"], ["dev", "test", "prod"]])
def test_no_user_approves_what_serves_completely_and_the_next_environment_gets_it(
    pipelines: Runs, unchanged: list[str]
) -> None:
    follows = dict(zip(CHAIN, (*CHAIN[1:], ""), strict=True))
    looks = {f"look-{name}": UNCHANGED | {"next": follows[name]} for name in unchanged}
    outcome = pipelines.run("deliver", outputs=looks)
    looked_at = {f"{name}_look": "success" for name in CHAIN}
    assert outcome.results == through(**dict.fromkeys(unchanged, "skipped")) | looked_at
    approved = [verb.split()[2] for verb in pipelines.work.verbs if verb.startswith("approval")]
    assert approved == [name for name in CHAIN if name not in unchanged]


def test_where_nothing_is_to_be_done_and_none_follows_the_delivery_ends(pipelines: Runs) -> None:
    outcome = pipelines.run("deliver", outputs={"look-dev": UNCHANGED | {"next": ""}})
    assert outcome.results == through(dev="skipped", test="skipped", prod="skipped", dev_look="success")


@pytest.mark.parametrize("environment", CHAIN)
def test_what_a_look_refuses_asks_no_user(pipelines: Runs, environment: str) -> None:
    outcome = pipelines.run("deliver", fail=f"uv run mlops {delivery(environment)[0]}")
    later = CHAIN[CHAIN.index(environment) :]
    assert outcome.results == through(**dict.fromkeys(later, "skipped")) | {f"{environment}_look": "failure"}
    assert f"approval --environment {environment}" not in pipelines.work.verbs


def test_a_delivery_that_fails_hands_nothing_on_of_what_the_look_saw(pipelines: Runs) -> None:
    looks = {"look-dev": {"deliver": "true", "delivered": "false", "next": ""}, "deliver-dev": {}}
    outcome = pipelines.run("deliver", outputs=looks, fail=f"uv run mlops {delivery('dev')[-1]}")
    assert outcome.results == through(dev="failure", test="skipped", prod="skipped")


# Trainings.


def test_a_training_hands_version_and_hash_to_the_delivery(pipelines: Runs) -> None:
    outcome = pipelines.run("train", "push")
    assert outcome.results == {"train": "success"} | through(), outcome.log
    assert pipelines.work.stages == [
        *training(pipelines),
        "models --environment dev --model-version 7",
        *delivery("dev"),
        *delivery("test"),
        *delivery("prod"),
    ]


def test_a_manual_training_can_have_other_settings(pipelines: Runs) -> None:
    pipelines.run("train", inputs={"overrides": "training.seed=7"})
    assert pipelines.work.stages[:2] == training(pipelines, "training.seed=7")


STAYS = {"train": OUTPUTS["train"] | {"registered": "false"}}
BEFORE = {"train": OUTPUTS["train"] | {"started": "false"}}


@pytest.mark.parametrize(
    ("event", "outputs", "delivers"),
    [
        ("push", STAYS, True),
        ("schedule", {}, True),
        ("schedule", STAYS, False),
        ("schedule", BEFORE, False),
        ("push", {"train": OUTPUTS["train"] | {"model_version": "", "sha256": "", "registered": "false"}}, False),
    ],
    ids=["code changed", "new model", "champion stays", "answered before", "no model"],
)
def test_no_user_approves_the_same_model_again_because_of_a_schedule(
    pipelines: Runs, event: str, outputs: dict[str, dict[str, str]], delivers: bool
) -> None:
    outcome = pipelines.run("train", event, outputs=outputs)
    assert outcome.results["train"] == "success"
    assert (outcome.results["dev"] == "success") == delivers


def test_a_training_that_is_run_again_delivers_also_what_was_trained_before(pipelines: Runs) -> None:
    outcome = pipelines.run("train", "schedule", outputs=BEFORE, attempt=2)
    assert outcome.results["dev"] == "success"


def test_wrong_settings_start_no_machine(pipelines: Runs) -> None:
    outcome = pipelines.run("train", "push", fail="uv run mlops lint")
    assert outcome.results == {"train": "failure"} | SKIPPED
    assert pipelines.work.stages == ["lint"]


def test_a_failed_training_delivers_nothing(pipelines: Runs) -> None:
    outcome = pipelines.run("train", "push", fail=f"uv run mlops {training(pipelines)[1]}")
    assert outcome.results == {"train": "failure"} | SKIPPED


# From an alert of the monitor to production.


def test_an_alert_starts_one_training_whose_model_needs_the_approvals_of_every_other_one(pipelines: Runs) -> None:
    outcome = pipelines.run("monitor", "schedule")
    assert set(outcome.results.values()) == {"success"}, outcome.log
    assert pipelines.work.stages == [
        "drift --environment prod",
        *training(pipelines, job="model-drift-0123456789ab"),
        "models --environment dev --model-version 7",
        *delivery("dev"),
        *delivery("test"),
        *delivery("prod"),
    ]
    # Only where something changes, a person can be asked for an approval.
    looked_at = ["prod-read", "dev", "dev-read", *(part for name in CHAIN for part in (f"{name}-read", name))]
    assert list(outcome.identities.values()) == looked_at


def test_without_drift_nothing_is_trained(pipelines: Runs) -> None:
    outcome = pipelines.run("monitor", "schedule", outputs={"drift": {"retrain": "false", "job": ""}})
    assert outcome.results["drift"] == "success"
    assert pipelines.work.stages == ["drift --environment prod"]


def test_the_alert_of_yesterday_is_not_delivered_again(pipelines: Runs) -> None:
    outcome = pipelines.run("monitor", "schedule", outputs=BEFORE)
    assert outcome.results["train"] == "success"
    assert not [verb for verb in pipelines.work.verbs if verb.startswith("deliver")]


def test_another_environment_can_be_looked_at_manually(pipelines: Runs) -> None:
    outcome = pipelines.run("monitor", inputs={"environment": "dev"})
    assert outcome.identities["drift"] == "dev-read"
    assert pipelines.work.stages[0] == "drift --environment dev"


def test_a_monitor_without_an_answer_trains_nothing(pipelines: Runs) -> None:
    outcome = pipelines.run("monitor", "schedule", fail="uv run mlops drift --environment prod")
    assert outcome.results["drift"] == "failure"
    assert pipelines.work.stages == ["drift --environment prod"]


# Back.


APPROVED = f"--from 7 --expected 6 --sha256 {EARLIER}"


@pytest.mark.parametrize(
    ("inputs", "verb"),
    [
        ({}, f"rollback --environment prod {APPROVED}"),
        (
            {"environment": "test", "model-version": "6"},
            f"rollback --environment test {APPROVED} --model-version 6",
        ),
    ],
)
def test_a_rollback_is_one_run_with_an_approval(pipelines: Runs, inputs: dict[str, str], verb: str) -> None:
    outcome = pipelines.run("rollback", inputs=inputs)
    environment = verb.split()[2]
    assert outcome.results == {"look": "success", "rollback": "success"}, outcome.log
    assert pipelines.work.stages == [verb.replace(APPROVED, "--look"), verb]
    assert outcome.identities == {"look": f"{environment}-read", "rollback": environment}


def test_a_rollback_that_fails_is_red(pipelines: Runs) -> None:
    outcome = pipelines.run("rollback", fail=f"uv run mlops rollback --environment prod {APPROVED}")
    assert outcome.results == {"look": "success", "rollback": "failure"}
    assert pipelines.work.verbs[-1] == "rollback --environment prod --abort --from 7"


def test_a_cancelled_rollback_is_ended(pipelines: Runs) -> None:
    pipelines.run("rollback", cancel=f"uv run mlops rollback --environment prod {APPROVED}")
    assert pipelines.work.verbs[-1] == "rollback --environment prod --abort --from 7"


def test_without_a_way_back_no_user_is_asked(pipelines: Runs) -> None:
    outcome = pipelines.run("rollback", fail="uv run mlops rollback --environment prod --look")
    assert outcome.results == {"look": "failure", "rollback": "skipped"}
    assert not [verb for verb in pipelines.work.verbs if "--abort" in verb]


# Infrastructure.


@pytest.mark.parametrize("environment", CHAIN)
def test_the_plan_is_shown_before_the_approval(pipelines: Runs, environment: str) -> None:
    outcome = pipelines.run("infrastructure", inputs={"environment": environment, "action": "apply"})
    assert outcome.results["plan"] == outcome.results["apply"] == "success", outcome.log
    assert outcome.identities == {"plan": f"{environment}-read", "apply": environment}
    assert pipelines.work.stages == [
        f"provision --environment {environment} --plan --deployer workflows --summary .local/plan.md "
        "--retry-minutes 10",
        f"provision --environment {environment} --retry-minutes 10 --confirm ",
    ]


def test_the_name_that_lets_a_plan_delete_data_comes_from_who_starts_the_run(pipelines: Runs) -> None:
    pipelines.run("infrastructure", inputs={"environment": "dev", "action": "apply", "confirm": "dev"})
    assert pipelines.work.stages[1] == "provision --environment dev --retry-minutes 10 --confirm dev"
    pipelines.run("infrastructure", "push")
    assert pipelines.work.stages[1] == "provision --environment dev --retry-minutes 10 --confirm "


def test_a_plan_changes_nothing_and_needs_no_approval(pipelines: Runs) -> None:
    outcome = pipelines.run("infrastructure", inputs={"environment": "prod", "action": "plan"})
    assert outcome.identities == {"plan": "prod-read"}
    assert outcome.results["apply"] == "skipped"


def test_a_push_is_applied_to_dev_and_trains_the_first_model(pipelines: Runs) -> None:
    new = {"provision": {"train": "true"}, "deliver-dev": {"delivered": "true", "next": ""}}
    outcome = pipelines.run("infrastructure", "push", outputs=new)
    assert outcome.results["apply"] == outcome.results["dev"] == "success", outcome.log
    assert pipelines.work.stages[2:] == [
        *training(pipelines),
        "models --environment dev --model-version 7",
        *delivery("dev"),
    ]


def test_a_later_change_of_the_infrastructure_trains_nothing(pipelines: Runs) -> None:
    outcome = pipelines.run("infrastructure", "push")
    assert outcome.results["apply"] == "success"
    assert outcome.results["train"] == "skipped"


@pytest.mark.parametrize("part", [" --plan --deployer workflows --summary .local/plan.md", ""], ids=["plan", "apply"])
def test_infrastructure_that_fails_goes_no_further(pipelines: Runs, part: str) -> None:
    command = f"uv run mlops provision --environment dev{part} --retry-minutes 10{'' if part else ' --confirm '}"
    outcome = pipelines.run("infrastructure", "push", fail=command, outputs={"provision": {"train": "true"}})
    assert outcome.results["apply"] == ("skipped" if part else "failure")
    assert outcome.results["train"] == "skipped"


# Pull requests.


def test_a_pull_request_is_checked_planned_and_commented(pipelines: Runs) -> None:
    outcome = pipelines.run("pull-request", "pull request")
    assert set(outcome.results.values()) == {"success"}, outcome.log
    checks = ["uv run mypy", "uv run pytest", "uv run mlops lint", "uv run mlops local"]
    assert [call for call in pipelines.work.calls if call in checks] == checks
    assert "provision --check" in pipelines.work.verbs
    plan = "provision --environment dev --plan --deployer workflows --summary .local/plan.md"
    assert pipelines.work.verbs.index(plan) > pipelines.work.verbs.index("provision --check")
    assert [verb for verb in pipelines.work.verbs if verb.startswith("comment --folder results --jobs {")]
    assert outcome.identities == {"plan": "dev-read"}
    comment = pipelines.work.comment
    assert "## Model\n" in comment
    assert "| this model | 8.123 | 0.9 |" in comment
    assert "| champion, version 3 | 9.5 | 0.8 |" in comment
    assert "| baseline mean | 20 | -8.8e-06 |" in comment
    assert "**Promote:**\n\n- the gain is significant" in comment
    assert "Plan: 42 to add" in comment
    assert "## Not passed" not in comment
    assert comment.index("## Model") < comment.index("## Infrastructure")


def test_a_push_to_main_is_checked_too_and_comments_nowhere(pipelines: Runs) -> None:
    outcome = pipelines.run("pull-request", "push")
    assert outcome.results == {
        "project": "success",
        "infrastructure": "success",
        "plan": "skipped",
        "comment": "skipped",
    }


@pytest.mark.parametrize("check", ["ruff check", "mypy", "pytest", "mlops lint", "mlops local"])
def test_a_failing_check_turns_the_pull_request_red_and_is_commented(pipelines: Runs, check: str) -> None:
    outcome = pipelines.run("pull-request", "pull request", fail=f"uv run {check}")
    assert outcome.results["project"] == "failure"
    comment = pipelines.work.comment.lower()
    assert "## not passed\n\n| job | result |\n| --- | --- |\n| project | fail" in comment
    assert re.search(r"\[all of this run\]\(\S*(/o/r/actions/runs/1|/_build/results\?buildid=20)\)", comment)


def test_a_failing_plan_turns_the_pull_request_red_and_is_not_shown(pipelines: Runs) -> None:
    plan = "uv run mlops provision --environment dev --plan --deployer workflows --summary .local/plan.md"
    outcome = pipelines.run("pull-request", "pull request", fail=plan)
    assert outcome.results["plan"] == "failure"
    assert "| plan | fail" in pipelines.work.comment.lower()
    assert "Plan: 42" not in pipelines.work.comment


def test_a_fork_gets_no_sign_in_and_no_comment(pipelines: Runs) -> None:
    outcome = pipelines.run("pull-request", "fork")
    assert outcome.results == {
        "project": "success",
        "infrastructure": "success",
        "plan": "skipped",
        "comment": "skipped",
    }
    assert not any(call.startswith("az ") and "bicep install" not in call for call in pipelines.work.calls)


def test_infrastructure_that_is_not_valid_is_not_planned(pipelines: Runs) -> None:
    outcome = pipelines.run("pull-request", "pull request", fail="uv run mlops provision --check")
    assert outcome.results == {
        "project": "success",
        "infrastructure": "failure",
        "plan": "skipped",
        "comment": "success",  # the metrics
    }


def test_nothing_that_could_be_shown_is_commented_too(pipelines: Runs) -> None:
    outcome = pipelines.run("pull-request", "pull request", fail="uv sync --locked")
    assert outcome.results["project"] == "failure"
    # The comment's own job cannot install the project either.
    assert outcome.results["comment"] == "failure"
    assert pipelines.work.comment == ""


# Setting up.


def test_a_fixed_release_of_bicep_is_installed_where_the_project_uses_it(built: Runs) -> None:
    built.run("infrastructure", inputs={"action": "apply"})
    uses_it = (built.work.project / "infrastructure" / "bicep").is_dir()
    installing = [call for call in built.work.calls if call.startswith("az bicep install")]
    assert len(installing) == (2 if uses_it else 0)
    assert {bool(re.fullmatch(r"az bicep install --version v\d+\.\d+\.\d+", call)) for call in installing} <= {True}


@pytest.mark.parametrize(("version", "calls_it"), [("aml-cli-v2", True), ("python-sdk-v2", False)])
def test_the_ml_extension_is_installed_where_the_verbs_call_it(
    version: str, calls_it: bool, system: str, render: Render, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pipelines = runs(render(mlops_version=version, orchestration=system), tmp_path, request)
    pipelines.run("train", "push")
    found = any(call.startswith("az extension add --name ml --version ") for call in pipelines.work.calls)
    assert found == calls_it


def test_tokens_that_a_long_job_needs_late_are_fetched_right_after_the_sign_in(pipelines: Runs) -> None:
    pipelines.run("monitor", "schedule")
    tokens = [call for call in pipelines.work.calls if "get-access-token" in call]
    services = [re.findall(r"--resource (\S+)", call)[0] for call in tokens[:2]]
    assert services == ["https://ml.azure.com", "https://storage.azure.com"]
    assert pipelines.work.calls.index(tokens[0]) < pipelines.work.calls.index("uv run mlops drift --environment prod")


def test_jobs_that_need_the_private_network_run_in_the_one_of_their_environment(pipelines: Runs) -> None:
    each = {name: f"ml-{name}" for name in CHAIN}
    looks = {f"{name}_look": machine for name, machine in each.items()}
    assert pipelines.run("deliver", network="ml").machines == {"choose": "ml-dev"} | each | looks
    alerted = pipelines.run("monitor", "schedule", network="ml").machines
    assert (alerted["drift"], alerted["train"]) == ("ml-prod", "ml-dev")
    assert pipelines.run("rollback", network="ml").machines == {"look": "ml-prod", "rollback": "ml-prod"}
    built = pipelines.run("infrastructure", "push", network="ml").machines
    assert built == {"plan": OPEN_MACHINE, "apply": OPEN_MACHINE}
    assert set(pipelines.run("pull-request", "pull request", network="ml").machines.values()) == {OPEN_MACHINE}


def test_what_changes_the_state_runs_where_its_firewall_admits_it_and_no_pull_request_does(pipelines: Runs) -> None:
    run = partial(pipelines.run, network="ml", building="build")
    built = run("infrastructure", inputs={"environment": "test", "action": "apply"})
    assert built.machines == {"plan": "build-test", "apply": "build-test"}
    assert run("infrastructure", "push").machines == {"plan": "build-dev", "apply": "build-dev"}
    for everything, machine in ((False, "ml-test"), (True, "build-test")):
        inputs = {"environment": "test", "everything": everything, "confirm": "test"}
        assert run("teardown", inputs=inputs).machines == {"teardown": machine}
    request = run("pull-request", "pull request")
    assert (request.results["plan"], request.results["comment"]) == ("skipped", "success"), request.log
    assert set(request.machines.values()) == {OPEN_MACHINE}


@pytest.mark.parametrize("system", ["github-actions"], indirect=True)
def test_a_workflow_of_a_branch_does_not_run_where_the_firewall_of_the_state_admits_it(pipelines: Runs) -> None:
    run = partial(pipelines.run, event="manual, of a branch", building="build")
    built = run("infrastructure", inputs={"environment": "dev", "action": "apply"})
    assert built.machines == {"plan": OPEN_MACHINE, "apply": OPEN_MACHINE}
    gone = run("teardown", inputs={"environment": "dev", "everything": True, "confirm": "dev"})
    assert gone.machines == {"teardown": OPEN_MACHINE}


@pytest.mark.parametrize("pipeline", ["deliver", "monitor", "rollback", "train"])
def test_without_a_runner_of_ones_own_every_job_runs_on_an_open_machine(pipelines: Runs, pipeline: str) -> None:
    assert set(pipelines.run(pipeline).machines.values()) == {OPEN_MACHINE}


# Teardown.


@pytest.mark.parametrize(
    ("inputs", "verb"),
    [
        ({"everything": False, "confirm": ""}, "teardown --environment test --yes --confirm "),
        ({"everything": True, "confirm": "test"}, "teardown --environment test --all --yes --confirm test"),
        ({"everything": True, "confirm": ""}, "teardown --environment test --all --yes --confirm "),
    ],
    ids=["endpoints", "everything", "everything without its name, which the verb refuses"],
)
def test_a_teardown_deletes_the_endpoints_alone_unless_everything_is_requested(
    pipelines: Runs, inputs: dict[str, Any], verb: str
) -> None:
    outcome = pipelines.run("teardown", inputs={"environment": "test"} | inputs)
    assert outcome.results == {"teardown": "success"}, outcome.log
    assert pipelines.work.stages == [verb]


def test_endpoints_are_deleted_inside_the_private_network_and_the_network_from_outside(pipelines: Runs) -> None:
    for everything, machine in ((False, "ml-test"), (True, OPEN_MACHINE)):
        inputs = {"environment": "test", "everything": everything, "confirm": "test"}
        assert pipelines.run("teardown", inputs=inputs, network="ml").machines == {"teardown": machine}


# Upkeep.


@pytest.mark.parametrize(
    ("pipeline", "verb", "title"),
    [
        ("freshness", "freshness --file freshness/issue.md", "The project has aged"),
        (
            "template-update",
            "template-update --file update/issue.md --patch update/update.patch",
            "Update to the newest template",
        ),
    ],
)
def test_what_was_found_is_kept_in_one_issue_and_what_could_not_be_checked_changes_none(
    pipelines: Runs, pipeline: str, verb: str, title: str
) -> None:
    outcome = pipelines.run(pipeline)
    assert {job for job, result in outcome.results.items() if result == "success"} == {"check", "issue"}
    assert pipelines.work.stages == [verb, f"issue --title {title} --file {verb.split()[2]}"]
    outcome = pipelines.run(pipeline, fail=f"uv run mlops {verb}")
    assert outcome.results["check"] == "failure"
    assert outcome.results["issue"] == "skipped"


# Existing workspaces.


def test_a_pull_request_to_a_project_with_existing_workspaces_is_checked_and_commented(existing: Runs) -> None:
    outcome = existing.run("pull-request", "pull request")
    assert outcome.results == {"project": "success", "comment": "success"}, outcome.log
    assert "| this model | 8.123 | 0.9 |" in existing.work.comment
    assert "Infrastructure" not in existing.work.comment


def test_a_model_goes_from_dev_through_test_to_prod_in_existing_workspaces(existing: Runs) -> None:
    assert existing.run("deliver").results == through()
    assert existing.work.verbs[-1] == delivery("prod")[-1]
