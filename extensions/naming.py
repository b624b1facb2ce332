"""Derived names and checks of answers, as Jinja filters: Azure resources, Python package, model, environments.

Standard library and jinja2 only, and no import from this folder: Copier renders two releases of the template in one
process during an update, and a shared module would be the older release's in both.
"""

import functools
import ipaddress
import itertools
import keyword
import re
import secrets
import sys
import traceback
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from jinja2 import Environment as Jinja
from jinja2 import Template
from jinja2.ext import Extension


class Environment(NamedTuple):
    """What the templates know of an environment."""

    name: str
    title: str
    trains: bool = False
    protected: bool = False


ENVIRONMENTS = (
    Environment("dev", "development", trains=True),
    Environment("test", "test"),
    Environment("prod", "production", protected=True),
)
TORCH = ("cv", "nlp")  # the project types whose models PyTorch trains: on several nodes, with checkpoints, on a GPU
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")  # RFC 1918

# Latin letters that Unicode does not decompose into a base letter and an accent.
LETTERS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {
        "đ": "d",
        "Đ": "D",
        "ð": "d",
        "Ð": "D",
        "þ": "th",
        "Þ": "Th",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "ħ": "h",
        "Ħ": "H",
    }
)

# Top-level packages of a generated project's environment and its own folders: the project's package must not hide one.
# fmt: off
TAKEN = frozenset([
    "azure", "azureml", "config", "conftest", "copier", "data", "docs", "fastapi", "flask", "helpers", "hypothesis",
    "infrastructure", "jinja2", "matplotlib", "mlflow", "mlops", "mypy", "numpy", "packaging", "pandas", "pip",
    "pyarrow", "pydantic", "pytest", "requests", "rich", "ruff", "samples", "scipy", "setuptools", "site", "sklearn",
    "skops", "src", "test", "tests", "torch", "transformers", "typer", "venv", "yaml",
])
# fmt: on
WINDOWS_DEVICES = frozenset(
    ["aux", "con", "nul", "prn"] + [f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)]
)


def ascii_text(text: str) -> str:
    """Latin letters without accents; characters that have no Latin base are left as they are."""
    decomposed = unicodedata.normalize("NFKD", text.translate(LETTERS))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def slug(text: str) -> str:
    """Lowercase letters and digits, joined by single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", ascii_text(text).lower()).strip("-")


def package(text: str) -> str:
    """Name of the Python package."""
    return slug(text).replace("-", "_")


def _error(pattern: str, message: str) -> Callable[[str], str]:
    """Make a check that returns the message unless the whole text matches the pattern."""
    return lambda text: "" if re.fullmatch(pattern, text) else message


# Short, because a terminal of 80 columns cuts Copier's line off.
slug_error = _error(r"(?=.{3,60}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*", "Use 3-60 of a-z, 0-9 and -.")
suffix_error = _error(r"[a-z0-9]{6}", "Use 6 of a-z and 0-9.")
github_org_error = _error(
    r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){0,38}",
    "Use 1-39 letters, digits, -.",
)
azure_devops_organisation_error = _error(
    r"(?=.{1,50}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?",
    # Short, like those below: the name of the question fills most of the line.
    "Letters, digits, -.",
)
location_error = _error(r"[a-z]{4,20}[0-9]?", "Use a name like westeurope.")
vm_size_error = _error(r"Standard_[A-Z]{1,3}[0-9]{1,3}[A-Za-z0-9_-]{0,30}", "Use e.g. Standard_D4as_v4.")
# Azure's sizes with a GPU begin with N.
gpu_vm_size_error = _error(
    r"Standard_N[A-Z]{0,2}[0-9]{1,3}[A-Za-z0-9_-]{0,30}",
    "Use e.g. Standard_NC4as_T4_v3.",
)
email_error = _error(
    r"([A-Za-z0-9.!#%&*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?",
    "Use one, like me@example.com.",
)
budget_error = _error(r"[1-9][0-9]{0,7}", "Use an integer, 1 to 99999999.")
registry_error = _error(r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}", "Use 3-33 letters, digits, -_")
environments_error = _error(r"[a-z][a-z0-9-]*( [a-z][a-z0-9-]*)*", "Write: dev test prod.")
cluster_error = _error(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]", "Use 3-32 letters, digits, -.")


def package_error(name: str) -> str:
    """Return why this cannot be the project's Python package; empty when it can."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 50:
        return "Use snake_case, at most 50."
    if (
        keyword.iskeyword(name)
        or keyword.issoftkeyword(name)
        or name in TAKEN | WINDOWS_DEVICES | sys.stdlib_module_names
    ):
        return "Name is taken: add a word."
    return ""


