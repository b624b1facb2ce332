"""Edits of YAML files as text: what is not edited stays as a person wrote it, comments included."""

import re
from typing import Any

import yaml

_COMMENT = re.compile(r"[ \t]*#")


def scalar(value: object) -> str:
    """Return a value as YAML writes it in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def edited(text: str, key: str, value: object) -> str:
    """Return a YAML text with another value for a key such as `a.b`, or with the key if it is not there."""
    keys = key.split(".")
    node: Any = yaml.compose(text, yaml.SafeLoader)
    while keys and isinstance(node, yaml.MappingNode):
        known: dict[str, yaml.Node] = {key.value: item for key, item in node.value}
        if keys[0] not in known:
            break
        node, keys = known[keys[0]], keys[1:]
    # What is missing below the last key that is there.
    for key in reversed(keys):
        value = {key: value}
    new = scalar(value)
    if not keys or not isinstance(node, yaml.MappingNode):
        return _replaced(text, node, new)
    entry = new[1:-1]  # without the braces of a mapping in one line
    if node.flow_style:
        end = node.end_mark.index - 1
        return f"{text[:end].rstrip()}{', ' if node.value else ''}{entry}{text[end:]}"
    # A block begins with its first key, and the line after its last value is the place for one more.
    end = text.find("\n", _last(node).end_mark.index)
    end = len(text) if end < 0 else end + 1
    newline = "\r\n" if "\r\n" in text else "\n"
    before = text[:end] if text[:end].endswith("\n") else text[:end] + newline
    return f"{before}{' ' * node.start_mark.column}{entry}{newline}{text[end:]}"


def first_anchor(text: str) -> tuple[int, str] | None:
    """Return the line and the name of the first anchor in a YAML text, which several places may share."""
    anchors = (each for each in yaml.scan(text, yaml.SafeLoader) if isinstance(each, yaml.AnchorToken))
    return next(((each.start_mark.line + 1, each.value) for each in anchors), None)


def removed(text: str, key: str) -> str:
    """Return a YAML text without a key such as `a.b`; a section that is empty then goes, too.

    The comment above goes with it unless another key follows at once, which it may be about as well.

    Raises:
        KeyError: There is no such key.
    """
    *above, last = key.split(".")
    section: Any = yaml.compose(text, yaml.SafeLoader)
    for part in above:
        section = {name.value: item for name, item in section.value}[part]
    entries = {name.value: (name, item) for name, item in section.value}
    name, item = entries[last]
    if len(entries) == 1 and above:
        return removed(text, ".".join(above))
    if section.flow_style:
        rest = {other: value for other, value in yaml.safe_load(_source(text, section)).items() if other != last}
        return _replaced(text, section, scalar(rest))
    start, end = _line_start(text, name.start_mark.index), _last(item).end_mark.index
    end = len(text[:end].rstrip()) if text[:end].endswith("\n") else end  # it ends where the next key begins
    end = text.find("\n", end) + 1 or len(text)
    follows = text[end:].partition("\n")[0]
    is_last_key = len(follows) - len(follows.lstrip()) < name.start_mark.column
    if not follows.strip() or follows.lstrip().startswith("#") or is_last_key:
        while start and _COMMENT.match(text, _line_start(text, start - 1)):
            start = _line_start(text, start - 1)
    if not follows.strip() and text[:start].rstrip(" \r").endswith("\n\n") and end < len(text):
        end = text.find("\n", end) + 1 or len(text)  # one of the two empty lines that would meet
    return text[:start] + text[end:]


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _source(text: str, node: yaml.Node) -> str:
    return text[node.start_mark.index : node.end_mark.index]


def _replaced(text: str, node: yaml.Node, new: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        # The mark of a block's end is where the next key begins.
        end = _last(node).end_mark.index
        start = text.rfind(":", 0, start) + 1
    end = start + len(text[start:end].rstrip())  # a text in several lines ends where the next key begins
    space = " " if text[:start].endswith(":") else ""
    return f"{text[:start]}{space}{new}{text[end:]}"


def _last(node: yaml.Node) -> yaml.Node:
    """Return the last value in a block."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        item = node.value[-1]
        node = item[1] if isinstance(item, tuple) else item
    return node
