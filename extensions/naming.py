"""Every derived name, as Jinja filters: Azure resources, Python package, model, and what a project name may be.

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
from collections.abc import Callable
from types import TracebackType

from jinja2 import Environment
from jinja2.ext import Extension

ENVIRONMENTS = ("dev", "test", "prod")
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")  # RFC 1918
SUFFIX = re.compile(r"[a-z0-9]{6}")

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
    "infrastructure", "jinja2", "matplotlib", "mlflow", "mlops", "mypy", "numpy", "packaging", "pandas", "pandera",
    "pip", "pyarrow", "pydantic", "pytest", "requests", "rich", "ruff", "samples", "scipy", "setuptools", "site",
    "sklearn", "skops", "src", "test", "tests", "torch", "transformers", "typer", "venv", "yaml",
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


def package_fault(name: str) -> str:
    """Why this cannot be the project's Python package, in one line; empty when it can."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 50:
        return "Use lowercase letters, digits and single underscores, a letter first, at most 50."
    if (
        keyword.iskeyword(name)
        or keyword.issoftkeyword(name)
        or name in TAKEN | WINDOWS_DEVICES | sys.stdlib_module_names
    ):
        return f"{name!r} is the name of a Python package, keyword or system device; add a word to it."
    return ""


def slug_fault(name: str) -> str:
    """Why this cannot be a slug, a model or an experiment, in one line; empty when it can."""
    if name == slug(name) and 3 <= len(name) <= 60 and name[0].isalpha():
        return ""
    return "Use 3 to 60 lowercase letters, digits and single hyphens, a letter first."


def project_name_fault(name: str) -> str:
    """Why this cannot be a project name, in one line; empty when it can."""
    plain = ascii_text(name)
    if not 3 <= len(name) <= 50:
        return "Use 3 to 50 characters."
    if not re.fullmatch(r"[A-Za-z0-9 _-]+", plain) or not all(letter.isascii() or letter.isalpha() for letter in name):
        return "Use letters, digits, spaces, hyphens and underscores only."
    if not plain[0].isalpha():
        return "Start with a letter."
    if not plain[-1].isalnum():
        return "End with a letter or a digit."
    if not 3 <= len(slug(name)) <= 50:
        return "Use 3 to 50 letters and digits."
    if fault := package_fault(package(name)):
        return fault
    # https://learn.microsoft.com/azure/azure-resource-manager/templates/error-reserved-resource-name
    if re.search(r"microsoft|windows", slug(name)) or slug(name).startswith(("login", "xbox")):
        return "Azure reserves names with 'microsoft' or 'windows', or that begin with 'login' or 'xbox'."
    return ""


def github_org_fault(name: str) -> str:
    """Why this cannot be a GitHub organisation or user, in one line; empty when it can."""
    if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){0,38}", name):
        return ""
    return "A GitHub name has 1 to 39 letters, digits and single hyphens, and no hyphen at either end."


def location_fault(name: str) -> str:
    """Why this cannot be an Azure region, in one line; empty when it can."""
    if re.fullmatch(r"[a-z]{4,20}[0-9]?", name):
        return ""
    return "Use the region's short name, such as westeurope; `az account list-locations --query [].name` lists them."


def vm_size_fault(name: str) -> str:
    """Why this cannot be a virtual machine size for Azure ML, in one line; empty when it can."""
    if re.fullmatch(r"Standard_[A-Z]{1,3}[0-9]{1,3}[A-Za-z0-9_-]{0,30}", name):
        return ""
    return "Use a full size name, such as Standard_D4as_v4; `az ml compute list-sizes` lists them."


def gpu_vm_size_fault(name: str) -> str:
    """Why this cannot be a virtual machine size with a GPU, in one line; empty when it can."""
    if name.startswith("Standard_N"):
        return vm_size_fault(name)
    return "Azure's sizes with a GPU begin with Standard_N, such as Standard_NC4as_T4_v3."


def email_fault(address: str) -> str:
    """Why this cannot be an e-mail address (or none at all), in one line; empty when it can."""
    if not address or re.fullmatch(r"[A-Za-z0-9.!#%&*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", address):
        return ""
    return "Use one address, such as team@example.com; more of them can be added in config/ later."


def budget_fault(amount: str) -> str:
    """Why this cannot be a monthly budget, in one line; empty when it can."""
    if re.fullmatch(r"[1-9][0-9]{0,7}", amount):
        return ""
    return "Use a whole amount of at least 1, without a currency: Azure has no budget of 0."


def registry_fault(name: str) -> str:
    """Why this cannot be an Azure ML registry, in one line; empty when it can."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}", name):
        return ""
    return "Use the name of an Azure ML registry: 3 to 33 letters, digits, hyphens and underscores."


def cluster_fault(name: str) -> str:
    """Why this cannot be a compute cluster, in one line; empty when it can."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]", name):
        return ""
    return "Use the name of a compute cluster: 3 to 32 letters, digits and hyphens, a letter first."


def workspace_pairs(text: str) -> list[tuple[str, str]]:
    """Resource group and workspace of each environment, from GROUP/WORKSPACE with commas between."""
    pairs = [pair.strip().split("/") for pair in text.split(",")]
    return [(pair[0], pair[-1]) for pair in pairs]


def existing_workspaces_fault(text: str) -> str:
    """Why this does not name a workspace for each environment, in one line; empty when it does."""
    pair = r"\s*[-\w.()]{0,89}[-\w()]/[A-Za-z0-9][A-Za-z0-9_-]{2,32}\s*"
    if not re.fullmatch(rf"{pair}(,{pair}){{{len(ENVIRONMENTS) - 1}}}", text, flags=re.ASCII):
        return "Write GROUP/WORKSPACE three times, for dev, test and prod, with commas between."
    if len(set(workspace_pairs(text.lower()))) < len(ENVIRONMENTS):
        return "Name three different workspaces: a deployment to dev must not reach prod."
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


