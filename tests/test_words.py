"""The field's own words: phrases that a reader does not expect or search for do not come back into text or names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

AREAS = ("README.md", "copier.yml", "docs", "extensions", "migrations", "template", "tests", "benchmarks")
NO_TEXT = {".csv", ".pyc", ".zip"}
BETWEEN = r"[\s#/_]"  # what separates the words of a phrase
# Phrase -> what to write instead.
PHRASES = {
    r"(some|every)body|nobody|whoever": "the role: the owner of the workspace, the caller, no user",
    r"shall": "should, must",
    r"for ever": "forever",
    r"cure[sd]?": "remedy",
    r"(?-i:Patient)": "what is checked: the environment",
    r"whole numbers?": "integer",
    r"no numbers?": "NaN, not a number, not numeric",
    r"truth values?": "boolean",
    r"sound predictions?": "valid prediction",
    r"leans? on": "depends on",
    r"surely": "in any case",
    r"fear(s|ed)?": "risk, expect",
    r"faults?": "error, finding, mistake",
    r"wish(es|ed)?": "desired, requested",
    r"reports? its use": "sends telemetry",
    r"tells? of": "describes, reports",
    r"ends? well": "succeeds, finds no error",
}


def texts() -> Iterator[tuple[str, str]]:
    """Each file and its text, but for this one, which lists the phrases."""
    for area in AREAS:
        for path in sorted([*(ROOT / area).rglob("*")] or [ROOT / area]):
            if path.is_file() and path.suffix not in NO_TEXT and path.name != Path(__file__).name:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def found(phrase: str, text: str) -> Iterator[tuple[int, str]]:
    """Each place of a phrase by line, also where it goes on in the next line of a comment, and in a name."""
    pattern = rf"(?<![a-z])({phrase})(?![a-z])".replace(" ", rf"{BETWEEN}+")
    for place in re.finditer(pattern, text, re.IGNORECASE):
        yield text.count("\n", 0, place.start()) + 1, " ".join(re.split(rf"{BETWEEN}+", place[0]))


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_text_uses_the_words_of_the_field(phrase: str) -> None:
    lines = [
        f"{name}:{line}: {words!r}, better: {PHRASES[phrase]}"
        for name, text in texts()
        for line, words in found(phrase, text)
    ]
    assert not lines, "\n".join(lines)


def test_a_phrase_is_found_in_any_case_and_across_lines_but_not_inside_a_word() -> None:
    text = "# Secured. Whole\n# numbers, and\n  // no\n  // number.\nthe_cure = no_number"
    assert list(found("whole numbers?", text)) == [(1, "Whole numbers")]
    assert list(found("no numbers?", text)) == [(3, "no number"), (5, "no number")]
    assert list(found("cure[sd]?", text)) == [(5, "cure")]
