"""A key of config/ that some release had is still known, or its removal is in the table that explains it."""

import re
import sys
from collections.abc import Iterator
from typing import get_args

import pytest
import yaml
from combinations import ROOT
from conftest import git
from pydantic import BaseModel

sys.path.insert(0, str(ROOT / "template" / "mlops" / "engine" / "src"))
from mlops.config import EnvironmentConfig
from mlops.removed_keys import REMOVED_KEYS

RELEASES = yaml.safe_load((ROOT / "releases.yml").read_text(encoding="utf-8"))
KEY = re.compile(r"^( *)([a-z_]+):")
# What a user fills with names of their own: tags, the users of compute instances, arguments of the model's library.
OPEN = re.compile(r"(tags|compute\.instances\.users|training\.hyperparameters|tuning\.space)\.")


def keys(text: str) -> set[str]:
    """The paths of all keys in a template of a YAML file, whatever the answers that decide about them."""
    found, parents = set(), [(-1, "")]
    for line in text.splitlines():
        if match := KEY.match(line):
            while parents[-1][0] >= len(match[1]):
                parents.pop()
            path = f"{parents[-1][1]}.{match[2]}".removeprefix(".")
            parents.append((len(match[1]), path))
            found.add(path)
    return {path for path in found if not OPEN.match(path)}


def released(commit: str, name: str, kind: str = "") -> set[str]:
    """The keys of the files in config/ whose name in the template matches, of a project type where each has its own."""
    files = git(ROOT, "ls-tree", "-rz", "--name-only", commit).split("\0")
    chosen = [file for file in files if re.search(rf"^template/.*config/({name})(\.jinja)?$", file)]
    chosen = [file for file in chosen if "project_type" not in file or f"'{kind}'" in file]
    assert chosen, f"{commit} has no such file"
    return set().union(*(keys(git(ROOT, "show", f"{commit}:{file}")) for file in chosen))


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The keys that the configuration has."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from fields(part, f"{prefix}{name}.")


ENVIRONMENT = r"(dev|test|prod)\.yml|\[% yield .*\.yml"


@pytest.fixture(scope="module", autouse=True)
def _releases_are_here() -> None:
    if git(ROOT, "rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("a shallow clone does not hold the releases: git fetch --unshallow")


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release["version"])
def test_each_key_of_a_released_environment_is_known_or_explained(release: dict[str, str]) -> None:
    there = released(release["commit"], ENVIRONMENT)
    assert {"environment", "names.workspace", "compute.cluster.max_nodes", "security.purge_protection"} <= there
    assert there - set(fields(EnvironmentConfig)) <= REMOVED_KEYS.keys()


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release["version"])
def test_each_key_of_the_released_settings_is_still_in_them(release: dict[str, str]) -> None:
    (present,) = (ROOT / "template").glob("*'classical'*/config/model.yml.jinja")
    there = released(release["commit"], r"model\.yml", "classical")
    assert {"training.test_size", "promotion.floor"} <= there
    assert there <= keys(present.read_text(encoding="utf-8"))


def test_an_explained_key_was_in_a_release_and_is_known_no_more() -> None:
    there = set().union(*(released(release["commit"], ENVIRONMENT) for release in RELEASES))
    assert REMOVED_KEYS.keys() <= there
    assert not REMOVED_KEYS.keys() & set(fields(EnvironmentConfig))
