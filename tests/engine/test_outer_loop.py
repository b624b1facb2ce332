"""The outer loop in any order: three environments over months, with calls of Azure that fail and runs that are killed.

Hypothesis puts the stories together. What each verb does alone is in test_every_version.py, test_delivery.py and
test_closed_loop.py.
"""

import contextlib
import copy
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fake_az
import pytest
from clouds import MONITOR, REGISTRY
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from monitor_fakes import monitor_runs
from small_project import set_key

from mlops import verbs
from mlops.config import Project
from mlops.errors import UserError
from mlops.verbs import Session

CHAIN = ("dev", "test", "prod")
EXAMPLES = int(os.environ.get("OUTER_LOOP_EXAMPLES", "40"))
"""How many stories: more by hand, after a change of the verbs."""
FAILING = (
    "online-deployment create",
    "online-deployment delete",
    "online-endpoint update",
    "online-endpoint invoke",
    "model update",
    "batch-deployment create",
    "metrics list",
)
"""The commands that fail at some point of a verb."""


class KilledError(BaseException):
    """The machine that ran the verb is gone: nothing of the verb runs any more."""


@dataclass(frozen=True)
class Trouble:
    """A command that does not work: which one of its kind, whether its work is done, and how the verb learns of it."""

    words: str
    number: int
    after: bool
    kind: str  # "once", "from then on", "killed"


class Commands(fake_az.Commands):
    """The commands, with other files for each version, and requests that some versions fail with."""

    def monitor_metrics_list(self) -> object:
        online = self.state["online"]
        models = {name: made["model"].rsplit("/", 1)[-1] for name, made in online["deployments"].items()}
        calls = {
            name: {"codes": {"200": 9, "424 500": 9 * fails_under_load(version)}, "latency": 100, "late": 1}
            for name, version in models.items()
            if online["traffic"].get(name) and self.state["busy"]
        }
        self.state = {**self.state, "callers": calls}
        return super().monitor_metrics_list()

    def model_download(self) -> object:
        version = self.option("--version")
        fake_az.require(version in self.models(), "(UserError) no such version")
        target = Path(self.option("--download-path")) / self.name / "model"
        target.mkdir(parents=True)
        (target / "MLmodel").write_text(content(version, self.option("--registry-name")), encoding="utf-8")
        return None


class Subscription:
    """The three workspaces, each with endpoints of its own, and one registry."""

    def __init__(self) -> None:
        """Begin with empty workspaces."""
        shared = {"registries": {REGISTRY: {}}}
        # Whether anyone calls the endpoint now.
        self.spaces = {each: {**copy.deepcopy(fake_az.EMPTY), **shared, "busy": True} for each in CHAIN}
        self.trouble: Trouble | None = None
        self.seen = 0

    def execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        """Do what `mlops.shell.execute` does."""
        line = ["az", *command[1:]]
        fails = self._fails(" ".join(line[2:4]))
        try:
            if fails and not fails.after:
                self._end(fails)
            result = self._answer(line)
            if fails:
                self._end(fails)
        except fake_az.RefusedError as error:
            return 1, "", f"ERROR: {error}\n"
        return 0, json.dumps(result) if captured else "", ""

    def _fails(self, words: str) -> Trouble | None:
        trouble = self.trouble
        if trouble is None or trouble.words != words:
            return None
        self.seen += 1
        there = self.seen == trouble.number or (self.seen > trouble.number and trouble.kind == "from then on")
        return trouble if there else None

    @staticmethod
    def _end(trouble: Trouble) -> None:
        if trouble.kind == "killed":
            raise KilledError
        raise fake_az.RefusedError("(Conflict) not now")

    def _answer(self, line: list[str]) -> object:
        assert not fake_az.mistakes(line), line
        name = next(name for name in fake_az.TABLE if line[: len(name.split())] == name.split())
        given = fake_az.options(line[len(name.split()) :])
        places = (given.get(option) for option in ("--workspace-name", "--resource-group", "--resource"))
        place = next((found[0] for found in places if found), "-dev")
        words = [word for word in name.split()[1:] if word != "ml"]
        commands = Commands(self.spaces[place.rsplit("-", 1)[-1]], given)
        return getattr(commands, "_".join(words).replace("-", "_"))()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the lines of thousands of verbs from the report of a test."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def content(version: str, registry: str) -> str:
    """Return the files of a model version; every fourth one does not arrive in the registry as it was."""
    return f"version: {version}\n" + ("broken: true\n" if registry and int(version) % 4 == 0 else "")


