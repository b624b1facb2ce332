"""What `mlops doctor` looks at in Azure DevOps, and what the errors of its runs mean."""

import re
from collections.abc import Iterator
from typing import Any

from mlops.orchestration.azure_devops import steps
from mlops.orchestration.azure_devops.names import FOLDER, NAMES, PLANNING
from mlops.orchestration.azure_devops.repository import INSTALL_EXTENSION, NO_AGENTS, AzureRepos
from mlops.orchestration.checkout import BRANCH
from mlops.subscription.checks import Context, Finding, error, ok, warning
from mlops.subscription.checks.tools import Tool
from mlops.subscription.steps import Cloud

EXTENSION = Tool(
    "the extension azure-devops of az",
    ("az", "version", "--output", "json"),
    r'"azure-devops": "([\d.]+)"',
    "1.0",
    f"`{INSTALL_EXTENSION}`",
)

APPROVALS = "Checkpoint.Approval"

AGAIN = "`uv run mlops bootstrap --environment {}`"

# By a pattern of the message of a run: what it means, what helps.
RUNS = {
    r"AADSTS(700211|70021)\b": ("the identity trusts no credential with the issuer of the connection", AGAIN),
    r"AADSTS700213\b": ("the identity trusts no credential with the subject of the connection", AGAIN),
    r"AADSTS70025\b": ("the identity has no federated credential at all", AGAIN),
    r"AADSTS700016\b": ("the identity is gone, or the connection has the id of another one", AGAIN),
    r"AADSTS(700223|700238)\b": (
        "the tenant forbids federated credentials, or those of this issuer",
        "an administrator of Microsoft Entra has to allow them for managed identities",
    ),
    r"AADSTS700024\b": (
        "the sign-in was used for another token too late: within 10 minutes a run fetches all that it needs",
        "run the failed stage again; if it repeats, the connection is not for a managed identity: "
        "delete it, then " + AGAIN,
    ),
    r"AADSTS70052\b": ("the connection is for an app registration of several tenants", "delete it, then " + AGAIN),
    r"[Nn]o hosted parallelism": ("the organisation has no agents of Microsoft's", NO_AGENTS),
    steps.ABSENT: (
        "a pipeline names what is not there, or what it may not use",
        AGAIN,
    ),
    rf"^{re.escape(APPROVALS)}$": (
        "it was not approved, or not in time",
        "nothing was changed: start it again, or run its failed stages again",
    ),
    r"exceeded the maximum execution time|ran longer than the maximum time": (
        "a job took longer than it may",
        "Microsoft's free agents stop a job after 60 minutes: buy a parallel job, or name a pool of your own in "
        f"{NAMES}",
    ),
    r"Access denied.*permissions? to contribute|GenericContribute|PullRequestContribute|TF401027": (
        "the account of the pipelines lacks a right in the repository",
        AGAIN,
    ),
}


def repository(context: Context) -> AzureRepos:
    """Return the repository of the project; each query runs once, as the context keeps answers."""
    return AzureRepos(_Looking(context), [context.config], False, False)


class _Looking(Cloud):
    """The project and the clouds, when nothing is to be changed."""

    def __init__(self, context: Context) -> None:
        """Keep the context, which remembers answers."""
        super().__init__(context.project, dry_run=False)
        self._context = context

    def change(self, *command: str) -> str:
        """Read the output of a command."""
        return self._context.read(*command)


def check_project(context: Context) -> Iterator[Finding]:
    """Look for the organisation, the project, the repository, and main in it."""
    devops = repository(context)
    who = devops.user["providerDisplayName"]
    create = "`uv run mlops bootstrap --create-repository`"
    if devops.project is None:
        yield warning(f"there is no project {devops.address.project} that {who} can see", create)
    elif devops.repository is None:
        yield warning(f"there is no repository {devops.name} that {who} can see", create)
    elif devops.branch(BRANCH) is None:
        yield warning(f"{devops.name} has no branch {BRANCH}", "`git push --set-upstream origin main`")
    else:
        yield ok(f"{devops.name}, {who}")


