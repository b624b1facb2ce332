"""The section `tuning`: what is wrong with it, its form in Azure ML, candidates as texts."""

import math

import numpy as np
import pytest
import yaml
from helpers import REGRESSION, module, write_schema

tuning = module("core.tuning")
settings_module = module("core.settings")
metric = module("core.metrics").metric
StepError = module("core.step").StepError

SPACE = {
    "rate": {"from": 0.01, "to": 0.3, "log": True},
    "rounds": {"from": 5, "to": 50},
    "order": ["first", "last", None],
    "augment.noise": [0, 0.1],
}
SECTION = {
    "trials": 12,
    "minutes": 1.5,
    "folds": 3,
    "sampling": "random",
    "early_termination": "median_stopping",
    "concurrent_trials": 20,
    "space": SPACE,
}


def settings(**changes):
    return {
        "training": {"test_size": 0.2, "seed": 13, "hyperparameters": {"rate": 0.1, "rounds": 20}},
        "evaluation": {"metric": "mae"},
        "tuning": {key: value for key, value in {**SECTION, **changes}.items() if value is not ...},
    }


def check_hyperparameters(given, schema):
    known = {"rate": (0, 0.5), "rounds": (1, 40), "order": None, "augment": None, "width": None}
    found = [f"training.hyperparameters.{name}: unknown; the nearest is rate" for name in given if name not in known]
    return found + [
        f"training.hyperparameters.{name}: {given[name]} must be a number between {limits[0]} and {limits[1]}"
        for name, limits in known.items()
        if limits and name in given and not limits[0] <= given[name] <= limits[1]
    ]


def problems(folder, **changes):
    return tuning.problems(settings(**changes), write_schema(REGRESSION, folder), check_hyperparameters)


# What is wrong with it


def test_the_section_may_be_left_out_and_what_fits_has_no_problem(tmp_path):
    inside = {**SPACE, "rounds": {"from": 5, "to": 40}}
    assert problems(tmp_path, space=inside) == []
    schema = write_schema(REGRESSION, tmp_path)
    assert tuning.problems({}, schema, check_hyperparameters) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"trials": 0}, "tuning.trials: 0 must be a number between 1 and"),
        ({"folds": 2.5}, "tuning.folds: 2.5 must be an integer"),
        ({"sampling": "halton"}, "tuning.sampling: 'halton' is unknown; choose one of random, sobol, grid, bayesian"),
        ({"trails": 3}, "tuning.trails: unknown; the nearest is trials"),
        ({"space": ...}, "tuning.space: missing; name what is to be searched"),
        ({"space": {"rate": 0.1}}, "tuning.space.rate: give a range, such as {from: 1, to: 9}, or a list"),
        ({"space": {"rate": [0.1]}}, "tuning.space.rate: give a range"),
        ({"space": {"rate": [0.1, 0.1]}}, "tuning.space.rate: a value is there twice"),
        ({"space": {"rate": {"from": 0.1}}}, "tuning.space.rate: to must be a number, not None"),
        ({"space": {"rate": {"from": "1e-3", "to": 1}}}, "from must be a number, not '1e-3'; YAML takes it for a text"),
        ({"space": {"rate": {"from": 0.2, "to": 0.1}}}, "tuning.space.rate: the range is empty, from 0.2 to 0.1"),
        (
            {"space": {"rate": {"from": 0, "to": 0.1, "log": True}}},
            "tuning.space.rate: a logarithmic range cannot begin at 0; begin it above 0",
        ),
        ({"space": {"rate": {"from": 0.1, "to": 0.2, "lag": True}}}, "tuning.space.rate: a range: unknown key 'lag'"),
        ({"space": {"order": ["a b", "c"]}}, "tuning.space.order: 'a b' may have letters, digits"),
        ({"space": {"order": ["a", "$(c)"]}}, "tuning.space.order: '$(c)' may have letters, digits"),
        ({"space": {"order": [{"a": 1}, "c"]}}, "tuning.space.order: {'a': 1} is neither number, text"),
        ({"space": {"rats": [0.1, 0.2]}}, "tuning.space.rats: unknown; the nearest is rate"),
        ({"space": {"rate": {"from": 0.1, "to": 0.7}}}, "tuning.space.rate: 0.7 must be a number between 0 and 0.5"),
        ({"space": {"rate": [0.1, 0.6, 0.2]}}, "tuning.space.rate: 0.6 must be a number between 0 and 0.5"),
        ({"sampling": "grid", "space": {"rate": {"from": 0.1, "to": 0.2}}}, "tuning.space.rate: a grid has no ranges"),
        (
            {"sampling": "bayesian", "early_termination": "none"},
            "tuning.space.rate: bayesian sampling of Azure ML has no logarithmic range; leave out log",
        ),
        (
            {"sampling": "bayesian", "space": {"order": ["first", "last"]}},
            "tuning.early_termination: Azure ML has none with bayesian sampling",
        ),
        ({"early_termination": "mean"}, "tuning.early_termination: 'mean' is unknown; choose one of none, median"),
        ({"early_termination": {"type": "bandit"}}, "tuning.early_termination: a bandit needs either slack_factor"),
        (
            {"early_termination": {"type": "bandit", "slack_factor": 0.1, "slack_amount": 1}},
            "tuning.early_termination: a bandit needs either slack_factor",
        ),
        (
            {"early_termination": {"type": "median_stopping", "slack_factor": 0.1}},
            "tuning.early_termination.slack_factor: unknown; known are type, evaluation_interval, delay_evaluation",
        ),
    ],
)
def test_one_mistake_is_one_line_that_names_the_key(tmp_path, changes, complaint):
    inside = {name: kind for name, kind in SPACE.items() if name != "rounds"}
    [line] = problems(tmp_path, **{"space": inside, **changes})
    assert complaint in line


