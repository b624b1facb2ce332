"""Numbers as people read them."""

import pytest
from helpers import module

number = module("core.panels").number


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.3456, "12.35"), (0.00012345, "0.0001234"), (-8.8e-05, "-0.0001"), (123456.7, "123,457"), (None, "-")],
)
def test_numbers_are_written_with_four_significant_digits(value, text):
    assert number(value) == text