def check_trust(context: Context) -> Iterator[Finding]:
    """Compare what each service connection signs in with and what its identity trusts."""
    devops, again = repository(context), context.command("bootstrap")
    for name, identity, found in _connections(context, devops):
        if found is None:
            yield error(f"there is no service connection {name}", again)
            continue
        if identity is None:
            continue  # the check of the rights reports it
        if (client := steps.parameters(found).get("serviceprincipalid")) != identity["clientId"]:
            yield error(f"{name} signs in as {client}, not as {identity['clientId']}", again)
            continue
        own = (found.get("data") or {}).get("subscriptionId")
        if own != context.account.subscription:
            yield error(
                f"{name} is for subscription {own}, not {context.account.subscription}",
                f"`az account set --subscription {own}`, or delete the connection, then {again}",
            )
            continue
        home = context.config.deployer
        place = ["--identity-name", identity["name"], "--resource-group", home.resource_group]
        known = context.az("identity", "federated-credential", "list", *place) or []
        wanted = steps.federation(found)
        if any((each["issuer"], each["subject"]) == wanted for each in known):
            yield ok(f"{name} signs in as {identity['name']}")
        else:
            yield error(f"{identity['name']} does not trust {wanted.subject} of {wanted.issuer}", again)
        for each in known:
            if (each["issuer"], each["subject"]) != wanted:
                yield warning(
                    f"{identity['name']} trusts {each['subject']}, too",
                    f"unless you want that, remove it: `az identity federated-credential list {' '.join(place)}`",
                )


def check_guards(context: Context) -> Iterator[Finding]:
    """Look which approvals, branches and locks guard the environment and its connections."""
    devops, again = repository(context), context.command("bootstrap")
    name = context.config.environment
    is_first = name == context.project.first_environment
    guards = steps.guards(approved=not is_first)
    guarded = [(steps.ENVIRONMENT, each, guards) for each in devops.names.environments(name)]
    for each, pipelines in devops.names.connections(name, is_first=is_first).items():
        if PLANNING not in pipelines:
            guarded.append((steps.CONNECTION, each, (steps.BRANCHES,)))
    guarded += [(steps.POOL, pool, (steps.BRANCHES,)) for pool in devops.names.pools(name)]
    for kind, resource, wanted in guarded:
        number = steps.identifier(devops, kind, resource)
        if not number:
            if kind == steps.ENVIRONMENT:
                yield error(f"there is no environment {resource} in Azure DevOps", again)
            continue
        found = steps.guards_of(devops, kind, number)
        if missing := [guard.word for guard in wanted if guard not in found]:
            yield warning(f"{kind.word} {resource} lacks: {', '.join(missing)}", again)
        else:
            yield ok(f"{kind.word} {resource}: {', '.join(guard.word for guard in wanted)}")


