"""GitHub Actions: repository, environments, variables, approvals and protection of main, made and checked."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from mlops.config import EnvironmentConfig
from mlops.definitions.base import Finding as LintFinding
from mlops.errors import CommandError, UserError
from mlops.orchestration import github_run, monorepo
from mlops.orchestration.checkout import BRANCH, Checkout, FirstCommit, FirstPush, LockFile
from mlops.orchestration.checkout import REMEDIES as GIT_REMEDIES
from mlops.orchestration.comment import keep_comment
from mlops.project import Project, load_yaml
from mlops.repository import VERB, place
from mlops.shell import Shell
from mlops.subscription.account import NOT_FOUND, REMEDIES
from mlops.subscription.checks import Check, Context, Finding, error, ok, warning
from mlops.subscription.checks.tools import Tool
from mlops.subscription.choices import Gap
from mlops.subscription.steps import (
    BOOTSTRAP_TAGS,
    Cloud,
    Credential,
    Identity,
    RemovableStep,
    SkippedError,
    Step,
    Trust,
)

CUSTOM_SUBJECT = "actions/oidc/customization/sub"
ISSUER = "https://token.actions.githubusercontent.com"
PROVISION_RUNNER = "MLOPS_PROVISION_RUNNER"
REQUIRED_JOBS = ("Project", "Infrastructure")
VARIABLES = github_run.IDS

# An environment has no tags: this variable records that `bootstrap` made it.
MARK, MARK_VALUE = "MLOPS_CREATED_BY", BOOTSTRAP_TAGS["created_by"]

# Branches by name, not "protected branches": nothing says that a ruleset alone makes a branch a protected one.
BY_NAME = {"protected_branches": False, "custom_branch_policies": True}
# What an environment may have beside reviewers and branches, and what a new one has.
DEFAULTS = {"wait_timer": 0, "prevent_self_review": False, "can_admins_bypass": True}

# Since this day new, renamed and transferred repositories sign in with numeric ids beside their names, so that the next
# owner of a deleted name does not take over its rights.
IDS_SINCE = "2026-07-15"

# What GitHub writes when its plan for a private repository lacks something.
PLAN = r"Upgrade to GitHub|billing plan"
UNPROTECTED = "GitHub's plan has no protection for a private repository: main accepts any push"


class GitHubActions:
    """The orchestration `github-actions`."""

    def connect(
        self, cloud: Cloud, configs: Sequence[EnvironmentConfig], *, create_repository: bool, undo: bool
    ) -> "GitHub":
        """Return the project's GitHub; with `create_repository` the repository is made and the project pushed to it."""
        return GitHub(cloud, configs, create_repository, undo)

    def tools(self) -> list[Tool]:
        """Return GitHub's command-line program."""
        return [Tool("gh", ("gh", "--version"), r"([\d.]+\.\d+)", "0", REMEDIES["gh"])]

    def checks(self) -> Mapping[str, Check]:
        """Return the checks of what connects the workflows with Azure."""
        return {
            "trust in GitHub": check_trust,
            "branches on GitHub": check_branches,
            "GitHub variables": check_variables,
            "runner": check_runner,
        }

    def find_gap(self, project: Project, environment: str) -> Gap | None:
        """Return which ids of the environment this run of GitHub Actions does not have."""
        return github_run.find_gap()

    def check_approval(self, project: Project, environment: str) -> None:
        """Look whether the environment has reviewers, as a run of GitHub Actions.

        Raises:
            UserError: It has none, or GitHub gives no answer.
        """
        github_run.require_reviewers(place(project).named(environment))

    def comment(self, project: Project, markdown: str) -> None:
        """Keep one comment under the pull request, as a run of GitHub Actions."""
        keep_comment(github_run.GitHubComments(project), project, markdown)

    def issues(self, project: Project, *, dry_run: bool) -> github_run.GitHubIssues:
        """Return the open issues that workflows opened."""
        return github_run.GitHubIssues(project, dry_run=dry_run)

    def write_copies(self, project: Project) -> None:
        """Write the workflows and settings that GitHub reads at the top of the repository alone."""
        monorepo.write_copies(project)

    def findings(self, project: Project) -> list[LintFinding]:
        """Return which of those are not what the project's files say."""
        return monorepo.stale_copies(project)


def reading(environment: str) -> str:
    """Return the name of the environment on GitHub whose identity may only read."""
    return f"{environment}-read"