def project_name_error(name: str) -> str:
    """Return why this cannot be a project name; empty when it can."""
    plain = ascii_text(name)
    if not 3 <= len(name) <= 50:
        return "Use 3 to 50 characters."
    if not re.fullmatch(r"[A-Za-z0-9 _-]+", plain) or not all(letter.isascii() or letter.isalpha() for letter in name):
        return "Use letters, digits, space - _"
    if not plain[0].isalpha():
        return "Start with a letter."
    if not plain[-1].isalnum():
        return "End with a letter or a digit."
    if not 3 <= len(slug(name)) <= 50:
        return "Use 3 to 50 letters or digits."
    if error := package_error(package(name)):
        return error
    # https://learn.microsoft.com/azure/azure-resource-manager/templates/error-reserved-resource-name
    if reserved := re.search(r"microsoft|windows|^login|^xbox", slug(name)):
        return f"Azure reserves '{reserved[0]}'."
    return ""


def name_of_folder(folder: str, otherwise: str) -> str:
    """Return the project name that a folder's name suggests: "churn-model" is "Churn Model"."""
    name = " ".join(word[0].upper() + word[1:] for word in re.split(r"[\s._-]+", folder) if word)
    return otherwise if project_name_error(name) else name


def files_in_the_way_error(settings: Mapping[str, Any]) -> str:
    """Return why nothing can be copied without a person who decides about each file; empty when it can.

    Copier stops at the first file that is there already, and leaves those before it. It is enough to look for the files
    that each project has at its top: a repository has a README.
    """
    folder = Path(settings["dst_path"])
    update = (folder / settings["answers_file"]).exists()
    if update or settings["overwrite"] or settings["pretend"] or sys.stdin.isatty():
        return ""
    written = (path.name.removesuffix(".jinja") for path in Path(settings["src_path"], "template").iterdir())
    there = sorted(name for name in written if "[" not in name and (folder / name).is_file())
    return f"{there[0]} is there already: commit it, then add --overwrite and see `git diff`." if there else ""


def azure_devops_name_error(name: str) -> str:
    """Return why this cannot be the name of a project or repository in Azure DevOps; empty when it can.

    https://learn.microsoft.com/azure/devops/organizations/settings/naming-restrictions
    """
    if not 1 <= len(name) <= 64:
        return "1 to 64 signs."
    if not re.fullmatch(r"[\w .-]+", name):
        return "No signs but . - _"
    if name != name.strip(" .") or name.startswith("_"):
        return "No . or _ outside."
    if name.casefold() in {*WINDOWS_DEVICES, "defaultcollection", "server", "signalr", "web"}:
        return "It is reserved."
    return ""


def workspace_pairs(text: str) -> list[tuple[str, str]]:
    """Resource group and workspace of each environment, from GROUP/WORKSPACE with commas between."""
    pairs = [pair.strip().split("/") for pair in text.split(",")]
    return [(pair[0], pair[-1]) for pair in pairs]


def existing_workspaces_error(text: str) -> str:
    """Return why this does not name a workspace for each environment; empty when it does."""
    pair = r"\s*[-\w.()]{0,89}[-\w()]/[A-Za-z0-9][A-Za-z0-9_-]{2,32}\s*"
    if not re.fullmatch(rf"{pair}(,{pair}){{{len(ENVIRONMENTS) - 1}}}", text, flags=re.ASCII):
        return f"Use {len(ENVIRONMENTS)} GROUP/WORKSPACE."
    # A deployment to one environment must not reach another.
    if len(set(workspace_pairs(text.lower()))) < len(ENVIRONMENTS):
        return f"Use {len(ENVIRONMENTS)} different ones."
    return ""


