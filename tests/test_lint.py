"""What `make lint` says, beside the other tests: alone, mypy would keep the other cores waiting."""

import subprocess
import sys

import pytest
from combinations import ROOT


@pytest.mark.parametrize("words", [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)], ids=" ".join)
def test_this_repository_has_no_finding(words: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
