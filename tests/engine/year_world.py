"""The world of a simulated year: a project, its Azure, what people decided, and what must hold all the time.

What must hold is read from the state of Azure and from the decisions of people, never from what a verb says of itself.
"""

import contextlib
import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
import typer
from azure_ml import BROKEN, REFUSING, Azure, Model, Online, Training, Workspace, is_bad_under_load
from azure_runs import logged
from quick_year import copied, hasten
from small_project import write_yaml
from troubles import KilledError, Trouble, Turns
from year_clients import Clients

from mlops import cli, verbs
from mlops.config import Project, load_environment
from mlops.errors import UserError
from mlops.verbs import Session

CHAIN = ("dev", "test", "prod")
PROTECTED = "prod"
ADDED = "stage"
"""An environment that comes before the protected one, and goes again."""

START = datetime(2026, 1, 5, 6, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")
"""Where the monitor runs at the same time of each day, also when the clocks are changed."""

RUN_IDS = {"GITHUB_ACTIONS": "GITHUB_RUN_ID", "TF_BUILD": "BUILD_BUILDID"}
"""The variable that tells a run's number, by the one that tells its system."""

ATTEMPTS = {"GITHUB_ACTIONS": "GITHUB_RUN_ATTEMPT", "TF_BUILD": "SYSTEM_STAGEATTEMPT"}
"""The one that tells how many times it has been run."""

DAMAGED = "damaged on its way"
"""What the files of a model say that does not arrive in the registry as it was."""


@dataclass
class Delivery:
    """A run of the workflow Deliver: version and hash, which are chosen once, and the environment it has come to."""

    number: int
    version: str
    sha256: str
    at: str
    option: str = ""
    run: Any = None  # of a pipeline: see `year_pipelines.Run`
    commit: tuple[int, ...] = ()  # what its run has checked out

    @property
    def attempt(self) -> int:
        """How many times its run has been run."""
        return self.run.attempt if self.run else 1

    def __str__(self) -> str:
        """Name it as the story does."""
        return f"delivery {self.number} of version {self.version}"


@dataclass
class People:
    """What people did and decided, beside what is in Azure."""

    time: datetime = START
    data: int = 0
    code: int = 0
    codes: int = 0  # how many there were: what is pushed after another one was undone is new, too
    packages: int = 0
    template: int = 0
    machines: int = 1
    quality: int = 0
    nature: str = ""  # of the next model: BROKEN, DAMAGED or nothing
    qualities: dict[str, int] = field(default_factory=dict)  # of a data version
    waiting: list[Delivery] = field(default_factory=list)  # for an approval
    failed: list[Delivery] = field(default_factory=list)
    approved: set[str] = field(default_factory=set)  # hashes, for the protected environment
    served: dict[str, list[str]] = field(default_factory=lambda: {each: [] for each in CHAIN})  # versions, in order
    passed: dict[str, set[str]] = field(default_factory=lambda: {each: set() for each in CHAIN})  # hashes
    deliveries: int = 0  # and other runs of pipelines
    undone: int = 0  # how many pushes were undone
    # The newest run after which an environment had all that it brought, and what that was beside the model.
    newest: dict[str, tuple[int, str]] = field(default_factory=dict)
    chain: tuple[str, ...] = CHAIN

    def change_code(self) -> None:
        """Write other code than ever before."""
        self.codes += 1
        self.code = self.codes


@dataclass(frozen=True)
class Result:
    """What came of a verb: its error, "" when it did what it should, what it handed on, and whether it was killed."""

    error: str
    outputs: dict[str, str]
    killed: bool = False


class World:
    """A project with its Azure, in which verbs run; the `Story` of that Azure."""

    def __init__(self, project: Project, azure: Azure, people: People, client: str, system: Mapping[str, str]) -> None:
        """Take what is there; nothing runs yet."""
        self.project, self.azure, self.people = project, azure, people
        self.story: list[str] = []
        self.moments: list[datetime] = []  # of the events
        self.history: list[tuple[datetime, str, str]] = []  # which version serves where from when on
        self.events: Counter[str] = Counter()
        self.idle: Counter[str] = Counter()
        self.folders: dict[str, Path] = {}  # of the models that were trained really, by what stands for their files
        self.violation = ""
        self._trouble: Trouble | None = None
        self._turns: Turns | None = None
        self._calls = 0
        self._late = self.cancelled = False
        self._outputs: dict[str, str] = {}
        self._begin_watch()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr("mlops.verbs.models.now", self._tag_time)
        self._patch.setattr("mlops.verbs.canary.clock", lambda: self.people.time)
        self._patch.setattr("mlops.outputs._append", self._keep)
        self._files: dict[str, Any] = {}  # what was last written
        self._are_written = False
        hasten(project, self._patch, self._written)
        self._clients = Clients(client, project, azure, self, self._patch)
        # A verb that is run by its command line, as a workflow does.
        self._patch.setattr("mlops.azureml.connect", lambda _, config, *, dry_run: self._clients.connect(config))
        self._patch.setattr(cli, "app", COMMAND)
        for waits in (verbs.deliver, verbs.rollback):
            self._patch.setitem(waits.__kwdefaults__, "sleep", self.sleep)
        now = SimpleNamespace(now=lambda zone: self.people.time.astimezone(zone))
        self._patch.setattr(sys.modules["mlops.verbs.drift"], "datetime", now)
        for name, value in system.items():
            self._patch.setenv(name, value)
        # Each run that begins has a new number; see `checkout`.
        self._run_id, self._attempt = (
            next(names[known] for known in names if known in system) for names in (RUN_IDS, ATTEMPTS)
        )
        self._patch.setenv(self._run_id, "1000000")
        self._patch.setenv(self._attempt, "1")

    def close(self) -> None:
        """Give the modules and variables back."""
        self._patch.undo()

    # What surrounds Azure: see `azure_ml.Story`.

    def before(self, operation: str) -> int:
        self.pause()
        self._calls += 1
        trouble = self._trouble
        if trouble is None or self._calls < trouble.call:
            return 0
        if trouble.kind == "throttled long" or (trouble.kind == "throttled" and self._calls < trouble.call + 3):
            return 20
        if trouble.kind == "signed out":
            raise UserError("AADSTS70043: the login has expired")
        if self._calls == trouble.call:
            if trouble.kind == "refused":
                raise UserError(f"(Conflict) {operation}: not now")
            if trouble.kind == "cancelled":
                self.cancelled = True
                raise KeyboardInterrupt
            if trouble.kind == "killed":
                raise KilledError
        return 0

    def may_be_late(self) -> bool:
        return self._trouble is not None and self._trouble.kind == "late"

    def is_late(self) -> bool:
        if self._trouble is None or self._trouble.kind != "late" or self._late or self._calls < self._trouble.call:
            return False
        self._late = True
        return True

    def after(self, operation: str, *, changed: bool) -> None:
        if changed:
            self._watch()
        trouble = self._trouble
        if trouble and self._calls == trouble.call:
            if trouble.kind == "lost":
                raise UserError(f"(Timeout) {operation}: no answer")
            if trouble.kind == "killed after":
                raise KilledError

    def pause(self) -> None:
        if self._turns:
            self._turns.pause()

    def has_quota(self) -> bool:
        return self._trouble is None or self._trouble.kind != "quota"

    def train(self, workspace: Workspace, training: Training) -> None:
        """Do what the pipeline does: a model as good as its data, registered when it is better than the champion."""
        people, version = self.people, training.data["raw_data"]
        quality = people.qualities.setdefault(version, people.quality)
        if quality < 0:
            training.status = "Failed"
            return
        champion = self.champion()
        decision = self._decide(quality, quality_of(workspace.models[champion].files) if champion else None)
        kept = [version for version, model in workspace.models.items() if not is_rejected(model)]
        last = max(kept, key=int, default="")  # by the words of the issue, and not by those of the code
        worse = decision.promote and last and quality <= quality_of(workspace.models[last].files)
        self.require(not worse, f"a model of quality {quality} takes the place of version {last}, which is no worse")
        training.status = "Completed"
        training.registration = {"registered": decision.promote, "name": "a-model", "reasons": [*decision.reasons]}
        if decision.promote:
            number = str(1 + max(map(int, workspace.models), default=8))  # soon one that as text is before the others
            files = f"version {number}, quality {quality}, {people.nature or 'fine'}"
            people.nature, sha256 = "", self.hash(files)
            workspace.models[number] = Model(files, {"sha256": sha256})
            training.registration |= {"version": number, "sha256": sha256}

    def _decide(self, challenger: int, champion: int | None) -> Any:
        """Decide by the rules of the step `evaluate` whether a model is registered."""
        promotion = self.project.module("core.promotion")
        metric = SimpleNamespace(name="quality", gain=lambda new, old: new - old)
        gain = challenger - (champion or 0)
        interval = promotion.Interval(gain, gain - 0.5, gain + 0.5)
        return promotion.decide(promotion.Policy(metric, floor=0), challenger, champion, interval)

    def copy(self, files: str) -> str:
        return f"{files} indeed" if DAMAGED in files else files

    def beside(self, workspace: Workspace) -> str:
        people = self.people
        return f"code {people.code}, packages {people.packages}, template {people.template}, {people.machines} machines"

    @property
    def commit(self) -> tuple[int, ...]:
        """What a run that begins now checks out, besides data."""
        people = self.people
        return people.code, people.packages, people.template, people.machines

    @contextlib.contextmanager
    def checkout(self, run: Any) -> Iterator[None]:
        """Work as a run, or that of a delivery, which has the commit that it began with."""
        people, newest = self.people, self.commit
        outside = os.environ[self._run_id], os.environ[self._attempt]

        def go_to(commit: tuple[int, ...], number: str, attempt: str) -> None:
            os.environ[self._run_id], os.environ[self._attempt] = number, attempt
            if commit != self.commit:
                people.code, people.packages, people.template, people.machines = commit
                self.write()

        go_to(run.commit, str(run.number), str(run.attempt))
        try:
            yield
        finally:
            go_to(newest, *outside)

    # What is there.

    def online(self, environment: str) -> tuple[dict[str, int], dict[str, Online]]:
        """Return the traffic and the deployments of an environment."""
        endpoint = self.azure.workspaces[environment].online
        return (endpoint.traffic, endpoint.deployments) if endpoint else ({}, {})

    def version(self, environment: str) -> str:
        """Return the version that has all traffic, "" for none."""
        traffic, deployments = self.online(environment)
        return next((deployments[name].version for name, share in traffic.items() if share == 100), "")

    def answering(self, environment: str) -> set[str]:
        """Return the versions that have a share of the traffic."""
        traffic, deployments = self.online(environment)
        return {deployments[name].version for name, share in traffic.items() if share}

    def models(self, environment: str) -> dict[str, Model]:
        """Return the versions, where an environment takes them from."""
        return self.azure.workspaces["dev"].models if environment == "dev" else self.azure.registry or {}

    def marked(self, environment: str, mark: str) -> set[str]:
        """Return the versions that a tag of the environment says "true" of."""
        tag = f"{mark}_{environment}"
        return {version for version, model in self.models(environment).items() if model.tags.get(tag) == "true"}

    def champion(self) -> str | None:
        """Return the version that a new model has to beat, by the rule of the step `register`."""
        found = [_Mlflow(version, model.tags) for version, model in self.azure.workspaces["dev"].models.items()]
        client = mock.Mock(search_model_versions=lambda *_, **__: _Page(found))
        best = self.project.module("core.endpoint").champion(client, "a-model")
        return best.version if best else None

    def hash(self, files: str) -> str:
        """Return the hash of the files of a model."""
        if files not in _HASHES:
            folder = self.project.root / ".local" / "files"
            self.write_model(files, folder)
            _HASHES[files] = self.project.module("core.endpoint").model_hash(folder)
        return _HASHES[files]

    def write_model(self, files: str, folder: Path) -> None:
        """Write the files of a model, as a download does."""
        shutil.rmtree(folder, ignore_errors=True)
        if files in self.folders:
            shutil.copytree(self.folders[files], folder)
            return
        folder.mkdir(parents=True)
        (folder / "MLmodel").write_text(files, encoding="utf-8")

    def snapshot(self) -> str:
        """Return all that is in Azure as a text."""
        return repr(self.azure)

    def jobs(self) -> set[str]:
        """Return the names of all trainings."""
        return set(self.azure.workspaces["dev"].jobs)

    def line(self) -> str:
        """Return what is deployed, as one line."""
        return " | ".join(f"{each} {self._deployed(each)}" for each in self.people.chain)

    def _deployed(self, environment: str) -> str:
        traffic, deployments = self.online(environment)
        shown = [
            f"{name}=v{each.version}:{traffic.get(name, 0)}%" + ("" if each.works else " failed")
            for name, each in deployments.items()
        ]
        return " ".join(shown) or "-"

    def _written(self) -> tuple[Any, ...] | None:
        """Return what the files of the project are, but for the data; None while they are written."""
        return tuple(value for part, value in self._files.items() if part != "data") if self._are_written else None

    def write(self) -> None:
        """Write data, code and sizes as they are now, where they are others than before."""
        root, people, package = self.project.root, self.people, self.project.package
        parts = {
            "data": people.data,
            "code": people.code,
            "packages": people.packages,
            "template": people.template,
            "machines": (people.machines, people.chain),
        }
        changed = {name for name, value in parts.items() if self._files.get(name) != value}
        self._are_written = False
        if "data" in changed:
            rows = "".join(f"{row},{people.data}.5\n" for row in range(9))
            (root / "data" / "raw" / "rows.csv").write_text(f"y,x\n{rows}", encoding="utf-8")
        if "code" in changed:
            score = root / "data-science" / "src" / package / "score.py"
            score.write_text(f"CHANGE = {people.code}\n", encoding="utf-8")
        if "packages" in changed:
            packages = {"name": "inference", "dependencies": ["python=3.11", f"a-package={people.packages}"]}
            write_yaml(root / "data-science" / "environment" / "inference.yml", packages)
        if "template" in changed:
            [definition] = [*root.glob("mlops/*/online/deployment.yml"), *root.glob("mlops/*/online.py")]
            probe = r"(liveness_probe(?:\W|ProbeSettings)+initial_delay\W+)\d+"
            replace(definition, probe, rf"\g<1>{30 + people.template}")
        if "machines" in changed:
            for each in people.chain:
                file = root / "config" / f"{each}.yml"
                head, key, tail = file.read_text(encoding="utf-8").partition("  online:\n    instance_count: ")
                file.write_text(f"{head}{key}{people.machines}{tail[1:]}", encoding="utf-8")
        if changed - {"data"}:
            # Each run has a process of its own, which imports the definitions as they are then.
            for name, module in [*sys.modules.items()]:
                if str(getattr(module, "__file__", None)).startswith(f"{root}{os.sep}"):
                    del sys.modules[name]
        self._files, self._are_written = parts, True

    def write_chain(self) -> None:
        """Write which environment follows which, and the files of the added one; `write` completes them."""
        self._are_written = False
        root, chain = self.project.root, self.people.chain
        added = root / "config" / f"{ADDED}.yml"
        added.unlink(missing_ok=True)
        if ADDED in chain:
            text = (root / "config" / "test.yml").read_text(encoding="utf-8")
            added.write_text(re.sub(r"(?<![a-z])test\b", ADDED, text), encoding="utf-8")
        for each, following in pairwise((*chain, "")):
            replace(root / "config" / f"{each}.yml", "(?m)^  next: .*", f"  next: '{following}'")
        replace(root / "pyproject.toml", "(?m)^environments = .*", f"environments = {json.dumps(chain)}")
        self.project = self._clients.project = Project.load(root)

    # How a verb runs.

    def session(self, environment: str) -> Session:
        """Open an environment, as each run does."""
        config = load_environment(self.project, environment)
        return Session(self.project, config, self._clients.connect(config))

    def run(self, environment: str, verb: Callable[[Session], object], trouble: Trouble | None = None) -> Result:
        """Run a verb, and check what holds for each."""
        kept = self._kept()
        self._begin_watch()
        # Each run has a checkout of its own, in which nothing is left of others.
        shutil.rmtree(self.project.root / ".local" / "azure", ignore_errors=True)
        self._trouble, self._calls, self._outputs = trouble, 0, {}
        self._late = self.cancelled = False
        error, killed = "", False
        try:
            with quiet() as printed:
                verb(self.session(environment))
        except UserError as problem:
            error = str(problem)
        except KeyboardInterrupt:
            error = "cancelled"
        except KilledError:
            error, killed = "killed", True
        self._trouble = None
        self._check_kept(kept)
        for _, given, value in logged(printed.getvalue()):
            if given.get("isOutput"):
                self._outputs[given["variable"]] = value
        return Result(error, self._outputs, killed)

    def command(self, environment: str, words: list[str], trouble: Trouble | None = None) -> Result:
        """Run a verb by its command line."""

        def verb(session: Session) -> None:
            with contextlib.redirect_stderr(io.StringIO()) as errors:
                try:
                    cli.main(words)
                except SystemExit as end:
                    if end.code:
                        raise UserError(errors.getvalue().rpartition("error: ")[2].strip() or "cancelled") from end

        return self.run(environment, verb, trouble)

    def run_together(
        self, environment: str, verbs: tuple[Callable[[Session], object], ...], changes: list[bool]
    ) -> list[str]:
        """Run two verbs at once; return their errors."""
        kept = self._kept()
        self._begin_watch()
        errors, broken = ["", ""], list[BaseException]()

        def act(place: int) -> None:
            try:
                verbs[place](self.session(environment))
            except UserError as error:
                errors[place] = str(error)
            except BaseException as error:  # with which a thread would end as if all were well
                broken.append(error)

        self._turns = Turns(changes)
        with quiet():
            self._turns.run(lambda: act(0), lambda: act(1))
        self._turns = None
        self.require(not self.violation, self.violation)
        for error in broken:
            raise error
        self._check_kept(kept)
        return errors

    def _keep(self, path: str, text: str) -> None:
        if path == "output":
            name, _, value = text.strip().partition("=")
            self._outputs[name] = value

    def sleep(self, seconds: float) -> None:
        """Let time pass for a verb that waits."""
        self.people.time += timedelta(seconds=seconds)

    def _tag_time(self) -> str:
        self.people.time += timedelta(seconds=1)
        return f"{self.people.time:%Y-%m-%dT%H:%M:%SZ}"

    # The story.

    def tell(self, sentence: str, trouble: Trouble | None = None) -> None:
        """Begin an event."""
        self.story.append(f"{self.people.time:%d %b}: {sentence}" + (f"; {trouble}" if trouble else ""))
        self.moments.append(self.people.time)
        self.events["all"] += 1
        self._mark = self.snapshot()

    def told(self, outcome: str, *, effective: bool = False) -> None:
        """End an event: with what came of it, and what serves now."""
        workspace = self.azure.workspaces["dev"]
        for training in workspace.jobs.values():
            if training.status == "Running":
                self.train(workspace, training)  # which goes on when the run that started it is gone
        if not effective and self._mark == self.snapshot() and outcome in ("done", ""):
            self.events["idle"] += 1
            self.idle[self.story[-1].partition(": ")[2].partition(";")[0]] += 1
        self.story[-1] += f" -> {outcome}\n     {self.line()}"

    def require(self, condition: object, text: str) -> None:
        """Check what must hold; the story ends where it does not."""
        if not condition:
            self.violation = self.violation or text
            lines = "\n".join(f"{number:3}. {line}" for number, line in enumerate(self.story, 1))
            raise AssertionError(f"{text}\n\n{lines}\n     {self.line()}\n")

    # What must hold.

    def _begin_watch(self) -> None:
        self._rejected = {each: self.marked(each, "rejected") for each in self.people.chain}
        self._answered = {each: self.answering(each) for each in self.people.chain}
        serving = {each: [one.files for one in self.online(each)[1].values()] for each in self.people.chain}
        self._refused = {each: any(REFUSING in files for files in found) for each, found in serving.items()}

    def _watch(self) -> None:
        """Check each environment after a change of Azure, as its callers see it."""
        for each in self.people.chain:
            self._check_callers(each)
            version = self.version(each)
            last = next((known for _, where, known in reversed(self.history) if where == each), "")
            if version != last:
                self.history.append((self.people.time, each, version))
            if version and version not in self.people.served[each][-1:]:
                self.people.served[each].append(version)
            traffic, deployments = self.online(each)
            self.people.passed[each] |= {
                self.hash(deployments[name].files) for name, share in traffic.items() if share == 100
            }

    def _check_callers(self, each: str) -> None:
        if self.azure.workspaces[each].online is None:
            self._answered[each] = set()  # a person wanted it so, perhaps in the midst of another verb
        traffic, deployments = self.online(each)
        serving = {name for name, share in traffic.items() if share}
        self.require(sum(traffic.values()) in (0, 100), f"{each}: the traffic does not add up")
        self.require(serving <= deployments.keys(), f"{each}: requests go to a deployment that is not there")
        failed = [name for name in serving if not deployments[name].works]
        self.require(not failed, f"{each}: requests go to {failed}, which failed")
        if self._answered[each] and not serving:
            able = [name for name, deployment in deployments.items() if deployment.works]
            self.require(not able, f"{each}: no deployment has traffic, although {able} could answer")
        silent = [name for name in serving if BROKEN in deployments[name].files]
        self.require(not silent, f"{each}: requests get no predictions from {silent}")
        # Where nothing served there was no canary, and what had all traffic before is what a failure goes back to.
        full = [name for name, share in traffic.items() if share == 100]
        bad = [name for name in full if is_bad_under_load(deployments[name].files, refused=self._refused[each])]
        unknown = {deployments[name].version for name in bad} - set(self.people.served[each])
        self.require(not (unknown and self._answered[each]), f"{each}: requests fail at {bad}, and its metrics said so")
        new = self.answering(each) - self._answered[each]
        back = new & self._rejected[each]
        self.require(not back, f"{each}: version {back} is back, although it was rejected")
        hashes = {self.hash(deployments[name].files) for name in serving}
        if each == PROTECTED:
            self.require(hashes <= self.people.approved, f"{each} serves a model that no person approved")
        if each != CHAIN[0]:
            before = self.people.chain[self.people.chain.index(each) - 1]
            self.require(hashes <= self.people.passed[before], f"{each} serves what {before} never served")

    def _kept(self) -> list[tuple[str, set[str]]]:
        """Return what no verb may lose: data, versions, jobs and rejections, by what holds them."""
        found = [("registry", set(self.azure.registry or {}))]
        for each in self.people.chain:
            workspace = self.azure.workspaces[each]
            found += [(f"{each} {name}", set(versions)) for name, versions in workspace.data.items()]
            found += [(f"{each} models", set(workspace.models)), (f"{each} jobs", set(workspace.jobs))]
            found += [(f"{each} rejections", self.marked(each, "rejected"))]
        return found

    def _check_kept(self, before: list[tuple[str, set[str]]]) -> None:
        after = dict(self._kept())
        for name, values in before:
            self.require(values <= after[name], f"{name}: {sorted(values - after[name])} is lost")


_HASHES: dict[str, str] = {}

COMMAND = typer.main.get_command(cli.app)
"""The command line, which would be built for each verb again, and for as long as that takes."""


@dataclass(frozen=True)
class _Mlflow:
    """A version as MLflow shows it."""

    version: str
    tags: Mapping[str, str]


class _Page(list[_Mlflow]):
    token = None


def replace(file: Path, pattern: str, text: str) -> None:
    """Replace one line of a file."""
    changed, found = re.subn(pattern, text, file.read_text(encoding="utf-8"))
    assert found == 1, f"{file.name} has {pattern} {found} times"
    file.write_text(changed, encoding="utf-8")


def is_rejected(model: Model) -> bool:
    """Return whether a person or a rollback has rejected a version, anywhere."""
    return any(tag.startswith("rejected") and value == "true" for tag, value in model.tags.items())


def quality_of(files: str) -> int:
    """Return how good a model is."""
    return int(files.partition("quality ")[2].partition(",")[0])


def copy_of(azure: Azure, people: People) -> Any:
    """Return both as they are."""
    return copied((azure, people))


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keep the lines of thousands of verbs from the report of a test; Azure Pipelines reads them."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
        yield printed
