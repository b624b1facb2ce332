"""Render time of one project: Copier, cookiecutter with the same files, and `git clone` with `cp`, side by side.

    uv run python benchmarks/render.py [--rounds N]

Each is a command line as a user types it, started afresh for each round, interleaved so that a busy machine slows all
alike. Rendered is the last commit; cookiecutter gets the same files, with the answers as `{{ cookiecutter.x }}`.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from plumbum import local

ROOT = Path(__file__).parents[1]
git = local["git"]


def commit(folder: Path) -> Path:
    """Make a folder a repository of one commit."""
    git("-C", folder, "init", "--quiet")
    git("-C", folder, "add", "--all")
    who = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.com"]
    git("-C", folder, *who, "commit", "--quiet", "--message", "benchmark")
    return folder


def cookiecutter_template(template: Path, answers: dict, folder: Path, everything_plain: bool) -> Path:
    """Write the same files for cookiecutter, with the answers as its variables.

    It renders every file that is not listed as plain. A template's author lists those that Jinja would break; with
    `everything_plain` all static files are listed, which is the least work that cookiecutter can have.
    """
    plain, target = [], folder / "{{ cookiecutter.project_slug }}"
    for path in sorted(path for path in (template / "template").rglob("*") if path.is_file()):
        name = str(path.relative_to(template / "template")).replace(
            "[[ package_name ]]", "{{ cookiecutter.package_name }}"
        )
        name = name.replace("[[ _copier_conf.answers_file ]]", ".answers.yml")
        written = target / name.removesuffix(".jinja")
        written.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jinja" and "answers" not in name:
            text = path.read_text(encoding="utf-8").replace("{{", "{{ '{{' }}")
            text = re.sub(r"\[\[ (.*?) \]\]", r"{{ cookiecutter.\1 }}", text)
            written.write_text(text, encoding="utf-8")
        else:
            content = path.read_bytes()
            written.write_bytes(content)
            if everything_plain or any(mark in content for mark in (b"{{", b"{%", b"{#")):
                plain.append(name.removesuffix(".jinja").replace("{{ cookiecutter.package_name }}", "*"))
    context = {name: value for name, value in answers.items() if not name.startswith("_")}
    (folder / "cookiecutter.json").write_text(json.dumps(context | {"_copy_without_render": plain}), encoding="utf-8")
    return folder


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    # Both tools start from compiled modules, as they do on a user's second run.
    local.env.pop("PYTHONDONTWRITEBYTECODE", "")
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        template = work / "template"
        git("clone", "--quiet", ROOT, template)
        python = local[sys.executable]
        copier = python["-m", "copier", "copy", "--trust", "--defaults", "--quiet", "--vcs-ref", "HEAD", template]
        copier(work / "first")
        answers = yaml.safe_load((work / "first" / ".copier-answers.yml").read_text(encoding="utf-8"))
        cookie = cookiecutter_template(template, answers, work / "cookie", everything_plain=False)
        lazy = cookiecutter_template(template, answers, work / "lazy", everything_plain=True)
        rendered = commit(shutil.copytree(work / "first", work / "rendered"))

        def clone(target: Path) -> None:
            git("clone", "--quiet", "--depth", "1", rendered.as_uri(), target / "clone")
            local["cp"]("-r", target / "clone", target / "project")

        cut = python["-m", "cookiecutter", "--no-input", "--output-dir"]
        ways: dict[str, Callable[[Path], object]] = {
            "copier": copier,
            "cookiecutter": lambda target: cut(target, cookie),
            "cookiecutter, least work": lambda target: cut(target, lazy),
            "git clone + cp": clone,
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            for name, way in ways.items():
                target = work / f"{name.replace(' ', '-')}-{number}"
                target.mkdir()
                start = time.perf_counter()
                way(target)
                times[name].append(time.perf_counter() - start)

        written = sum(1 for path in (work / "first").rglob("*") if path.is_file())
        cut_files = sum(1 for path in (work / "cookiecutter-0").rglob("*") if path.is_file())
        print(f"{written} files by copier, {cut_files} by cookiecutter; median of {rounds}, seconds")
        base = statistics.median(times["cookiecutter"])
        for name, values in times.items():
            middle = statistics.median(values)
            print(
                f"{name:25} {middle:6.2f}  ({min(values):.2f} to {max(values):.2f})  {middle / base:.2f} x cookiecutter"
            )


if __name__ == "__main__":
    main()
