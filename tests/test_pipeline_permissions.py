"""What pipelines name in Azure DevOps is what bootstrap makes and lets each of them use: no less, no more."""

import json
from pathlib import Path

import pytest
import yaml
from azure_templates import connections, expanded, jobs
from combinations import EXISTING, tools
from conftest import Render, Run
from pipeline_rules import every_choice

pytestmark = pytest.mark.about(orchestration="azure-devops")
POOL, BUILDING = "mlops", "build"
SCRIPT = f"""
import json
from mlops.orchestration.azure_devops.names import BUILDING, CHANGING, Names
from mlops.project import Project

project = Project.load()
names = Names(project)
found = {{}}
for environment in project.environments:
    for name, pipelines in names.environments(environment).items():
        found["environment " + name] = pipelines
    for name, pipelines in names.connections(environment, is_first=environment == project.first_environment).items():
        found["connection " + name] = pipelines
    found["pool {POOL}-" + environment] = CHANGING
    found["pool {BUILDING}-" + environment] = BUILDING
there = set(names.pipelines)
print(json.dumps({{name: sorted(there.intersection(each)) for name, each in found.items()}}))
"""


@pytest.mark.parametrize("built", [{"infrastructure_version": tool} for tool in tools()] + [EXISTING], ids=str)
def test_a_pipeline_may_use_all_that_it_names_and_nothing_else(
    built: dict[str, str], render: Render, run_with_others: Run
) -> None:
    project = render(orchestration="azure-devops", **built)
    result = run_with_others(project, "-c", SCRIPT)
    assert result.returncode == 0, result.stderr
    assert used(project) == json.loads(result.stdout)


def used(project: Path) -> dict[str, list[str]]:
    """The pipelines that name each environment, connection and pool, whatever their parameters are."""
    found: dict[str, set[str]] = {}
    for file in sorted((project / ".azuredevops").glob("*.yml")):
        for values in every_choice(yaml.safe_load(file.read_text(encoding="utf-8"))):
            for _, job in jobs(expanded(file, values, pool=POOL, building=BUILDING)):
                things = [f"connection {name}" for name in connections(job)]
                things += [f"environment {job['environment']}"] if "environment" in job else []
                things += [f"pool {job['pool']['name']}"] if "name" in job["pool"] else []
                for thing in things:
                    found.setdefault(thing, set()).add(file.stem)
    return {thing: sorted(pipelines) for thing, pipelines in found.items()}
