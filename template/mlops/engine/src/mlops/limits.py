"""What Azure refuses by its form alone: regions, names of resources, tags, time zones, e-mail addresses.

Each function returns what is wrong, with what to write in its place, or an empty text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlops.errors import did_you_mean

_WORD, _LABEL = r"[A-Za-z0-9!#%&'*+/=?^_{|}~-]+", r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
MAIL = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_WORD}(?:\.{_WORD})*@{_LABEL}(?:\.{_LABEL})+")
OTHER_CLOUDS = {"china": "in China", "usgov": "of the US Government", "usdod": "of the US Government"}
"""What the names of regions begin with that are in clouds of their own, and whose those are."""


def _lines(name: str) -> tuple[str, ...]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))


REGIONS = _lines("regions.txt")
TIME_ZONES = _lines("time_zones.txt")

_GROUP = (r"[\w.()-]{0,89}[\w()-]", "1 to 90 letters, digits and _ - . ( ), without a . at the end")
_ACCOUNT = (r"[a-z0-9]{3,24}", "3 to 24 of a-z and 0-9")
_WORKSPACE = (r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}", "3 to 33 letters, digits, - and _, first a letter or digit")
_LOGS = (r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]", "4 to 63 letters, digits and -, without a - at either end")
_IDENTITY = (r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}", "3 to 128 letters, digits, - and _, first a letter or digit")
_INSIGHTS = r"[^:<>+/&%\\?\x00-\x1f]{0,259}[^:<>+/&%\\?\x00-\x1f .]"
_ANY = r"1 to 260 characters, none of : < > + / & % \ ?, without a space or . at the end"

NAMES = {
    "resource_group": _GROUP,
    "workspace": _WORKSPACE,
    "storage_account": _ACCOUNT,
    "key_vault": (
        r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]",
        "3 to 24 letters, digits and single -, first a letter, last a letter or digit",
    ),
    "container_registry": (r"[A-Za-z0-9]{5,50}", "5 to 50 letters and digits"),
    "log_analytics": _LOGS,
    "application_insights": (_INSIGHTS, _ANY),
    "workspace_identity": _IDENTITY,
    "compute_identity": _IDENTITY,
    "endpoint_identity": _IDENTITY,
    "action_group": (_INSIGHTS, _ANY),
    "budget": (r"[A-Za-z0-9_-]{1,63}", "1 to 63 letters, digits, - and _"),
    "data_lake": _ACCOUNT,
    "virtual_network": (
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9_]",
        "2 to 64 letters, digits and _ - ., first a letter or digit, last no - or .",
    ),
    "registry": _WORKSPACE,
    "registry_resource_group": _GROUP,
    "registry_log_analytics": _LOGS,
    "identity": _IDENTITY,
    "container": (
        r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
        "3 to 63 of a-z, 0-9 and single -, without a - at either end",
    ),
    "cluster": (
        r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]",
        "3 to 32 letters, digits and -, first a letter, last a letter or digit",
    ),
}
"""The form of each name, as a pattern and in words.

Source: learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules; of a cluster, and of "_" in a
workspace, what azurerm 5.2 checks.
"""


def name_problem(kind: str, name: str) -> str:
    """Return why Azure has no resource of a kind with this name."""
    pattern, words = NAMES[kind]
    return "" if re.fullmatch(pattern, name) else f"Azure does not accept {name!r}: use {words}"


def region_problem(name: str, new: Sequence[str] = ()) -> str:
    """Return why there is no such region; `new` are those that are newer than the table."""
    if name in REGIONS or name in new:
        return ""
    for start, whose in OTHER_CLOUDS.items():
        if re.sub(r"\W", "", name).lower().startswith(start):
            only = "the hosts and DNS zones of this project are those of Azure's public cloud: write a region of that"
            return f"{name!r} is a region of the cloud {whose}, and {only}"
    hint = did_you_mean(re.sub(r"\W", "", name).lower(), REGIONS, cutoff=0.7)
    names = "write a name of `az account list-locations --query [].name`"
    return f"there is no region {name!r}{hint}: {names}, and one that is newer than this release into new_regions, too"


def time_zone_problem(name: str) -> str:
    """Return why this is no time zone of Azure ML."""
    if name.casefold() in (zone.casefold() for zone in TIME_ZONES):
        return ""
    hint = did_you_mean(name, TIME_ZONES)
    return f'"{name}" is no time zone of Azure: it has Windows names such as "W. Europe Standard Time"{hint}'


def mail_problem(address: str) -> str:
    """Return why this is no e-mail address."""
    return "" if MAIL.fullmatch(address) else f"{address!r} is no mail address: write one such as team@example.com"


def tag_problems(tags: Mapping[str, str], *, zones: bool) -> Iterator[tuple[str, str]]:
    """Give the tags that Azure refuses on one of the resources, each with the reason; "" stands for all of them.

    The limits are those of storage accounts, which are the narrowest, and with `zones` those of private DNS zones, too.
    Source: learn.microsoft.com/azure/azure-resource-manager/management/tag-resources, Limitations.
    """
    most, whose = (15, "a private DNS zone") if zones else (50, "a resource")
    if len(tags) > most:
        yield "", f"{len(tags)} are too many: {whose} has {most} at most"
    folded = [name.casefold() for name in tags]
    for name, value in tags.items():
        if not 1 <= len(name) <= 128:
            yield name[:40], f"a name of {len(name)} characters: use 1 to 128, which a storage account takes"
        if found := sorted(set(name) & set(r"<>%&\?/")):
            yield name, f"a name of a tag cannot have {' '.join(found)}: leave it out"
        elif zones and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
            yield name, "a private DNS zone takes names of a-z, 0-9, _ . - alone, without a digit at the beginning"
        if re.match(r"(?i)(azure|microsoft|windows)", name):
            yield name, "Azure keeps names that begin with azure, microsoft or windows for itself: use another one"
        if len(value) > 256:
            yield name, f"a value of {len(value)} characters: use 256 at most"
        if folded.count(name.casefold()) > 1:
            yield name, "the name is there twice, and Azure does not tell upper from lower case: remove one"