def test_a_section_of_another_form_is_one_line(tmp_path):
    schema = write_schema(REGRESSION, tmp_path)
    assert tuning.problems({"tuning": 12}, schema, check_hyperparameters) == ["tuning: must be `name: value` lines"]


def test_what_is_wrong_with_the_hyperparameters_themselves_is_not_said_of_the_space(tmp_path):
    wrong = settings(space={"order": ["first", "last"]})
    wrong["training"]["hyperparameters"]["rate"] = 7
    assert tuning.problems(wrong, write_schema(REGRESSION, tmp_path), check_hyperparameters) == []


def test_without_the_section_a_search_names_the_remedy():
    with pytest.raises(StepError, match="tuning: the settings have no such section; add one, with `space:`"):
        tuning.Tuning.from_settings({})


# Azure ML


def test_a_search_in_the_terms_of_azure_ml():
    found = tuning.sweep(settings())
    assert found["search_space"] == {
        "rate": {"type": "loguniform", "min_value": math.log(0.01), "max_value": math.log(0.3)},
        "rounds": {"type": "quniform", "min_value": 5, "max_value": 50, "q": 1},
        "order": {"type": "choice", "values": ["first", "last", "null"]},
        "augment__noise": {"type": "choice", "values": [0, 0.1]},
    }
    assert found["objective"] == {"goal": "minimize", "primary_metric": "validation_mae"}
    assert found["sampling_algorithm"] == {"type": "random", "rule": "random", "seed": 13}
    assert found["early_termination"] == {"type": "median_stopping", "evaluation_interval": 1, "delay_evaluation": 0}
    assert found["limits"] == {"max_total_trials": 12, "max_concurrent_trials": 12, "timeout": 90}
    assert found["inputs"] == {"rate": "number", "rounds": "number", "order": "string", "augment__noise": "number"}
    assert found["candidate"].split()[-1] == "augment.noise=${{inputs.augment__noise}}"


def test_the_other_samplings_and_policies_in_the_terms_of_azure_ml():
    bandit = {"type": "bandit", "slack_factor": 0.1, "delay_evaluation": 2}
    changed = settings(sampling="sobol", early_termination=bandit, minutes=None)
    changed["evaluation"]["metric"] = "r2"
    found = tuning.sweep(changed)
    assert found["sampling_algorithm"] == {"type": "random", "rule": "sobol", "seed": 13}
    assert found["early_termination"] == {**bandit, "evaluation_interval": 1}
    assert found["objective"]["goal"] == "maximize"
    assert "timeout" not in found["limits"]
    never = tuning.sweep(settings(sampling="grid", early_termination="none", space={"order": ["first", "last"]}))
    assert (never["sampling_algorithm"], never["early_termination"]) == ("grid", None)


# Candidates


