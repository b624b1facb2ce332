"""What the lint catches: seeded errors in copies of the shipped files and of a few files a project may add."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lint_seeds import EXTRA, IMAGE, SEEDS
from rendered import ROOT
from seeded import assert_named, copied, edited

from mlops.config import Project, load_yaml
from mlops.definitions.base import quiet
from mlops.lint import Finding, lint, lint_files, lint_pipeline
from mlops.pipeline import Pipeline


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's definitions and all they refer to, with the extra files beside them."""
    root = tmp_path_factory.mktemp("shipped") / "project"
    copied(root, "mlops/aml-cli-v2")
    for name in ("raw", "production"):  # only that they are there matters
        (root / "data" / name).mkdir()
    for name, text in EXTRA.items():
        path = root / "mlops" / "aml-cli-v2" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip(), encoding="utf-8")
    return root


@pytest.fixture
def project(shipped: Path) -> Project:
    return Project.load(shipped)


READERS = {"table/MLTable": "table.yml", "conda.yml": "conda-environment.yml", "scripts/fit.py": "sweep.yml"}
"""The definitions through which the lint reaches files of other kinds."""


def findings_after(project: Project, file: str, old: str, new: str) -> list[Finding]:
    with edited(project.definitions / file, old, new):
        return lint_files([project.definitions / READERS.get(file, file)], project)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [pytest.param(file, *seed, id=f"{file}: {name}") for file, seeds in SEEDS.items() for name, *seed in seeds],
)
def test_the_lint_names(file: str, old: str, new: str, words: str, project: Project) -> None:
    assert_named(findings_after(project, file, old, new), words.split())


CURATED = "azureml://registries/azureml/environments/sklearn-1.5"
CRON = '  type: cron\n  expression: "0 4 * * 1"'


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pipeline.yml", "azureml:training-data@latest", "azureml:training-data:3"),
        ("pipeline.yml", "azureml:training-data@latest", "azureml://datastores/workspaceblobstore/paths/flights/"),
        ("pipeline.yml", "path: azureml:training-data@latest", "path: ../../data/raw"),
        ("pipeline.yml", "./components/prep.yml", "file:components/prep.yml"),
        ("pipeline.yml", "./components/prep.yml", "azureml:prep@latest"),
        ("pipeline.yml", "./components/prep.yml", "azureml://registries/team/components/prep/versions/1"),
        ("pipeline.yml", "azureml:cpu-cluster", "serverless"),
        ("pipeline.yml", "${{parent.inputs.raw_data}}", "{path: '${{ parent.inputs.raw_data }}', mode: download}"),
        (
            "pipeline.yml",
            "    component: ./components/prep.yml",
            "    component: ./components/prep.yml\n    limits: {timeout: 60}",
        ),
        (
            "pipeline.yml",
            "      settings: ${{parent.inputs.settings}}\n    outputs:\n      model",
            "      settings: ${{parent.inputs.settings}}\n      overrides: training.seed=1\n    outputs:\n      model",
        ),
        ("components/prep.yml", "file:../environments/training.yml", f"{CURATED}/labels/latest"),
        ("components/prep.yml", "file:../environments/training.yml", f"{CURATED}/versions/50"),
        ("components/prep.yml", "file:../environments/training.yml", "azureml:training@latest"),
        (
            "components/prep.yml",
            "file:../environments/training.yml",
            "azureml:AzureML-acpt-pytorch-2.8-cuda12.6@latest",
        ),
        ("components/prep.yml", "command: >-\n", "command: >-\n  python -m pip list && python -c 'print(1)' &&\n"),
        ("components/prep.yml", "  python -m", "  python -u -m"),
        ("components/prep.yml", "is_deterministic: true", "version: 3\nresources: {instance_count: 2}"),
        ("environments/training.yml", ":20260715.v1", "@sha256:" + "0" * 64),
        ("environments/training.yml", IMAGE, "localhost:5000/team/image:1.2"),
        ("online/endpoint.yml", "auth_mode", "traffic: {blue: 90, green: 10}\nauth_mode"),
        (
            "online/endpoint.yml",
            "  type: system_assigned",
            "  type: user_assigned\n  user_assigned_identities: [{resource_id: /a/b}]",
        ),
        ("online/deployment.yml", "azureml:model@latest", "azureml://registries/team/models/model/versions/4"),
        ("batch/endpoint.yml", "auth_mode", "defaults: {deployment_name: scoring}\nauth_mode"),
        ("schedule.yml", "0 4 * * 1", "*/15 0-6,22 * * MON-FRI"),
        ("schedule.yml", "time_zone: UTC", "time_zone: W. Europe Standard Time"),
        (
            "schedule.yml",
            CRON,
            "  type: recurrence\n  frequency: week\n  interval: 1\n"
            "  schedule: {hours: [4, 16], minutes: 30, week_days: [monday, friday]}",
        ),
        ("monitor.yml", "alert_notification: azmonitoring", "alert_notification: {emails: [me@example.com]}"),
        ("monitor.yml", "features: all_features", "features: [carrier, distance]"),
        ("conda.yml", "numpy=2.3.4", "conda-forge::numpy>=2.3,<3"),
        ("conda.yml", "pandas==2.3.3", "pandas[parquet]>=2.3,<3; python_version >= '3.11'"),
        ("conda.yml", "pandas==2.3.3", "--extra-index-url https://packages.example.com/simple"),
        ("inline.yml", "  rate: 0.5", "  rate: 1"),
        (
            "scripts/fit.py",
            'parser.add_argument("--rate"',
            'for name in ("--rate", "--depth"):\n    parser.add_argument(name',
        ),
    ],
)
def test_the_lint_accepts(file: str, old: str, new: str, project: Project) -> None:
    assert findings_after(project, file, old, new) == []


