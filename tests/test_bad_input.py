"""A bad answer is refused in one clear line and nothing is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from combinations import EXISTING, ROOT, questions
from copier._cli import CopierApp
from test_update import quick_command

__all__ = ["quick_command"]  # a fixture

BAD = [
    ("questions", "some"),
    ("project_name", 'say "hi"'),
    ("project_name", "two\nlines"),
    ("project_name", "${{ github.token }}"),
    ("project_name", "a ]] b"),
    ("project_name", "../escape"),
    ("project_name", "rocket 🚀"),
    ("project_name", "x" * 200),
    ("project_name", "con"),
    ("project_name", "9 lives"),
    ("github_org_name", "my org; rm -rf ~"),
    ("azure_devops_organisation", "https://dev.azure.com/my-org"),
    ("azure_devops_organisation", "my-org-"),
    ("azure_devops_project", "Data/Science"),
    ("azure_devops_project", 'Data "Science"'),
    ("azure_devops_project", "_private"),
    ("azure_devops_project", "Web"),
    ("azure_devops_repository", "flights."),
    ("azure_devops_repository", " flights"),
    ("azure_devops_repository", "x" * 65),
    ("pipeline_environments", "dev, test"),
    ("location", "West Europe"),
    ("training_vm_size", "big one"),
    ("serving_vm_size", "Standard_D2'"),
    ("name_suffix", "TOOLONG1"),
    ("package_name", "numpy"),
    ("project_slug", "Not A Slug"),
    ("model_name", "a b"),
    ("experiment_name", "../x"),
    ("infrastructure_version", "pulumi"),
    ("orchestration", "jenkins"),
    ("mlops_version", "python-sdk-v3"),
    ("project_type", "quantum"),
    ("existing_workspaces", ""),
    ("existing_workspaces", "rg-a/mlw-a, rg-b/mlw-b"),
    ("existing_workspaces", "rg-a/mlw-a, rg-a/mlw-a, rg-b/mlw-b"),
    ("existing_workspaces", "mlw-a, mlw-b, mlw-c"),
    ("existing_workspaces", 'rg"a/mlw-a, rg-b/mlw-b, rg-c/mlw-c'),
    ("existing_workspaces", "rg-a./mlw-a, rg-b/mlw-b, rg-c/mlw-c"),
    ("existing_registry", ""),
    ("existing_registry", "my registry"),
    ("existing_cluster", "cpu_cluster"),
    ("alert_email", "team"),
    ("alert_email", "a@b.com, c@d.com"),
    ("alert_email", 'a"@example.com'),
    ("monthly_budget", "0"),
    ("monthly_budget", "-5"),
    ("monthly_budget", "a lot"),
    ("monthly_budget", "300 EUR"),
    ("add_ons", "[swimming-pool]"),
    ("add_ons", "private-network"),
    ("add_ons", "[private-network"),
    ("network_range", "10.80.0.0"),
    ("network_range", "10.80.0.1/16"),
    ("network_range", "10.80.0.0/33"),
    ("network_range", "10.80.0.0/0.0.255.255"),
    ("network_range", "ten/16"),
    ("network_range", "8.8.0.0/16"),
    ("network_range", "0.0.0.0/0"),
    ("network_range", "10.80.0.0/23"),
    ("network_range", "172.17.0.0/16"),
    ("network_range", "172.16.0.0/12"),
    ("extra_tags", "owner"),
    ("extra_tags", "=ada"),
    ("extra_tags", "Project=mine"),
    ("extra_tags", "owner=ada, Owner=bob"),
    ("extra_tags", 'owner="ada"'),
    ("extra_tags", "microsoft-owner=ada"),
    ("extra_tags", ", ".join(f"tag{number}=1" for number in range(13))),
    ("instance_users", ""),
    ("instance_users", "ada"),
    ("instance_users", "ada=ada@example.com"),
    ("instance_users", "Ada Lovelace=00000000-0000-0000-0000-00000000000a"),
    ("instance_users", "ada=00000000-0000-0000-0000-00000000000a, ada=00000000-0000-0000-0000-00000000000b"),
    ("instance_users", "ada=00000000-0000-0000-0000-00000000000a, bob=00000000-0000-0000-0000-00000000000A"),
    ("gpu_vm_size", "NC4"),
    ("nlp_task", "translation"),
    ("gpu_vm_size", "Standard_D4as_v4"),
]

ON_AZURE_DEVOPS = {"orchestration": "azure-devops"}
GATES = {
    "azure_devops_organisation": ON_AZURE_DEVOPS,
    "azure_devops_project": ON_AZURE_DEVOPS,
    "azure_devops_repository": ON_AZURE_DEVOPS,
    "pipeline_environments": ON_AZURE_DEVOPS,
    "existing_workspaces": EXISTING,
    "existing_registry": EXISTING,
    "existing_cluster": EXISTING,
    "network_range": {"add_ons": "[private-network]"},
    "instance_users": {"add_ons": "[user-with-compute-instance]"},
    "gpu_vm_size": {"add_ons": "[gpu-cluster]"},
    "nlp_task": {"project_type": "nlp"},
}
"""What has to be answered before a question is asked."""


def copier(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run Copier's command line as a user does."""
    command = [sys.executable, "-m", "copier", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"} | (env or {}))


def quick(command: list[str], *arguments: object) -> subprocess.CompletedProcess:
    """The same in a fraction of the time, for copies that succeed."""
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize(("question", "answer"), BAD, ids=[f"{name}-{index}" for index, (name, _) in enumerate(BAD)])
def test_a_bad_answer_is_refused_in_one_line_and_nothing_is_written(
    question: str, answer: str, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process, because each new one imports Copier for most of a second; the tests below start it anew."""
    destination = tmp_path / "project"
    answers = GATES.get(question, {}) | {question: answer}
    data = [word for name, value in answers.items() for word in ("-d", f"{name}={value}")]
    words = ["copier", "copy", "--trust", "--defaults", "--quiet", *data, str(source), str(destination)]
    try:
        _, code = CopierApp.run(words, exit=False)
    except Exception as error:  # as the interpreter does at its end
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    printed = capfd.readouterr().err
    errors = [line for line in printed.splitlines() if line.strip()]
    assert code == 1
    assert len(errors) == 1, printed
    assert errors[0].startswith("error: ")
    assert question in errors[0]
    message = errors[0].removeprefix("error: ")
    assert len(message) < 80 or not message.startswith("Validation error"), "a prompt in a small terminal cuts it off"
    assert not destination.exists()


def test_existing_workspaces_take_no_add_ons(source: Path, tmp_path: Path) -> None:
    data = [
        word for name, value in (EXISTING | {"add_ons": "[gpu-cluster]"}).items() for word in ("-d", f"{name}={value}")
    ]
    result = copier("copy", "--trust", "--defaults", "--quiet", *data, source, tmp_path / "project")
    assert result.returncode == 1
    assert "Existing workspaces get none" in result.stderr
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("gate", "question"),
    [(EXISTING, "existing_workspaces"), (EXISTING, "existing_registry"), (GATES["instance_users"], "instance_users")],
)
def test_a_question_without_a_default_has_to_be_answered(
    gate: dict[str, str], question: str, source: Path, tmp_path: Path
) -> None:
    data = [word for name, value in gate.items() if name != question for word in ("-d", f"{name}={value}")]
    result = copier("copy", "--trust", "--defaults", "--quiet", *data, source, tmp_path / "project")
    assert result.returncode == 1
    assert result.stderr == f'error: Question "{question}" is required\n'
    assert not (tmp_path / "project").exists()


def in_a_repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "README.md").write_text("mine\n", encoding="utf-8")
    (folder / "notes.txt").write_text("mine, too\n", encoding="utf-8")
    return folder


def test_files_that_are_there_stop_a_copy_before_it_begins(
    source: Path, tmp_path: Path, quick_command: list[str]
) -> None:
    folder = in_a_repository(tmp_path / "mine")
    command = ["copy", "--trust", "--defaults", "--quiet"]
    result = copier(*command, source, folder)
    assert result.returncode == 1
    assert result.stderr == (
        "error: Validation error for question 'questions': README.md is there already: commit it, then add "
        "--overwrite and see `git diff`.\n"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "notes.txt"]
    done = quick(quick_command, *command, "--overwrite", source, folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "pyproject.toml").exists()
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine, too\n"
    assert "mine" not in (folder / "README.md").read_text(encoding="utf-8")
    assert quick(quick_command, *command, "--overwrite", source, folder).returncode == 0


def test_files_that_the_template_does_not_have_stop_nothing(
    source: Path, tmp_path: Path, quick_command: list[str]
) -> None:
    folder = in_a_repository(tmp_path / "mine")
    (folder / "README.md").unlink()
    assert quick(quick_command, "copy", "--trust", "--defaults", "--quiet", source, folder).returncode == 0
    assert (folder / "README.md").exists()


def test_a_copy_without_terminal_and_answers_writes_nothing(source: Path, tmp_path: Path) -> None:
    result = copier("copy", "--trust", "--data", "questions=few", source, tmp_path / "project")
    assert result.returncode != 0
    assert not (tmp_path / "project").exists()


def test_every_question_with_a_free_text_answer_has_a_bad_case_here() -> None:
    free = {name for name, details in questions().items() if details["type"] == "str"}
    assert free == {question for question, _ in BAD}


def test_every_question_that_is_not_always_asked_has_its_gate_here() -> None:
    hidden = {name for name, details in questions().items() if "infrastructure_version" in str(details.get("when"))}
    hidden |= {name for name, details in questions().items() if "add_ons" in str(details.get("when"))}
    hidden |= {name for name, details in questions().items() if "project_type" in str(details.get("when"))}
    hidden |= {name for name, details in questions().items() if "orchestration" in str(details.get("when"))}
    open_by_default = {"training_vm_size", "monthly_budget", "add_ons", "github_org_name"}
    assert hidden - open_by_default == GATES.keys()


def test_without_trust_nothing_is_written_and_the_readme_has_the_remedy(source: Path, tmp_path: Path) -> None:
    destination = tmp_path / "project"
    result = copier("copy", "--defaults", source, destination)
    assert result.returncode == 4
    assert "--trust" in result.stderr
    assert not destination.exists()
    assert "--trust" in first_screen()
    assert "jinja_extensions" in first_screen()


def test_without_the_extension_package_nothing_is_written_and_the_readme_has_the_remedy(
    source: Path, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden" / "copier_template_extensions.py"
    hidden.parent.mkdir()
    hidden.write_text("raise ModuleNotFoundError(\"No module named 'copier_template_extensions'\")\n", encoding="utf-8")
    destination = tmp_path / "project"
    result = copier("copy", "--trust", "--defaults", source, destination, env={"PYTHONPATH": str(hidden.parent)})
    assert result.returncode == 1
    assert "No module named 'copier_template_extensions'" in result.stderr
    assert not destination.exists()
    assert "No module named 'copier_template_extensions'" in first_screen()
    assert "--with copier-template-extensions" in first_screen()


def first_screen() -> str:
    """What a reader of the README sees without scrolling far."""
    return "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:50])
