"""What a verb hands on to the pipeline that runs it: outputs, a summary, annotations.

Each system has a form of its own: GitHub Actions, Azure Pipelines, and a terminal, where the printed lines are enough.
Verbs call these functions, so that no pipeline file has to take results apart or to write text.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import quote

Level = Literal["notice", "warning", "error"]


def set_outputs(**values: str | int | bool) -> None:
    """Hand values on to the later steps and jobs of a pipeline; a boolean is `true` or `false`.

    Raises:
        ValueError: A value has more than one line, which would forge outputs of other names.
    """
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    if broken := [name for name, text in texts.items() if re.search(r"[\r\n]", text)]:
        raise ValueError(f"output {broken[0]} has more than one line")
    for name, text in texts.items():
        if path := os.environ.get("GITHUB_OUTPUT"):
            _append(path, f"{name}={text}\n")
        elif _on_azure_pipelines():
            print(f"##vso[task.setvariable variable={name};isOutput=true]{_escape(text)}", flush=True)


def add_summary(markdown: str) -> None:
    """Add Markdown to the page of the run."""
    text = markdown.rstrip() + "\n"
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(path, text + "\n")
    elif _on_azure_pipelines():
        folder = tempfile.mkdtemp(dir=os.environ.get("AGENT_TEMPDIRECTORY"))
        file = Path(folder) / "summary.md"
        file.write_text(text, encoding="utf-8")
        print(f"##vso[task.uploadsummary]{file}", flush=True)


def annotate(level: Level, title: str, text: str) -> None:
    """Show a line at the top of the run's page; on a terminal, print it (an error and a warning on stderr)."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(f"::{level} title={_escape(title, ':,')}::{_escape(text)}", flush=True)
    elif _on_azure_pipelines() and level != "notice":
        print(f"##vso[task.logissue type={level}]{_escape(f'{title}: {text}')}", flush=True)
    elif level == "notice":
        print(text, flush=True)
    else:
        print(f"{level}: {text}", file=sys.stderr, flush=True)


def in_pipeline() -> bool:
    """Return whether a pipeline runs this."""
    return os.environ.get("GITHUB_ACTIONS") == "true" or _on_azure_pipelines()


def name_run(text: str) -> None:
    """Add a text to the name of this run where a job cannot have it in its own: Azure Pipelines names jobs before."""
    if not _on_azure_pipelines():
        return
    # The number that the run began with, which is its own, also when an earlier job has named it.
    number = os.environ.get("BUILD_BUILDNUMBER", "").partition(" ")[0]
    allowed = re.sub(r'["/:<>\\|?@*]', "", " ".join(f"{number} {text}".split()))
    print(f"##vso[build.updatebuildnumber]{_escape(allowed[:255].rstrip('. '))}", flush=True)


def run_address() -> str:
    """Return the address of the page of this run, empty outside of a pipeline."""
    if _on_azure_pipelines():
        names = ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_BUILDID")
        organisation, project, number = (os.environ.get(name, "") for name in names)
        return f"{organisation.rstrip('/')}/{quote(project)}/_build/results?buildId={number}" if number else ""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, number = (os.environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{number}" if number else ""


def run_key() -> str:
    """Return the server and the number of this run, by which `is_newer` orders runs; empty outside of a pipeline.

    An organisation of Azure DevOps and a server of GitHub each have numbers of their own.
    """
    for server, name in (("SYSTEM_COLLECTIONURI", "BUILD_BUILDID"), ("GITHUB_SERVER_URL", "GITHUB_RUN_ID")):
        if number := os.environ.get(name, ""):
            return f"{os.environ.get(server, '')}#{number}"
    return ""


def run_attempt() -> int:
    """Return how many times this job or stage was run, this time included: more than 1 where a person repeats it."""
    number = os.environ.get("SYSTEM_STAGEATTEMPT") or os.environ.get("GITHUB_RUN_ATTEMPT", "")
    return int(number) if number.isdigit() else 1


def is_newer(run: str, than: str) -> bool:
    """Return whether a run began after another one of the same server, by their keys; false where that is unknown."""
    (server, _, number), (other, _, limit) = run.rpartition("#"), than.rpartition("#")
    return server == other and number.isdigit() and limit.isdigit() and int(number) > int(limit)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; columns of numbers, but for the first one, are aligned to the right."""
    columns = list(zip(*rows, strict=True))[1:] or [()] * (len(head) - 1)
    lines = [head, ["---", *("---:" if _are_numbers(column) else "---" for column in columns)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _are_numbers(cells: tuple[str, ...]) -> bool:
    return any(cells) and all(re.fullmatch(r"-?[\d.,]+(e[+-]?\d+)?|-|", cell) for cell in cells)


def bar(share: float, width: int = 20) -> str:
    """Return a bar of text that is `width` characters long for a share of 1, and never empty."""
    return "█" * max(1, round(width * share))


def _on_azure_pipelines() -> bool:
    return os.environ.get("TF_BUILD", "").lower() == "true"


def _append(path: str, text: str) -> None:
    with Path(path).open("a", encoding="utf-8") as stream:
        stream.write(text)


def _escape(text: str, more: str = "") -> str:
    """Return a text that ends no command of the runner's log: GitHub and Azure Pipelines decode %25, %0D and %0A."""
    percent = "%25" if os.environ.get("GITHUB_ACTIONS") == "true" else "%AZP25"
    text = text.replace("%", percent).replace("\r", "%0D").replace("\n", "%0A")
    for character in more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
