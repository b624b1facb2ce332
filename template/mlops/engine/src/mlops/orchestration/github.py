"""What `mlops bootstrap` makes on GitHub: repository, environments, variables, approvals, protection of main."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from mlops.config import EnvironmentConfig, load_yaml
from mlops.errors import CommandError, UserError
from mlops.shell import Shell
from mlops.subscription.bootstrap import MADE_HERE, Cloud, Identity, SkippedError, Step

CUSTOM_SUBJECT = "actions/oidc/customization/sub"
ISSUER = "https://token.actions.githubusercontent.com"
CHECKS = ("Project", "Infrastructure")
VARIABLES = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID")

# An environment has no tags: this variable says that `bootstrap` made it.
MARK, MARKED = "MLOPS_CREATED_BY", MADE_HERE["created_by"]

PROTECTED_ONLY = {"protected_branches": True, "custom_branch_policies": False}

# What an environment may have beside reviewers and branches, and what a new one has.
DEFAULTS = {"wait_timer": 0, "prevent_self_review": False, "can_admins_bypass": True}

# Since this day new, renamed and transferred repositories sign in with numeric ids beside their names, so that nobody
# who takes over a deleted name takes over its rights.
IDS_SINCE = "2026-07-15"

# What GitHub says when its plan for a private repository lacks something.
PLAN = r"Upgrade to GitHub|billing plan"
UNPROTECTED = "GitHub's plan has no protection for a private repository: main takes any push"


def connect(cloud: Cloud, environments: Sequence[str], *, create_repository: bool, undo: bool) -> "GitHub":
    """Return the project's GitHub; with `create_repository` the repository is made and the project pushed to it."""
    return GitHub(cloud, environments, create_repository, undo)


def expected_subjects(shell: Shell, environment: str) -> list[str]:
    """Return the subjects that the workflows of this folder's repository may sign in with; see `subject_prefixes`.

    Raises CommandError when `gh` has no answer.
    """
    repository = json.loads(shell.read("gh", "api", "repos/{owner}/{repo}"))
    try:
        said = json.loads(shell.read("gh", "api", f"repos/{{owner}}/{{repo}}/{CUSTOM_SUBJECT}"))
    except CommandError as error:
        if "HTTP 404" not in error.output:
            raise
        said = {}
    return [f"{prefix}:environment:{environment}" for prefix in subject_prefixes(repository, said)]


def subject_prefixes(repository: Mapping[str, Any], said: Mapping[str, Any]) -> list[str]:
    """Return how the subjects of a repository's workflows begin; two when GitHub leaves open which it is.

    `repository` and `said`, the customisation of its subject, are what GitHub's API answers. Raises UserError for a
    subject of another kind.
    """
    name, owner = repository["full_name"], repository["owner"]
    names, ids = f"repo:{name}", f"repo:{owner['login']}@{owner['id']}/{repository['name']}@{repository['id']}"
    if not said.get("use_default", True) and said.get("include_claim_keys") != ["repo", "context"]:
        raise UserError(
            f"{name} has a subject of its own for OpenID Connect: go back to GitHub's with "
            f"`gh api --method PUT repos/{name}/{CUSTOM_SUBJECT} -F use_default=true`"
        )
    prefix, immutable = said.get("sub_claim_prefix"), said.get("use_immutable_subject")
    if prefix:
        # The two have been seen to contradict each other.
        unsure = immutable is not None and immutable != ("@" in prefix)
        return [ids, names] if unsure else [prefix]
    if immutable is None:
        # An older repository has ids, too, once it is renamed, transferred or switched over.
        return [ids] if repository["created_at"] >= IDS_SINCE else [ids, names]
    return [ids if immutable else names]


