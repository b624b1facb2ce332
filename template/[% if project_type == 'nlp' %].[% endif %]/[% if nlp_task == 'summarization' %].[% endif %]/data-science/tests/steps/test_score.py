"""The scoring script on texts: requests online, files in batches, and what Azure collects."""

import importlib.util
import json

import pandas as pd
import pytest
from helpers import PACKAGE, SOURCE, module, write_archive, write_files
from samples import SETTINGS, load_schema, table

MODALITY, endpoint = module("modality").MODALITY, module("core.endpoint")


@pytest.fixture(scope="module")
def score(tmp_path_factory):
    """The script with a model, loaded as the inference server does: as a file, outside its package."""
    root = tmp_path_factory.mktemp("azureml")
    schema = load_schema(root)
    (root / "raw").mkdir()
    table(90).to_csv(root / "raw" / "texts.csv", index=False)
    examples = MODALITY.check(MODALITY.read(root / "raw", schema), schema)
    folder = root / "gists" / "1" / "model"
    folder.mkdir(parents=True)
    MODALITY.fit(examples, schema, SETTINGS["training"]).save(examples, folder)
    metadata = {module("conversion").METADATA: schema.input_columns(), module("model_output").TEXTS: True}
    module("core.champion").write_metadata(folder, metadata)
    spec = importlib.util.spec_from_file_location("entry_module", SOURCE / PACKAGE / "score.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AZUREML_MODEL_DIR", str(folder.parents[1]))
        script.init()
    return script


TEXTS = table(6, seed=7)["text"].tolist()


def request(*values):
    return json.dumps({"input_data": {"columns": ["text"], "data": [[value] for value in values]}})


def test_each_text_is_answered_with_its_summary(score, tmp_path):
    answer = score.run(request(*TEXTS))
    assert list(answer) == ["predictions"]
    assert all(summary and summary in text for summary, text in zip(answer["predictions"], TEXTS, strict=True))
    load_schema(tmp_path)
    assert endpoint.check_response(MODALITY, answer, 6, tmp_path / "schema.yml") == []
    wrong = {"predictions": [*answer["predictions"][:4], " ", 3]}
    [problem] = endpoint.check_response(MODALITY, wrong, 6, tmp_path / "schema.yml")
    assert problem == "2 of 6 predictions are no texts (such as ' ')"


@pytest.mark.parametrize("text", ["\U0001f600", "\u4f60\u597d", "\u05e9\u05dc\u05d5\u05dd\n\t", "7", "x" * 100_000])
def test_a_text_unlike_those_of_the_training_is_answered(score, text):
    assert score.run(request(text))["predictions"] == [text.strip()]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([TEXTS[0], ""], "text of row 1: it is missing or empty; write something, or leave it out"),
        (["secret\x00"], "text of row 0: it has a NUL byte"),
        (["secret " * 150_000], "text of row 0: it has 1,050,000 characters; divide or shorten it"),
    ],
)
def test_a_request_that_cannot_be_scored_is_refused_with_the_row_and_no_text(score, values, complaint):
    response = score.run(request(*values))
    assert response.status_code == 400
    message = json.loads(response.get_data())["error"]
    assert complaint in message
    assert "secret" not in message


def test_the_length_of_a_summary_is_collected_and_no_text(score, monkeypatch):
    collected = []

    class Collector:
        def collect(self, frame, context=None):
            collected.append(frame)

    monkeypatch.setattr(score, "_inputs", Collector())
    monkeypatch.setattr(score, "_outputs", Collector())
    answer = score.run(request(*TEXTS))
    inputs, outputs = collected
    assert list(inputs) == list(score.data_file.DESCRIPTIONS)
    assert outputs.to_dict("list") == {"prediction_length": [len(text) for text in answer["predictions"]]}


def test_a_batch_of_tables_text_files_and_archives_has_a_line_for_each_summary(score, tmp_path):
    pd.DataFrame({"text": TEXTS}).assign(text=[f'"{text}",\r\n{text}' for text in TEXTS]).to_csv(tmp_path / "a.csv")
    write_files(tmp_path, {"b.txt": TEXTS[0]})
    write_archive(tmp_path / "c.zip", {"2.txt": TEXTS[1], "1.txt": TEXTS[2]})
    found = score.run([str(path) for path in sorted(tmp_path.iterdir())])
    assert list(found) == ["file", "row", "prediction"]
    assert found["file"].tolist() == ["a.csv"] * 6 + ["b.txt"] + ["c.zip"] * 2
    assert not any("\n" in summary for summary in found["prediction"])
    assert found["prediction"][6] in TEXTS[0]
