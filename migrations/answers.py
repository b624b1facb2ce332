"""Rewrite the answers of an older release in the questions of this one, before Copier reads them.

Copier replaces a recorded answer that is no choice any more by the default, without a word.
"""

import sys
from pathlib import Path
from typing import Any

import yaml


def migrate(answers: dict[str, Any]) -> dict[str, Any]:
    """Return the answers as this release knows them; what needs no change stays as it is."""
    # Until v0.3.0 `workspaces` (new, existing) was a question of its own, and decided whether this one was asked.
    if answers.get("workspaces") == "existing":
        answers = {**answers, "infrastructure_version": "existing"}
    # Until v0.14.0 the pipelines of Azure DevOps named all environments, so a project that uses them has made all.
    if answers.get("orchestration") == "azure-devops":
        answers = {"pipeline_environments": "dev test prod", **answers}
    return {question: answer for question, answer in answers.items() if question != "workspaces"}


if __name__ == "__main__":
    file = Path(sys.argv[1])
    recorded = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(migrate(recorded), allow_unicode=True, sort_keys=False), encoding="utf-8")
