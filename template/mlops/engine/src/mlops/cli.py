"""The command line: a command for each verb. A command imports its modules when it runs, so that help is instant."""

import atexit
import contextlib
import functools
import gc
import itertools
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.errors import UserError
from mlops.outputs import add_summary, annotate, in_pipeline

if TYPE_CHECKING:
    from mlops.config import EnvironmentConfig
    from mlops.project import Project
    from mlops.subscription.choices import Action
    from mlops.verbs import Session

LOCAL, AZURE, INFRASTRUCTURE, UPKEEP = "On this machine", "On Azure", "Infrastructure", "Upkeep"
_NEW_OBJECTS = 10_000
"""So many before a search for cycles among them."""


class _Commands(typer.core.TyperGroup):
    """Commands that say so when they are stopped."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C and the other signals to stop are one word on the error stream."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as signal:
            print("stopped", file=sys.stderr)
            raise typer.Exit(getattr(signal, "code", 130)) from None


app = typer.Typer(
    cls=_Commands,
    help="Train, deploy and watch the model, on this machine and on Azure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

EnvironmentOption = Annotated[
    str, typer.Option("--environment", "-e", help="A file of config/.", show_default="the first environment")
]


def _announce_dry_run(dry_run: bool) -> bool:
    if dry_run:
        print("# Dry run: nothing is run. The state in Azure is not known, so a usual one is assumed.", flush=True)
    return dry_run


DryRunOption = Annotated[
    bool, typer.Option("--dry-run", callback=_announce_dry_run, help="Show the commands and run none.")
]
VersionOption = Annotated[
    str | None, typer.Option("--model-version", help="Default: the pinned one, or the newest that may be used.")
]
HashOption = Annotated[str, typer.Option("--sha256", help="What the files must hash to; `mlops models` shows it.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ConfirmOption = Annotated[
    str, typer.Option("--confirm", help="The environment's name, beside --yes: for --all, or if it is protected.")
]
NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="End where another run uses .local, in place of waiting for it.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", help="Write the text of an issue here; empty when there is nothing to do.")
]


@app.command(rich_help_panel=LOCAL)
def local(
    isolated: Annotated[bool, typer.Option("--isolated", help="Run each step in a process of its own.")] = False,
    overrides: Annotated[str, typer.Option(help="Other settings for this run: 'training.seed=7 ...'.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Another pipeline input: NAME=VALUE.")] = None,
    port: Annotated[int | None, typer.Option(help="The endpoint's port. Default: a free one.")] = None,
    skip_lint: Annotated[bool, typer.Option("--skip-lint", help="Do not check the definitions first.")] = False,
    name: Annotated[str, typer.Option(help="What `mlops compare` calls this run. Default: the overrides.")] = "",
    no_register: Annotated[
        bool, typer.Option("--no-register", help="An experiment: train and evaluate, and leave the champion alone.")
    ] = False,
    no_wait: NoWaitOption = False,
) -> None:
    """Run the whole loop: check, train, register, serve, score, report."""
    from mlops.local.run import run_local
    from mlops.project import Project

    if no_register and port is not None:
        raise UserError("--no-register serves nothing: leave out --port")
    run_local(
        Project.load(),
        isolated=isolated,
        overrides=overrides,
        set_inputs=dict(_pair(text) for text in set_ or []),
        port=port,
        skip_lint=skip_lint,
        name=name,
        register=not no_register,
        wait=not no_wait,
    )


@app.command(rich_help_panel=LOCAL)
def lint() -> None:
    """Check configuration, settings and Azure ML definitions, without a cloud account."""
    from mlops import orchestration
    from mlops.lint import lint as find_errors
    from mlops.project import Project

    project = Project.load()
    findings = find_errors(project, parallel=True) + orchestration.of(project).findings(project)
    for finding in findings:
        print(finding)
    if findings:
        raise UserError(f"{len(findings)} error{'s' if len(findings) > 1 else ''} in configuration and definitions")
    print("No errors in configuration and definitions.")


@app.command(rich_help_panel=LOCAL)
def schema(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Your files, or a folder of them. Default: data/raw.", show_default=False),
    ] = None,
    target: Annotated[str, typer.Option(help="The column to predict. Default: a guess.")] = "",
    task: Annotated[str, typer.Option(help="What is predicted, such as regression or classification.")] = "",
    encoding: Annotated[str, typer.Option(help="That of the files, such as cp1250, where it cannot be seen.")] = "",
    accept: Annotated[
        bool, typer.Option("--accept", help="Put the draft and the files in place, and keep what was there.")
    ] = False,
) -> None:
    """Draft data/schema.yml and config/model.yml for your files, and show what was guessed and why."""
    from mlops.local import drafts
    from mlops.project import Project

    project = Project.load()
    if files or target or task or encoding or not accept:
        paths = files or [project.data / "raw"]
        drafts.write_draft(project, paths, target=target, task=task, encoding=encoding, accepted=accept)
    if accept:
        drafts.accept(project)


@app.command(rich_help_panel=LOCAL)
def summary(
    file: Annotated[Path | None, typer.Option(help="Write it into this file, too.")] = None,
) -> None:
    """Show what the newest local run found, as Markdown: metrics, decision, reasons."""
    from mlops.local.summary import summary as summarise
    from mlops.outputs import add_summary
    from mlops.project import Project

    markdown = summarise(Project.load())
    print(markdown, end="")
    add_summary(markdown)
    if file:
        _write(file, markdown)


@app.command(rich_help_panel=LOCAL)
def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Numbers, or parts of names. Default: the last runs.")
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the last runs.")] = 10,
    metric: Annotated[str, typer.Option(help="What orders them. Default: the metric that decides.")] = "",
) -> None:
    """Show the runs of this machine side by side: what was different, and which one is the best."""
    from mlops.local.comparison import compare as compare_runs
    from mlops.project import Project

    compare_runs(Project.load(), last=last, metric=metric, chosen=runs or [])


@app.command(rich_help_panel=LOCAL)
def ui(
    port: Annotated[int | None, typer.Option(help="Its port. Default: 5000, or a free one (0, too).")] = None,
) -> None:
    """Keep MLflow's pages open, which show all runs and models of this machine."""
    from mlops.local.ui import show
    from mlops.project import Project

    show(Project.load(), port)


