"""Every command in a generated README is run here: as written, or by a test that this table names."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import Run

FENCE = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
RUN_ELSEWHERE = {
    "uv run mlops local": "test_project.test_the_local_loop_ends_with_a_live_score_and_a_report, and `make demo`",
    "uv run pytest": "test_project.test_its_own_tests_pass_and_leave_nothing_behind",
    "uvx --with copier-template-extensions copier update --trust": "test_update",
}


def commands(readme: Path) -> list[str]:
    """Commands in the bash blocks, without comments."""
    lines = "\n".join(FENCE.findall(readme.read_text(encoding="utf-8"))).splitlines()
    return [command for line in lines if (command := line.split(" #")[0].strip())]


@pytest.mark.xdist_group("project")
def test_each_command_of_the_projects_readme_works(project: Path, run_in: Run, tmp_path: Path) -> None:
    ran = 0
    for command in commands(project / "README.md"):
        if command in RUN_ELSEWHERE:
            continue
        words = shlex.split(command)
        assert words[:3] == ["uv", "run", "mlops"], f"nothing runs: {command}"
        result = run_in(project, "mlops.cli", *words[3:], MLOPS_LOCAL_DIR=str(tmp_path / "local"))
        assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
        ran += 1
    assert ran >= 4


def test_the_table_of_commands_names_only_commands_of_the_readme(project: Path) -> None:
    assert set(RUN_ELSEWHERE) <= set(commands(project / "README.md"))
