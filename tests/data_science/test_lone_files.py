"""Azure loads the scoring script without the package that it is in."""

import ast

import yaml
from helpers import PACKAGE, ROOT, SOURCE

# Evaluation, endpoint and batch compute models without the libraries that trained them, unless these serve them, too.
TRAINING = {"torch", "transformers"}


def served_with():
    """Return the libraries of the environment of endpoint and batch."""
    path = ROOT / "data-science" / "environment" / "inference.yml"
    *_, pip = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    return {line.split("==")[0] for line in pip["pip"]}


def test_the_scoring_script_needs_nothing_but_files_beside_it():
    forbidden = {PACKAGE} | TRAINING - served_with()
    waiting, seen = ["score", "conversion", "data_file", "model_output", "added_features"], set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        tree = ast.parse((SOURCE / PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
        libraries = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        for node in (each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)):
            if not node.level:
                libraries.append(str(node.module))
                continue
            assert (node.level, node.module) == (1, None), f"{name}: from {'.' * node.level}{node.module or ''} import"
            waiting += [alias.name for alias in node.names if alias.name not in seen]
        assert not forbidden & {library.split(".")[0] for library in libraries}, name