def test_the_lint_knows_each_cluster_of_the_configuration(project: Project) -> None:
    gpu = "compute:\n  gpu_cluster:\n    name: gpu-cluster\n"
    with edited(project.root / "config" / "dev.yml", "compute:\n", gpu):
        assert findings_after(project, "pipeline.yml", "azureml:cpu-cluster", "azureml:gpu-cluster") == []


def test_the_shipped_files_have_no_finding() -> None:
    assert lint(Project.load(ROOT)) == []


def test_the_extra_files_of_these_tests_have_no_finding(project: Project) -> None:
    assert lint(project) == []


SPACE = "learning_rate: {from: 0.1, to: 0.2}"


def with_tuning(project: Project, space: str = SPACE, **values: object) -> None:
    """Write a section tuning, or another one, into the settings."""
    settings = load_yaml(project.settings)
    settings["tuning"] = {"trials": 4, "folds": 2, "space": yaml.safe_load(space), **values}
    project.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")


@pytest.fixture
def settings(project: Project) -> Iterator[Project]:
    """The project, whose settings are put back."""
    text = project.settings.read_text(encoding="utf-8")
    yield project
    project.settings.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "      max_total_trials: 1",
            "      trial_timeout: -1\n      max_total_trials: 1",
            "trial_timeout -1 less than 1",
        ),
        ("    trial: ./", "    resources: {instance_type: [1]}\n    trial: ./", "jobs.tune.resources"),
    ],
)
def test_the_search_of_the_settings_is_checked_in_its_pipeline(
    settings: Project, old: str, new: str, words: str
) -> None:
    with edited(settings.definitions / "tuning.yml", old, new):
        assert_named(lint(settings), ["tuning.yml", *words.split()])


def test_a_wrong_search_space_is_a_finding(settings: Project) -> None:
    with_tuning(settings, "no_such_name: [1, 2]")
    assert_named(lint(settings), ["config/model.yml", "tuning.space.no_such_name"])


def test_without_a_search_the_settings_are_fine(settings: Project) -> None:
    document = load_yaml(settings.settings)
    document.pop("tuning", None)
    settings.settings.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert lint(settings) == []


