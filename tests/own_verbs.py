"""The verbs that are the project's own code in a run of its pipelines: all that they need is on this machine.

It stands for `uv`: `run mlops connected --environment dev`.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from mlops import orchestration
from mlops.errors import UserError
from mlops.local.summary import summary
from mlops.orchestration.comment import comment_text
from mlops.outputs import add_summary, annotate
from mlops.project import Project
from mlops.subscription.button import write_button
from mlops.subscription.connected import connected


def run(given: argparse.Namespace, project: Project) -> None:
    """Run a verb."""
    if given.verb == "connected":
        connected(project, orchestration.of(project), given.environment, required=given.required)
    elif given.verb == "summary":
        Path(given.file).write_text(summary(project), encoding="utf-8")
        add_summary(summary(project))
    elif given.verb == "button":
        write_button(project, Path(given.folder), given.address)
    else:
        files = sorted(Path(given.folder).rglob("*.md"), key=lambda path: path.name)
        text = comment_text(given.jobs, [path.read_text(encoding="utf-8") for path in files])
        if os.environ.get("TF_BUILD"):
            Path(os.environ["COMMENT"]).write_text(json.dumps({"body": text}), encoding="utf-8")
        else:
            orchestration.of(project).comment(project, text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("verb")
    for option in ("--environment", "--file", "--folder", "--address", "--jobs"):
        parser.add_argument(option, default="")
    parser.add_argument("--required", action="store_true")
    given = parser.parse_args(sys.argv[3:])
    try:
        system = "azure-devops" if os.environ.get("TF_BUILD") else "github-actions"
        order = ("dev", "test", "prod")
        run(
            given,
            Project(Path.cwd(), "package", "aml-cli-v2", "bicep", orchestration=system, environment_order=order),
        )
    except UserError as error:
        annotate("error", f"mlops {given.verb}", str(error))
        sys.exit(1)