def test_the_texts_of_a_candidate_get_the_types_of_the_space():
    read = tuning.Tuning.from_settings(settings()).read_candidate
    words = "rate=0.0523412345 rounds=12.0 order=null augment.noise=0.1"
    assert read(words) == {"rate": 0.05234, "rounds": 12, "order": None, "augment.noise": 0.1}
    assert type(read("rounds=12.0")["rounds"]) is int
    assert read("augment.noise=0.0") == {"augment.noise": 0}
    booleans = tuning.Tuning.from_settings(settings(space={"deep": [True, False], "pair": [[1, 2], [1, 4]]}))
    assert booleans.read_candidate("deep=false pair=[1,4]") == {"deep": False, "pair": [1, 4]}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("rate", "--candidate: 'rate': write it as name=value"),
        ("rats=1", "--candidate: rats: unknown; the nearest is rate"),
        ("rate=much", "--candidate: rate: 'much' is not one of 0.01 to 0.3, logarithmic"),
        ("rounds=nan", "--candidate: rounds: 'nan' is not one of 5 to 50"),
        ("order=middle", "--candidate: order: 'middle' is not one of first, last, null"),
    ],
)
def test_a_wrong_candidate_is_one_line(words, complaint):
    with pytest.raises(StepError, match=complaint.replace("(", r"\(")):
        tuning.Tuning.from_settings(settings()).read_candidate(words)


VALUES = [0.1, 1e-05, 1e22, 3, -2.0, True, False, None, "first", "true", "1e-3", [1, 2.5, "x"]]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_the_same_after_a_way_through_the_overrides(tmp_path, value):
    path = tmp_path / "model.yml"
    path.write_text(yaml.safe_dump(settings()), encoding="utf-8")
    text = tuning.overrides({"best": {"hyperparameters": {"rate": value, "augment.noise": value}}})
    assert len(text.split()) == 2
    read = settings_module.read_settings(path, text)["training"]["hyperparameters"]
    assert read == {"rate": value, "rounds": 20, "augment": {"noise": value}}
    assert type(read["rate"]) is type(value)


def test_a_candidate_replaces_values_within_others_and_changes_no_settings():
    own = {"rate": 0.1, "augment": {"noise": 0.1, "flip": True}, "deep": None}
    found = tuning.merged(own, {"rate": 0.2, "augment.noise": 0.3, "deep.width": 4})
    assert found == {"rate": 0.2, "augment": {"noise": 0.3, "flip": True}, "deep": {"width": 4}}
    assert own == {"rate": 0.1, "augment": {"noise": 0.1, "flip": True}, "deep": None}
    assert tuning.flat(found) == {"rate": 0.2, "augment.noise": 0.3, "augment.flip": True, "deep.width": 4}


# Early termination


def gives_up(kind, mean, others, fold=1, name="mae", task="regression"):
    policy = tuning.Tuning.from_settings(settings(early_termination=kind)).early_termination
    return policy.gives_up(metric(name, task), fold, mean, others)


def test_below_the_median_of_enough_others_a_candidate_is_given_up():
    assert gives_up("median_stopping", 3.5, [1, 2, 3, 4])
    assert not gives_up("median_stopping", 2.5, [1, 2, 3, 4])
    assert not gives_up("median_stopping", 9, [1, 2, 3])
    assert not gives_up("none", 9, [1, 2, 3, 4])
    assert gives_up("median_stopping", 0.2, [0.1, 0.5, 0.7, 0.9], name="r2")


def test_a_bandit_gives_up_what_is_farther_from_the_best_than_the_slack():
    factor, amount = {"type": "bandit", "slack_factor": 0.1}, {"type": "bandit", "slack_amount": 2}
    assert [gives_up(factor, mean, [10.0, 20.0]) for mean in (10.9, 11.1)] == [False, True]
    assert [gives_up(amount, mean, [10.0, 20.0]) for mean in (11.9, 12.1)] == [False, True]
    assert [gives_up(factor, mean, [0.5, 0.88], name="r2") for mean in (0.81, 0.79)] == [False, True]
    assert not gives_up(factor, 99, [])


def test_early_termination_looks_at_some_folds_only():
    policy = {"type": "median_stopping", "evaluation_interval": 2, "delay_evaluation": 3}
    assert [gives_up(policy, 9, [1, 2, 3, 4], fold) for fold in range(1, 7)] == list(
        np.array([0, 0, 0, 1, 0, 1], dtype=bool)
    )