def expected_prefixes(shell: Shell) -> list[str]:
    """Return how the subjects begin that the workflows of this folder's repository have; see `subject_prefixes`.

    Raises:
        CommandError: `gh` fails.
    """
    repository = json.loads(shell.read("gh", "api", "repos/{owner}/{repo}"))
    try:
        subject = json.loads(shell.read("gh", "api", f"repos/{{owner}}/{{repo}}/{CUSTOM_SUBJECT}"))
    except CommandError as failure:
        if "HTTP 404" not in failure.output:
            raise
        subject = {}
    return subject_prefixes(repository, subject)


def subject_prefixes(repository: Mapping[str, Any], subject: Mapping[str, Any]) -> list[str]:
    """Return how the subjects of a repository's workflows begin; two when GitHub leaves open which it is.

    Args:
        repository: The answer of GitHub's API about the repository.
        subject: The answer of GitHub's API about the customisation of its subject.

    Raises:
        UserError: The subject is of another kind.
    """
    name, owner = repository["full_name"], repository["owner"]
    names, ids = f"repo:{name}", f"repo:{owner['login']}@{owner['id']}/{repository['name']}@{repository['id']}"
    if not subject.get("use_default", True) and subject.get("include_claim_keys") != ["repo", "context"]:
        raise UserError(
            f"{name} has a subject of its own for OpenID Connect: go back to GitHub's with "
            f"`gh api --method PUT repos/{name}/{CUSTOM_SUBJECT} -F use_default=true`"
        )
    prefix, immutable = subject.get("sub_claim_prefix"), subject.get("use_immutable_subject")
    if prefix:
        # The two have been seen to contradict each other.
        unsure = immutable is not None and immutable != ("@" in prefix)
        return [ids, names] if unsure else [prefix]
    if immutable is None:
        # An older repository has ids, too, once it is renamed, transferred or switched over.
        return [ids] if repository["created_at"] >= IDS_SINCE else [ids, names]
    return [ids if immutable else names]


