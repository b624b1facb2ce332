"""Data sets that are not those of the template, put into a project by schema and settings, as its documents say."""

import csv
import importlib.resources
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

PENGUINS_SCHEMA: dict[str, Any] = {
    "target": "species",
    "task": "classification",
    "columns": {
        "species": {"type": "category", "values": ["Adelie", "Chinstrap", "Gentoo"]},
        "island": {"type": "category"},
        "bill_length_mm": {"type": "number", "minimum": 20, "maximum": 80, "unit": "mm", "missing": 0.05},
        "bill_depth_mm": {"type": "number", "minimum": 5, "maximum": 40, "unit": "mm", "missing": 0.05},
        "flipper_length_mm": {"type": "number", "minimum": 100, "maximum": 300, "unit": "mm", "missing": 0.05},
        "body_mass_g": {"type": "number", "minimum": 1000, "maximum": 9000, "unit": "g", "missing": 0.05},
        "sex": {"type": "category", "missing": 0.1},
        "year": {"type": "integer", "role": "ignore"},
    },
}


def set_schema(project: Path, schema: dict[str, Any]) -> None:
    """Replace data/schema.yml."""
    (project / "data" / "schema.yml").write_text(yaml.safe_dump(schema, sort_keys=False), encoding="utf-8")


def change_settings(project: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change config/model.yml."""
    path = project / "config" / "model.yml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(settings)
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def empty_folder(project: Path, part: str) -> Path:
    """Delete the data of a folder."""
    folder = project / "data" / part
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


def use_penguins(project: Path) -> None:
    """Tables: three species of penguins; no other file differs without Responsible AI."""
    raw, production = (empty_folder(project, part) for part in ("raw", "production"))
    table = importlib.resources.files("palmerpenguins") / "data" / "penguins.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    (raw / "penguins.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (production / "penguins.csv").write_text("\n".join(lines[:1] + lines[-120:]), encoding="utf-8")
    set_schema(project, PENGUINS_SCHEMA)

    def change(settings: dict[str, Any]) -> None:
        settings["evaluation"] |= {"metric": "balanced_accuracy", "baselines": ["most_frequent"], "slices": ["island"]}
        settings["training"]["hyperparameters"]["loss"] = "log_loss"
        del settings["training"]["offset"]
        settings["promotion"]["floor"] = 0.9
        if "responsible_ai" in settings:
            settings["fairness"] = {"cohorts": ["island", "sex"], "worst": 0.8, "minimum_rows": 10}
            settings["responsible_ai"] |= {"train_rows": 200, "test_rows": 10}
            _adapt_responsible_ai(project / "mlops" / "aml-cli-v2" / "pipeline.yml")

    change_settings(project, change)


def _adapt_responsible_ai(path: Path) -> None:
    """Edit what `mlops lint` then names: the components of Azure ML's registry take columns and task as inputs."""
    pipeline = yaml.safe_load(path.read_text(encoding="utf-8"))
    pipeline["inputs"] |= {"target": "species", "task_type": "classification", "categories": '["island", "sex"]'}
    pipeline["inputs"] |= {"features_to_vary": '["bill_length_mm", "flipper_length_mm"]'}
    pipeline["jobs"]["what_if"]["inputs"] |= {"desired_class": "2"}
    # The components for causes and the score card take two classes at most.
    del pipeline["jobs"]["causes"], pipeline["inputs"]["treatments"], pipeline["jobs"]["gather"]["inputs"]["insight_4"]
    del pipeline["jobs"]["score_card"], pipeline["outputs"]["score_card"]
    del pipeline["jobs"]["what_if"]["inputs"]["desired_range"], pipeline["inputs"]["desired_range"]
    path.write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")


SIDE = 64


def picture(place: int, choice: random.Random) -> bytes:
    """Return a PNG file of dim patches, in which one of 20 places, four in a row, is bright."""
    lines = []
    for row in range(5):
        bright = [120 * (place == 4 * row + column) for column in range(4)]
        patches = [[choice.randrange(20, 120) + more for _ in range(3)] for more in bright]
        height = SIDE * (row + 1) // 5 - SIDE * row // 5
        for _ in range(height):
            noisy = (bytes(value + choice.randrange(-10, 10) for value in patch) for patch in patches)
            lines.append(b"\0" + b"".join(pixel * (SIDE // 4) for pixel in noisy))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", SIDE, SIDE, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


IMAGES_SCHEMA = {
    "target": "place",
    "task": "classification",
    "columns": {"image": {"type": "text"}, "place": {"type": "category"}},
}


def use_images(project: Path) -> None:
    """Images: 20 classes of pictures in colour, in folders of their names."""
    for part, each, seed in (("raw", 18, 1), ("production", 10, 2)):
        choice = random.Random(seed)
        with zipfile.ZipFile(empty_folder(project, part) / "own.zip", "w") as archive:
            for place in range(20):
                for number in range(each):
                    archive.writestr(f"place {place:02}/{number}.png", picture(place, choice))
    set_schema(project, IMAGES_SCHEMA)
    change_settings(
        project, lambda settings: settings["evaluation"].update(baselines=["most_frequent"], slices=["brightness"])
    )


WORDS = {
    "sports": "match goal team player coach season league score stadium referee",
    "cooking": "oven flour butter recipe sauce onion garlic simmer taste plate",
    "travel": "train hotel ticket border luggage island harbour guide museum flight",
}
COMMON = "the a new old first last very good many few long short today often never"


def sentence(choice: random.Random, words: str) -> str:
    """Return a sentence with some words of a topic, and others."""
    chosen = [*choice.choices(words.split(), k=4), *choice.choices(COMMON.split(), k=5)]
    choice.shuffle(chosen)
    return " ".join(chosen).capitalize() + "."


def write_table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    """Write a table as csv."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def use_texts(project: Path) -> None:
    """Texts: three topics of notes."""
    for part, count, seed in (("raw", 240, 1), ("production", 60, 2)):
        choice, topics = random.Random(seed), list(WORDS)
        rows = []
        for number in range(count):
            topic = topics[number % len(topics)]
            rows.append([" ".join(sentence(choice, WORDS[topic]) for _ in range(3)), topic])
        write_table(empty_folder(project, part) / "notes.csv", ["text", "subject"], rows)
    columns = {"text": {"type": "text"}, "subject": {"type": "category", "values": list(WORDS)}}
    set_schema(project, {"target": "subject", "task": "classification", "columns": columns})
    change_settings(project, lambda settings: settings["evaluation"].update(slices=["words"]))


def use_summaries(project: Path) -> None:
    """Texts with summaries: a headline that is one of the later sentences, which has words of its own."""
    for part, count, seed in (("raw", 240, 1), ("production", 60, 2)):
        choice, rows = random.Random(seed), []
        for _ in range(count):
            sentences = [sentence(choice, WORDS["travel"]) for _ in range(5)]
            place = choice.randrange(1, 5)
            sentences[place] = sentence(choice, WORDS["sports"])
            rows.append([" ".join(sentences), sentences[place].removesuffix(".")])
        write_table(empty_folder(project, part) / "articles.csv", ["text", "headline"], rows)
    columns = {"text": {"type": "text"}, "headline": {"type": "text"}}
    set_schema(project, {"target": "headline", "task": "summarization", "columns": columns})
    change_settings(project, lambda settings: settings["evaluation"].update(slices=["words"]))


# ----------------------------------------------------------------------------------------------------------------------
# The examples in the files of a project with tables, as docs/model.md says.


def package_file(project: Path, name: str) -> Path:
    """A file of the project's package."""
    [path] = (project / "data-science" / "src").glob(f"*/{name}")
    return path


def uncomment(path: Path, first: str, last: str) -> str:
    """Remove the comment signs of the lines from one to another; give these lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    signs = [line.removeprefix("# ") if line.startswith("#") else line.replace("    # ", "    ", 1) for line in lines]
    start = next(place for place, line in enumerate(signs) if line.startswith(first) and line != lines[place])
    end = next(place for place, line in enumerate(signs[start:], start) if line.startswith(last))
    block = ["" if line == "#" else line for line in signs[start : end + 1]]
    path.write_text("\n".join([*lines[:start], *block, *lines[end + 1 :]]) + "\n", encoding="utf-8")
    return "\n".join(block)


def use_features(project: Path) -> str:
    """Let features.py make what its example does; give the lines."""
    code = package_file(project, "features.py")
    lines = uncomment(code, "    day = ", "    )")
    code.write_text(code.read_text(encoding="utf-8").replace("    )\n    return frame\n", "    )\n"), encoding="utf-8")
    schema = project / "data" / "schema.yml"
    uncomment(schema, "features:", "  tail_digits:")
    text = schema.read_text(encoding="utf-8")
    for column in ("date: {type: date", "tailnum: {type: text"):
        assert f"  {column}, role: ignore," in text
        text = text.replace(f"  {column}, role: ignore,", f"  {column}, role: input,")
    schema.write_text(text, encoding="utf-8")
    return lines


def use_ridge(project: Path) -> None:
    """Another model of tables, which the project has."""
    chosen = {"model": "ridge", "alpha": 10.0}
    change_settings(project, lambda settings: settings["training"].update(hyperparameters=chosen))


EXTRA_TREES = '''

from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor  # noqa: E402


def extra_trees() -> Model:
    """Random trees."""
    return Model(ExtraTreesRegressor, ExtraTreesClassifier, indicators, defaults={"n_estimators": 30})


MODELS = {**MODELS, "extra_trees": extra_trees}
'''


def use_extra_trees(project: Path) -> None:
    """A model of tables that a user adds."""
    path = package_file(project, "models.py")
    path.write_text(path.read_text(encoding="utf-8") + EXTRA_TREES, encoding="utf-8")

    def choose(settings: dict[str, Any]) -> None:
        settings["training"]["hyperparameters"] = {"model": "extra_trees", "min_samples_leaf": 3}
        settings["tuning"]["space"]["extra_trees"] = {"min_samples_leaf": [1, 3, 9]}

    change_settings(project, choose)