def subnets(text: str) -> list[dict[str, str]]:
    """Address ranges of each environment's network: a quarter of the range, and two subnets in it.

    Azure keeps 5 addresses of every subnet, and a private endpoint takes one or more of the rest.
    """
    quarters = list(ipaddress.IPv4Network(text).subnets(prefixlen_diff=2))[: len(ENVIRONMENTS)]
    found = []
    for space in quarters:
        # Not a list: of a /8 there would be thousands.
        endpoints, runners = itertools.islice(space.subnets(new_prefix=max(24, space.prefixlen + 1)), 2)
        found.append({"space": str(space), "endpoints": str(endpoints), "runners": str(runners)})
    return found


def network_range_error(text: str) -> str:
    """Return why this cannot be the address range of private networks; empty when it can."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return "Use e.g. 10.80.0.0/16."
    if str(network) != text:
        return f"Use {network}."
    if not any(network.subnet_of(ipaddress.IPv4Network(each)) for each in PRIVATE_RANGES):
        return "Use an RFC 1918 private range."
    # Docker on Azure ML's machines routes this range to itself.
    if network.overlaps(ipaddress.IPv4Network("172.17.0.0/16")):
        return "172.17.0.0/16 is Docker's own."
    return "" if 8 <= network.prefixlen <= 22 else "Use a range from /8 to /22."


def user_pairs(text: str) -> list[tuple[str, str]]:
    """Name and object id of each user, from NAME=OBJECT-ID with commas between."""
    pairs = [pair.strip().partition("=") for pair in text.split(",")]
    return [(name.strip(), object_id.strip().lower()) for name, _, object_id in pairs]


def instance_users_error(text: str) -> str:
    """Return why this does not name users with their object ids; empty when it does."""
    for name, object_id in user_pairs(text):
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", object_id):
            return "Use NAME=OBJECT-ID pairs."
        # An instance is called ci-NAME-SUFFIX, of 3 to 24 characters.
        if not re.fullmatch(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,13}", name):
            return "Names: 1-14 of a-z, 0-9, -."
    if any(len(set(column)) < len(column) for column in zip(*user_pairs(text), strict=True)):
        return "Use each name and id once."
    return ""


def tag_pairs(text: str) -> list[tuple[str, str]]:
    """Name and value of each tag, from NAME=VALUE with commas between; no text is no tag."""
    pairs = [pair.strip().partition("=") for pair in text.split(",") if pair.strip()]
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def tags_error(text: str) -> str:
    """Return why these are no tags that Azure takes on every resource; empty when they are."""
    pairs = tag_pairs(text)
    if len(pairs) > 12:  # DNS zones have 15 tags at most, and the project has three of its own
        return "Use 12 tags at most."
    for name, value in pairs:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 _.-]{0,127}", name):
            return "Names: a-z, 0-9, space, . _ -"
        if re.match(r"(?i)(azure|microsoft|windows)", name):
            return "Azure keeps that name for itself."
        if name.lower() in ("project", "environment", "managed_by"):
            return "The project has that tag."
        if not re.fullmatch(r"[A-Za-z0-9 _.:/@+()-]{1,256}", value):
            return "Use NAME=VALUE, without quotes."
    if len({name.lower() for name, _ in pairs}) < len(pairs):
        return "Use each name once."
    return ""


def unique_suffix(_: str) -> str:
    """Six random letters and digits: storage, vault, registry and endpoint names are shared by all of Azure."""
    return secrets.choice("abcdef") + secrets.token_hex(3)[1:]  # a letter first: YAML must not read a number


def shorten(name: str, length: int) -> str:
    """Return the first `length` characters of a slug, never ending in a hyphen."""
    return name[:length].strip("-")


def resource_names(project: str, suffix: str) -> dict[str, dict[str, str]]:
    """Names of every Azure resource, by environment.

    Lengths follow Azure's rules for each resource type; the longest environment name has four characters and the suffix
    six. https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
    """
    compact = project.replace("-", "")
    return {
        environment.name: {
            "resource_group": f"rg-{project}-{environment.name}",
            "workspace": f"mlw-{shorten(project, 24)}-{environment.name}",  # 3-33
            "storage_account": f"st{compact[:12]}{environment.name}{suffix}",  # 3-24, letters and digits
            "storage_redundancy": "ZRS" if environment.protected else "LRS",  # new projects alone: see the config
            "key_vault": f"kv-{shorten(project, 9)}-{environment.name}-{suffix}",  # 3-24
            "container_registry": f"cr{compact[:36]}{environment.name}{suffix}",  # 5-50, letters and digits
            "log_analytics": f"log-{project}-{environment.name}",  # 4-63
            "application_insights": f"appi-{project}-{environment.name}",
            "workspace_identity": f"id-{project}-{environment.name}-workspace",
            "compute_identity": f"id-{project}-{environment.name}-compute",
            "endpoint_identity": f"id-{project}-{environment.name}-endpoint",
            "registry": f"mlr-{shorten(project, 20)}-{suffix}",  # 3-33, shared by the environments
            "registry_resource_group": f"rg-{project}-shared",
            "registry_log_analytics": f"log-{project}-shared",  # 4-63
            "online_endpoint": f"{shorten(project, 20)}-{environment.name}-{suffix}",  # 3-32
            "batch_endpoint": f"{shorten(project, 16)}-bat-{environment.name}-{suffix}",  # 3-32
            "state_resource_group": f"rg-{project}-tfstate",
            "state_storage_account": f"st{compact[:10]}tf{environment.name}{suffix}",  # 3-24, letters and digits
        }
        for environment in ENVIRONMENTS
    }


def part(project_type: str, name: str) -> str:
    """Return the path of what a project type adds to a file of all types, for an include."""
    return f"template/[% if project_type == '{project_type}' %].[% endif %]/{name}.part"


FILTERS: dict[str, Callable[..., object]] = {
    "slug": slug,
    "package": package,
    "unique_suffix": unique_suffix,
    "resource_names": resource_names,
    "part": part,
    "workspace_pairs": workspace_pairs,
    "subnets": subnets,
    "user_pairs": user_pairs,
    "tag_pairs": tag_pairs,
    "name_of_folder": name_of_folder,
    "files_in_the_way_error": files_in_the_way_error,
    "project_name_error": project_name_error,
    "package_error": package_error,
    "slug_error": slug_error,
    "suffix_error": suffix_error,
    "github_org_error": github_org_error,
    "azure_devops_organisation_error": azure_devops_organisation_error,
    "azure_devops_name_error": azure_devops_name_error,
    "location_error": location_error,
    "vm_size_error": vm_size_error,
    "gpu_vm_size_error": gpu_vm_size_error,
    "email_error": email_error,
    "budget_error": budget_error,
    "registry_error": registry_error,
    "cluster_error": cluster_error,
    "environments_error": environments_error,
    "existing_workspaces_error": existing_workspaces_error,
    "network_range_error": network_range_error,
    "instance_users_error": instance_users_error,
    "tags_error": tags_error,
}


def _one_line_for_bad_answers(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    calls = [frame.f_code.co_name for frame, _ in traceback.walk_tb(trace)]
    ours = ("Validation error for question", "Invalid choice for", 'Question "')
    if kind is ValueError and str(error).startswith(ours):
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
    elif "parse_yaml_list" in calls:
        sys.stderr.write("error: add_ons is a list, such as `--data 'add_ons=[private-network, monitoring]'`\n")
    else:
        sys.__excepthook__(kind, error, trace)


class Naming(Extension):
    """Registers the filters and the list of environments with Copier's Jinja environment."""

    def __init__(self, environment: Jinja) -> None:
        """Register them under the names that the templates use."""
        super().__init__(environment)
        environment.filters.update(FILTERS)
        environment.globals["environments"] = ENVIRONMENTS
        environment.tests["torch"] = TORCH.__contains__
        # Copier 9.19 compiles every part of every path anew, and the name of the answers file with each of them.
        compiled = functools.cache(environment.from_string)

        def from_string(source: str) -> Template:
            environment.preprocess(source)  # makes Copier forget the `yield` of the path before
            return compiled(source)

        environment.from_string = from_string  # type: ignore[assignment, method-assign]
        # Copier 9.19 shows a wrong `--data` answer as a 40-line traceback; only an uncaught error comes through here.
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _one_line_for_bad_answers
