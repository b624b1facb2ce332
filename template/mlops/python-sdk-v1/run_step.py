"""Starts a step in Azure ML: `python run_step.py MODULE [--option VALUE] ...` does what `python -m MODULE ...` does.

SDK v1 starts files, not modules of a package. It has no optional parameters either, and refuses an empty string as a
value (Azure/MachineLearningNotebooks#668): an option whose value is the word `none` is left out here.
"""

import runpy
import sys
from pathlib import Path

CODE = Path(__file__).resolve().parents[2] / "data-science" / "src"
NO_VALUE = "none"


def options_with_value(options: list[str]) -> list[str]:
    """Return the options that have a value."""
    pairs = zip(options[::2], options[1::2], strict=True)
    return [word for option, value in pairs if value != NO_VALUE for word in (option, value)]


if __name__ == "__main__":
    module, options = sys.argv[1], sys.argv[2:]
    sys.argv = [module, *options_with_value(options)]
    sys.path.insert(0, str(CODE))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
