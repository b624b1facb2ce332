"""What is the same for the definitions of all mlops versions: the error when a library is not installed."""

from dataclasses import replace

import pytest
from rendered import HERE

from mlops import azureml, definitions
from mlops.config import load_environment
from mlops.errors import UserError
from mlops.lint import lint
from mlops.project import Project, Version
from mlops.responsible_ai import local as responsible_ai


@pytest.mark.parametrize(
    ("version", "package"),
    [("aml-cli-v2", "azure-ai-ml"), ("python-sdk-v2", "azure-ai-ml"), ("python-sdk-v1", "azureml-pipeline")],
)
def test_a_library_that_is_not_installed_is_one_line(
    version: Version, package: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = load_environment(project, project.first_environment)
    other = replace(project, version=version)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"^{package} is not installed: run `uv sync`$"):
        lint(other)
    if version != "aml-cli-v2":
        other.definitions.mkdir()
        (other.definitions / "data.py").write_text("DATASETS = {}\n", encoding="utf-8")
        with pytest.raises(UserError, match=f"^{package} is not installed: run `uv sync`$"):
            definitions.of(other).pipeline()
        with pytest.raises(UserError, match=f"^{package} is not installed: run `uv sync`$"):
            azureml.connect(other, environment, dry_run=True)


def test_without_responsible_ai_its_components_end_with_one_line() -> None:
    assert HERE.version == "aml-cli-v2"
    with pytest.raises(SystemExit, match="responsibleai is not installed: projects of rai-aml-cli-v2 have it"):
        responsible_ai.main(["explanation"])
