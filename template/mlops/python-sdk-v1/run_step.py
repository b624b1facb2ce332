"""Starts a step in Azure ML: `python run_step.py MODULE [--option VALUE] ...` does what `python -m MODULE ...` does.

SDK v1 starts files, not modules of a package. It has no optional parameters either, and refuses an empty string as a
value (Azure/MachineLearningNotebooks#668): an option whose value is the word `none` is left out here. To a trial of a
search it adds an option for each hyperparameter: `--rate 0.1` goes in the place of `{rate}` in the candidate.
"""

import runpy
import sys
from pathlib import Path

CODE = Path(__file__).resolve().parents[2] / "data-science" / "src"
NO_VALUE = "none"
CANDIDATE = "--candidate"


def options_with_value(options: list[str]) -> list[str]:
    """Return the options that have a value, those for a trial's hyperparameters as one candidate."""
    given = dict(zip(options[::2], options[1::2], strict=True))
    candidate = given.get(CANDIDATE, "")
    chosen = {option[2:]: given.pop(option) for option in list(given) if f"{{{option[2:]}}}" in candidate}
    if chosen:
        given[CANDIDATE] = candidate.format(**chosen)
    return [word for option, value in given.items() if value != NO_VALUE for word in (option, value)]


if __name__ == "__main__":
    module, options = sys.argv[1], sys.argv[2:]
    sys.argv = [module, *options_with_value(options)]
    sys.path.insert(0, str(CODE))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
