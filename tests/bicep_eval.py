"""Evaluates Bicep files: the resources and outputs that they request from Azure, without Bicep, Azure or an account.

There is no Bicep compiler on a package index, and the tree-sitter grammar reads `!a.b` and `x => x.a == b` wrongly, so
this reads the language itself: as much of it as the project's files need. Whatever else it meets, it raises.
"""

import functools
import itertools
import json
import operator
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
TENANT = "00000000-0000-0000-0000-000000000002"
DEPLOYER = "00000000-0000-0000-0000-0000000000d1"
NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")  # of guid(), as a snapshot of the compiler shows it
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

# In a scope, beside the names that a file gives: the id of what is deployed into, and the folder of the file.
TARGET, FOLDER = "@target", "@folder"


class BicepError(Exception):
    """What is wrong with a file, or what of the language this module does not know."""


# --- Values, beside text, numbers, lists and dictionaries -------------------------------------------------------------
class Runtime(str):
    """What only Azure knows, such as the principal of an identity: where it would be read."""

    __slots__ = ()


class Answer(dict):
    """Azure's answer about a resource: what was requested, and beyond that what only Azure knows."""

    def __init__(self, requested: Mapping[str, Any], address: str) -> None:
        super().__init__(requested)
        self.address = address

    def __missing__(self, key: str) -> Runtime:
        return Runtime(f"{self.address}.{key}")


class Scope(dict):
    """Names that an expression may use: those of its own block, then those of the blocks around it."""

    def __init__(self, names: Mapping[str, Any], outer: "Scope | None" = None) -> None:
        super().__init__(names)
        self.outer = outer

    def __missing__(self, name: str) -> Any:
        if self.outer is None:
            raise BicepError(f"nothing is called {name!r}")
        return self.outer[name]

    def value(self, name: str) -> Any:
        found = self[name]
        return found.value if isinstance(found, Later) else found

    def function(self, name: str) -> "Lambda | None":
        """The function of this name that the file declares."""
        scope: Scope | None = self
        while scope is not None and name not in scope:
            scope = scope.outer
        return found if scope is not None and isinstance(found := scope[name], Lambda) else None