def check_pipelines(context: Context) -> Iterator[Finding]:
    """Look for the pipelines, for what they may use, and for the policy of main."""
    devops, again = repository(context), context.command("bootstrap")
    known = devops.pipelines()
    if missing := [name for name in devops.names.pipelines if name not in known]:
        yield error(f"there are no pipelines {', '.join(missing)} in folder {devops.names.prefix}", again)
    for name, found in known.items():
        yield from _pipeline(context, devops, name, found)
    name = context.config.environment
    is_first = name == context.project.first_environment
    used = [(steps.ENVIRONMENT, *each) for each in devops.names.environments(name).items()]
    used += [(steps.CONNECTION, *each) for each in devops.names.connections(name, is_first=is_first).items()]
    used += [(steps.POOL, *each) for each in devops.names.pools(name).items()]
    ids = {each["id"]: name for name, each in known.items()}
    for kind, resource, wanted in used:
        number = steps.identifier(devops, kind, resource)
        if not number:
            continue  # the checks before have reported it
        allowed = steps.permitted(devops, kind, number)
        if allowed is None:
            yield warning(
                f"every pipeline of {devops.address.project} may use {kind.word} {resource}",
                "limit it to its pipelines: Security, in its settings in Azure DevOps",
            )
            continue
        waiting = [each for each in wanted if each in known and known[each]["id"] not in allowed]
        if waiting:
            yield error(f"{', '.join(waiting)} may not use {kind.word} {resource}", again)
        # Several projects may share a pool.
        if kind != steps.POOL and (more := sorted(each for each in allowed if ids.get(each) not in wanted)):
            others = ", ".join(ids.get(each, f"number {each}") for each in more)
            yield warning(
                f"{kind.word} {resource} is open to more pipelines than need it: {others}",
                "unless you want that, remove them: Security, in its settings in Azure DevOps",
            )
    gate = known.get(steps.GATE)
    if gate and steps.policy(devops, gate["id"]) is None:
        yield warning(f"{BRANCH} accepts any push: no policy requires {steps.GATE}", again)
    if known and devops.account() is None:
        yield warning("the account of the pipelines has no rights yet, because none of them has run", again)
    elif known:
        looking = steps.ReadingRights(devops, devops.names.environment(name))
        rights = (steps.RepositoryRights(devops), steps.WorkItemRights(devops), looking)
        yield from (warning(f"missing: {step.name}", again) for step in rights if not step.done())
    if not missing:
        yield ok(f"{len(known)} pipelines in folder {devops.names.prefix}")


def check_environments(context: Context) -> Iterator[Finding]:
    """Compare the environments that the pipelines name with those that are there."""
    devops, own = repository(context), context.config.environment
    names, known = devops.names, devops.pipelines()
    if not known:
        return
    text = f"Azure DevOps refuses each run, because {NAMES} has {{}} in `environments`, {{}}"
    if not names.listed:
        yield error(f"{NAMES} has no `environments`", names.edit())
        return
    if names.unknown:
        yield error(names.strange(names.unknown), names.edit())
    gaps = {name: devops.gap(name) for name in dict.fromkeys((*names.listed, own)) if name not in names.unknown}
    for name, gap in gaps.items():
        if gap and name != own:  # what the environment itself lacks, the checks before have said
            more = "" if name == context.project.first_environment else f", or take {name} out, in a pull request"
            yield error(text.format(name, gap), f"{devops.remedy(name)}{more}")
    if own not in names.listed and not gaps[own] and not names.unknown:
        yield warning(f"no model goes to {own}", f"once its workspace is built, {names.edit(own)}")
    elif not names.unknown and not any(gaps[name] for name in names.listed):
        yield ok(f"the pipelines name {', '.join(names.listed)}")


def _pipeline(context: Context, devops: AzureRepos, name: str, found: dict[str, Any]) -> Iterator[Finding]:
    """Compare a pipeline with its file; one of a person's own is no concern."""
    again, delete = context.command("bootstrap"), "delete it in Azure DevOps"
    file, own = f"{FOLDER}/{name}.yml", found.get("description") == steps.MARK
    runs = str((found.get("process") or {}).get("yamlFilename", file)).lstrip("/")
    if name not in devops.names.pipelines:
        if own:
            yield warning(f"the pipeline {name} runs {runs}, which is not there", delete)
        return
    if runs != file:
        yield error(f"the pipeline {name} runs {runs}, not {file}", f"{delete}, then {again}")
    if (other := steps.other_repository(devops, found)) is not None:
        text = f"the pipeline {name} runs the repository {other or 'that was here before'}, not {devops.name}"
        yield error(text, f"{delete}, then {again}" if other else again)
    if (state := found.get("queueStatus", "enabled")) != "enabled":
        yield warning(f"the pipeline {name} is {state}", "enable it in its settings in Azure DevOps")


