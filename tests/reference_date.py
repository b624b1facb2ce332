"""The day as of which the tests judge what is supported, and uv resolves packages.

It is `exclude-newer` in pyproject.toml, so that a commit which passes today passes in a year. The variable TODAY takes
its place: in `make freshness` and in the nightly workflow it is the present day.
"""

import os
import tomllib
from datetime import date

from combinations import ROOT

RECORDED: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["exclude-newer"]
TODAY = date.fromisoformat(os.environ.get("TODAY") or RECORDED.partition("T")[0])
EXCLUDE_NEWER = f"{TODAY}T00:00:00Z"
