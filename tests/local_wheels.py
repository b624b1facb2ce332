"""PyTorch from the folder where pip is set up to find wheels, so that no test downloads gigabytes.

    python tests/local_wheels.py PROJECT

A rendered project names PyTorch's own index. Where PIP_FIND_LINKS is set, this takes that out of its pyproject.toml,
and limits it to this Python, because such a folder has wheels for no other; UV_FIND_LINKS must name the folder then.
Where it is not set, nothing changes.
"""

import os
import re
import sys
from pathlib import Path


def without_own_index(settings: str) -> str:
    """Return the text of a pyproject.toml in which PyTorch comes from where all other packages do."""
    return re.sub(r"(?m)^torch(vision)? = .*\n", "", settings)


def take_local_wheels(project: Path) -> dict[str, str]:
    """Return the variables with which uv finds the wheels in a project, whose pyproject.toml is changed."""
    folder = os.environ.get("PIP_FIND_LINKS")
    if not folder:
        return {}
    path = project / "pyproject.toml"
    settings = without_own_index(path.read_text(encoding="utf-8"))
    python = f"=={sys.version_info.major}.{sys.version_info.minor}.*"
    path.write_text(re.sub(r"(?m)^(requires-python = ).*", rf'\1"{python}"', settings), encoding="utf-8")
    return {"UV_FIND_LINKS": folder}


if __name__ == "__main__":
    take_local_wheels(Path(sys.argv[1]))