class Later:
    """A value that is worked out when it is first needed, and once."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work

    @functools.cached_property
    def value(self) -> Any:
        return self.work()


Expression = Callable[[Scope], Any]


class Lambda:
    """A function that a file declares, or writes where it uses it; a lambda need not name every argument."""

    def __init__(self, names: list[str], result: Expression, scope: Scope) -> None:
        self.names, self.result, self.scope = names, result, scope

    def __call__(self, *values: Any) -> Any:
        return self.result(Scope(dict(zip(self.names, values, strict=False)), self.scope))


# --- What a file declares ---------------------------------------------------------------------------------------------
class Block(NamedTuple):
    """An object as it is written: its properties (no key: the value is spread), and the resources inside it."""

    properties: list[tuple[Expression | None, Expression]]
    nested: list["Declaration"]

    def value(self, scope: Scope) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in self.properties:
            found.update({key(scope): value(scope)} if key else value(scope))
        return found

    def unread(self, scope: Scope) -> dict[str, Expression]:
        """The properties by name, not worked out yet."""
        return {key(scope): value for key, value in self.properties if key}


class Loop(NamedTuple):
    """The head of a `for`: the variables for the item and its number, and what is looped over."""

    item: str
    number: str
    over: Expression

    def scopes(self, scope: Scope) -> Iterator[Scope]:
        for number, item in enumerate(self.over(scope)):
            yield Scope({self.item: item, self.number: number}, scope)


class Body(NamedTuple):
    """What follows the equals sign of a resource or module: a block, perhaps in a loop, perhaps on a condition."""

    block: Block
    condition: Expression | None = None
    loop: Loop | None = None

    def holds(self, scope: Scope) -> bool:
        return self.condition is None or truth(self.condition(scope))


class Declaration(NamedTuple):
    """One statement of a file; what its value is depends on the keyword."""

    keyword: str
    name: str
    value: Any = None
    of: str = ""  # a resource's type@version; the file of a module or an import
    existing: bool = False


class Resource:
    """A resource as it is requested: ``type``, ``version``, ``name`` (after its parents'), ``id`` and ``body``."""

    def __init__(self, declared: Declaration, scope: Scope, around: "Resource | None" = None) -> None:
        body: Body = declared.value
        self.type, _, self.version = declared.of.partition("@")
        self.existing, self.context = declared.existing, scope
        self.deployed: bool = not self.existing and body.holds(scope) and (around is None or around.deployed)
        self.properties = body.block.unread(scope)
        self.parent: Resource | None = around
        if around:
            self.type, self.version = f"{around.type}/{self.type}", self.version or around.version
        elif "parent" in self.properties:
            self.parent = self.properties["parent"](scope)
        self.nested = {each.name: made(each, scope, self) for each in body.block.nested}

    @functools.cached_property
    def name(self) -> str:
        own: str = self.properties["name"](self.context)
        return f"{self.parent.name}/{own}" if self.parent else own

    @functools.cached_property
    def scope(self) -> str:
        """Id of what the resource is in, or on."""
        if self.parent:
            return self.parent.scope
        own = self.properties.get("scope")
        return str(member(own(self.context), "id") if own else self.context[TARGET])

    @property
    def id(self) -> str:
        if self.type == "Microsoft.Resources/resourceGroups":
            return f"{self.scope}/resourceGroups/{self.name}"
        return resource_id(self.scope, self.type, *self.name.split("/"))

    @functools.cached_property
    def body(self) -> dict[str, Any]:
        """All properties but those that say where the resource stands, and after what."""
        self.properties.get("dependsOn", bool)(self.context)
        beside = ("name", "parent", "scope", "dependsOn")
        return {key: plain(value(self.context)) for key, value in self.properties.items() if key not in beside}

    def get(self, key: str) -> Any:
        if key in ("id", "type"):
            return getattr(self, key)
        if key == "name":
            return self.name.rpartition("/")[2]
        requested = self.body.get(key) if key in self.properties else None
        return Answer(requested or {}, f"{self.id}.{key}") if isinstance(requested, dict | None) else requested

    def family(self) -> Iterator["Resource"]:
        """This resource and those inside it."""
        yield self
        for each in self.nested.values():
            for one in each if isinstance(each, list) else [each]:
                yield from one.family() if one.deployed else ()


class Module:
    """A file that another one uses, with the values of its parameters."""

    def __init__(self, declared: Declaration, scope: Scope) -> None:
        self.deployed = declared.value.holds(scope)
        self.name = declared.name
        properties = declared.value.block.unread(scope)
        if strange := properties.keys() - {"name", "params", "scope", "dependsOn"}:
            raise BicepError(f"the module {self.name} has no {', '.join(sorted(strange))}")
        if self.deployed:
            properties.get("dependsOn", bool)(scope)
            target = member(properties["scope"](scope), "id") if "scope" in properties else scope[TARGET]
            params = properties["params"](scope) if "params" in properties else {}
            self.file = File(scope[FOLDER] / declared.of, params, target)

    def get(self, key: str) -> Any:
        if not self.deployed:
            raise BicepError(f"the module {self.name} is not deployed, so that it has no {key}")
        if key != "outputs":
            raise BicepError(f"the module {self.name} has no {key}")
        return self.file.outputs


def made(declared: Declaration, scope: Scope, around: Resource | None = None) -> Any:
    """A resource or module; a list of them when it is declared in a loop."""
    loop: Loop | None = declared.value.loop
    make = Module if declared.keyword == "module" else functools.partial(Resource, around=around)
    found = [make(declared, each) for each in (loop.scopes(scope) if loop else [scope])]
    return found if loop else found[0]


def plain(value: Any) -> Any:
    """A value without the classes of this module."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, Resource | Module | Lambda):
        raise BicepError(f"a {type(value).__name__} is not a value")
    return str(value) if isinstance(value, str) else value


def member(of: Any, key: Any, safe: bool = False) -> Any:
    """`of.key` or `of[key]`; with a question mark (``safe``) nothing when it is not there."""
    if safe and (of is None or (isinstance(of, Module) and not of.deployed)):
        return None
    if isinstance(of, Resource | Module):
        return of.get(key)
    if isinstance(of, Runtime):
        return Runtime(f"{of}.{key}")
    try:
        found = of[key]
    except (KeyError, IndexError, TypeError):
        if safe:
            return None
        raise BicepError(f"{str(of)[:80]} has no {key!r}") from None
    return Answer(found, f"{of.address}.{key}") if isinstance(of, Answer) and isinstance(found, dict) else found


def resource_id(scope: str, kind: str, *names: str) -> str:
    """The id of a resource in, or on, something."""
    provider, *types = kind.split("/")
    if len(types) != len(names):
        raise BicepError(f"{kind} has {len(types)} names, not {'/'.join(names)}")
    return "/".join([scope, "providers", provider, *itertools.chain(*zip(types, names, strict=True))])


# --- Functions --------------------------------------------------------------------------------------------------------
def text(value: Any) -> str:
    """As string() and interpolation write it: True, and objects as JSON."""
    if value is None:
        raise BicepError("null is not a string")
    return str(value) if isinstance(value, str | bool) else json.dumps(plain(value), separators=(",", ":"))


def union(first: Any, *others: Any) -> Any:
    """Lists without repetition; objects merged in depth, where the later one wins."""
    if isinstance(first, list):
        everything = [*first, *itertools.chain(*others)]
        return [each for number, each in enumerate(everything) if each not in everything[:number]]
    for other in others:
        deep = {key for key in first if isinstance(first[key], dict) and isinstance(other.get(key), dict)}
        first = {**first, **other, **{key: union(first[key], other[key]) for key in deep}}
    return first


def formatted(pattern: str, *values: Any) -> str:
    return re.sub(r"\{(\d+)\}", lambda found: text(values[int(found[1])]), pattern)


def split(value: str, by: str | list[str]) -> list[str]:
    return re.split("|".join(map(re.escape, [by] if isinstance(by, str) else by)), value)


def utc_now(pattern: str) -> str:
    parts = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
    return re.sub("|".join(parts), lambda found: NOW.strftime(parts[found[0]]), pattern)


def guid(*values: str) -> str:
    """As Resource Manager computes it: a name in a namespace of its own."""
    return str(uuid.uuid5(NAMESPACE, "-".join(values)))


def fail(message: str) -> NoReturn:
    raise BicepError(message)


def to_object(values: list, key: Callable[[Any], str], value: Callable[[Any], Any] = lambda each: each) -> dict:
    return {key(each): value(each) for each in values}


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "any": lambda value: value,
    "concat": lambda first, *more: functools.reduce(operator.add, more, first),
    "contains": lambda where, what: what in where,
    "deployer": lambda: {"objectId": DEPLOYER, "tenantId": TENANT},
    "empty": lambda value: not value,
    "endsWith": lambda value, end: value.lower().endswith(end.lower()),
    "environment": lambda: {"suffixes": {"storage": "core.windows.net"}},
    "fail": fail,
    "filter": lambda values, keep: [each for number, each in enumerate(values) if truth(keep(each, number))],
    "flatten": lambda lists: list(itertools.chain(*lists)),
    "format": formatted,
    "guid": guid,
    "indexOf": lambda where, what: where.index(what) if what in where else -1,
    "items": lambda value: [{"key": key, "value": value[key]} for key in sorted(value)],  # Azure sorts them too
    "join": lambda values, by: by.join(map(text, values)),
    "last": lambda values: values[-1],
    "length": len,
    "map": lambda values, change: [change(each, number) for number, each in enumerate(values)],
    "reduce": lambda values, start, change: functools.reduce(change, values, start),
    "replace": lambda value, old, new: value.replace(old, new),
    "sort": lambda values, less: sorted(values, key=functools.cmp_to_key(lambda a, b: -1 if less(a, b) else 1)),
    "split": split,
    "startsWith": lambda value, start: value.lower().startswith(start.lower()),
    "string": text,
    "subscriptionResourceId": lambda kind, *names: resource_id(f"/subscriptions/{SUBSCRIPTION}", kind, *names),
    "take": lambda values, count: values[:count],
    "tenant": lambda: {"tenantId": TENANT},
    "toLower": str.lower,
    "toObject": to_object,
    "union": union,
    "utcNow": utc_now,
}


def load(scope: Scope, name: str) -> str:
    path: Path = scope[FOLDER] / name
    return path.read_text(encoding="utf-8")


def resource_group(scope: Scope, *names: str) -> Answer:
    """The group that is deployed into; with its name, or that of its subscription and its own, another one."""
    *subscription, name = names or ("",)
    target = f"/subscriptions/{[SUBSCRIPTION, *subscription][-1]}/resourceGroups/{name}" if name else scope[TARGET]
    if "/resourceGroups/" not in target:
        raise BicepError("resourceGroup() needs a name here: this is deployed into a subscription")
    return Answer({"id": target, "name": target.rpartition("/")[2]}, "resourceGroup()")


# Functions whose result depends on the file that calls them.
IN_SCOPE: dict[str, Callable[..., Any]] = {
    "loadJsonContent": lambda scope, name: json.loads(load(scope, name)),
    "loadTextContent": load,
    "loadYamlContent": lambda scope, name: yaml.safe_load(load(scope, name)),
    "resourceGroup": resource_group,
    "resourceId": lambda scope, kind, *names: resource_id(scope[TARGET], kind, *names),
    "subscription": lambda scope: {
        "id": f"/subscriptions/{SUBSCRIPTION}",
        "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT,
    },
}


# --- Reading ----------------------------------------------------------------------------------------------------------
STRICT: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "=~": lambda left, right: left.lower() == right.lower(),
    "!~": lambda left, right: left.lower() != right.lower(),
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
    "%": operator.mod,
}
LEVELS = (r"\?\?", r"\|\|", "&&", "[=!][=~]", "<=|>=|<|>", r"\+|-", r"\*|/|%")  # the loosest first
NAME = r"[A-Za-z_]\w*"
BLANKS = re.compile(r"(?:[ \t\r]|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.DOTALL)
BLANKS_AND_LINES = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/|#[^\n]*)*", re.DOTALL)
STRING = re.compile(r"""\\u\{(?P<code>\w+)\}|\\(?P<escape>[nrt'$\\])|\$\{|'|\$|[^'\\$\n]+""")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Reader:
    """Turns the text of a file into declarations, whose expressions are functions of a scope."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source, self.at, self.blanks = name, source, 0, BLANKS

    def here(self) -> str:
        return f"{self.name}:{self.source.count(chr(10), 0, self.at) + 1}"

    def error(self, message: str) -> NoReturn:
        raise BicepError(f"{self.here()}: {message}")

    def find(self, pattern: str) -> re.Match[str] | None:
        blanks = self.blanks.match(self.source, self.at)
        return re.compile(pattern).match(self.source, blanks.end() if blanks else self.at)

    def sees(self, pattern: str) -> bool:
        return self.find(pattern) is not None

    def take(self, pattern: str) -> str:
        """What stands here, if it is this; otherwise nothing, and nothing is read."""
        found = self.find(pattern)
        self.at = found.end() if found else self.at
        return found[0].strip() if found else ""

    def need(self, pattern: str) -> str:
        return self.take(pattern) or self.error(f"expected {pattern}, not {self.source[self.at : self.at + 20]!r}")

    def among(self, blanks: re.Pattern[str], read: Callable[[], Any]) -> Any:
        """Read with other blanks: inside parentheses lines may end anywhere, inside brackets they separate."""
        before, self.blanks = self.blanks, blanks
        found = read()
        self.blanks = before
        return found

    # --- Declarations
    def declarations(self) -> list[Declaration]:
        found = []
        while not self.sees(r"\s*\Z"):
            self.take(r"\s*")
            if self.take("@"):
                self.expression()
            elif not self.sees(r"[\n#/]"):
                found.append(self.declaration(self.need(NAME)))
        return found

    def declaration(self, keyword: str) -> Declaration:
        match keyword:
            case "targetScope":
                return Declaration(keyword, "", self.assigned())
            case "using":
                return Declaration(keyword, "", of=self.quoted())
            case "import":
                names = self.need(r"\{[^}]*\}")[1:-1].replace(",", " ").split()
                self.need("from")
                return Declaration(keyword, "", names, self.quoted())
            case "metadata" | "var":
                return Declaration(keyword, self.need(NAME), self.assigned())
            case "param":
                name, kind = self.need(NAME), self.type()
                default = self.assigned() if self.sees("=") else (lambda scope: None) if kind.endswith("?") else None
                return Declaration(keyword, name, default)
            case "output":
                name, _ = self.need(NAME), self.type()
                return Declaration(keyword, name, self.assigned())
            case "type":
                name = self.need(NAME)
                self.need("=")
                return Declaration(keyword, name, self.type())
            case "func":
                return self.function(self.need(NAME))
            case "resource" | "module":
                name, of, existing = self.need(NAME), self.quoted(), bool(self.take(r"existing\b"))
                self.need("=")
                return Declaration(keyword, name, self.body(), of, existing)
        self.error(f"the statement {keyword!r} is not known")

    def assigned(self) -> Expression:
        self.need("=")
        return self.expression()

    def quoted(self) -> str:
        return self.need(r"'[^'$\n]+'")[1:-1]

    def type(self, end: str = r"=|\n|\Z") -> str:
        """The text of a type: types are for the compiler, which refuses what does not fit them."""
        start, depth = self.at, 0
        while depth or self.sees(r"\s*\|") or not self.sees(end):
            piece = self.find(r"'[^'\n]*'|[\[{(\]})]|\s|[^'\[{(\]})\s=,]+|[=,]") or self.error("a type does not end")
            self.at, depth = piece.end(), depth + (piece[0] in "[{(") - (piece[0] in "]})")
        return self.source[start : self.at].strip()

    def function(self, name: str) -> Declaration:
        names = []
        self.need(r"\(")
        while not self.take(r"\)"):
            names.append(self.need(NAME))
            self.type(end=r"[,)]")
            self.take(",")
        self.type(end="=>")
        self.need("=>")
        result = self.expression()
        return Declaration("func", name, lambda scope: Lambda(names, result, scope))

    def body(self) -> Body:
        loop = self.loop() if self.take(r"\[") else None
        condition = self.expression() if self.take(r"\s*if\b") else None
        body = Body(self.block(), condition, loop)
        if loop:
            self.need(r"\s*\]")
        return body

    def loop(self) -> Loop:
        self.need(r"\s*for\b")
        variables = re.findall(NAME, self.need(rf"{NAME}|\(\s*{NAME}\s*,\s*{NAME}\s*\)"))
        self.need(r"in\b")
        loop = Loop(variables[0], variables[-1] if len(variables) > 1 else "", self.expression())
        self.need(":")
        return loop

    # --- Expressions
    def expression(self) -> Expression:
        condition = self.binary(0)
        if not self.take(r"\s*\?(?!\?)"):
            return condition
        yes = self.expression()
        self.need(r"\s*:")
        no = self.expression()
        return lambda scope: yes(scope) if truth(condition(scope)) else no(scope)

    def binary(self, level: int) -> Expression:
        if level == len(LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while symbol := self.take(LEVELS[level]):
            left = calculation(symbol, left, self.binary(level + 1))
        return left

    def unary(self) -> Expression:
        if self.take("!"):
            operand = self.unary()
            return lambda scope: not truth(operand(scope))
        if self.take("-"):
            operand = self.unary()
            return lambda scope: -operand(scope)
        return self.members(self.primary())

    def members(self, of: Expression) -> Expression:
        while True:
            if self.take("!(?![=~])"):
                continue  # `x!` asserts to the compiler that x exists
            if self.take("::"):
                of = nested_of(of, self.need(NAME))
            elif dot := self.take(r"\.\??"):
                of = member_of(of, constant(self.need(NAME)), safe=dot.endswith("?"))
            elif bracket := self.take(r"\[\??"):
                of = member_of(of, self.expression(), safe=bracket.endswith("?"))
                self.need(r"\]")
            else:
                return of

    def primary(self) -> Expression:
        if self.sees("'"):
            return self.string()
        if number := self.take(r"\d+"):
            return constant(int(number))
        if word := self.take(r"(?:true|false|null)\b"):
            return constant(json.loads(word))
        if names := self.take(rf"(?:{NAME}|\((?:\s*{NAME}\s*,?)*\))\s*=>"):
            result = self.expression()
            return lambda scope: Lambda(re.findall(NAME, names), result, scope)
        if self.take(r"\("):
            inner: Expression = self.among(BLANKS_AND_LINES, self.expression)
            self.need(r"\s*\)")
            return inner
        if self.sees(r"\["):
            return self.array()
        if self.sees(r"\{"):
            return self.among(BLANKS, self.block).value
        self.take(rf"(?:az|sys)\.(?={NAME}\()")
        name = self.need(NAME)
        return self.call(name) if self.take(r"\(") else lambda scope: scope.value(name)

    def call(self, name: str) -> Expression:
        def read() -> list[Expression]:
            found = []
            while not self.sees(r"\)"):
                found.append(self.expression())
                if not self.take(","):
                    break
            return found

        arguments: list[Expression] = self.among(BLANKS_AND_LINES, read)
        self.need(r"\s*\)")
        here = self.here()

        def work(scope: Scope) -> Any:
            function = scope.function(name) or FUNCTIONS.get(name)
            if name in IN_SCOPE:
                function = functools.partial(IN_SCOPE[name], scope)
            if function is None:
                raise BicepError(f"{here}: the function {name!r} is not known")
            return function(*(argument(scope) for argument in arguments))

        return work

    def array(self) -> Expression:
        self.need(r"\[")
        if self.sees(r"\s*for\b"):
            loop, result = self.loop(), self.expression()
            self.need(r"\s*\]")
            return lambda scope: [result(each) for each in loop.scopes(scope)]

        def read() -> list[tuple[str, Expression]]:
            found = []
            while not self.take(r"[\s,]*\]"):
                self.take(r"[\s,]*")
                if not self.sees(r"[\n/#]"):
                    found.append((self.take(r"\.\.\."), self.expression()))
            return found

        parts: list[tuple[str, Expression]] = self.among(BLANKS, read)
        return lambda scope: [each for many, part in parts for each in (part(scope) if many else [part(scope)])]

    def block(self) -> Block:
        found = Block([], [])
        self.need(r"\s*\{")
        while not self.take(r"[\s,]*\}"):
            self.take(r"[\s,]*")
            if self.take("@"):
                self.expression()
            elif self.take(rf"resource\b(?=\s+{NAME}\s+')"):
                found.nested.append(self.declaration("resource"))
            elif self.take(r"\.\.\."):
                found.properties.append((None, self.expression()))
            elif not self.sees(r"[\n/#]"):
                key = self.string() if self.sees("'") else constant(self.need(NAME))
                self.need(":")
                found.properties.append((key, self.expression()))
        return found

    def string(self) -> Expression:
        if self.take("'''"):
            end = self.source.index("'''", self.at)
            raw, self.at = self.source[self.at : end], end + 3
            return constant(raw.removeprefix("\n"))
        self.need("'")
        parts: list[Expression] = []
        while True:
            found = STRING.match(self.source, self.at) or self.error("a string does not end")
            self.at = found.end()
            if found[0] == "'":
                return lambda scope: "".join(text(part(scope)) for part in parts)
            if found[0] == "${":
                parts.append(self.expression())
                self.need(r"\}")
            elif found["code"]:
                parts.append(constant(chr(int(found["code"], 16))))
            else:
                parts.append(constant(ESCAPES.get(found["escape"] or "", found["escape"]) or found[0]))


def constant(value: Any) -> Expression:
    return lambda scope: value


def calculation(symbol: str, left: Expression, right: Expression) -> Expression:
    if symbol in STRICT:
        return lambda scope: STRICT[symbol](left(scope), right(scope))
    if symbol == "??":
        return lambda scope: right(scope) if (value := left(scope)) is None else value
    if symbol == "&&":
        return lambda scope: truth(left(scope)) and truth(right(scope))
    return lambda scope: truth(left(scope)) or truth(right(scope))


def truth(value: Any) -> bool:
    """A condition must be known before anything is deployed."""
    if not isinstance(value, bool):
        raise BicepError(f"{value!r} is not a condition")
    return value


def member_of(of: Expression, key: Expression, *, safe: bool) -> Expression:
    return lambda scope: member(of(scope), key(scope), safe)


def nested_of(of: Expression, name: str) -> Expression:
    return lambda scope: of(scope).nested[name]


@functools.cache
def read(name: str, source: str) -> list[Declaration]:
    return Reader(name, source).declarations()


# --- Files ------------------------------------------------------------------------------------------------------------
class File:
    """A file with the values of its parameters, deployed into a scope, whose id is ``target``."""

    def __init__(self, path: Path, given: Mapping[str, Any], target: str) -> None:
        declared = read(path.name, path.read_text(encoding="utf-8"))
        self.scope = Scope({TARGET: target, FOLDER: path.parent})
        self.all = [each for each in declared if each.keyword in ("resource", "module")]
        self.results = [each for each in declared if each.keyword == "output"]
        parameters = {each.name: each.value for each in declared if each.keyword == "param"}
        if strange := given.keys() - parameters.keys():
            raise BicepError(f"{path.name} has no parameter {', '.join(sorted(strange))}")
        if missing := sorted(name for name, default in parameters.items() if name not in given and default is None):
            raise BicepError(f"{path.name} needs the parameter {', '.join(missing)}")
        for each in declared:
            match each.keyword:
                case "param" if each.name in given:
                    self.scope[each.name] = given[each.name]
                case "param" | "var":
                    self.scope[each.name] = Later(functools.partial(each.value, self.scope))
                case "func":
                    self.scope[each.name] = each.value(self.scope)
                case "import":
                    other = File(path.parent / each.of, {}, target)
                    self.scope.update({name: other.scope[name] for name in each.value if name in other.scope})
                case "resource" | "module":
                    self.scope[each.name] = Later(functools.partial(made, each, self.scope))

    def resources(self) -> Iterator[Resource]:
        """All that is to be deployed, those of modules too."""
        for each in self.all:
            found = self.scope.value(each.name)
            for one in found if isinstance(found, list) else [found]:
                if one.deployed and isinstance(one, Module):
                    yield from one.file.resources()
                elif one.deployed:
                    yield from one.family()

    @functools.cached_property
    def outputs(self) -> dict[str, Any]:
        return {each.name: plain(each.value(self.scope)) for each in self.results}


class Deployment(NamedTuple):
    """What a deployment requests from Azure, and what it returns."""

    resources: list[Resource]
    outputs: dict[str, Any]


def evaluate(path: Path, **parameters: Any) -> Deployment:
    """Evaluate a ``.bicepparam`` file, or a ``.bicep`` file, with these parameters on top.

    Raises BicepError when something is wrong in the files, or unknown to this module.
    """
    if path.suffix == ".bicepparam":
        declared = read(path.name, path.read_text(encoding="utf-8"))
        scope = Scope({FOLDER: path.parent})
        for each in declared:
            if each.keyword in ("param", "var"):
                scope[each.name] = Later(functools.partial(each.value, scope))
        given = {each.name: scope.value(each.name) for each in declared if each.keyword == "param"}
        used = next(each.of for each in declared if each.keyword == "using")
        return evaluate(path.parent / used, **given | parameters)
    file = File(path, parameters, f"/subscriptions/{SUBSCRIPTION}")
    return Deployment(list(file.resources()), file.outputs)