class GitHub:
    """The project's repository, as `gh` and `git` see it."""

    def __init__(self, cloud: Cloud, environments: Sequence[str], create_repository: bool, undo: bool) -> None:
        """Take what is to be connected, or to be taken away."""
        self.cloud = cloud
        self.environments = environments
        self.create = create_repository
        self.undo = undo
        self.pushed = False
        self._origin: str | None = None
        self._repository: dict[str, Any] | None = None

    def describe(self) -> list[str]:
        """Return repository, user and subject. Raises UserError when sign-in, right or repository is missing."""
        needed = ["repo", "workflow"] if self.create and not self._ssh else ["repo"]
        scopes = self._user["scopes"]
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
        new = "" if self.repository or self.undo else ", new and private"
        lines = [f"GitHub: {self.name}{new}, {self._user['login']}"]
        if not self.undo:
            lines.append(f"GitHub signs in as {' or '.join(self._prefixes)}:environment:{'|'.join(self.environments)}")
            if "private-network" in self.cloud.project.add_ons:
                lines.append(
                    "GitHub's machines do not reach the private network: put runners into it, labelled "
                    f"{', '.join(f'mlops-{name}' for name in self.environments)}, and set the variable MLOPS_RUNNER of "
                    "the repository to mlops"
                )
        return lines

    def before(self) -> list[Step]:
        """Return the first commit and the repository, which has to be there before anything can trust it."""
        if not self.create:
            return []
        return [
            Step("uv.lock, which the workflows insist on", self._locked, lambda: self._run("uv", "lock")),
            Step("first commit", self._committed, self._commit),
            Step(f"private repository {self.name}", self._connected, self._create),
        ]

    def environment(self, config: EnvironmentConfig, identity: Identity) -> list[Step]:
        """Return the identity's trust in the environment, and the environment with its variables and approvals."""
        name = config.environment
        whom = f"workflows of {self.name} in {name}"
        trust = identity.trusts(whom, ISSUER, lambda: self._subjects(name), partial(self._trusted_here, name))
        steps = [trust, self._environment(name, identity), self._variables(name, identity)]
        # A pull request shows its plan for dev, so its branch has to get there.
        return steps if name == "dev" else [*steps, self._approvals(name)]

    def after(self) -> list[Step]:
        """Return the first push, whose workflows find Azure connected, and then the protection of main."""
        push = Step(f"first push to {self.name}", lambda: self._branch("main") is not None, self._push)
        protection = Step(
            f"protection of main: a pull request{''.join(f', {name} passed' for name in self._checks)}",
            self._protected,
            self._protect,
            self._protection_is_ours,
            lambda: self._run("gh", "api", "--method", "DELETE", f"{self._api}/branches/main/protection"),
        )
        return [push, protection] if self.create else [protection]

    def advice(self) -> list[str]:
        """Return how to go on: the first push builds dev by itself, everything else waits to be asked for."""
        if self.cloud.project.infrastructure == "existing":
            return ["Next: `gh workflow run train.yml`"]
        lines = ["New rights take some minutes to arrive: a run that stops with 403 or AADSTS wants to be repeated."]
        for name in self.environments:
            if name == "dev" and self.pushed:
                lines.append("GitHub builds dev now: `gh run watch`. Then: `gh workflow run train.yml`")
            else:
                lines.append(f"Next: `gh workflow run infrastructure.yml -f environment={name} -f action=apply`")
        return lines

    # The repository.

    @property
    def name(self) -> str:
        """OWNER/NAME: of the remote `origin`, or else of pyproject.toml. Raises UserError when there is neither."""
        if not self._remote:
            if not self.cloud.project.repository:
                raise UserError("pyproject.toml: [tool.mlops] repository: the key is missing: write OWNER/NAME")
            return self.cloud.project.repository
        host = r"(?:https://(?:[^@/]+@)?|(?:ssh://)?git@)github\.com[:/]"
        found = re.fullmatch(rf"{host}([^/]+/[^/]+?)(?:\.git)?/?", self._remote)
        if found is None:
            raise UserError("the remote origin is not a repository on github.com: see `git remote --verbose`")
        return found[1]

    @property
    def repository(self) -> dict[str, Any] | None:
        """The repository as GitHub describes it, None while there is none."""
        self._repository = self._repository or self._ask(self._api)
        return self._repository

    @property
    def _private(self) -> bool:
        return bool(self.repository and self.repository["private"])

    @property
    def _api(self) -> str:
        return f"repos/{self.name}"

    @property
    def _remote(self) -> str:
        if self._origin is None:
            self._origin = self._git("remote", "get-url", "origin")
        return self._origin

    @property
    def _ssh(self) -> bool:
        if not self._remote and not self.cloud.dry_run:
            # What `gh repo create` will take.
            return self._run("gh", "config", "get", "git_protocol", "--host", "github.com").strip() == "ssh"
        return "git@" in self._remote

    @cached_property
    def _user(self) -> dict[str, Any]:
        if self.cloud.dry_run:
            return {"login": "YOU", "id": "YOUR_ID", "scopes": None}
        # The headers name the scopes of the sign-in, so that what is missing is said before anything is changed.
        headers, _, body = self._run("gh", "api", "--include", "user").replace("\r\n", "\n").partition("\n\n")
        scopes = re.search(r"(?im)^x-oauth-scopes: *(\S.*)$", headers)
        return {**json.loads(body), "scopes": re.split(r", *", scopes[1].strip()) if scopes else None}

    def _check_git(self) -> None:
        root = self.cloud.project.root
        top = self._git("rev-parse", "--show-toplevel")
        if top and Path(top).resolve() != root.resolve():
            raise UserError(f"the project lies inside another Git repository, {top}: move it out of there")
        branch = self._git("symbolic-ref", "--short", "HEAD") if top else "main"
        if branch != "main":
            raise UserError(f"the branch is {branch or 'none'}, but the workflows watch main: run `git branch -m main`")
        if not self._remote and self.repository and self._ask(f"{self._api}/branches"):
            raise UserError(
                f"{self.name} is on GitHub already, with commits of its own: name another one in [tool.mlops] of "
                f"pyproject.toml, or connect it with `git remote add origin {self.repository['clone_url']}`"
            )

    def _locked(self) -> bool:
        return (self.cloud.project.root / "uv.lock").is_file()

    def _committed(self) -> bool:
        return bool(self._git("rev-parse", "--verify", "HEAD") and self._git("ls-files", "uv.lock"))

    def _commit(self) -> None:
        if not self._git("rev-parse", "--show-toplevel"):
            self._run("git", "init", "--initial-branch", "main")
        if self._git("rev-parse", "--verify", "HEAD"):
            self._run("git", "add", "uv.lock")
            self._run("git", "commit", "--message", "Lock the dependencies", "--", "uv.lock")
        else:
            self._run("git", "add", "--all")
            self._run("git", "commit", "--message", "First version")

    def _connected(self) -> bool:
        return bool(self._remote) and self.repository is not None

    def _create(self) -> None:
        found, remote = self.repository, self._remote
        if found is None:
            source = () if remote else ("--source", ".", "--remote", "origin")
            self._run("gh", "repo", "create", self.name, "--private", *source)
        elif not remote:
            self._run("git", "remote", "add", "origin", found["clone_url"])
        self._origin = None

    def _branch(self, name: str) -> Any:
        return self._ask(f"{self._api}/branches/{name}") if self.repository else None

    def _push(self) -> None:
        # The sign-in of gh, for this command alone: an empty helper forgets those of the machine.
        helper = "credential.https://github.com.helper="
        sign_in = () if self._ssh else ("-c", helper, "-c", f"{helper}!gh auth git-credential")
        self._run("git", *sign_in, "push", "--set-upstream", "origin", "main")
        self.pushed = True

    # Who signs in.

    @property
    def _prefixes(self) -> list[str]:
        if self.repository is None:
            owner, _, name = self.name.partition("/")
            return [f"repo:{owner}@OWNER_ID/{name}@REPOSITORY_ID"]
        return subject_prefixes(self.repository, self._ask(f"{self._api}/{CUSTOM_SUBJECT}") or {})

    def _subjects(self, environment: str) -> dict[str, str]:
        names = (f"github-{environment}", f"github-{environment}-by-name")
        prefixes = ["", ""] if self.undo else self._prefixes
        return {name: f"{prefix}:environment:{environment}" for name, prefix in zip(names, prefixes, strict=False)}

    def _trusted_here(self, environment: str, name: str, subject: str) -> bool:
        """Whether a credential is of this repository, with or without numeric ids, under a name given here."""
        expected = f"repo:{self.name}:environment:{environment}".casefold()
        return name in self._subjects(environment) and re.sub(r"@\d+\b", "", subject).casefold() == expected

    # The environments.

    def _environment(self, name: str, identity: Identity) -> Step:
        path = f"{self._api}/environments/{name}"
        place = ("--env", name, "--repo", self.name)

        def find() -> Any:
            return self._ask(path) if self.repository else None

        def held() -> set[str]:
            answers = {kind: self._ask(f"{path}/{kind}?per_page=30") or {} for kind in ("variables", "secrets")}
            return {each["name"] for kind, answer in answers.items() for each in answer.get(kind, ())}

        def bare(there: dict[str, Any]) -> bool:
            """Whether there is nothing in it: GitHub makes what a workflow names, and a run may have stopped here."""
            return not (there.get("protection_rules") or there.get("deployment_branch_policy") or held())

        def done() -> bool:
            there = find()
            return there is not None and not bare(there)

        def make() -> None:
            try:
                if find() is None:
                    self._run("gh", "api", "--method", "PUT", path)
            except CommandError as error:
                if not self._private or not re.search(rf"{PLAN}|HTTP 404", error.output):
                    raise
                raise UserError(
                    f"GitHub's plan has no environments for the private repository {self.name}: choose another plan, "
                    "or make the repository public"
                ) from error
            self._run("gh", "variable", "set", MARK, "--body", MARKED, *place)

        def removable() -> bool:
            there = find()
            return there is not None and (MARK in held() or bare(there))

        def remove() -> None:
            # Ids of an identity that is gone are of no use to anybody.
            if held() - {MARK, *(() if identity.find() else VARIABLES)}:
                self._run("gh", "variable", "delete", MARK, *place)
                raise SkippedError(f"the environment {name} stays: it has other variables or secrets")
            self._run("gh", "api", "--method", "DELETE", path)

        return Step(f"GitHub environment {name}", done, make, removable, remove)

    def _variables(self, name: str, identity: Identity) -> Step:
        place = ("--env", name, "--repo", self.name)

        def wanted() -> dict[str, str]:
            account = self.cloud.account
            return dict(zip(VARIABLES, (identity.client, account.tenant, account.subscription), strict=True))

        def found() -> dict[str, str]:
            answer = self._ask(f"{self._api}/environments/{name}/variables?per_page=30") if self.repository else None
            there = {each["name"]: each["value"] for each in (answer or {}).get("variables", ())}
            mine = self.cloud.account.subscription
            if (other := there.get("AZURE_SUBSCRIPTION_ID", mine)) != mine:
                raise UserError(
                    f"the environment {name} on GitHub is in subscription {other}, and you are in {mine}: run "
                    f"`az account set --subscription {other}`, or delete its variable AZURE_SUBSCRIPTION_ID first"
                )
            return {key: there[key] for key in VARIABLES if key in there}

        def make() -> None:
            there = {} if self.cloud.dry_run else found()
            for key, value in wanted().items():
                if there.get(key) == value:
                    continue
                self._run("gh", "variable", "set", key, "--body", value, *place)

        def ours() -> list[str]:
            there = wanted() if self.cloud.dry_run else found()
            if there.get("AZURE_CLIENT_ID", identity.client) != identity.client:
                return []  # whoever signs in as somebody else needs the other ids, too
            return [key for key, value in wanted().items() if there.get(key) == value]

        def remove() -> None:
            for key in ours():
                self._run("gh", "variable", "delete", key, *place)

        return Step(
            f"variables {', '.join(VARIABLES)} of {name}",
            lambda: found() == wanted(),
            make,
            lambda: bool(ours()),
            remove,
        )

    def _approvals(self, name: str) -> Step:
        path = f"{self._api}/environments/{name}"
        none = (
            f"nobody is asked before {name} is changed: most of GitHub's plans lack that for a private repository; "
            "with one that has it, add required reviewers in the environment's settings"
        )

        def find() -> dict[str, Any]:
            return (self._ask(path) if self.repository else None) or {}

        def reviewers(there: dict[str, Any]) -> list[tuple[str, int]]:
            people = [each for rule in there.get("protection_rules", ()) for each in rule.get("reviewers", ())]
            return [(each["type"], each["reviewer"]["id"]) for each in people]

        def done() -> bool:
            there = find()
            restricted = there.get("deployment_branch_policy")
            if restricted and reviewers(there):
                return True
            # No answer names the plan. This is what `make` leaves where reviewers were refused.
            if self._private and (restricted or self._without_protection()):
                raise SkippedError(none)
            return False

        def make() -> None:
            there = find()
            policy = there.get("deployment_branch_policy") or PROTECTED_ONLY
            kept = {f"deployment_branch_policy[{key}]": value for key, value in policy.items()}
            for part in (there, *there.get("protection_rules", ())):
                # Left out, it may go back to GitHub's default; and some plans refuse to be given even that.
                kept |= {key: part[key] for key, default in DEFAULTS.items() if part.get(key, default) != default}
            rest = [word for key, value in kept.items() for word in ("-F", f"{key}={json.dumps(value)}")]
            people: list[str] = []
            for kind, number in reviewers(there) or [("User", self._user["id"])]:
                people += ["-f", f"reviewers[][type]={kind}", "-F", f"reviewers[][id]={number}"]
            try:
                self._run("gh", "api", "--method", "PUT", path, *people, *rest)
            except CommandError as error:
                if not re.search(PLAN, error.output):
                    raise
                self._within_plan(none, "gh", "api", "--method", "PUT", path, *rest)
                raise SkippedError(none) from error

        return Step(f"approvals for {name}: you, and protected branches only", done, make)

    # The protection of main.

    @cached_property
    def _checks(self) -> list[str]:
        """The checks that every pull request gets; one that never came would block it for ever."""
        path = self.cloud.project.root / ".github" / "workflows" / "pull-request.yml"
        jobs = load_yaml(path).get("jobs", {}) if path.is_file() else {}
        if not isinstance(jobs, dict) or not all(isinstance(job, dict) for job in jobs.values()):
            raise UserError(".github/workflows/pull-request.yml: jobs: each job is an id with its settings below")
        return [name for name in CHECKS if name in [job.get("name") for job in jobs.values()]]

    def _without_protection(self) -> bool:
        """Whether GitHub's plan lacks protected branches for this repository."""
        try:
            self._ask(f"{self._api}/branches/main/protection")
        except CommandError as error:
            return bool(re.search(PLAN, error.output))
        return False

    def _protected(self) -> bool:
        if not self._branch("main"):
            return False
        if self._without_protection():
            raise SkippedError(UNPROTECTED)
        if self._ask(f"{self._api}/branches/main/protection"):
            return True
        rules = self._ask(f"{self._api}/rules/branches/main") or ()
        return any(rule["type"] == "pull_request" for rule in rules)

    def _protect(self) -> None:
        checks: list[str] = ["-F", "required_status_checks=null"]
        if self._checks:
            checks = ["-F", "required_status_checks[strict]=false"]
            checks += [word for name in self._checks for word in ("-f", f"required_status_checks[contexts][]={name}")]
        # No approval by somebody else: a team of one could merge nothing.
        more = ("required_pull_request_reviews[required_approving_review_count]=0", "enforce_admins=true")
        rules = [word for rule in (*more, "restrictions=null") for word in ("-F", rule)]
        if not self.cloud.dry_run and not self._branch("main"):
            raise SkippedError("main is not protected, because it is not on GitHub yet: push it and run this again")
        path = f"{self._api}/branches/main/protection"
        self._within_plan(UNPROTECTED, "gh", "api", "--method", "PUT", path, *checks, *rules)

    def _protection_is_ours(self) -> bool:
        if not self._branch("main") or self._without_protection():
            return False
        found = self._ask(f"{self._api}/branches/main/protection") or {}
        checks = (found.get("required_status_checks") or {}).get("contexts", [])
        approvals = (found.get("required_pull_request_reviews") or {}).get("required_approving_review_count")
        others = [name for name in self.cloud.project.environments if name not in self.environments]
        used = any(self._ask(f"{self._api}/environments/{name}") for name in others)
        return sorted(checks) == sorted(self._checks) and approvals == 0 and not used

    # Commands.

    def _ask(self, path: str) -> Any:
        """Ask GitHub's API; None when there is no such thing, and in a dry run."""
        if self.cloud.dry_run:
            return None
        try:
            return json.loads(self._run("gh", "api", path))
        except CommandError as error:
            if "HTTP 404" in error.output:
                return None
            raise

    def _git(self, *words: str) -> str:
        """Ask Git; empty when it does not know, and in a dry run."""
        if self.cloud.dry_run:
            return ""
        try:
            return self.cloud.shell.read("git", *words).strip()
        except CommandError:
            return ""

    def _within_plan(self, otherwise: str, *command: str) -> None:
        """Run a command. Raises SkippedError with the text `otherwise` when GitHub's plan lacks what it asks for."""
        try:
            self._run(*command)
        except CommandError as error:
            if re.search(PLAN, error.output):
                raise SkippedError(otherwise) from error
            raise

    def _run(self, *command: str) -> str:
        """Run a command and return what it wrote. Raises UserError with the cure of a fault that has one."""
        try:
            return self.cloud.change(*command)
        except CommandError as error:
            if scope := re.search(r'needs the "([\w:]+)" scope|without `(\w+)` scope', error.output):
                raise _lacks(scope[1] or scope[2]) from error
            for pattern, cure in self._cures.items():
                if not re.search(PLAN, error.output) and re.search(pattern, error.output):
                    raise UserError(cure) from error
            raise

    @property
    def _forbidden(self) -> str:
        return (
            f"you may not set up {self.name}: you need to be its admin, so ask its owner for that, or let an admin run "
            "this (`repository` in [tool.mlops] of pyproject.toml names another one)"
        )

    @property
    def _cures(self) -> dict[str, str]:
        return {
            r"gh auth login|HTTP 401": "you are not signed in to GitHub: run `gh auth login`",
            r"HTTP 403|Must have admin rights|cannot create a repository": self._forbidden,
            r"tell me who you are|auto-detect email": (
                "Git does not know you: run `git config --global user.name NAME` and "
                "`git config --global user.email ADDRESS`"
            ),
            r"non-fast-forward|fetch first": (
                f"{self.name} has commits that are not here: run `git pull --rebase origin main`"
            ),
        }


def _lacks(scope: str) -> UserError:
    return UserError(
        f"your sign-in to GitHub lacks the scope {scope}: run `gh auth refresh --hostname github.com --scopes {scope}`"
    )
