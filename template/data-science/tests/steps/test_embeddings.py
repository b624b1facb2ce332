"""Drift by embedding: what a model sees in the rows joins the comparison, in evaluate and in drift."""

import json
from itertools import count

import mlflow
import numpy as np
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
    try:
        drift.main([*options, *production, "--model-name", "a-model", "--drift", str(output)])
    except SystemExit:  # something drifted
        pass
    return output / "drift.json"


@pytest.mark.parametrize("step", [run_evaluate, run_drift])
@pytest.mark.parametrize(("moved", "expected"), [(0, []), (2, ["embedding 2"])])
def test_a_component_that_moved_between_held_out_and_production_rows_has_drifted(
    project, monkeypatch, step, moved, expected
):
    random, calls = np.random.default_rng(0), count()

    def embeddings(model, modality, examples):
        # The held-out rows come first, then the production rows.
        return random.normal(size=(200, 2)) + [0, moved * next(calls)]

    for each in (evaluate, champion):
        monkeypatch.setattr(each, "model_embeddings", embeddings)
    found = json.loads(step(project).read_text(encoding="utf-8"))
    assert [each for each in found["drifted"] if each.startswith("embedding")] == expected
    assert {"embedding 1", "embedding 2"} <= {each["feature"] for each in found["results"]}


@pytest.mark.parametrize("step", [run_evaluate, run_drift])
def test_a_model_without_an_embedding_is_compared_by_its_columns_and_predictions(project, monkeypatch, step):
    for each in (evaluate, champion):
        monkeypatch.setattr(each, "model_embeddings", lambda model, modality, examples: None)
    found = json.loads(step(project).read_text(encoding="utf-8"))
    assert found["results"]
    assert not [each for each in found["results"] if each["feature"].startswith("embedding")]
