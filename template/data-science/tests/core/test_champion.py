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


@pytest.fixture(params=[True, False])
def registered(request, folders, tmp_path):
    """Register a model that has an embedding, or none."""
    parameters = ParamSchema([ParamSpec("embedding", "boolean", False)]) if request.param else None
    (tmp_path / "code.py").write_text(CODE, encoding="utf-8")
    signature = ModelSignature(Columns([ColSpec("double", "x")]), Columns([ColSpec("double")]), parameters)
    path = tmp_path / "saved"
    code, environment = str(tmp_path / "code.py"), {"dependencies": []}
    mlflow.pyfunc.save_model(str(path), python_model=code, signature=signature, conda_env=environment)
    champion.write_metadata(path, {"split": HELD_OUT.document()})
    module("register").create_version(mlflow.MlflowClient(), "doubled", path, champion.model_hash(path))
    return request.param


class Modality(SimpleNamespace):
    """A type of data that takes columns as they are, two rows at a time."""

    rows_at_once = 2

    def inputs(self, examples, columns):
        return examples.frame[list(columns)]


def meet(*values, **options):
    frames = [Examples(pd.DataFrame({"x": np.array(each, dtype=float)}), Path()) for each in values]
    return champion.meet_champion("doubled", Modality(), SCHEMA, HELD_OUT, *frames, **options)


def test_a_champion_with_an_embedding_gives_it_for_all_examples_when_it_is_asked_to(registered):
    met = meet([1, 2, 3], [4, 5], embed=True)
    assert [each.values.tolist() for each in met.predictions] == [[2, 4, 6], [8, 10]]
    expected = [[[1, -1], [2, -2], [3, -3]], [[4, -4], [5, -5]]] if registered else []
    assert [each.tolist() for each in met.embeddings] == expected
    assert meet([1, 2, 3]).embeddings == ()


def test_a_champion_that_cannot_embed_the_rows_is_not_compared(registered):
    met = meet([1, 200], embed=True, replace=True)
    if registered:
        assert met.predictions == met.embeddings == ()
        assert "it cannot embed these rows (too large to embed)" in met.note
    else:
        assert len(met.predictions) == 1