def network_range_fault(text: str) -> str:
    """Why this cannot be the address range of private networks, in one line; empty when it can."""
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        return f"Use a range such as 10.80.0.0/16: {error}."
    if str(network) != text:
        return f"Write the range as {network}."
    if not any(network.subnet_of(ipaddress.IPv4Network(each)) for each in PRIVATE_RANGES):
        return f"Use a private range, inside {', '.join(PRIVATE_RANGES)}."
    # Docker on Azure ML's machines routes this range to itself.
    if network.overlaps(ipaddress.IPv4Network("172.17.0.0/16")):
        return "172.17.0.0/16 is Docker's own network on the compute: use another range."
    return "" if 8 <= network.prefixlen <= 22 else "Use a range from /8 to /22: three networks must fit into it."


def user_pairs(text: str) -> list[tuple[str, str]]:
    """Name and object id of each user, from NAME=OBJECT-ID with commas between."""
    pairs = [pair.strip().partition("=") for pair in text.split(",")]
    return [(name.strip(), object_id.strip().lower()) for name, _, object_id in pairs]


def instance_users_fault(text: str) -> str:
    """Why this does not name users with their object ids, in one line; empty when it does."""
    for name, object_id in user_pairs(text):
        # An instance is called ci-NAME-SUFFIX, of 3 to 24 characters.
        if not re.fullmatch(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,13}", name):
            return "Write NAME=OBJECT-ID with commas between; a name has 1 to 14 lowercase letters, digits and hyphens."
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", object_id):
            return f"{name} has no object id: `az ad user show --id NAME@DOMAIN --query id` says it."
    if any(len(set(column)) < len(column) for column in zip(*user_pairs(text), strict=True)):
        return "Each user gets one instance: use every name and every object id once."
    return ""


def suffix_fault(name: str) -> str:
    """Why this cannot be the unique suffix of cloud names, in one line; empty when it can."""
    return "" if SUFFIX.fullmatch(name) else "Use exactly 6 lowercase letters and digits."


def unique_suffix(_: str) -> str:
    """Six random letters and digits: storage, vault, registry and endpoint names are shared by all of Azure."""
    return secrets.choice("abcdef") + secrets.token_hex(3)[1:]  # a letter first: YAML must not read a number


def shorten(name: str, length: int) -> str:
    """The first ``length`` characters of a slug, never ending in a hyphen."""
    return name[:length].strip("-")


def resource_names(project: str, suffix: str) -> dict[str, dict[str, str]]:
    """Names of every Azure resource, by environment.

    Lengths follow Azure's rules for each resource type; the longest environment name has four characters and the suffix
    six. https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
    """
    compact = project.replace("-", "")
    return {
        env: {
            "resource_group": f"rg-{project}-{env}",
            "workspace": f"mlw-{shorten(project, 24)}-{env}",  # 3-33
            "storage_account": f"st{compact[:12]}{env}{suffix}",  # 3-24, letters and digits
            "key_vault": f"kv-{shorten(project, 9)}-{env}-{suffix}",  # 3-24
            "container_registry": f"cr{compact[:36]}{env}{suffix}",  # 5-50, letters and digits
            "log_analytics": f"log-{project}-{env}",  # 4-63
            "application_insights": f"appi-{project}-{env}",
            "workspace_identity": f"id-{project}-{env}-workspace",
            "compute_identity": f"id-{project}-{env}-compute",
            "endpoint_identity": f"id-{project}-{env}-endpoint",
            "registry": f"mlr-{shorten(project, 20)}-{suffix}",  # 3-33, shared by the environments
            "online_endpoint": f"{shorten(project, 20)}-{env}-{suffix}",  # 3-32
            "batch_endpoint": f"{shorten(project, 16)}-bat-{env}-{suffix}",  # 3-32
            "state_resource_group": f"rg-{project}-tfstate",
            "state_storage_account": f"st{compact[:10]}tf{env}{suffix}",  # 3-24, letters and digits
        }
        for env in ENVIRONMENTS
    }


FILTERS: tuple[Callable[..., object], ...] = (
    slug,
    package,
    unique_suffix,
    resource_names,
    project_name_fault,
    package_fault,
    slug_fault,
    github_org_fault,
    location_fault,
    vm_size_fault,
    gpu_vm_size_fault,
    suffix_fault,
    email_fault,
    budget_fault,
    registry_fault,
    cluster_fault,
    workspace_pairs,
    existing_workspaces_fault,
    subnets,
    network_range_fault,
    user_pairs,
    instance_users_fault,
)


def _one_line_for_bad_answers(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    calls = [frame.f_code.co_name for frame, _ in traceback.walk_tb(trace)]
    if kind is ValueError and str(error).startswith(("Validation error for question", "Invalid choice for")):
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
    elif "parse_yaml_list" in calls:
        sys.stderr.write("error: add_ons takes a list, such as `--data 'add_ons=[private-network, monitoring]'`\n")
    else:
        sys.__excepthook__(kind, error, trace)


class Naming(Extension):
    """Registers the filters above with Copier's Jinja environment."""

    def __init__(self, environment: Environment) -> None:
        """Add each filter under its function's name."""
        super().__init__(environment)
        environment.filters.update({function.__name__: function for function in FILTERS})
        # Copier 9.19 compiles every part of every path anew, and the name of the answers file with each of them.
        environment.from_string = functools.cache(environment.from_string)  # type: ignore[assignment, method-assign]
        # Copier 9.19 shows a wrong `--data` answer as a 40-line traceback; only an uncaught error comes through here.
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _one_line_for_bad_answers