SEARCHES: list[dict[str, object]] = [
    {"sampling": "sobol", "early_termination": {"type": "bandit", "slack_factor": 0.1, "delay_evaluation": 1}},
    {"sampling": "bayesian", "early_termination": "none"},
    {"sampling": "random", "early_termination": "median_stopping", "minutes": 3},
]


@pytest.mark.parametrize("values", SEARCHES, ids=lambda values: str(values["sampling"]))
def test_azure_accepts_each_way_of_searching(settings: Project, values: dict[str, object]) -> None:
    with_tuning(settings, **values)
    assert lint(settings) == []


def test_the_seeds_cover_every_shipped_file() -> None:
    folder = ROOT / "mlops" / "aml-cli-v2"
    shipped_files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.yml")}
    twins = {"components/evaluate.yml", "components/register.yml", "data/production-data.yml"}
    assert shipped_files - twins <= set(SEEDS)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("online/endpoint.yml", "name: online-endpoint", "name: online_endpoint"),
        ("components/prep.yml", "name: prep\n", "name: Prep\n"),
        ("environments/training.yml", "environment/train.yml", "environment/none.yml"),
        ("online/endpoint.yml", "auth_mode: aad_token", "auth_mode: token"),
        ("batch/deployment.yml", "append_row", "summary_only"),
    ],
)
def test_a_mistake_that_several_layers_see_is_reported_once(file: str, old: str, new: str, project: Project) -> None:
    assert len(findings_after(project, file, old, new)) == 1


def test_all_mistakes_of_a_file_are_reported_together(project: Project) -> None:
    path = project.definitions / "components" / "prep.yml"
    with (
        edited(path, "${{inputs.schema}}", "${{inputs.shema}}"),
        edited(path, "is_deterministic", "deterministic"),
        edited(path, "environments/training.yml", "environments/none.yml"),
    ):
        places = {finding.where for finding in lint_files([path], project)}
    assert places == {"command", "inputs.schema", "deterministic", "environment"}


def test_a_mistake_is_one_line_that_starts_with_the_file_and_the_place(project: Project) -> None:
    findings = findings_after(project, "pipeline.yml", "jobs.prep.outputs.test_data", "jobs.prepare.outputs.test_data")
    assert [str(finding) for finding in findings] == [
        "mlops/aml-cli-v2/pipeline.yml: jobs.evaluate.inputs.test_data: "
        'the pipeline has no job "prepare" (did you mean "prep"?)'
    ]


def test_a_file_of_an_unknown_kind_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "unknown.yml"
    path.write_text("colour: red\n", encoding="utf-8")
    assert [finding.message for finding in lint_files([path])] == [
        "cannot tell what this file defines: add a $schema line, or a type"
    ]


def test_files_outside_of_a_project_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text(f"name: a\nimage: {IMAGE}\nconda_file: none.yml\n", encoding="utf-8")
    assert [(finding.path, finding.where) for finding in lint_files([path])] == [(path.resolve(), "conda_file")]


def test_a_pipeline_built_in_memory_is_checked(tmp_path: Path) -> None:
    job = {"type": "command", "command": "echo ${{inputs.a}}", "inputs": {"a": "${{parent.inputs.b}}"}}
    pipeline = Pipeline.from_dict({"type": "pipeline", "inputs": {"a": 1}, "jobs": {"one": job}}, tmp_path / "sdk.py")
    assert [finding.where for finding in lint_pipeline(pipeline)] == ["inputs.a", "jobs.one.inputs.a"]


def test_the_lint_prints_nothing(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    lint(project)
    assert capfd.readouterr() == ("", "")


def test_no_source_of_callers_is_read_for_notices_that_no_user_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes half of a lint."""
    from azure.ai.ml._utils._experimental import experimental

    @experimental
    class Notice:
        def __init__(self) -> None:
            """Be what azure-ai-ml has a notice about."""

    def read() -> list[inspect.FrameInfo]:
        raise OSError("the source is read")

    monkeypatch.setattr("azure.ai.ml._utils._experimental.inspect.stack", read)
    with quiet():
        Notice()
    with pytest.raises(OSError, match="the source is read"):
        Notice()
