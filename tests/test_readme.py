"""Every command in a generated README is run here: as written, or by a test that this table names."""

import re
import shlex
import shutil
from pathlib import Path

from conftest import Render, Run, answers_of

FENCE = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
RUN_ELSEWHERE = {
    "uv run mlops local": "test_project.test_the_local_loop_ends_with_a_live_score_and_a_report, and `make demo`",
    "uv run mlops schema FILES": "test_messy_files",
    "uv run mlops schema --accept": "test_messy_files, and tests/engine/test_drafts.py",
    "uv run mlops ui": "engine/test_ui.py, on a port of its own",
    "uv run --with jupyterlab jupyter lab": "test_first_minutes.test_the_notebook_opens_and_the_hooks_run",
    "uv run pre-commit install": "test_first_minutes.test_the_notebook_opens_and_the_hooks_run",
    "uv run pytest": "test_own_tests.test_they_pass_on_the_sample_and_leave_nothing_behind",
    "uvx --with copier-template-extensions copier update --trust": "test_update",
}
OF_SDK_V1 = {
    "uvx --with copier-template-extensions copier update --trust --vcs-ref=:current: --data "
    "mlops_version=python-sdk-v2": "test_update.test_an_update_leads_out_of_sdk_v1_with_the_same_data_and_model",
}


def commands(readme: Path) -> list[str]:
    """Commands in the bash blocks, without comments."""
    lines = "\n".join(FENCE.findall(readme.read_text(encoding="utf-8"))).splitlines()
    return [command for line in lines if (command := line.split(" #")[0].strip())]


def test_each_command_of_the_projects_readme_works(render: Render, run_with_others: Run, tmp_path: Path) -> None:
    ran, project = 0, shutil.copytree(render(), tmp_path / "project")
    for command in commands(project / "README.md"):
        if command in RUN_ELSEWHERE:
            continue
        words = shlex.split(command)
        assert words[:3] == ["uv", "run", "mlops"], f"nothing runs: {command}"
        result = run_with_others(project, "mlops.cli", *words[3:], MLOPS_LOCAL_DIR=str(tmp_path / "local"))
        assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
        ran += 1
    assert ran >= 4


def test_the_readme_has_the_same_commands_in_each_mlops_version(flavour: Path, render: Render) -> None:
    assert set(commands(flavour / "README.md")) - set(OF_SDK_V1) == set(commands(render() / "README.md"))


def test_the_table_of_commands_names_only_commands_of_the_readme(project: Path) -> None:
    named = set(commands(project / "README.md"))
    assert set(RUN_ELSEWHERE) <= named
    is_legacy = answers_of(project)["mlops_version"] == "python-sdk-v1"
    assert named & set(OF_SDK_V1) == (set(OF_SDK_V1) if is_legacy else set())
