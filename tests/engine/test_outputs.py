"""What a verb hands on to the pipeline that runs it."""

from pathlib import Path

import pytest

from mlops.outputs import add_summary, annotate, is_newer, name_run, run_address, run_key, set_outputs, table


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "TF_BUILD", "AGENT_TEMPDIRECTORY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return tmp_path


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TF_BUILD", "True")
    monkeypatch.setenv("AGENT_TEMPDIRECTORY", str(tmp_path))
    return tmp_path


def test_github_gets_outputs_and_summaries_as_files_that_grow(github: Path) -> None:
    set_outputs(registered=True, model_version=7)
    set_outputs(sha256="1a2b")
    add_summary("## Model\n\n\n")
    add_summary("Version 7")
    assert (github / "output").read_text(encoding="utf-8") == "registered=true\nmodel_version=7\nsha256=1a2b\n"
    assert (github / "summary").read_text(encoding="utf-8") == "## Model\n\nVersion 7\n\n"


def test_azure_pipelines_get_both_as_lines_of_the_log(azure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_outputs(delivered=False, next="test")
    add_summary("## Model")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "##vso[task.setvariable variable=delivered;isOutput=true]false"
    assert second == "##vso[task.setvariable variable=next;isOutput=true]test"
    start, _, path = third.partition("]")
    assert start == "##vso[task.uploadsummary"
    assert Path(path).parent.parent == azure
    assert Path(path).read_text(encoding="utf-8") == "## Model\n"


@pytest.mark.parametrize("number", ["20261129.1", "20261129.1 version 6, sha256 0123456789ab"])
def test_the_name_of_a_run_of_azure_pipelines_says_what_it_delivers(
    azure: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    monkeypatch.setenv("BUILD_BUILDNUMBER", number)
    name_run("version 7, sha256 1a2b3c4d5e6f")
    said = "##vso[build.updatebuildnumber]20261129.1 version 7, sha256 1a2b3c4d5e6f\n"
    assert capsys.readouterr().out == said


def test_the_name_of_a_run_has_no_character_that_azure_pipelines_refuse(
    azure: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BUILD_BUILDNUMBER", "1")
    name_run('prod: "7/8" <b>|?@*\\\nnext. ' + "x" * 300 + ".")
    said = capsys.readouterr().out.removeprefix("##vso[build.updatebuildnumber]")
    assert said.startswith("1 prod 78 b next. xxx")
    assert len(said) == 255 + 1


def test_elsewhere_a_run_keeps_its_name(github: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name_run("version 7")
    assert capsys.readouterr().out == ""


def test_the_address_of_a_run_is_that_of_its_system(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    names += ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_BUILDID")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert run_address() == ""
    for name, value in zip(names, ("https://github.com", "o/r", "1"), strict=False):
        monkeypatch.setenv(name, value)
    assert run_address() == "https://github.com/o/r/actions/runs/1"
    monkeypatch.setenv("TF_BUILD", "True")
    assert run_address() == ""
    for name, value in zip(names[3:], ("https://dev.azure.com/o/", "Delays of flights", "20"), strict=True):
        monkeypatch.setenv(name, value)
    assert run_address() == "https://dev.azure.com/o/Delays%20of%20flights/_build/results?buildId=20"


def test_runs_of_one_server_are_in_the_order_of_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_RUN_ID", "BUILD_BUILDID"):
        monkeypatch.delenv(name, raising=False)
    assert run_key() == ""
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_RUN_ID", "99")
    assert run_key() == "https://github.com#99"
    monkeypatch.setenv("SYSTEM_COLLECTIONURI", "https://dev.azure.com/o/")
    monkeypatch.setenv("BUILD_BUILDID", "7")
    assert run_key() == "https://dev.azure.com/o/#7"
    assert is_newer("a#100", "a#99")
    for run, than in (("a#99", "a#100"), ("a#9", "a#9"), ("b#100", "a#9")):
        assert not is_newer(run, than)
    for unknown in ("", "a#", "a person's"):
        assert not is_newer(unknown, "a#9")
        assert not is_newer("a#9", unknown)


def test_a_terminal_gets_lines_and_no_commands(capsys: pytest.CaptureFixture[str]) -> None:
    set_outputs(registered=True)
    add_summary("## Model")
    annotate("notice", "Azure", "not connected yet")
    annotate("warning", "Canary", "no traffic")
    printed = capsys.readouterr()
    assert printed.out == "not connected yet\n"
    assert printed.err == "warning: no traffic\n"


@pytest.mark.parametrize("text", ["1\nregistered=true", "1\rregistered=true"])
def test_a_value_can_forge_no_other_output(github: Path, text: str) -> None:
    with pytest.raises(ValueError, match="output model_version has more than one line"):
        set_outputs(sha256="1a2b", model_version=text)
    assert not (github / "output").exists()


@pytest.mark.usefixtures("github")
def test_an_annotation_of_github_ends_where_its_text_does(capsys: pytest.CaptureFixture[str]) -> None:
    annotate("error", "a: b, c", "90 % of\n::error::it")
    assert capsys.readouterr().out == "::error title=a%3A b%2C c::90 %25 of%0A::error::it\n"


@pytest.mark.usefixtures("azure")
def test_an_annotation_of_azure_pipelines_ends_where_its_text_does(capsys: pytest.CaptureFixture[str]) -> None:
    annotate("warning", "Canary", "90 % of\n##vso[task.complete]it")
    annotate("notice", "Azure", "not connected yet")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "##vso[task.logissue type=warning]Canary: 90 %AZP25 of%0A##vso[task.complete]it"
    assert second == "not connected yet"


def test_a_table_keeps_its_columns_whatever_is_in_them() -> None:
    assert table(["", "mae"], [["a|b", "1"]]) == "|  | mae |\n| --- | ---: |\n| a\\|b | 1 |\n"


def test_numbers_stand_on_the_right_and_texts_on_the_left() -> None:
    rows = [["a", "1,024", "-8.8e-06", "0.5", "7 days", ""], ["b", "3", "-", "", "8", ""]]
    assert table(list("abcdef"), rows).splitlines()[1] == "| --- | ---: | ---: | ---: | --- | --- |"
    assert table(["a", "b"], []).splitlines()[1] == "| --- | --- |"
