"""The template is a well-behaved Copier template for the common test plugin as well."""

from pathlib import Path

import pytest
from pytest_copie.plugin import Copie


@pytest.fixture
def copie_template(source: Path) -> Path:
    return source


def test_default_answers_make_a_project(copie: Copie, copie_template: Path) -> None:
    result = copie.copy(template_dir=copie_template)
    assert result.exception is None
    assert result.exit_code == 0
    assert result.project_dir is not None
    assert (result.project_dir / "README.md").exists()
    assert result.answers["project_slug"] == "flight-delays"
