"""The explanation of a table's model: one panel for the report and for metrics.json."""

import math

from helpers import module

Column, Schema = module("core.schema").Column, module("core.schema").Schema
explain = module("tabular.explain")
MAE = module("core.metrics").metric("mae", "regression")
COLUMNS = [
    Column("delay", "number", unit="minutes"),
    Column("wind", "number", description="of the airport"),
    Column("hour", "integer"),
]
SCHEMA = Schema("delay", "regression", {column.name: column for column in COLUMNS})


def test_the_panel_names_the_most_important_feature_and_lists_all_of_them():
    importance = [explain.Importance("wind", 3.2, 0.1), explain.Importance("hour", 0.0, 0.0)]
    panel = explain.panel(importance, SCHEMA, MAE)
    [figure] = panel.figures
    assert figure.caption == "The model relies most on wind: shuffling it worsens mae by 3.2 minutes."
    assert panel.table.rows == [("wind", "3.2000", "0.1000", "of the airport"), ("hour", "0.0000", "0.0000", "")]
    assert panel.records[0] == {"feature": "wind", "mean": 3.2, "deviation": 0.1}


def test_an_importance_that_is_not_a_number_is_listed_and_not_drawn():
    panel = explain.panel([explain.Importance("wind", math.nan, math.nan)], SCHEMA, MAE)
    assert panel.figures == []
    assert panel.table.rows[0][:2] == ("wind", "nan")