def check_agents(context: Context) -> Iterator[Finding]:
    """Look whether the pipelines have agents in the private network, and some that reach Terraform's state."""
    devops, name = repository(context), context.config.environment
    if context.config.closed and not devops.names.pool(name):
        yield warning(
            "the pipelines run outside of the private network and cannot reach the workspace",
            f"put an agent into the subnet runners, in a pool mlops-{name}, and write mlops as `pool` into {NAMES}",
        )
    if context.config.closed_state and not devops.names.provision_pool(name):
        pools = ", ".join(f"build-{each}" for each in context.project.environments)
        yield warning(
            "the infrastructure is planned and built on Microsoft's agents, which the firewall of the state keeps out",
            f"add agents that it admits to the pools {pools}, and write build as `provision_pool` into {NAMES}, which "
            f"counts for all environments; or empty the lists of terraform_state.firewall in {context.file}, and run "
            f"{context.command('bootstrap')}",
        )
    for pool in devops.names.pools(name):
        yield from _agents(devops, pool)


def _agents(devops: AzureRepos, pool: str) -> Iterator[Finding]:
    """Look whether an agent of a pool is online."""
    found = devops.find_pool(pool)
    if found is None:
        yield error(
            f"{NAMES} asks for the pool {pool}, and {devops.address.project} has none of that name",
            "add it in the project's settings, under Agent pools",
        )
        return
    agents = devops.api.items(f"_apis/distributedtask/pools/{found['pool']['id']}/agents", of="organisation")
    if online := [each["name"] for each in agents if each.get("status") == "online" and each.get("enabled", True)]:
        yield ok(f"the pipelines run on {', '.join(online)}")
    else:
        yield warning(f"no agent of the pool {pool} is online", "start one, as docs/operate.md says")


def check_runs(context: Context) -> Iterator[Finding]:
    """Explain why the newest run of each pipeline failed, as far as its messages say."""
    devops = repository(context)
    ids = {each["id"]: name for name, each in devops.pipelines().items()}
    if not ids:
        return
    wanted = {"definitions": ",".join(map(str, ids)), "maxBuildsPerDefinition": 1, "queryOrder": "queueTimeDescending"}
    failed = 0
    for run in devops.api.items("_apis/build/builds", wanted):
        if run.get("result") not in ("failed", "canceled"):
            continue
        failed += 1
        text = "\n".join(_messages(devops, run))
        known = [(what, remedy) for pattern, (what, remedy) in RUNS.items() if re.search(pattern, text, re.MULTILINE)]
        for what, remedy in known:
            title = f"run {run['buildNumber']} of {ids[run['definition']['id']]} {run['result']}: {what}"
            yield warning(title, remedy.replace("{}", context.config.environment))
    if not failed:
        yield ok("no newest run has failed")


def _messages(devops: AzureRepos, run: dict[str, Any]) -> Iterator[str]:
    yield from (each.get("message") or "" for each in run.get("validationResults") or ())
    records = (devops.api.get(f"_apis/build/builds/{run['id']}/timeline") or {}).get("records") or ()
    for record in records:
        yield from (each.get("message") or "" for each in record.get("issues") or ())
        # What a stage waits for is a record of its own, which has no message.
        if record.get("type") == APPROVALS and record.get("result") not in (None, "succeeded"):
            yield APPROVALS


def _connections(context: Context, devops: AzureRepos) -> Iterator[tuple[str, dict[str, Any] | None, Any]]:
    """Yield the two service connections by name, each with its identity and with itself, if they are there."""
    name, home = context.config.environment, context.config.deployer
    for reads, label, identity in [(False, home.identity, context.deployer), (True, home.reader, context.reader)]:
        connection = devops.names.connection(name, reads=reads)
        named = {**identity, "name": label} if identity else None
        yield connection, named, devops.find_connection(connection)
