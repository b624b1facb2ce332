"""The champion: what it makes of examples besides its predictions."""

from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from helpers import module
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec
from mlflow.types import Schema as Columns

champion, Examples = module("core.champion"), module("core.modality").Examples
StepError = module("core.step").StepError
Column, Schema, Split = module("core.schema").Column, module("core.schema").Schema, module("core.split").Split
HELD_OUT = Split("hash", ("id",), ("text",), "mlops", 0.4)
SCHEMA = Schema("y", "regression", {"x": Column("x", "number"), "y": Column("y", "number")})
CODE = """
import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Doubled(PythonModel):
    def predict(self, context, model_input, params=None):
        x = model_input["x"].to_numpy()
        if (params or {}).get("embedding"):
            if x.max() > 100:
                raise ValueError("too large to embed")
            return pd.DataFrame({"a": x, "b": -x})
        return 2 * x


set_model(Doubled())
"""


def register(folder, embeds=True, fingerprints=None):
    """Register a model that doubles `x`, with the fingerprints of what it was trained on."""
    parameters = ParamSchema([ParamSpec("embedding", "boolean", False)]) if embeds else None
    (folder / "code.py").write_text(CODE, encoding="utf-8")
    signature = ModelSignature(Columns([ColSpec("double", "x")]), Columns([ColSpec("double")]), parameters)
    path = folder / "saved"
    code, environment = str(folder / "code.py"), {"dependencies": []}
    mlflow.pyfunc.save_model(str(path), python_model=code, signature=signature, conda_env=environment)
    champion.write_metadata(path, {"split": HELD_OUT.document()})
    if fingerprints is not None:
        champion.write_fingerprints(path, fingerprints)
    module("register").create_version(mlflow.MlflowClient(), "doubled", path, champion.model_hash(path))


@pytest.fixture(params=[True, False])
def registered(request, folders, tmp_path):
    """Register a model that has an embedding, or none."""
    register(tmp_path, request.param)
    return request.param


class Modality(SimpleNamespace):
    """A type of data that takes columns as they are, two rows at a time; values less than 0.5 apart are alike."""

    rows_at_once = 2

    def fingerprints(self, examples):
        return examples.frame[["x"]].to_numpy()

    def alike(self, known, new):
        return (np.abs(new - known.T) < 0.5).any(axis=1)

    def inputs(self, examples, columns):
        return examples.frame[list(columns)]


def examples(values):
    return Examples(pd.DataFrame({"x": np.array(values, dtype=float)}), Path())


def meet(*values, train=None, **options):
    if train is not None:
        options["train"] = examples(train)
    return champion.meet_champion("doubled", Modality(), SCHEMA, HELD_OUT, *map(examples, values), **options)


def test_a_champion_with_an_embedding_gives_it_for_all_examples_when_it_is_asked_to(registered):
    met = meet([1, 2, 3], [4, 5], embed=True)
    assert [each.values.tolist() for each in met.predictions] == [[2, 4, 6], [8, 10]]
    expected = [[[1, -1], [2, -2], [3, -3]], [[4, -4], [5, -5]]] if registered else []
    assert [each.to_numpy().tolist() for each in met.embeddings] == expected
    assert meet([1, 2, 3]).embeddings == ()


def test_a_champion_that_cannot_embed_the_rows_is_not_compared(registered):
    met = meet([1, 200], embed=True, replace=True)
    if registered:
        assert met.predictions == met.embeddings == ()
        assert "it cannot embed these rows (too large to embed)" in met.note
    else:
        assert len(met.predictions) == 1


def test_a_champion_is_not_compared_on_copies_of_what_it_was_trained_on(folders, tmp_path):
    register(tmp_path, fingerprints=np.array([[3.2], [77.0]]))
    met = meet([1, 2, 3, 4], [3, 5], embed=True)
    assert met.unseen.tolist() == [True, True, False, True]
    assert [each.values.tolist() for each in met.predictions] == [[2, 4, 8], [6, 10]]
    assert [len(each) for each in met.embeddings] == [3, 2]
    assert met.note == "champion v1 was trained on copies of 1 of the 4 held-out rows, so it is compared on the other 3"


def test_a_champion_that_was_trained_on_other_examples_is_compared_on_all(folders, tmp_path):
    register(tmp_path, fingerprints=np.array([[30.0], [77.0]]))
    met = meet([1, 2, 3, 4])
    assert (met.unseen, met.note, met.predictions[0].values.tolist()) == (None, "", [2, 4, 6, 8])


def test_a_champion_that_was_trained_on_nearly_all_held_out_rows_is_not_compared(folders, tmp_path):
    register(tmp_path, fingerprints=np.array([[1.0], [2.0], [3.0]]))
    with pytest.raises(StepError, match="trained on copies of 3 of the 4 held-out rows, and the other 1 are too few"):
        meet([1, 2, 3, 4])
    met = meet([1, 2, 3, 4], replace=True)
    assert (met.predictions, met.unseen) == ((), None)


@pytest.mark.parametrize(
    ("known", "train", "strange"),
    [
        ([30, 77], [50, 60, 70], True),
        ([30, 77], [50, 60, 77.2], False),
        # The one that is there is not among those that are looked at first.
        ([*range(1000, 3000), 77], [50, 77], False),
        ([*range(1000, 3000), 77], [50, 78], True),
        ([], [50], False),
        ([30], [], False),
        ([3], [50], False),
    ],
)
def test_a_champion_whose_training_data_are_all_gone_may_know_the_held_out_ones_in_another_form(
    folders, tmp_path, known, train, strange
):
    register(tmp_path, fingerprints=np.array(known, dtype=float).reshape(-1, 1))
    met = meet([1, 2, 3, 4], train=train)
    assert ("none of the training examples of champion v1 is found again in the data" in met.note) is strange
    assert len(met.predictions) == 1
    assert "found again" not in meet([1, 2, 3, 4]).note


def test_a_champion_whose_fingerprints_are_of_another_kind_is_not_compared(folders, tmp_path):
    register(tmp_path, fingerprints=np.array([[1.0, 2.0]]))
    assert "training examples were recorded in another way" in meet([1, 2, 3, 4], replace=True).note


def test_damaged_fingerprints_are_one_line(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(champion, "write_fingerprints", lambda path, _: (path / champion.FINGERPRINTS).write_bytes(b""))
    register(tmp_path, fingerprints=np.array([[1.0]]))
    assert "its fingerprints.npy cannot be read" in meet([1, 2, 3, 4], replace=True).note


def test_fingerprints_are_part_of_the_hash_of_a_model_and_none_are_written_where_nothing_is_recognised(tmp_path):
    (tmp_path / "MLmodel").write_text("", encoding="utf-8")
    before = champion.model_hash(tmp_path)
    champion.write_fingerprints(tmp_path, np.empty((5, 0)))
    assert champion.model_hash(tmp_path) == before
    champion.write_fingerprints(tmp_path, np.zeros((5, 1)))
    assert champion.model_hash(tmp_path) != before
