"""PyTorch in the projects that tests make: from a folder, or from its own index."""

import tomllib
from pathlib import Path

import pytest
from conftest import Render
from local_wheels import take_local_wheels

VERSIONS = ("aml-cli-v2", "python-sdk-v1")  # one without and one with settings of uv of its own


def settings_of(project: Path, copy: Path) -> Path:
    copy.mkdir()
    (copy / "pyproject.toml").write_bytes((project / "pyproject.toml").read_bytes())
    return copy


def uv_of(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]


def test_a_project_takes_pytorch_for_linux_from_its_own_index_of_builds_for_cpus(render: Render) -> None:
    uv = uv_of(render(project_type="cv"))
    assert [index["name"] for index in uv["index"] if index["explicit"]] == ["pytorch-cpu"]
    assert uv["sources"]["torch"] == [{"index": "pytorch-cpu", "marker": "sys_platform == 'linux'"}]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_folder_of_wheels_pytorch_may_be_of_any_date(
    version: str, render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    rendered = render(project_type="cv", mlops_version=version)
    project = settings_of(rendered, tmp_path / "project")
    assert take_local_wheels(project) == {}
    changed = uv_of(project)
    assert changed.pop("exclude-newer-package") == {"torch": False, "torchvision": False}
    assert changed == uv_of(rendered)


@pytest.mark.parametrize("version", VERSIONS)
def test_with_a_folder_of_wheels_pytorch_comes_from_there_for_this_python_alone(
    version: str, render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    project = settings_of(render(project_type="cv", mlops_version=version), tmp_path / "project")
    assert take_local_wheels(project) == {"UV_FIND_LINKS": "/wheels"}
    assert set(uv_of(project)["sources"]) == {"mlops-engine"}
    assert "exclude-newer-package" not in uv_of(project)


def test_a_project_without_pytorch_stays_as_it_is(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    rendered = render()
    project = settings_of(rendered, tmp_path / "project")
    take_local_wheels(project)
    assert (project / "pyproject.toml").read_bytes() == (rendered / "pyproject.toml").read_bytes()