@app.command(rich_help_panel=LOCAL)
def serve(
    port: Annotated[int, typer.Option(help="The endpoint's port.")] = 5001,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that answer. Default: workers in the first environment's file.")
    ] = None,
) -> None:
    """Keep the newest registered model up as a live endpoint."""
    from mlops.local.serving import serve as keep_serving
    from mlops.project import Project

    keep_serving(Project.load(), port, workers)


@app.command(rich_help_panel=LOCAL)
def tune(
    environment: Annotated[
        str, typer.Option("--environment", "-e", help="A file of config/: search on Azure ML. Default: here.")
    ] = "",
    trials: Annotated[int | None, typer.Option(min=1, help="Number of candidates. Default: tuning.trials.")] = None,
    overrides: Annotated[str, typer.Option(help="Other settings for this run: 'training.seed=7 ...'.")] = "",
    save: Annotated[
        bool, typer.Option("--save", help="Write what is better (on Azure ML: registered) into config/model.yml.")
    ] = False,
    no_train: Annotated[bool, typer.Option("--no-train", help="Search, and train nothing.")] = False,
    port: Annotated[int | None, typer.Option(help="The endpoint's port, if a training follows here.")] = None,
    skip_lint: Annotated[bool, typer.Option("--skip-lint", help="Do not check the definitions first.")] = False,
    job: Annotated[str, typer.Option(help="On Azure ML: go on from this search.")] = "",
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Do not wait: on Azure ML for the search, here for a run that uses .local."),
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Search better hyperparameters on the training data, here or on Azure ML, and train with them."""
    if environment:
        from mlops import verbs

        if skip_lint or port is not None:
            raise UserError("--skip-lint and --port are for a search on this machine: leave out --environment")
        session = _session(environment, dry_run)
        verbs.tune(
            session,
            overrides=overrides,
            trials=trials,
            job=job,
            wait=not no_wait,
            save=save,
            then_train=not no_train,
        )
        return
    for option, given in (("--job", job), ("--dry-run", dry_run)):
        if given:
            raise UserError(f"{option} is for a search on Azure ML: name its --environment too")
    from mlops.local.tuning import tune_local
    from mlops.project import Project

    tune_local(
        Project.load(),
        overrides=overrides,
        trials=trials,
        train=not no_train,
        save=save,
        port=port,
        skip_lint=skip_lint,
        wait=not no_wait,
    )


@app.command(rich_help_panel=AZURE)
def train(
    environment: EnvironmentOption = "",
    overrides: Annotated[str, typer.Option(help="Other settings for this run: 'training.seed=7 ...'.")] = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the job.")] = False,
    job: Annotated[str, typer.Option(help="Its name. One that was started before is not started again.")] = "",
    dry_run: DryRunOption = False,
) -> None:
    """Run the training pipeline; a better model is registered."""
    from mlops import verbs

    verbs.train(_session(environment, dry_run), overrides=overrides, wait=not no_wait, job=job)


@app.command(rich_help_panel=AZURE)
def models(
    environment: EnvironmentOption = "",
    model_version: VersionOption = None,
    unpin: Annotated[bool, typer.Option("--unpin", help="Choose as if none were pinned.")] = False,
    accept: Annotated[str | None, typer.Option(metavar="VERSION", help="Take back the rejection of this one.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    """List the model's versions, and show which one is chosen, with its hash."""
    from mlops import verbs

    verbs.list_models(_session(environment, dry_run), model_version=model_version, unpin=unpin, accept=accept)


@app.command(rich_help_panel=AZURE)
def deliver(
    environment: EnvironmentOption = "",
    model_version: VersionOption = None,
    sha256: HashOption = "",
    force: Annotated[bool, typer.Option("--force", help="Also when nothing has changed.")] = False,
    hold: Annotated[bool, typer.Option("--hold", help="Stop after the smoke test, before traffic moves.")] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Keep this version, which may be an older one.")] = False,
    unpin: Annotated[bool, typer.Option("--unpin", help="End such a pin first.")] = False,
    look: Annotated[bool, typer.Option("--look", help="Only show what would change and what it replaces.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="End a rollout in progress, with --hold a held one.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Bring a model into an environment (online, batch, monitor), then to the next one."""
    from mlops import verbs

    if abort and (model_version or sha256 or force or pin or unpin or look):
        raise UserError("--abort only ends a rollout: leave out the other options (but --hold), or --abort")
    session = _session(environment, dry_run)
    if abort:
        verbs.abort(session, held=hold)
        return
    if look:
        options = verbs.Options(force=force, hold=hold, pin=pin, unpin=unpin)
        verbs.preview(session, model_version=model_version, sha256=sha256, options=options)
        return
    verbs.deliver(session, model_version=model_version, sha256=sha256, force=force, hold=hold, pin=pin, unpin=unpin)


@app.command(rich_help_panel=AZURE)
def deploy_online(
    environment: EnvironmentOption = "",
    model_version: VersionOption = None,
    sha256: HashOption = "",
    bake_minutes: Annotated[float | None, typer.Option(min=0, help="Length of the canary stage.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Stop after the smoke test, before traffic moves.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also when nothing has changed since.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Roll a model out to the online endpoint: test, canary, full; back on any error."""
    from mlops import verbs

    session = _session(environment, dry_run)
    verbs.deploy_online(
        session, model_version=model_version, sha256=sha256, bake_minutes=bake_minutes, hold=hold, force=force
    )


@app.command(rich_help_panel=AZURE)
def smoke_test(
    environment: EnvironmentOption = "",
    deployment: Annotated[str | None, typer.Option(help="Query this deployment, past the traffic rule.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Send real rows to the online endpoint and check the predictions."""
    from mlops import verbs

    verbs.smoke_test(_session(environment, dry_run), deployment=deployment)


@app.command(rich_help_panel=AZURE)
def logs(
    environment: EnvironmentOption = "",
    deployment: Annotated[str | None, typer.Option(help="Default: the one that serves.")] = None,
    lines: Annotated[int, typer.Option(min=1, help="How many of the last lines.")] = 200,
    dry_run: DryRunOption = False,
) -> None:
    """Show what the online deployment wrote to its log."""
    from mlops import verbs

    verbs.logs(_session(environment, dry_run), deployment=deployment, lines=lines)


@app.command(rich_help_panel=AZURE)
def shift_traffic(
    percent: Annotated[int, typer.Option(min=0, max=100, help="Share of the newer deployment.")],
    environment: EnvironmentOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Share traffic between two deployments manually, after deploy-online --hold."""
    from mlops import verbs

    verbs.shift_traffic(_session(environment, dry_run), percent)


@app.command(rich_help_panel=AZURE)
def rollback(
    environment: EnvironmentOption = "",
    bad: Annotated[
        str | None,
        typer.Option("--from", help="The version to go back from, which a repeated run needs. Default: what serves."),
    ] = None,
    model_version: Annotated[
        str | None, typer.Option("--model-version", help="Where to go back to. Default: what served before.")
    ] = None,
    expected: Annotated[
        str, typer.Option(metavar="VERSION", help="Stop unless it goes to this one, which was approved.")
    ] = "",
    sha256: HashOption = "",
    look: Annotated[bool, typer.Option("--look", help="Only show from which version to which one it goes.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="End a rollback from --from that stopped half-way.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Go back to the model that served before, and reject the one that serves."""
    from mlops import verbs

    if abort and (not bad or look or model_version or expected or sha256):
        raise UserError("--abort ends a rollback from one version: name that with --from, and leave out the rest")
    if look and (bad or expected or sha256):
        raise UserError("--look shows where a rollback goes: leave out --from, --expected and --sha256")
    session = _session(environment, dry_run)
    if look:
        verbs.look(session, model_version=model_version)
    elif abort and bad:
        verbs.end_rollback(session, bad)
    else:
        verbs.rollback(session, bad=bad, model_version=model_version, expected=expected, sha256=sha256)


@app.command(rich_help_panel=AZURE)
def deploy_batch(
    environment: EnvironmentOption = "",
    model_version: VersionOption = None,
    sha256: HashOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Make a model the default of the batch endpoint."""
    from mlops import verbs

    verbs.deploy_batch(_session(environment, dry_run), model_version=model_version, sha256=sha256)


@app.command(rich_help_panel=AZURE)
def promote(
    to: Annotated[str, typer.Option(help="The environment that may use the model from now on.")],
    environment: EnvironmentOption = "",
    model_version: VersionOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Bring a model to another environment through the registry, checked by hash."""
    from mlops import verbs

    verbs.promote(_session(environment, dry_run), to, model_version=model_version)


@app.command(rich_help_panel=AZURE)
def monitor(environment: EnvironmentOption = "", dry_run: DryRunOption = False) -> None:
    """Watch the served model for drift."""
    from mlops import verbs

    verbs.monitor(_session(environment, dry_run))


@app.command(rich_help_panel=AZURE)
def drift(
    environment: EnvironmentOption = "",
    days: Annotated[
        int | None, typer.Option(min=1, help="How old an alert may be. Default: twice monitor.lookback_days.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Look for an alert of the monitor, and name the training that answers it; start nothing."""
    from mlops import verbs

    verbs.drift(_session(environment, dry_run), days=days)


@app.command(rich_help_panel=AZURE)
def connected(
    environment: EnvironmentOption = "",
    required: Annotated[bool, typer.Option("--required", help="Fail when it is not.")] = False,
) -> None:
    """Look, in a pipeline, whether it can sign in to Azure for its environment."""
    from mlops import orchestration
    from mlops.project import Project
    from mlops.subscription.connected import connected as look

    project = Project.load()
    look(project, orchestration.of(project), environment or project.first_environment, required=required)


@app.command(rich_help_panel=UPKEEP)
def comment(
    folder: Annotated[Path, typer.Option(help="All *.md files in it go into the comment.")],
    jobs: Annotated[str, typer.Option(help="The jobs before this one with their results, as JSON.")] = "{}",
) -> None:
    """Make the one comment under a pull request, in a pipeline, or update it."""
    from mlops import orchestration
    from mlops.orchestration.comment import comment_text
    from mlops.project import Project

    project = Project.load()
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.md"), key=lambda each: each.name)]
    orchestration.of(project).comment(project, comment_text(jobs, texts))


@app.command(rich_help_panel=AZURE)
def approval(environment: EnvironmentOption = "") -> None:
    """Look, in a pipeline, whether a person approves what reaches a protected environment."""
    from mlops import orchestration

    project, config = _open(environment)
    if config.protected:
        orchestration.of(project).check_approval(project, config.environment)
    else:
        print(f"{config.environment} is not protected: no approval is needed.")


@app.command(rich_help_panel=INFRASTRUCTURE)
def bootstrap(
    environments: Annotated[
        list[str] | None,
        typer.Option("--environment", "-e", help="A file of config/; can be repeated. Default: the first environment."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Remove what bootstrap made, and nothing else.")] = False,
    create_repository: Annotated[
        bool, typer.Option("--create-repository", help="Create the repository, and push to it.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Make what comes before everything else: identity, rights, state store, settings of the repository."""
    from mlops import infrastructure, orchestration
    from mlops.project import Project
    from mlops.subscription.bootstrap import bootstrap as run_bootstrap

    project = Project.load()
    project.check_answers()
    run_bootstrap(
        project,
        list(dict.fromkeys(environments or [project.first_environment])),
        infrastructure.of(project),
        orchestration.of(project),
        undo=undo,
        create_repository=create_repository,
        yes=yes,
        dry_run=dry_run,
    )


@app.command(rich_help_panel=INFRASTRUCTURE)
def doctor(environment: EnvironmentOption = "") -> None:
    """Look for what would fail later: tools, rights, quota, names, network. Changes nothing."""
    from mlops import infrastructure, orchestration
    from mlops.subscription.doctor import examine

    project, config = _open(environment)
    project.check_answers()
    examine(project, config, infrastructure.of(project), orchestration.of(project))


@app.command(rich_help_panel=INFRASTRUCTURE)
def provision(
    environment: EnvironmentOption = "",
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Check the definitions; needs no account.")] = False,
    deployer: Annotated[
        str | None,
        typer.Option(
            metavar="OBJECT-ID", help="The identity that runs the verbs later, or `workflows` for theirs. Default: you."
        ),
    ] = None,
    summary_file: Annotated[
        Path | None,
        typer.Option("--summary", metavar="FILE", help="With --plan: write it as Markdown into a file, too."),
    ] = None,
    retry_minutes: Annotated[
        int, typer.Option(min=0, help="Repeat for so long while rights are missing, as new ones are at first.")
    ] = 0,
    confirm: Annotated[
        str, typer.Option("--confirm", help="The environment's name, for a plan that deletes data or models.")
    ] = "",
    dry_run: DryRunOption = False,
) -> None:
    """Build an environment's Azure resources, or preview or check them."""
    from mlops import infrastructure
    from mlops.config import GUID
    from mlops.infrastructure.summary import plan_summary
    from mlops.infrastructure.workspace import trains_first
    from mlops.outputs import add_summary, set_outputs
    from mlops.subscription.choices import WORKFLOWS

    if plan and check:
        raise UserError("--plan and --check exclude each other: choose one")
    if summary_file and not plan:
        raise UserError("--summary is the text of a plan: add --plan")
    if deployer and deployer != WORKFLOWS and not re.fullmatch(GUID, deployer):
        raise UserError(
            f"--deployer {deployer}: write an object id, which `az identity show --query principalId` prints, or "
            f"`{WORKFLOWS}`"
        )
    project, config = _open(environment)
    if not check:
        project.check_answers()
    action: Action = "plan" if plan else "check" if check else "apply"
    text = infrastructure.of(project).provision(
        config, action, dry_run=dry_run, deployer=deployer, retry_minutes=retry_minutes, confirm=confirm
    )
    if plan and not dry_run:
        markdown = plan_summary(config.environment, text)
        add_summary(markdown)
        if summary_file:
            _write(summary_file, markdown)
    if action == "apply" and not dry_run:
        set_outputs(train=trains_first(project, config))


@app.command(rich_help_panel=INFRASTRUCTURE)
def button(
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path("button"),
    address: Annotated[str, typer.Option(help="Where the portal finds them. Default: nowhere, so no button.")] = "",
) -> None:
    """Write the Deploy to Azure button: the compiled template, its form, and the page with the link."""
    from mlops.project import Project
    from mlops.subscription.button import write_button

    write_button(Project.load(), folder, address)


@app.command(rich_help_panel=INFRASTRUCTURE)
def teardown(
    environment: EnvironmentOption = "",
    everything: Annotated[bool, typer.Option("--all", help="All resources too, models and data included.")] = False,
    yes: YesOption = False,
    confirm: ConfirmOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Delete the endpoints and schedules, or with --all the whole environment."""
    if everything:
        from mlops import infrastructure
        from mlops.subscription.teardown import remove

        project, config = _open(environment)
        what = "ALL of this, models and data included,"
        agree = functools.partial(_confirm, config, what, yes, confirm, everything=True)
        remove(project, config, infrastructure.of(project), agree, dry_run=dry_run)
        return
    from mlops import verbs

    session = _session(environment, dry_run)
    if not dry_run:
        _confirm(session.config, "the endpoints and schedules", yes, confirm)
    verbs.teardown(session)


@app.command(rich_help_panel=UPKEEP)
def workflows(
    existing: Annotated[bool, typer.Option("--existing", help="Only where they are there and not up to date.")] = False,
) -> None:
    """Write the workflows of a project in a folder of its repository to the top, where they are read."""
    from mlops import orchestration
    from mlops.project import Project

    project = Project.load()
    if existing and not orchestration.of(project).findings(project):
        print("Nothing of the project at the top of the repository is out of date.", flush=True)
        return
    orchestration.of(project).write_copies(project)


@app.command(rich_help_panel=UPKEEP)
def template_update(
    file: FileOption = None,
    patch: Annotated[Path | None, typer.Option(help="Write the change here, unless it has conflicts.")] = None,
) -> None:
    """Describe what an update to the template's newest release would do. Changes nothing."""
    from mlops.project import Project
    from mlops.upkeep.template import report_update

    report_update(Project.load(), file, patch)


@app.command(rich_help_panel=UPKEEP)
def freshness(file: FileOption = None) -> None:
    """Try the newest packages, and look for what is near its end. Changes nothing."""
    from mlops.project import Project
    from mlops.upkeep.freshness import report_freshness

    report_freshness(Project.load(), file)


@app.command(rich_help_panel=UPKEEP)
def issue(
    title: Annotated[str, typer.Option(help="The issue's title, by which the next run finds it.")],
    file: Annotated[Path, typer.Option("--file", help="Its text; an empty file closes the issue.")],
    dry_run: DryRunOption = False,
) -> None:
    """Open an issue in the repository, update it, or close it when there is nothing left."""
    from mlops import orchestration
    from mlops.project import Project
    from mlops.upkeep.issue import keep_issue

    project = Project.load()
    issues = orchestration.of(project).issues(project, dry_run=dry_run)
    keep_issue(issues, project, title, file, dry_run=dry_run)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's error is one line on the error stream and exit code 1."""
    if arguments is None:
        # This process ends with the command. Its libraries make a million objects and leave hardly a cycle among them,
        # and searches for cycles take two seconds of `mlops local`, the one at its end among them.
        gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
        atexit.register(gc.freeze)
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words and "--help" not in words:
            _print_notice()
        _refuse_split_overrides(words)
        app(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        if in_pipeline():
            verb = f"mlops {words[0]}" if words else "mlops"
            annotate("error", verb, str(error))
            add_summary(f"## {verb}: failed\n\n{error}")
        sys.exit(1)


def _refuse_split_overrides(words: list[str]) -> None:
    option = "--overrides"
    if option in words:
        values = [*itertools.takewhile(re.compile(r"[\w.]+=").match, words[words.index(option) + 1 :])]
        if len(values) > 1:
            raise UserError(f'{option}: several settings need one pair of quotes: {option} "{" ".join(values)}"')


def _print_notice() -> None:
    """Print what every user must know of the project's mlops version."""
    from mlops import definitions
    from mlops.project import Project

    # Outside of a project, and with a mistake in it, the command itself reports the problem.
    with contextlib.suppress(UserError, ImportError):
        if text := definitions.of(Project.load()).notice:
            print(text, file=sys.stderr)


def _open(environment: str) -> "tuple[Project, EnvironmentConfig]":
    from mlops.config import load_environment
    from mlops.project import Project

    project = Project.load()
    return project, load_environment(project, environment or project.first_environment)


def _session(environment: str, dry_run: bool) -> "Session":
    from mlops.project import Project
    from mlops.verbs import Session

    return Session.open(environment or Project.load().first_environment, dry_run=dry_run)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UserError(f"--set {text}: write it as NAME=VALUE")
    return name, value


def _confirm(config: "EnvironmentConfig", what: str, yes: bool, confirm: str, *, everything: bool = False) -> None:
    """Let the user agree: on a terminal to a question, else with options, to which much that goes adds the name."""
    name = config.environment
    if confirm and confirm != name:
        raise UserError(
            f"this deletes {what} of {name}, and --confirm names {confirm}: if you mean {name}, repeat it with --yes "
            f"--confirm {name}"
        )
    silent = yes or not sys.stdin.isatty()
    if config.protected or (everything and silent):
        if not yes or confirm != name:
            unmarked = not everything and "protected" not in config.model_fields_set
            remedy = f"; or write `protected: false` into config/{name}.yml, which has no such key" if unmarked else ""
            raise UserError(f"this deletes {what} of {name}: repeat it with --yes --confirm {name}{remedy}")
        return
    if yes:
        return
    if silent:
        raise UserError(f"this deletes {what} of {name}: repeat it with --yes")
    if not typer.confirm(f"Delete {what} of {name}?"):
        raise UserError("nothing was deleted")


if __name__ == "__main__":
    main()
