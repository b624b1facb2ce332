"""The rendered project whose definitions, data and package the tests use; they write to copies of it."""

import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from mlops.config import Project

ROOT = Path(os.environ["MLOPS_TEST_PROJECT"]).resolve()
HERE = Project.load(ROOT)
# Whether PyTorch trains the models: then a training is distributed, and keeps checkpoints.
TORCH = bool(re.search(r'^    "torch[<>=]', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M))
ANSWERS = yaml.safe_load((ROOT / ".copier-answers.yml").read_text(encoding="utf-8"))
CORE_IMPORTS = ("added_features.py", "conversion.py", "model_output.py", "table_file.py")
"""What `core` of a project's package imports of the package besides itself."""


@contextmanager
def without_shapes() -> Iterator[None]:
    """Leave out the shapes of the charts of a report, which take a sixth of the time of a run."""
    with pytest.MonkeyPatch.context() as patch:
        charts = importlib.import_module(f"{HERE.package}.report.charts")
        patch.setattr(charts, "_svg", lambda *_: '<svg role="img" aria-label=""></svg>')
        yield
