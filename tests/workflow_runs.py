"""What runs of GitHub workflows and of Azure Pipelines share: stand-ins for programs, what verbs hand on, results."""

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from socket import socket
from typing import Any, Protocol

from combinations import ROOT
from conftest import connect

METRICS = {
    "metric": "mae",
    "higher_is_better": False,
    "rows": 400,
    "notes": [],
    "challenger": {"mae": 8.1234567, "r2": 0.9},
    "champion": {"mae": 9.5, "r2": 0.8},
    "baselines": {"mean": {"mae": 20.0, "r2": -8.8e-06}},
}
DECISION = {
    "promote": True,
    "reasons": ["the gain is significant"],
    "champion": "champion",
    "champion_version": 3,
    "note": None,
    "better_baselines": [],
}
HASH = "1a2b3c4d5e6f" + "0" * 52
EARLIER = "0123456789ab" + "0" * 52
LABEL = "version 7, sha256 1a2b3c4d5e6f"
# What the verbs hand on; a name with an environment counts for that one.
OUTPUTS = {
    "models": {"model_version": "7", "sha256": HASH, "label": LABEL},
    "rollback": {
        "bad": "7",
        "model_version": "6",
        "sha256": EARLIER,
        "label": "from version 7 to 6, sha256 0123456789ab",
    },
    "train": {"registered": "true", "started": "true", "model_version": "7", "sha256": HASH},
    "look": {"deliver": "true", "delivered": "false", "next": ""},
    "deliver-dev": {"delivered": "true", "next": "test"},
    "deliver-test": {"delivered": "true", "next": "prod"},
    "deliver-prod": {"delivered": "true", "next": ""},
    "drift": {"retrain": "true", "job": "model-drift-0123456789ab"},
    "provision": {"train": "false"},
}
ENGINE = ROOT / "template" / "mlops" / "engine" / "src"
"""The engine of the projects, which is the same in each of them."""

ANSWERS = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
"""What `connected` of each project said."""

# `connected` depends on its options and on which ids there are: each job of each run asks.
# What the shell does itself starts no other program: a run has dozens of these calls.
STAND_IN = """#!/bin/sh
show() {{
  while IFS= read -r line; do printf '%s\\n' "$line"; done < "$1"
}}
hand_on() {{
  while IFS='=' read -r key value; do
    printf '##vso[task.setvariable variable=%s;isOutput=true]%s\\n' "$key" "$value"
  done < "$1"
}}
own() {{
  export COMMENT="{folder}/comment.json" PYTHONPATH="{engine}"
  {forked} own_verbs "$@"
}}
echo "{program} $*" >> "{folder}/calls.log"
IFS= read -r failing < "{folder}/failing"
if [ "$failing" = "{program} $*" ]; then exit 1; fi
case "{program} $3$TF_BUILD" in
"uv connectedTrue")
  own "$@"
  exit;;
esac
case "{program} $3" in
"uv connected")
  ids="${{AZURE_CLIENT_ID:+1}} ${{AZURE_TENANT_ID:+2}} ${{AZURE_SUBSCRIPTION_ID:+3}}"
  known="{answers}/$* with $ids in ${{GITHUB_ACTIONS}}"
  if [ ! -d "$known" ]; then
    new="{answers}/$$"
    mkdir -p "$new"
    (GITHUB_OUTPUT="$new/outputs" && own "$@") > "$new/printed"
    code=$?
    if [ $code -ne 0 ]; then cat "$new/printed"; rm -r "$new"; exit $code; fi
    mv "$new" "$known"
  fi
  show "$known/printed"
  show "$known/outputs" >> "$GITHUB_OUTPUT"
  exit;;
"uv summary" | "uv button" | "uv comment")
  own "$@"
  exit;;
esac
case "$*" in
*"--summary .local/plan.md"*) printf '## Infrastructure\\n\\nPlan: 42 to add\\n' > .local/plan.md;;
*" --file "*/issue.md*) mkdir -p update freshness && touch update/issue.md freshness/issue.md;; # of upkeep
*" --input "*) cp "${{*##* --input }}" "{folder}/comment.json"; echo "{{}}";; # the body of a comment
*" --outfile "*) echo "{{}}" > "${{*##* --outfile }}";; # what `az bicep build` writes
esac
if [ "{program} $2" = "uv mlops" ]; then
  verb="$3"
  case "$*" in *" deliver "*" --look "*) verb=look;; esac
  for name in "$verb" "$verb-$5"; do
    if [ ! -f "{folder}/outputs/$name" ]; then continue; fi
    if [ "$TF_BUILD" ]; then
      hand_on "{folder}/outputs/$name"
    else
      show "{folder}/outputs/$name" >> "$GITHUB_OUTPUT"
    fi
  done
fi
"""


@cache
def forked() -> list[str]:
    """What runs a module in a fork of a process that has the engine, which starts once for this one."""
    python, address = Path(sys.executable), Path(ANSWERS.name, "verbs.socket")
    CONNECTIONS.append(connect(python, address, dict(os.environ), ENGINE))
    return [str(python), "-IS", str(Path(__file__).with_name("fork.py")), str(address)]


