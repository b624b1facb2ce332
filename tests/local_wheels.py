"""PyTorch from the folder where pip is set up to find wheels, so that no test downloads gigabytes.

    python tests/local_wheels.py PROJECT

A rendered project names PyTorch's own index. Where PIP_FIND_LINKS is set, this takes that out of its pyproject.toml,
and limits it to this Python, because such a folder has wheels for no other; UV_FIND_LINKS must name the folder then.
Where it is not set, PyTorch is excepted from the date that all resolutions here are made for: uv refuses every wheel of
an index that does not say when it was uploaded (pytorch/pytorch#186905).
"""

import os
import re
import sys
from pathlib import Path


def without_own_index(settings: str) -> str:
    """Return the text of a pyproject.toml in which PyTorch comes from where all other packages do."""
    return re.sub(r"(?m)^torch(vision)? = .*\n", "", settings)


def without_date(settings: str) -> str:
    """Return the text of a pyproject.toml in which PyTorch may be of any date; as it is if it names no own index."""
    if "pytorch-cpu" not in settings:
        return settings
    line = "exclude-newer-package = {torch = false, torchvision = false}\n"
    if "[tool.uv]\n" in settings:
        return settings.replace("[tool.uv]\n", f"[tool.uv]\n{line}", 1)
    return settings.replace("[tool.uv.workspace]\n", f"[tool.uv]\n{line}\n[tool.uv.workspace]\n", 1)


def take_local_wheels(project: Path) -> dict[str, str]:
    """Return the variables with which uv finds the wheels in a project, whose pyproject.toml is changed."""
    folder = os.environ.get("PIP_FIND_LINKS")
    path = project / "pyproject.toml"
    if not folder:
        if (settings := path.read_text(encoding="utf-8")) != (dated := without_date(settings)):
            path.write_text(dated, encoding="utf-8")
        return {}
    settings = without_own_index(path.read_text(encoding="utf-8"))
    python = f"=={sys.version_info.major}.{sys.version_info.minor}.*"
    path.write_text(re.sub(r"(?m)^(requires-python = ).*", rf'\1"{python}"', settings), encoding="utf-8")
    return {"UV_FIND_LINKS": folder}


if __name__ == "__main__":
    take_local_wheels(Path(sys.argv[1]))