def fails_under_load(version: str) -> bool:
    """Return whether a version passes each smoke test and fails with half of its requests: every fifth one."""
    return int(version) % 5 == 0


@dataclass
class World:
    """What the machine has to know of one story beside Azure: who may be where, and what was seen."""

    versions: int = 0
    code: int = 0
    clock: int = 0
    days: int = 0
    offers: dict[str, list[str]] = field(default_factory=lambda: {each: [] for each in CHAIN})
    served: dict[str, list[str]] = field(default_factory=lambda: {each: [] for each in CHAIN})


class OuterLoop(RuleBasedStateMachine):
    """A team that trains, delivers, goes back and pins for months."""

    project: Project
    runs = itertools.count()
    begun: tuple[Subscription, World] | None = None

    def __init__(self) -> None:
        """Begin with two models that went all the way, one after the other."""
        super().__init__()
        self.azure, self.world = copy.deepcopy(self.begun) if self.begun else (Subscription(), World())
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("mlops.shell.execute", self.azure.execute)
        self.patch.setattr("mlops.verbs.models.now", self._now)
        self._write_code()
        self.sessions = {each: Session.open(each, root=self.project.root) for each in CHAIN}
        if not self.begun:
            for _ in range(2):
                self.train()
                self.deliver_all_the_way(None)
            assert {self.version(each) for each in CHAIN} == {"2"}
            type(self).begun = copy.deepcopy((self.azure, self.world))

    def teardown(self) -> None:
        """Take the Azure away."""
        self.patch.undo()

    def _now(self) -> str:
        self.world.clock += 1
        return f"{self.world.clock:06}"

    def _write_code(self) -> None:
        score = self.project.root / "data-science" / "src" / self.project.package / "score.py"
        score.write_text(f"CHANGE = {self.world.code}\n", encoding="utf-8")

    # What is there.

    def online(self, environment: str) -> dict[str, Any]:
        return self.azure.spaces[environment]["online"] or {"traffic": {}, "deployments": {}}

    def serving(self, environment: str) -> tuple[str, str] | None:
        """The version and the fingerprint of what has all traffic."""
        online = self.online(environment)
        found = [online["deployments"][name] for name, share in online["traffic"].items() if share == 100]
        return (found[0]["model"].rsplit("/", 1)[-1], found[0]["tags"]["fingerprint"]) if found else None

    def version(self, environment: str) -> str:
        """The version that has all traffic, "" for none."""
        found = self.serving(environment)
        return found[0] if found else ""

    def tags(self, environment: str) -> dict[str, dict[str, str]]:
        """The tags of each version, where the environment takes its models from."""
        space = self.azure.spaces[environment]
        return space["models"] if environment == "dev" else space["registries"][REGISTRY]

    def marked(self, environment: str, mark: str) -> set[str]:
        """The versions that a tag of the environment says "true" of."""
        return {
            version for version, tags in self.tags(environment).items() if tags.get(f"{mark}_{environment}") == "true"
        }

    def hash(self, version: str, *, registry: bool) -> str:
        """The hash of the files."""
        folder = self.project.root / ".local" / "files"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "MLmodel").write_text(content(version, REGISTRY if registry else ""), encoding="utf-8")
        found: str = self.project.module("core.endpoint").model_hash(folder)
        return found

    # What a verb may do, whatever it is asked.

    def attempt(self, environment: str, action: Callable[[Session], object], trouble: Trouble | None) -> str:
        """Run a verb; return its error, "" when it did what it should."""
        before = {each: self.serving(each) for each in CHAIN}
        rejected = {each: self.marked(each, "rejected") for each in CHAIN}
        self.azure.trouble, self.azure.seen = trouble, 0
        error = ""
        try:
            with quiet():
                action(self.sessions[environment])
        except (UserError, KilledError) as problem:
            error = str(problem) or "killed"
        self.azure.trouble = None
        for each in CHAIN:
            after = self.serving(each)
            if after and after != before[each]:
                assert each == environment, "a verb changes the traffic of its own environment"
                assert after[0] not in rejected[each], "a rejected version is back"
                if after[0] not in self.world.served[each][-1:]:
                    self.world.served[each].append(after[0])
            assert rejected[each] <= self.marked(each, "rejected"), "a rejection is taken back by --accept alone"
        return error

    def held(self, environment: str) -> str:
        """The version that is held on purpose, "" for none."""
        online = self.online(environment)
        newest = max(online["deployments"].items(), key=lambda item: int(item[1]["tags"]["generation"]), default=None)
        if newest is None or online["traffic"].get(newest[0]) == 100:
            return ""
        version: str = newest[1]["model"].rsplit("/", 1)[-1]
        return version if version in self.marked(environment, "held") else ""

    def abort(self, environment: str) -> None:
        """Do what the workflow does after a failure; twice, as after a failure of itself."""
        held = self.held(environment)
        for _ in range(2):
            assert self.attempt(environment, verbs.abort, None) == ""
            assert self.held(environment) == held, "what is held stays"
        if deployments := self.online(environment)["deployments"]:
            shares = self.online(environment)["traffic"]
            assert sorted(shares.get(name, 0) for name in deployments)[-1] == 100, "one has all traffic"

    def deliver(self, environment: str, version: str, trouble: Trouble | None, **options: bool) -> bool:
        """Deliver; return whether the version serves for good."""
        before, pins = self.serving(environment), self.marked(environment, "pinned")
        sha256 = self.hash(version, registry=environment != "dev")
        given = {"model_version": version, "sha256": sha256, **options, "sleep": lambda seconds: None}
        busy = self.azure.spaces[environment]["busy"]
        error = self.attempt(environment, lambda session: verbs.deliver(session, **given), trouble)
        if error and not options.get("hold"):
            self.abort(environment)
        after = self.serving(environment)
        assert after == before or (after and after[0] == version), "what serves is the old one, or the new one"
        if before and after != before and busy:
            assert not fails_under_load(version), "no version that fails under load gets all traffic"
        if after != before and not options.get("pin"):
            assert not before or int(version) >= int(before[0]), "only a pin brings an older version"
            assert options.get("unpin") or pins <= {version}, "a pinned environment keeps its version"
        if error or after is None or after[0] != version or options.get("hold"):
            return False
        assert len(self.online(environment)["deployments"]) == 1 + bool(self.held(environment))
        if not pins - {version} or options.get("pin") or options.get("unpin"):
            assert self.azure.spaces[environment]["batch"]["default"] == f"model-{version}"
            if environment != "prod":
                following = CHAIN[CHAIN.index(environment) + 1]
                if f"promoted_{following}" in self.tags(following).get(version, {}):
                    self.world.offers[following].append(version)
        return True

    # What happens.

    troubles = st.none() | st.builds(
        Trouble,
        st.sampled_from(FAILING),
        st.integers(1, 3),
        st.booleans(),
        st.sampled_from(("once", "from then on", "killed")),
    )

    @rule()
    def train(self) -> None:
        """A better model is registered."""
        self.world.versions += 1
        version = str(self.world.versions)
        self.azure.spaces["dev"]["models"][version] = {"sha256": self.hash(version, registry=False)}
        self.world.offers["dev"].append(version)

    @rule()
    def change_the_code(self) -> None:
        """Someone changes score.py."""
        self.world.code += 1
        self._write_code()

    @rule(environment=st.sampled_from(CHAIN))
    def callers_come_or_go(self, environment: str) -> None:
        """It is night, or day again."""
        space = self.azure.spaces[environment]
        space["busy"] = not space["busy"]

    @precondition(lambda self: self.world.versions)
    @rule(data=st.data(), environment=st.sampled_from(CHAIN), trouble=troubles, stale=st.booleans())
    def deliver_one(self, data: st.DataObject, environment: str, trouble: Trouble | None, stale: bool) -> None:
        """A run delivers the version that it was started for: the newest one, or an old one that waited long."""
        offers = self.world.offers[environment]
        if not offers:
            return
        version = data.draw(st.sampled_from(offers)) if stale else offers[-1]
        option = data.draw(st.sampled_from(("", "", "", "force", "pin", "unpin")))
        self.deliver(environment, version, trouble, **({option: True} if option else {}))

    @precondition(lambda self: self.world.versions)
    @rule(trouble=troubles)
    def deliver_all_the_way(self, trouble: Trouble | None) -> None:
        """The newest model goes from environment to environment; a step that fails is repeated."""
        version = self.world.offers["dev"][-1]
        for environment in CHAIN:
            if version not in self.world.offers[environment]:
                return
            if not self.deliver(environment, version, trouble):
                self.deliver(environment, version, None)

    @rule(environment=st.sampled_from(CHAIN), end=st.sampled_from(("abort", "shift", "leave")))
    def hold(self, environment: str, end: str) -> None:
        """A rollout stops before traffic moves, and then it goes on, ends or is forgotten."""
        if not self.world.offers[environment]:
            return
        version = self.world.offers[environment][-1]
        self.deliver(environment, version, None, hold=True)
        if end == "abort":
            assert self.attempt(environment, lambda session: verbs.abort(session, held=True), None) == ""
            assert len(self.online(environment)["deployments"]) < 2
        elif end == "shift" and len(self.online(environment)["deployments"]) == 2:
            assert self.attempt(environment, lambda session: verbs.shift_traffic(session, 100), None) == ""
            self.deliver(environment, version, None)

    @rule(environment=st.sampled_from(CHAIN), trouble=troubles)
    def roll_back(self, environment: str, trouble: Trouble | None) -> None:
        """What serves is bad; a rollback that fails is repeated."""
        present = self.version(environment)
        if not present:
            return
        unfinished = len(self.online(environment)["deployments"]) > 1
        rejected = self.marked(environment, "rejected")
        usable = {each for each in self.world.served[environment] if each not in rejected}
        before = [each for each in self.world.served[environment] if each != present and each in usable]
        error = self.attempt(environment, verbs.rollback, trouble)
        if error and trouble:
            error = self.attempt(environment, verbs.rollback, None)
        if unfinished or present in rejected:
            self.abort(environment)  # from a rollout that was not completed, to the older of two
        elif before and (not trouble or int(before[-1]) < int(present)):
            assert error == ""
            assert self.version(environment) == before[-1]
            assert present in self.marked(environment, "rejected")
            assert self.azure.spaces[environment]["batch"]["default"] != f"model-{present}"

    @rule(data=st.data(), environment=st.sampled_from(CHAIN))
    def accept(self, data: st.DataObject, environment: str) -> None:
        """A rejection is taken back."""
        if rejected := self.marked(environment, "rejected"):
            version = data.draw(st.sampled_from(sorted(rejected)))
            self.tags(environment)[version][f"rejected_{environment}"] = "false"

    @precondition(lambda self: self.azure.spaces["prod"]["schedules"])
    @rule()
    def drift(self) -> None:
        """The monitor of prod finds drift, and the workflow looks twice."""
        self.world.days += 30
        name, jobs = f"run-{next(self.runs)}", self.azure.spaces["dev"]["jobs"]
        moment = datetime(2026, 1, 1, 6, tzinfo=UTC) + timedelta(days=self.world.days)
        runs = monitor_runs(MONITOR, name, f"{moment:%Y-%m-%dT%H:%M:%SZ}", ("data_drift",))
        space = self.azure.spaces["prod"]
        space["runs"] = {**runs, **space["runs"]}
        before, found = len(jobs), {}
        for hours in (3, 27):
            with quiet(), pytest.MonkeyPatch.context() as patch:
                patch.setattr("mlops.outputs.set_outputs", found.update)
                assert verbs.drift(self.sessions["prod"], now=moment + timedelta(hours=hours))
                job = found["job"]
                if job not in jobs:
                    self.train()
                    version = str(self.world.versions)
                    self.azure.spaces["dev"]["registration"] = {
                        "registered": True,
                        "name": "a-model",
                        "version": version,
                    }
                verbs.train(self.sessions["dev"], job=job)
        assert len(jobs) == before + 1

    # What always holds.

    @invariant()
    def production_serves_what_was_promoted_and_tested(self) -> None:
        """Its files have the promoted hash, and test had it before."""
        for environment in ("test", "prod"):
            if version := self.version(environment):
                promoted = self.tags(environment)[version][f"promoted_{environment}"]
                assert promoted == self.hash(version, registry=True)
                before = CHAIN[CHAIN.index(environment) - 1]
                assert version in self.world.served[before]


@pytest.fixture
def months(project: Project, monkeypatch: pytest.MonkeyPatch) -> type[OuterLoop]:
    """The machine for the small project, whose environments form a chain."""
    for environment, following in zip(CHAIN, (*CHAIN[1:], ""), strict=True):
        file = project.root / "config" / f"{environment}.yml"
        set_key(file, "delivery", {"next": following})
        set_key(file, "monitor.enabled", environment == "prod")
        # A canary with most of the traffic is a canary still.
        set_key(file, "rollout", {"canary_percent": 60 if environment == "test" else 10, "canary_minutes": 1})
    monkeypatch.setattr("mlops.shell.shutil.which", lambda program: f"/bin/{program}")
    monkeypatch.setattr(OuterLoop, "project", project, raising=False)
    return OuterLoop


def test_the_outer_loop_keeps_its_promises_in_any_order(months: type[OuterLoop]) -> None:
    run_state_machine_as_test(
        months,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # To make a story shorter takes minutes: with more examples, by hand.
            phases=[Phase.generate, Phase.shrink] if "OUTER_LOOP_EXAMPLES" in os.environ else [Phase.generate],
        ),
    )