CONNECTIONS: list[socket] = []
"""As long as one is open, the process runs."""


class Work:
    """A folder in which the steps of a pipeline run; `calls` has their calls to uv, az and gh, in order.

    Args:
        folder: An empty folder.
        project: The rendered project.
    """

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder, self.project = folder, project
        self.work = folder / "work"
        self.answers = Path(ANSWERS.name, sha256(str(project).encode()).hexdigest())
        result = self.work / ".local" / "runs" / "20260102" / "evaluate" / "evaluation"
        result.mkdir(parents=True)
        (result / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
        (result / "decision.json").write_text(json.dumps(DECISION), encoding="utf-8")
        (self.work / ".local" / "report").mkdir()
        if (project / "infrastructure").is_dir():
            shutil.copytree(project / "infrastructure", self.work / "infrastructure")
        self.log, self.failing, self.programs = folder / "calls.log", folder / "failing", folder / "bin"
        self.log.touch()
        self.failing.touch()
        (folder / "outputs").mkdir()
        self.programs.mkdir()
        self.stand_in("uv", "az", "gh")

    def stand_in(self, *programs: str) -> None:
        """Let programs log their calls and do nothing else, but for some verbs."""
        for program in programs:
            script = self.programs / program
            values = {
                "program": program,
                "folder": self.folder,
                "answers": self.answers,
                "forked": shlex.join(forked()),
            }
            script.write_text(STAND_IN.format(engine=ENGINE, **values), encoding="utf-8")
            script.chmod(0o755)

    def prepare(self, failing: str, outputs: Mapping[str, dict[str, str]] | None) -> None:
        """Forget the calls so far, and let one command line fail and some verbs hand on something else."""
        self.log.write_text("", encoding="utf-8")
        self.failing.write_text(failing, encoding="utf-8")
        for verb, values in (OUTPUTS | dict(outputs or {})).items():
            text = "".join(f"{key}={value}\n" for key, value in values.items())
            (self.folder / "outputs" / verb).write_text(text, encoding="utf-8")

    @property
    def comment(self) -> str:
        """The body of the comment that was sent last; empty without one."""
        sent = self.folder / "comment.json"
        return json.loads(sent.read_text(encoding="utf-8"))["body"] if sent.exists() else ""

    @property
    def calls(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    @property
    def verbs(self) -> list[str]:
        return [call.removeprefix("uv run mlops ") for call in self.calls if call.startswith("uv run mlops")]

    @property
    def stages(self) -> list[str]:
        """The verbs, without the look at the ids."""
        return [verb for verb in self.verbs if not verb.startswith("connected")]


@dataclass(frozen=True)
class Outcome:
    """How a run ended, in the words of both systems.

    Attributes:
        results: Of each job of a workflow, of each stage (or job) of a pipeline: success, failure, skipped, cancelled.
        identities: What each of them that ran in Azure signed in as: `prod`, or `prod-read`, which may only read.
        machines: The machine or the pool of each that ran.
        log: What the steps printed.
    """

    results: dict[str, str]
    identities: dict[str, str]
    machines: dict[str, str]
    log: str


class Runs(Protocol):
    """Runs pipelines of a project, by the name of their file without its ending."""

    work: Work
    job: str
    """The name that a training has when none is given."""

    def run(
        self,
        pipeline: str,
        event: str = "manual",
        inputs: Mapping[str, Any] | None = None,
        *,
        fail: str = "",
        cancel: str = "",
        outputs: Mapping[str, dict[str, str]] | None = None,
        network: str = "",
        building: str = "",
        attempt: int = 1,
    ) -> Outcome:
        """Run a pipeline.

        Args:
            pipeline: Its name.
            event: What started it: `manual`, `push`, `schedule`, `pull request`, or `fork`, the request of one.
            inputs: Of a manual run, with the names that they have on GitHub.
            fail: A command line that fails.
            cancel: A command line in whose midst the run is cancelled.
            outputs: What some verbs hand on instead.
            network: How the machines in the private networks are called.
            building: How those are called that the firewall of Terraform's state admits.
            attempt: How often it has been run.
        """


def delivery(environment: str, *options: str) -> list[str]:
    """The verbs of the two stages that look, and deliver."""
    named = f"--model-version 7 --sha256 {HASH}"
    return [
        " ".join([f"deliver --environment {environment} --look {named}", *options]),
        f"approval --environment {environment}",
        " ".join([f"deliver --environment {environment} {named}", *options]),
    ]


CHAIN = ("dev", "test", "prod")


def through(choose: str = "success", **others: str) -> dict[str, str]:
    """The results of a delivery: the others than success; an environment that is skipped is not looked at."""
    found = {name: others.get(name, "success") for name in CHAIN}
    looks = {f"{name}_look": "skipped" if found[name] == "skipped" else "success" for name in CHAIN}
    return {"choose": choose} | found | looks | {name: result for name, result in others.items() if "_" in name}


NOT_BEGUN = through("failure", dev="skipped", test="skipped", prod="skipped")
SKIPPED = through("skipped", dev="skipped", test="skipped", prod="skipped")
UNCHANGED = {"deliver": "false", "delivered": "true"}
