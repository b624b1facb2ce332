"""Render time of one project with default answers: Copier, cookiecutter, and `git clone` with `cp`.

    uv run python benchmarks/render.py [--rounds N]

Each is a command line as a user types it, started afresh for each round, interleaved so that a busy machine slows all
alike. Copier renders the last commit. The others get what it wrote: cookiecutter as a template that renders the same
files and copies the rest, git as a repository. That all four projects are equal is checked before anything is timed.
`copier, plain files` is a template of those files without questions, rules, extensions and Jinja: what it takes is
Copier's own. Copier clones its template, cookiecutter reads it in place. The round that checks is not counted, unless
there is one round.
"""

import argparse
import json
import re
import resource
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
NAMED = ("project_name", "project_slug", "package_name")
ANSWERS = ".copier-answers.yml"
git = local["git"]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of each way; the median counts")
    rounds = parser.parse_args().rounds
    # Both tools start from compiled modules, as they do on a user's second run.
    local.env.pop("PYTHONDONTWRITEBYTECODE", "")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        measure(Path(scratch), rounds)


def measure(work: Path, rounds: int) -> None:
    """Time all ways by turns in `work`, and print the result."""
    template = work / "template"
    git("clone", "--quiet", ROOT, template)
    python = local[sys.executable]
    # The one answer that is random.
    suffix = "name_suffix=a1b2c3"
    copier = python["-m", "copier", "copy", "--trust", "--defaults", "--data", suffix, "--quiet", "--vcs-ref", "HEAD"]
    copier(template, work / "rendered")
    rendered = commit(work / "rendered")
    plain = commit(plain_template(rendered, work / "plain"))
    cookie = cookiecutter_template(rendered, template / "template", work / "cookie")

    def clone(target: Path) -> Path:
        git("clone", "--quiet", "--depth", "1", rendered.as_uri(), target / "clone")
        local["cp"]("-r", target / "clone", target / "project")
        return target / "project"

    def cut(target: Path) -> Path:
        python("-m", "cookiecutter", "--no-input", "--output-dir", target, cookie)
        return target / "project"

    def copy(source: Path) -> Callable[[Path], Path]:
        def render(target: Path) -> Path:
            copier(source, target)
            return target

        return render

    ways = {
        "copier": copy(template),
        "copier, plain files": copy(plain),
        "cookiecutter": cut,
        "git clone + cp": clone,
    }
    expected = contents(rendered)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1 if rounds > 1 else 1):
        for name, way in ways.items():
            target = work / f"{name}-{number}".replace(" ", "-")
            target.mkdir()
            wall, cpu = time.perf_counter(), processor()
            project = way(target)
            if number or rounds == 1:
                times[name].append((time.perf_counter() - wall, processor() - cpu))
            if not number and (differ := [path for path, _ in expected.items() ^ contents(project).items()]):
                sys.exit(f"error: {name} writes other files: {', '.join(sorted(set(differ)))}")
    print(f"{len(expected)} files, the same by each; seconds, median of {rounds}")
    print(f"{'':<20}{'wall':>6}{'least':>8}{'most':>8}{'processor':>11}")
    for name, pairs in times.items():
        walls, cpus = zip(*pairs, strict=True)
        figures = (statistics.median(walls), min(walls), max(walls), statistics.median(cpus))
        print("{:<20}{:6.2f}{:8.2f}{:8.2f}{:11.2f}".format(name, *figures))


def processor() -> float:
    """Processor seconds of all commands so far, which a busy machine leaves alone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def contents(project: Path) -> dict[str, bytes]:
    """Read the files of a project by name, without Git's and the answers, which name where the template was."""
    paths = [path for path in project.rglob("*") if path.is_file() and path.relative_to(project).parts[0] != ".git"]
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in paths if path.name != ANSWERS}


def commit(folder: Path) -> Path:
    """Make a folder a repository of one commit."""
    git("-C", folder, "init", "--quiet")
    git("-C", folder, "add", "--all", "--force")
    who = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.com", "-c", "commit.gpgsign=false"]
    git("-C", folder, *who, "commit", "--quiet", "--message", "benchmark")
    return folder


def plain_template(rendered: Path, folder: Path) -> Path:
    """Write a template for Copier that copies these files."""
    shutil.copytree(rendered, folder / "template", ignore=shutil.ignore_patterns(".git"))
    (folder / "copier.yml").write_text("_subdirectory: template\n", encoding="utf-8")
    return folder


def cookiecutter_template(rendered: Path, template: Path, folder: Path) -> Path:
    """Write a template for cookiecutter that makes these files.

    It copies what the template's author wrote as it is, and renders the rest, with the answers as its variables.
    """
    answers = yaml.safe_load((rendered / ANSWERS).read_text(encoding="utf-8"))
    package = f"/{answers['package_name']}/"
    values = {answers[name]: f"{{{{ cookiecutter.{name} }}}}" for name in NAMED}
    answer = re.compile("|".join(re.escape(value) for value in sorted(values, key=len, reverse=True)))
    copied = []
    for name, content in contents(rendered).items():
        renamed = name.replace(package, "/{{ cookiecutter.package_name }}/")
        written = folder / "{{ cookiecutter.folder }}" / renamed
        written.parent.mkdir(parents=True, exist_ok=True)
        original = template / name.replace(package, "/[[ package_name ]]/")
        if original.exists():
            copied.append(name.replace(package, "/*/"))
        else:
            text = re.sub(r"\{[{%#]", r"{{ '\g<0>' }}", content.decode("utf-8"))
            content = answer.sub(lambda found: values[found[0]], text).encode()
        written.write_bytes(content)
    context = {"folder": "project", **{name: answers[name] for name in NAMED}, "_copy_without_render": copied}
    (folder / "cookiecutter.json").write_text(json.dumps(context), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
