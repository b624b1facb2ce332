"""The rendered project whose definitions, data and package the tests use; they write to copies of it."""

import os
from pathlib import Path

import yaml

from mlops.config import Project

ROOT = Path(os.environ["MLOPS_TEST_PROJECT"]).resolve()
HERE = Project.load(ROOT)
ANSWERS = yaml.safe_load((ROOT / ".copier-answers.yml").read_text(encoding="utf-8"))