class GitHub(Checkout):
    """The project's repository, as `gh` and `git` see it."""

    def __init__(self, cloud: Cloud, configs: Sequence[EnvironmentConfig], create_repository: bool, undo: bool) -> None:
        """Keep what is to be connected, or disconnected."""
        super().__init__(cloud, configs, create_repository, undo)
        self._repository: dict[str, Any] | None = None

    def describe(self) -> list[str]:
        """Return repository, user and subject.

        Raises:
            UserError: Sign-in, right or repository is missing.
        """
        needed = ["repo", "workflow"] if self.create and not self.ssh else ["repo"]
        scopes = self.user["scopes"]
        # A fine-grained token has no scopes.
        if scopes is not None and (missing := [scope for scope in needed if scope not in scopes]):
            raise _lacks(missing[0])
        if self.repository is None and not (self.create or self.undo):
            raise UserError(
                f"there is no repository {self.name} on GitHub that you can see: "
                "`uv run mlops bootstrap --create-repository` makes it"
            )
        # Some tokens are not told what they may do.
        if not ((self.repository or {}).get("permissions") or {}).get("admin", True):
            raise UserError(self._forbidden)
        if self.create:
            self._check_git()
        if not self.undo:
            self.place.check()
        if not self.undo and self.place.shared and not monorepo.has_copies(self.cloud.project, self.place):
            raise UserError(
                f"the project lies in {self.place.folder} of the repository {self.place.top}, where GitHub reads no "
                f"workflows: run `{VERB}`, which writes them at the top, and commit them, or move the project"
            )
        new = "" if self.repository or self.undo else ", new and private"
        lines = [f"GitHub: {self.name}{new}, {self.user['login']}"]
        names = [self.place.named(name) for name in self.environments]
        if not self.undo:
            lines.append(f"GitHub signs in as {' or '.join(self._prefixes)}:environment:{'|'.join(names)}")
            if closed := [config.environment for config in self.configs if config.closed]:
                labels = ", ".join(f"mlops-{self.place.named(name)}" for name in closed)
                lines.append(
                    "GitHub's machines do not reach the private network: put runners into it, labelled "
                    f"{labels}, and set the variable MLOPS_RUNNER of the repository to mlops"
                )
            if closed := [config.environment for config in self.configs if config.closed_state]:
                lines.append(
                    f"Terraform's state of {' and '.join(closed)} is behind a firewall that keeps GitHub's machines "
                    f"out: label runners that it admits {_building(self.cloud.project)}, and set the variable "
                    f"{PROVISION_RUNNER} of the repository to build, which counts for all environments"
                )
            if (self.repository is None or self.private) and self._asks_for_approval:
                lines.append(
                    "A private repository needs GitHub Pro, Team or Enterprise for environments, and Enterprise for "
                    "approvals. Without approvals a model reaches a protected environment only by a manual run of "
                    "deliver.yml with its version and hash typed (docs/operate.md)"
                )
        return lines

    @property
    def _asks_for_approval(self) -> bool:
        return any(name != self.cloud.project.first_environment for name in self.environments) or self.create

    def before(self) -> list[Step]:
        """Return the first commit and the repository, which has to exist before Azure can trust it."""
        return [LockFile(self), FirstCommit(self), Repository(self)] if self.create else []

    def environment(self, config: EnvironmentConfig, identity: Identity, reader: Identity) -> list[Step]:
        """Return an environment for each identity: its trust, its variables, its approvals and branches."""
        is_first = config.environment == self.cloud.project.first_environment
        name = self.place.named(config.environment)
        steps = [*self._connected(name, identity), Rules(self, name, reviewed=not is_first)]
        steps += self._connected(reading(name), reader)
        # A pull request shows its plan for one of them, so its branch has to get there.
        plans = config.environment == self.cloud.project.planned_environment
        return steps if plans else [*steps, Rules(self, reading(name), reviewed=False)]

    def _connected(self, name: str, identity: Identity) -> list[Step]:
        workflows = f"workflows of {self.name} in {name}"
        is_own = partial(self._is_own_credential, name)
        return [
            Trust(self.cloud, identity, workflows, partial(self._credentials, name), is_own),
            Environment(self, name, identity),
            Variables(self, name, identity),
        ]

    def after(self) -> list[Step]:
        """Return the first push, whose workflows find Azure connected, and then the protection of main."""
        return [FirstPush(self), Protection(self)] if self.create else [Protection(self)]

    def advice(self, *, provisions: bool) -> list[str]:
        """Return the next commands: the first push builds the first environment, the rest is started manually."""
        if not provisions:
            return [f"Next: `gh workflow run {self.place.named('train.yml')}`"]
        lines = ["New rights need some minutes to arrive: repeat a run that stops with 403 or AADSTS."]
        for name in self.environments:
            if name == self.cloud.project.first_environment and self.pushed:
                lines.append(f"GitHub builds {name} now, trains and deploys the first model: `gh run watch`")
            else:
                workflow = self.place.named("infrastructure.yml")
                lines.append(f"Next: `gh workflow run {workflow} -f environment={name} -f action=apply`")
        return lines

    # The repository.

    @property
    def name(self) -> str:
        """OWNER/NAME: of the remote `origin`, or else of pyproject.toml.

        Raises:
            UserError: There is neither, or `origin` is not on GitHub.
        """
        if not self.remote:
            if not self.cloud.project.repository:
                raise UserError("pyproject.toml: [tool.mlops] repository: the key is missing: write OWNER/NAME")
            return self.cloud.project.repository
        host = r"(?:https://(?:[^@/]+@)?|(?:ssh://)?git@)github\.com[:/]"
        found = re.fullmatch(rf"{host}([^/]+/[^/]+?)(?:\.git)?/?", self.remote)
        if found is None:
            raise UserError("the remote origin is not a repository on github.com: see `git remote --verbose`")
        return found[1]

    @property
    def repository(self) -> dict[str, Any] | None:
        """The repository as GitHub describes it, None while there is none."""
        self._repository = self._repository or self.query(self.api)
        return self._repository

    @property
    def private(self) -> bool:
        """Whether GitHub knows the repository as private, where its plans have limits."""
        return bool(self.repository and self.repository["private"])

    @property
    def api(self) -> str:
        """The repository's path in GitHub's API."""
        return f"repos/{self.name}"

    @property
    def ssh(self) -> bool:
        """Whether a push goes over SSH, with a sign-in of its own."""
        if not self.remote and not self.cloud.dry_run:
            # What `gh repo create` will use.
            return self.run("gh", "config", "get", "git_protocol", "--host", "github.com").strip() == "ssh"
        return "git@" in self.remote

    @property
    def sign_in(self) -> tuple[str, ...]:
        """The sign-in of gh: an empty helper forgets those of the machine."""
        helper = "credential.https://github.com.helper="
        return ("-c", helper, "-c", f"{helper}!gh auth git-credential")

    @cached_property
    def user(self) -> dict[str, Any]:
        """The user who is signed in; `scopes` is None for a token without scopes."""
        if self.cloud.dry_run:
            return {"login": "YOU", "id": "YOUR_ID", "scopes": None}
        # The headers name the scopes of the sign-in, so that what is missing is reported before anything is changed.
        headers, _, body = self.run("gh", "api", "--include", "user").replace("\r\n", "\n").partition("\n\n")
        scopes = re.search(r"(?im)^x-oauth-scopes: *(\S.*)$", headers)
        return {**json.loads(body), "scopes": re.split(r", *", scopes[1].strip()) if scopes else None}

    def _check_git(self) -> None:
        self.check_git()
        if not self.remote and self.repository and self.query(f"{self.api}/branches"):
            raise UserError(
                f"{self.name} is on GitHub already, with commits of its own: name another one in [tool.mlops] of "
                f"pyproject.toml, or connect it with `git remote add origin {self.repository['clone_url']}`"
            )

    def branch(self, name: str) -> Any:
        """Return a branch on GitHub, None when there is none."""
        return self.query(f"{self.api}/branches/{name}") if self.repository else None

    # Who signs in.

    @property
    def _prefixes(self) -> list[str]:
        if self.repository is None:
            owner, _, name = self.name.partition("/")
            return [f"repo:{owner}@OWNER_ID/{name}@REPOSITORY_ID"]
        return subject_prefixes(self.repository, self.query(f"{self.api}/{CUSTOM_SUBJECT}") or {})

    def _credentials(self, environment: str) -> dict[str, Credential]:
        names = (f"github-{environment}", f"github-{environment}-by-name")
        prefixes = ["", ""] if self.undo else self._prefixes
        return {
            name: Credential(ISSUER, f"{prefix}:environment:{environment}")
            for name, prefix in zip(names, prefixes, strict=False)
        }

    def _is_own_credential(self, environment: str, name: str, credential: Credential) -> bool:
        """Return whether a credential is of this repository, with or without numeric ids, under a name of ours."""
        expected = f"repo:{self.name}:environment:{environment}".casefold()
        is_own = re.sub(r"@\d+\b", "", credential.subject).casefold() == expected
        return credential.issuer == ISSUER and name in self._credentials(environment) and is_own

    # The protection of main.

    @cached_property
    def required_jobs(self) -> list[str]:
        """The jobs that run for every pull request; one that never ran would block it forever."""
        if self.place.shared:
            return []  # a pull request to another project runs none of them, and would wait for them forever
        path = self.cloud.project.root / ".github" / "workflows" / "pull-request.yml"
        jobs = load_yaml(path).get("jobs", {}) if path.is_file() else {}
        if not isinstance(jobs, dict) or not all(isinstance(job, dict) for job in jobs.values()):
            raise UserError(".github/workflows/pull-request.yml: jobs: each job is an id with its settings below")
        return [name for name in REQUIRED_JOBS if name in [job.get("name") for job in jobs.values()]]

    def lacks_protection(self) -> bool:
        """Return whether GitHub's plan lacks protected branches for this repository."""
        try:
            self.query(f"{self.api}/branches/main/protection")
        except CommandError as failure:
            return bool(re.search(PLAN, failure.output))
        return False

    # Commands.

    def query(self, path: str) -> Any:
        """Query GitHub's API; None when there is no such thing, and in a dry run."""
        if self.cloud.dry_run:
            return None
        try:
            return json.loads(self.run("gh", "api", path))
        except CommandError as failure:
            if "HTTP 404" in failure.output:
                return None
            raise

    def run_within_plan(self, otherwise: str, *command: str) -> None:
        """Run a command that needs a plan of GitHub's.

        Raises:
            SkippedError: GitHub's plan lacks this; the message is `otherwise`.
        """
        try:
            self.run(*command)
        except CommandError as failure:
            if re.search(PLAN, failure.output):
                raise SkippedError(otherwise) from failure
            raise

    def run(self, *command: str) -> str:
        """Run a command and return its output.

        Raises:
            UserError: The command fails with an error that has a known remedy.
            CommandError: It fails with another one.
        """
        try:
            return self.cloud.change(*command)
        except CommandError as failure:
            if scope := re.search(r'needs the "([\w:]+)" scope|without `(\w+)` scope', failure.output):
                raise _lacks(scope[1] or scope[2]) from failure
            for pattern, remedy in self._remedies.items():
                if not re.search(PLAN, failure.output) and re.search(pattern, failure.output):
                    raise UserError(remedy) from failure
            raise

    @property
    def _forbidden(self) -> str:
        return (
            f"you may not set up {self.name}: you need to be its admin, so ask its owner for that, or let an admin run "
            "this (`repository` in [tool.mlops] of pyproject.toml names another one)"
        )

    @property
    def _remedies(self) -> dict[str, str]:
        return {
            r"gh auth login|HTTP 401": "you are not signed in to GitHub: run `gh auth login`",
            r"HTTP 403|Must have admin rights|cannot create a repository": self._forbidden,
            **GIT_REMEDIES,
        }


