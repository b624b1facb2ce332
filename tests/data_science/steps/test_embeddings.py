"""Drift by embedding: what a model sees in the rows joins the comparison, in evaluate and in drift."""

import json
from contextlib import suppress
from itertools import count

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import module

champion, drift, evaluate = module("core.champion"), module("drift"), module("evaluate")


@pytest.fixture
def project(trained):
    """The small project after a training, with a champion, and with its raw data as what arrived later."""
    settings = yaml.safe_load(trained.settings.read_text(encoding="utf-8"))
    settings["drift"] = {"numerical": {"normalized_wasserstein_distance": 0.2}}
    trained.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    sha256 = champion.model_hash(trained.model)
    module("register").create_version(mlflow.MlflowClient(), "a-model", trained.model, sha256)
    return trained


def run_evaluate(project):
    evaluate.main(
        [
            *project.arguments("model", "train-data", "test-data", "schema", "settings", "evaluation"),
            *("--model-name", "a-model", "--production-data", str(project.raw)),
        ]
    )
    return project.evaluation / "drift.json"


def run_drift(project):
    output = project.raw.parent / "drift"
    options = project.arguments("train-data", "test-data", "schema", "settings")
    production = ["--production-data", str(project.raw)]
    with suppress(SystemExit):  # the step fails where something drifted
        drift.main([*options, *production, "--model-name", "a-model", "--drift", str(output)])
    return output / "drift.json"


def embed(monkeypatch, moved):
    """Let any model have an embedding of two components, or none."""
    random, calls = np.random.default_rng(0), count()

    def embeddings(model, modality, examples):
        # The held-out rows come first, then the production rows.
        if moved is None:
            return None
        values = random.normal([0, moved * next(calls)], size=(200, 2))
        return pd.DataFrame(values, columns=["embedding 1", "embedding 2"])

    for each in (evaluate, champion):
        monkeypatch.setattr(each, "model_embeddings", embeddings)


@pytest.mark.parametrize("step", [run_evaluate, run_drift])
def test_what_moved_in_the_embedding_between_held_out_and_production_rows_has_drifted(project, monkeypatch, step):
    for moved, drifted in ((0, []), (2, ["embedding 2"])):
        embed(monkeypatch, moved)
        found = json.loads(step(project).read_text(encoding="utf-8"))
        assert [each for each in found["drifted"] if each.startswith("embedding")] == drifted
        assert {"embedding 1", "embedding 2"} <= {each["feature"] for each in found["results"]}
    embed(monkeypatch, None)
    found = json.loads(step(project).read_text(encoding="utf-8"))
    assert found["results"]
    assert not [each for each in found["results"] if each["feature"].startswith("embedding")]
