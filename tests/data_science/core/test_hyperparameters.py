"""The rules of hyperparameters, which every type of data can declare."""

import pytest
from helpers import module

hyperparameters = module("core.hyperparameters")
RULES = {
    "rate": hyperparameters.number(1e-6, 1.0),
    "rounds": hyperparameters.integer(1, 100),
    "order": hyperparameters.choice("first", "last"),
    "noisy": hyperparameters.boolean,
    "noise": {"share": hyperparameters.number(0.0, float("inf"))},
}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"rates": 0.1}, "rates: unknown; the nearest is rate, and known are rate, rounds, order, noisy, noise"),
        ({7: 0.1}, "7: unknown; known are rate, rounds, order, noisy, noise"),
        ({"rate": 2}, "rate: 2 must be a number between 1e-06 and 1"),
        ({"rate": True}, "rate: True must be a number between"),
        ({"rate": float("nan")}, "rate: nan must be a number between"),
        ({"rate": "1e-3"}, "rate: '1e-3' must be a number between 1e-06 and 1; YAML takes it for a text, write 1.0e-3"),
        (
            {"rate": "2.5E3"},
            "rate: '2.5E3' must be a number between 1e-06 and 1; YAML takes it for a text, write 2.5e+3",
        ),
        ({"rate": "high"}, "rate: 'high' must be a number between 1e-06 and 1"),
        ({"rounds": 1.0}, "rounds: 1.0 must be an integer"),
        ({"rounds": 101}, "rounds: 101 must be a number between 1 and 100"),
        ({"order": ["last"]}, "order: ['last'] is unknown; choose one of first, last"),
        ({"noisy": "no"}, "noisy: 'no' must be true or false"),
        ({"noise": 0.1}, "noise: must be `name: value` lines"),
        ({"noise": {"shares": 1}}, "noise.shares: unknown; the nearest is share, and known are share"),
        ({"noise": {"share": -1}}, "noise.share: -1 must be a number of 0 or more"),
    ],
)
def test_one_mistake_is_one_line_that_names_the_key(given, line):
    [found] = hyperparameters.problems(given, RULES)
    assert found == f"training.hyperparameters.{line}" or found.startswith(f"training.hyperparameters.{line} ")


def test_all_mistakes_are_named_at_once_and_what_is_left_out_is_none():
    given = {"rate": "high", "rounds": None, "order": "middle", "noise": {"share": None, "kind": 1}}
    names = [line.split(": ")[0] for line in hyperparameters.problems(given, RULES, "search.space")]
    assert names == ["search.space.rate", "search.space.order", "search.space.noise.kind"]
    assert hyperparameters.problems({"rate": 1, "rounds": 100, "noisy": False, "noise": {"share": 9}}, RULES) == []