@dataclass
class Repository(Step):
    """The repository on GitHub, as the remote `origin`."""

    github: GitHub

    @property
    def name(self) -> str:
        """The repository's name."""
        return f"private repository {self.github.name}"

    def done(self) -> bool:
        """Return whether it exists and is the remote."""
        return bool(self.github.remote) and self.github.repository is not None

    def make(self) -> None:
        """Create the repository, or add it as the remote."""
        github, found = self.github, self.github.repository
        if found is None:
            source = () if github.remote else ("--source", ".", "--remote", "origin")
            github.run("gh", "repo", "create", github.name, "--private", *source)
        elif not github.remote:
            github.run("git", "remote", "add", "origin", found["clone_url"])
        github.forget_remote()


@dataclass
class Environment(RemovableStep):
    """An environment of the repository."""

    github: GitHub
    environment: str
    identity: Identity

    @property
    def name(self) -> str:
        """The environment's name."""
        return f"GitHub environment {self.environment}"

    def done(self) -> bool:
        """Return whether the environment exists and has content."""
        found = self._find()
        return found is not None and not self._is_bare(found)

    def make(self) -> None:
        """Create the environment, and mark it.

        Raises:
            UserError: GitHub's plan has no environments.
        """
        github = self.github
        try:
            if self._find() is None:
                github.run("gh", "api", "--method", "PUT", self._path)
        except CommandError as failure:
            if not github.private or not re.search(rf"{PLAN}|HTTP 404", failure.output):
                raise
            raise UserError(
                f"GitHub's plan has no environments for the private repository {github.name}: choose another plan, "
                "or make the repository public"
            ) from failure
        github.run("gh", "variable", "set", MARK, "--body", MARK_VALUE, *self._place)

    def removable(self) -> bool:
        """Return whether the environment is marked, or has no content."""
        found = self._find()
        return found is not None and (MARK in self._content() or self._is_bare(found))

    def remove(self) -> None:
        """Delete the environment unless it has variables or secrets of the user's."""
        # Ids of an identity that is gone are of no use.
        if self._content() - {MARK, *(() if self.identity.exists else VARIABLES)}:
            self.github.run("gh", "variable", "delete", MARK, *self._place)
            raise SkippedError(f"the environment {self.environment} stays: it has other variables or secrets")
        self.github.run("gh", "api", "--method", "DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"{self.github.api}/environments/{self.environment}"

    @property
    def _place(self) -> tuple[str, ...]:
        return ("--env", self.environment, "--repo", self.github.name)

    def _find(self) -> Any:
        return self.github.query(self._path) if self.github.repository else None

    def _content(self) -> set[str]:
        kinds = ("variables", "secrets")
        answers = {kind: self.github.query(f"{self._path}/{kind}?per_page=30") or {} for kind in kinds}
        return {each["name"] for kind, answer in answers.items() for each in answer.get(kind, ())}

    def _is_bare(self, found: dict[str, Any]) -> bool:
        """Return whether it has no content: GitHub makes what a workflow names, and a run may have stopped here."""
        return not (found.get("protection_rules") or found.get("deployment_branch_policy") or self._content())


@dataclass
class Variables(RemovableStep):
    """The ids with which an environment's workflows sign in."""

    github: GitHub
    environment: str
    identity: Identity

    @property
    def name(self) -> str:
        """The variables and the environment."""
        return f"variables {', '.join(VARIABLES)} of {self.environment}"

    def done(self) -> bool:
        """Return whether every variable has its value."""
        return self._find() == self._values()

    def make(self) -> None:
        """Set the variables that are missing or differ."""
        known = {} if self.github.cloud.dry_run else self._find()
        for key, value in self._values().items():
            if known.get(key) != value:
                self.github.run("gh", "variable", "set", key, "--body", value, *self._place)

    def removable(self) -> bool:
        """Return whether there is a variable that `bootstrap` set."""
        return bool(self._own())

    def remove(self) -> None:
        """Delete the variables that `bootstrap` set."""
        for key in self._own():
            self.github.run("gh", "variable", "delete", key, *self._place)

    @property
    def _place(self) -> tuple[str, ...]:
        return ("--env", self.environment, "--repo", self.github.name)

    def _values(self) -> dict[str, str]:
        account = self.github.cloud.account
        return dict(zip(VARIABLES, (self.identity.client, account.tenant, account.subscription), strict=True))

    def _find(self) -> dict[str, str]:
        path = f"{self.github.api}/environments/{self.environment}/variables?per_page=30"
        answer = self.github.query(path) if self.github.repository else None
        found = {each["name"]: each["value"] for each in (answer or {}).get("variables", ())}
        own = self.github.cloud.account.subscription
        if (other := found.get("AZURE_SUBSCRIPTION_ID", own)) != own:
            raise UserError(
                f"the environment {self.environment} on GitHub is in subscription {other}, and you are in {own}: run "
                f"`az account set --subscription {other}`, or delete its variable AZURE_SUBSCRIPTION_ID first"
            )
        return {key: found[key] for key in VARIABLES if key in found}

    def _own(self) -> list[str]:
        found = self._values() if self.github.cloud.dry_run else self._find()
        if found.get("AZURE_CLIENT_ID", self.identity.client) != self.identity.client:
            return []  # workflows that sign in as another identity need the other ids, too
        return [key for key, value in self._values().items() if found.get(key) == value]


@dataclass
class Rules(Step):
    """Reviewers and branches of an environment."""

    github: GitHub
    environment: str
    reviewed: bool
    """Whether each job needs an approval."""

    @property
    def name(self) -> str:
        """The environment's name."""
        start = f"approvals for {self.environment}: you, and" if self.reviewed else f"branches of {self.environment}:"
        return f"{start} {BRANCH} only"

    def done(self) -> bool:
        """Return whether the environment names its branches, and has reviewers if it should."""
        found = self._find()
        restricted = bool(self._branches(found))
        if restricted and (_reviewers(found) or not self.reviewed):
            return True
        # No answer names the plan. This is what `make` leaves where reviewers were refused.
        if self.github.private and (restricted or self.github.lacks_protection()):
            raise SkippedError(self._unrestricted)
        return False

    def make(self) -> None:
        """Set what is missing; reviewers and branches that the user named stay."""
        found = self._find()
        skipped = None
        if not (_restricts_by_name(found) and (_reviewers(found) or not self.reviewed)):
            skipped = self._restrict(found)
        # Without a name no branch may use the environment at all.
        if not self._branches(found):
            name = ("-f", f"name={BRANCH}", "-f", "type=branch")
            self.github.run("gh", "api", "--method", "POST", f"{self._path}/deployment-branch-policies", *name)
        if skipped:
            raise skipped

    def _restrict(self, found: dict[str, Any]) -> SkippedError | None:
        """Set reviewers, and that branches are named; return what GitHub's plan lacks of that."""
        kept = {f"deployment_branch_policy[{key}]": value for key, value in BY_NAME.items()}
        for part in (found, *found.get("protection_rules", ())):
            # Left out, it may go back to GitHub's default; and some plans refuse to be given even that.
            kept |= {key: part[key] for key, default in DEFAULTS.items() if part.get(key, default) != default}
        rest = [word for key, value in kept.items() for word in ("-F", f"{key}={json.dumps(value)}")]
        reviewers: list[str] = []
        for kind, number in _reviewers(found) or self.reviewed * [("User", self.github.user["id"])]:
            # With -f for one of the two, gh would send all of those first, and so break the pairs apart.
            reviewers += ["-F", f"reviewers[][type]={kind}", "-F", f"reviewers[][id]={number}"]
        if reviewers:
            try:
                self.github.run("gh", "api", "--method", "PUT", self._path, *reviewers, *rest)
            except CommandError as failure:
                if not re.search(PLAN, failure.output):
                    raise
            else:
                return None
        self.github.run_within_plan(self._unrestricted, "gh", "api", "--method", "PUT", self._path, *rest)
        return SkippedError(self._unrestricted) if reviewers else None

    def _branches(self, found: dict[str, Any]) -> list[str]:
        """Return the branches that the environment names."""
        return branches_by_name(found, lambda: self.github.query(f"{self._path}/deployment-branch-policies"))

    @property
    def _path(self) -> str:
        return f"{self.github.api}/environments/{self.environment}"

    @property
    def _unrestricted(self) -> str:
        if not self.reviewed:
            return f"every branch may use {self.environment}: GitHub's plan lacks the rule for a private repository"
        return (
            f"{self.environment} is changed without approval: most of GitHub's plans lack approvals for a private "
            "repository; with one that has them, add required reviewers in the environment's settings. Until then a "
            "model reaches a protected environment only by a manual run of deliver.yml with its version and hash typed"
        )

    def _find(self) -> dict[str, Any]:
        return (self.github.query(self._path) if self.github.repository else None) or {}


@dataclass
class Protection(RemovableStep):
    """The protection of main."""

    github: GitHub

    @property
    def name(self) -> str:
        """What a change of main needs."""
        jobs = "".join(f", {name} passed" for name in self.github.required_jobs)
        return f"protection of main: a pull request{jobs}"

    def done(self) -> bool:
        """Return whether main is protected, by the repository or by its organisation."""
        if not self.github.branch("main"):
            return False
        if self.github.lacks_protection():
            raise SkippedError(UNPROTECTED)
        if self.github.query(self._path):
            return True
        rules = self.github.query(f"{self.github.api}/rules/branches/main") or ()
        return any(rule["type"] == "pull_request" for rule in rules)

    def make(self) -> None:
        """Require a pull request and its jobs."""
        jobs: list[str] = ["-F", "required_status_checks=null"]
        if names := self.github.required_jobs:
            jobs = ["-F", "required_status_checks[strict]=false"]
            jobs += [word for name in names for word in ("-f", f"required_status_checks[contexts][]={name}")]
        # No approval by a second person: a team of one could merge nothing.
        more = ("required_pull_request_reviews[required_approving_review_count]=0", "enforce_admins=true")
        rules = [word for rule in (*more, "restrictions=null") for word in ("-F", rule)]
        if not self.github.cloud.dry_run and not self.github.branch("main"):
            raise SkippedError("main is not protected, because it is not on GitHub yet: push it and run this again")
        self.github.run_within_plan(UNPROTECTED, "gh", "api", "--method", "PUT", self._path, *jobs, *rules)

    def removable(self) -> bool:
        """Return whether the protection is what `make` sets, and no other environment needs it."""
        github = self.github
        # The other projects of a repository need it too.
        if github.place.shared or not github.branch("main") or github.lacks_protection():
            return False
        found = github.query(self._path) or {}
        jobs = (found.get("required_status_checks") or {}).get("contexts", [])
        approvals = (found.get("required_pull_request_reviews") or {}).get("required_approving_review_count")
        others = [name for name in github.cloud.project.environments if name not in github.environments]
        used = any(github.query(f"{github.api}/environments/{name}") for name in others)
        return sorted(jobs) == sorted(github.required_jobs) and approvals == 0 and not used

    def remove(self) -> None:
        """Remove the protection."""
        self.github.run("gh", "api", "--method", "DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"{self.github.api}/branches/main/protection"


def branches_by_name(environment: Mapping[str, Any], names: Callable[[], Any]) -> list[str]:
    """Return the branches that an environment on GitHub names; none if it says something else of its branches.

    Args:
        environment: The answer of GitHub's API about the environment.
        names: A function that returns its answer about the names.
    """
    if not _restricts_by_name(environment):
        return []
    return [each["name"] for each in (names() or {}).get("branch_policies", ())]


def _restricts_by_name(environment: Mapping[str, Any]) -> bool:
    return bool((environment.get("deployment_branch_policy") or {}).get("custom_branch_policies"))


def _reviewers(environment: dict[str, Any]) -> list[tuple[str, int]]:
    people = [each for rule in environment.get("protection_rules", ()) for each in rule.get("reviewers", ())]
    return [(each["type"], each["reviewer"]["id"]) for each in people]


def _lacks(scope: str) -> UserError:
    return UserError(
        f"your sign-in to GitHub lacks the scope {scope}: run `gh auth refresh --hostname github.com --scopes {scope}`"
    )


def check_trust(context: Context) -> Iterator[Finding]:
    """Compare the subjects that each identity trusts with those that the repository's workflows have."""
    home, connected = context.config.deployer, [each for each in _identities(context) if each[2] is not None]
    prefixes = expected_prefixes(context.shell) if connected else []
    for environment, name, _ in connected:
        expected = [f"{prefix}:environment:{environment}" for prefix in prefixes]
        words = ["--identity-name", name, "--resource-group", home.resource_group]
        known = [item["subject"] for item in context.az("identity", "federated-credential", "list", *words) or []]
        # The comparison is case-sensitive, as that of Entra ID.
        missing = [subject for subject in expected if subject not in known]
        if not missing:
            yield ok(", ".join(expected))
        for subject in missing:
            text = f"{name} does not trust {subject}"
            if known:
                text += f", but {', '.join(known)}"
            yield error(text, context.command("bootstrap"))
        # Whatever else may sign in needs no approval, and no branch keeps it out.
        for subject in known:
            if not missing and subject not in expected:
                yield warning(
                    f"{name} trusts {subject}, too",
                    f"unless you want that, remove it: `az identity federated-credential list {' '.join(words)}`",
                )


def check_branches(context: Context) -> Iterator[Finding]:
    """Look which branches the workflows of each environment may come from."""
    for environment, _, _ in _identities(context):
        if environment == reading(context.project.planned_environment):
            continue  # pull requests plan under it, from their own branches
        path = f"repos/{{owner}}/{{repo}}/environments/{environment}"
        try:
            found = json.loads(context.read("gh", "api", path))
        except CommandError as failure:
            if "HTTP 404" not in failure.output:
                raise
            continue  # the check of the variables reports it
        listed = f"{path}/deployment-branch-policies"
        if names := branches_by_name(found, lambda listed=listed: json.loads(context.read("gh", "api", listed))):  # type: ignore[misc]
            yield ok(f"{environment}: {', '.join(names)}")
        elif _restricts_by_name(found):
            yield warning(f"no branch may use {environment}", context.command("bootstrap"))
        elif found.get("deployment_branch_policy"):
            yield warning(
                f"{environment} trusts protected branches, and a ruleset alone may make none",
                context.command("bootstrap"),
            )
        else:
            yield warning(
                f"every branch may use {environment}",
                f"{context.command('bootstrap')}; a private repository needs a plan of GitHub that has branch rules",
            )


def check_variables(context: Context) -> Iterator[Finding]:
    """Compare GitHub's variables with the identities and the account."""
    problems = 0
    for environment, _, identity in _identities(context):
        found = _variables(context, environment)
        values = ((identity or {}).get("clientId"), context.account.tenant, context.account.subscription)
        for name, value in zip(VARIABLES, values, strict=True):
            if name not in found:
                problems += 1
                yield error(f"{name} is not set for {environment}", context.command("bootstrap"))
            elif value and found[name] != value:
                problems += 1
                yield error(f"{name} of {environment} is {found[name]}, not {value}", context.command("bootstrap"))
    if not problems:
        yield ok(", ".join(VARIABLES))


def _identities(context: Context) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Return the environments on GitHub, each with the name of its identity, and the identity if it is there."""
    name, home = place(context.project).named(context.config.environment), context.config.deployer
    return [(name, home.identity, context.deployer), (reading(name), home.reader, context.reader)]


def check_runner(context: Context) -> Iterator[Finding]:
    """Look whether the workflows have a machine inside the private network, and one that reaches Terraform's state."""
    closed, closed_state = context.config.closed, context.config.closed_state
    if not closed and not context.config.provisioned:
        return
    environment = place(context.project).named(context.config.environment)
    # GitHub chooses the machine before it knows the variables of the environment.
    variables = _listed(context)
    if closed and (name := variables.get("MLOPS_RUNNER")):
        yield ok(f"the workflows run on {name}-{environment}")
    elif closed:
        yield warning(
            "the workflows run outside the private network and cannot reach the workspace",
            f"put a runner labelled mlops-{environment} into the subnet runners, then `gh variable set MLOPS_RUNNER "
            "--body mlops`",
        )
    if closed_state and (name := variables.get(PROVISION_RUNNER)):
        yield ok(f"the infrastructure is planned and built on {name}-{environment}")
    elif closed_state:
        yield warning(
            "the infrastructure is planned and built on GitHub's machines, which the firewall of the state keeps out",
            f"label runners that it admits {_building(context.project)}, then `gh variable set {PROVISION_RUNNER} "
            f"--body build`, which counts for all environments; or empty the lists of terraform_state.firewall in "
            f"{context.file}, and run {context.command('bootstrap')}",
        )
    elif (name := variables.get(PROVISION_RUNNER)) and not _has_runner(context, f"{name}-{environment}"):
        yield warning(
            f"{PROVISION_RUNNER} counts for all environments, and the repository has no runner {name}-{environment} to "
            "plan and build the infrastructure, which would wait for one",
            f"label one {name}-{environment}, unless your organisation has one, which is not looked for",
        )


def _building(project: Project) -> str:
    """Return the labels of the runners that plan and build each environment."""
    return ", ".join(f"build-{place(project).named(name)}" for name in project.environments)


def _has_runner(context: Context, label: str) -> bool:
    """Return whether the repository has a runner with this label, or does not say."""
    runners = ("repos/{owner}/{repo}/actions/runners", "--paginate", "--jq", ".runners[].labels[].name")
    try:
        return label in context.read("gh", "api", *runners).split()
    except CommandError as failure:
        if re.search("HTTP 40[34]", failure.output):  # for its administrators alone
            return True
        raise


def _variables(context: Context, environment: str) -> dict[str, str]:
    """Return the variables that the workflows of an environment on GitHub see."""
    found = _listed(context)
    try:
        return found | _listed(context, "--env", environment)  # which win
    except CommandError as failure:
        if re.search(NOT_FOUND + "|HTTP 404", failure.output):  # the repository has no such environment yet
            return found
        raise


def _listed(context: Context, *where: str) -> dict[str, str]:
    """Return the variables of the repository, or of one environment."""
    answer = context.read("gh", "variable", "list", *where, "--json", "name,value")
    return {item["name"]: item["value"] for item in json.loads(answer or "[]")}
