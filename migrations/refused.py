"""Stop the update of a project with an answer that the new release refuses: Copier takes the default, without a word.

With another region, suffix or list of add-ons the next run would build a second environment, or delete parts of one.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import copier
import yaml
from answers import migrate
from jinja2 import TemplateError

TEMPLATE = Path(__file__).parents[1]


class Release:
    """The questions of the new release, and of its files the one with the answers."""

    def __init__(self, scratch: Path, answers_file: str) -> None:
        """Copy them, so that Copier neither clones nor renders the rest."""
        self.scratch, self.answers_file = scratch, answers_file
        self.source = scratch / "source"
        shutil.copytree(TEMPLATE / "extensions", self.source / "extensions")
        [file] = (TEMPLATE / "template").glob("*answers_file*.jinja")
        (self.source / "template").mkdir()
        shutil.copy(file, self.source / "template")
        self.open: list[str] = []
        """The questions without a default that had no valid answer when `ask` was called."""

    def ask(self, recorded: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Return the answers after an update of a project with these recorded ones, and `--data` beside them."""
        shutil.copy(TEMPLATE / "copier.yml", self.source)
        self.open = []
        while True:
            try:
                return self._ask(recorded, data)
            except ValueError as error:
                if not (found := re.fullmatch(r'Question "(\w+)" is required', str(error))):
                    raise
                self.open.append(found[1])
                self._answer(found[1])

    def _answer(self, name: str) -> None:
        """Give a question some answer, whatever its validator says, so that Copier goes on to the next ones."""
        file = self.source / "copier.yml"
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        kind, choices = document[name].get("type", "str"), document[name].get("choices") or ()
        values = list(choices.values()) if isinstance(choices, dict) else choices
        some = {"bool": False, "int": 0, "float": 0, "json": "null", "yaml": "null"}.get(kind, "")
        default = values[0] if isinstance(values, list) and isinstance(values[0], str) else some
        document[name] = {"type": kind, "default": default, "when": False}
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def _ask(self, recorded: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            file = Path(folder, self.answers_file)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump(recorded), encoding="utf-8")
            settings: dict[str, Any] = {"defaults": True, "overwrite": True, "quiet": True, "unsafe": True}
            copier.run_copy(str(self.source), folder, data, answers_file=self.answers_file, **settings)
            answers: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
            return answers


def refused(release: Release, recorded: dict[str, Any], data: dict[str, Any], *, defaults: bool) -> list[str]:
    """Return a line for each answer that would be another one after the update, and for a new one that is refused.

    Args:
        release: The new release.
        recorded: The answers of the project.
        data: Those that the update was given beside them.
        defaults: Whether Copier asks no question, so that an answer may also be missing.
    """
    try:
        answers = release.ask(recorded, data)
    except (TemplateError, TypeError, ValueError) as error:
        # Copier finds it, too, when the recorded answers are rewritten already.
        found = re.match(r"(?:Validation error for question|Invalid choice for) '(\w+)'", str(error))
        return [f"error: {' '.join(str(error).split())}"] if found and found[1] in data else []
    missing = release.open
    lines = [
        f"error: this release asks for {name}, which has no default: add --data '{name}=ANSWER', or update without "
        "--defaults"
        for name in missing
        if defaults and name not in recorded
    ]
    for name, old in recorded.items():
        # One that is not asked any more, because of another answer, is not in the file either.
        is_same = name not in missing and answers.get(name, old) == old
        if name in data or name.startswith("_") or is_same:
            continue
        try:
            release.ask(recorded, {**data, name: old})
        except ValueError as error:
            reason = " ".join(str(error).split()).removeprefix(f"Validation error for question '{name}': ")
            instead = "has no other" if name in missing else f"would use {json.dumps(answers[name])}"
            lines.append(
                f"error: this release does not take your answer {name}: {json.dumps(old)} any more ({reason}) and "
                f"{instead}: add --data '{name}=ANSWER' with one that it takes, or stay at {recorded['_commit']}"
            )
    return lines


if __name__ == "__main__":
    file, data, defaults = sys.argv[1:]
    recorded = migrate(yaml.safe_load(Path(file).read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as scratch:
        if lines := refused(Release(Path(scratch), file), recorded, json.loads(data), defaults=json.loads(defaults)):
            sys.exit("\n".join(lines))
