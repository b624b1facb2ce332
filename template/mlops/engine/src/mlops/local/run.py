"""The whole loop on this machine: check, train, decide, register, serve, query, score a batch, look for drift.

It runs the pipeline that goes to Azure ML, needs no account, and leaves everything in `.local/`.
"""

import gc
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops import definitions
from mlops.config import load_environment
from mlops.errors import UserError
from mlops.lint import lint
from mlops.lint.configuration import check_overrides
from mlops.local.experiments import Beginning, beginning, create_run, end_run
from mlops.local.runner import (
    RunResult,
    input_path,
    local_folder,
    local_variables,
    new_run_folder,
    preserved_process,
    run_pipeline,
    say,
    say_step,
    with_inputs,
    without_output,
)
from mlops.local.serving import Endpoint, NoChampionError, check_port, sample_request
from mlops.local.store import (
    STORE,
    end_runs,
    held,
    import_store,
    prepare,
    quiet,
    readable,
    refuse_foreign,
    uninterrupted,
    write_whole,
)
from mlops.pipeline import Pipeline, samples
from mlops.project import Project

ROWS = 3
EXPERIMENT = "MLOPS_EXPERIMENT"
"""The variable that tells the steps that nothing is registered, as `pipeline_run.py` of the project's package knows."""
REGISTRATION = "registration"
"""The output of the pipeline that tells what became of the model."""


@dataclass(frozen=True)
class LocalResult:
    """What a run of the loop made: its folder, the report, and what serves; that is None without a registration."""

    run: Path
    report: Path
    seconds: float
    served: "Served | None"


@dataclass(frozen=True)
class Served:
    """The champion that answers now, whether this run has registered it, its answer, and the table of a batch."""

    model: str
    version: int
    registered: bool
    predictions: list[Any]
    batch: Path | None


def run_local(
    project: Project,
    *,
    isolated: bool = False,
    overrides: str = "",
    set_inputs: Mapping[str, str] | None = None,
    port: int | None = None,
    skip_lint: bool = False,
    name: str = "",
    register: bool = True,
    wait: bool = True,
) -> LocalResult:
    """Run the loop once and print a line per step.

    Args:
        project: The project.
        isolated: Whether each step gets an interpreter of its own.
        overrides: Other settings for this run, such as `training.seed=7`.
        set_inputs: Other values for inputs of the pipeline, paths among them.
        port: The endpoint's port; by default a free one.
        skip_lint: Whether the definitions are not checked first.
        name: What the run is called in MLflow beside its number; by default the overrides.
        register: Whether a model that is good enough is registered, and serves; if not, the run ends with the report.
        wait: Whether this run waits for another one that uses `.local`, or ends.

    Raises:
        UserError: An override is wrong, the lint finds a mistake, a step fails, no model may be served, or an answer
            is wrong.
    """
    started = time.perf_counter()
    check_port(port or 0)
    config = load_environment(project, project.first_environment)
    model = config.model
    pipeline = definitions.of(project).pipeline()
    values = {"model_name": model.name} if "model_name" in pipeline.inputs else {}
    values |= {"overrides": overrides} if overrides else {}
    examples = {name: str(folder) for name, folder in samples(pipeline).items()} | dict(set_inputs or {})
    for sample in sorted(samples(pipeline)):
        say(f"data       {sample} is in Azure: the examples in {examples[sample]} stand for it")
    pipeline = with_inputs(pipeline, values | examples)
    if not register:
        pipeline = without_output(pipeline, REGISTRATION)
    local = local_folder(project)
    with preserved_process(), ExitStack() as stack:
        # Before the lint, which imports the project's code: libraries read the number of their threads when imported.
        os.environ.update(local_variables(project) | {"MLOPS_BAD_FILES": config.compute.batch.bad_files})
        if overrides:
            check_overrides(project, overrides, input_path(pipeline, "schema"), input_path(pipeline, "settings"))
        stack.enter_context(checked_and_held(project, local, skip_lint=skip_lint, wait=wait))
        folder = new_run_folder(local / "runs")
        begun = time.perf_counter()
        begins = beginning(project, folder, overrides, name=name, registers=register)
        with parent_run(local, model.experiment, begins) as variables:
            say_step("tracking", time.perf_counter() - begun, f"MLflow experiment {model.experiment}")
            variables |= {} if register else {EXPERIMENT: "true"}
            steps = run_pipeline(pipeline, folder, isolated=isolated, environment=variables)
        evaluation = _output(steps, "evaluation")
        report = _publish(evaluation / "report.html", steps.outputs, local / "report")
        _say_decision(evaluation)
        if not register:
            say(f"model      none is registered, and the champion stays (--no-register); new: {_scores(evaluation)}")
            return _end(folder, report, evaluation, started)
        registration = _read(_output(steps, REGISTRATION) / "registration.json")
        begun = time.perf_counter()
        try:
            with Endpoint(project, port or 0, registration["name"], folder / "serving") as endpoint:
                champion = endpoint.champion
                say_step("serve", time.perf_counter() - begun, endpoint.url)
                predictions = query(project, pipeline, endpoint)
                batch = _score_batch(project, pipeline, endpoint, folder / "predictions.csv")
        except UserError as error:
            none = isinstance(error, NoChampionError)
            if not none and (registration["registered"] or _read(evaluation / "metrics.json")["champion"]):
                raise
            _say_next(evaluation)
            first, *others = registration["reasons"]
            more = f", and {len(others)} more above" if others else ""
            refused = f"the model is not good enough to serve: {first}{more} (report: {report})"
            if not none:
                refused += f"; a champion of other data stays: {error}; without it: delete {local} to start over"
            raise UserError(refused) from None
    verdict = "was promoted, and is the champion" if registration["registered"] else "stays the champion"
    say(f"model      {champion.name} version {champion.version} {verdict}; new: {_scores(evaluation)}")
    served = Served(champion.name, champion.version, registration["registered"], predictions, batch)
    return _end(folder, report, evaluation, started, served)


def _end(folder: Path, report: Path, evaluation: Path, started: float, served: "Served | None" = None) -> LocalResult:
    """Print what to do next and where everything is; return it."""
    _say_next(evaluation)
    say(f"run        {folder}")
    say(f"report     {report}")
    seconds = time.perf_counter() - started
    say(f"done in {seconds:.1f} s")
    return LocalResult(run=folder, report=report, seconds=seconds, served=served)


@contextmanager
def checked_and_held(project: Project, local: Path, *, skip_lint: bool, wait: bool) -> Iterator[None]:
    """Lint the project, and hold the folder `local` for one run.

    A run that may wait is checked while another one holds the folder; one that may not is told so at once.

    Raises:
        UserError: As in `check` and `held`.
    """
    with ExitStack() as stack:
        if not wait:
            stack.enter_context(held(local, wait=False))
        if skip_lint:
            import_code(project)
        else:
            check(project)
        if wait:
            stack.enter_context(held(local))
        yield


def check(project: Project) -> None:
    """Lint the project and print a line.

    Raises:
        UserError: There is a finding; all are printed.
    """
    begun = time.perf_counter()
    with _no_search_for_cycles():
        findings = lint(project, parallel=True, meanwhile=import_store)
    if findings:
        for finding in findings:
            say(str(finding))
        raise UserError(f"the lint found {len(findings)} errors, listed above: correct them before anything runs")
    say_step("lint", time.perf_counter() - begun, "no errors")


def import_code(project: Project) -> None:
    """Import what the lint would have: the project's code before MLflow, because it knows what has to come first."""
    # A step names a mistake in that code.
    with _no_search_for_cycles(), suppress(Exception):
        project.module("core.endpoint")
        import_store()


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Import much: libraries make hundreds of thousands of objects then, and leave hardly a cycle among them."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def parent_run(local: Path, experiment: str, begun: Beginning) -> Iterator[dict[str, str]]:
    """Open an MLflow run for the pipeline and give the variables that make the steps' runs its children."""
    import mlflow

    with readable(local):
        prepare(local)
        client = mlflow.MlflowClient()
        if ended := end_runs(client, "KILLED"):
            say(f"tracking   {ended} runs of a process that was killed are marked so")
        experiment_id = _experiment(client, local, experiment)
    run = ""
    try:
        with readable(local), uninterrupted():
            run = create_run(client, experiment_id, begun)
        yield {"MLFLOW_EXPERIMENT_NAME": experiment, "MLOPS_PARENT_RUN_ID": run}
        with readable(local), uninterrupted():
            end_run(client, run)
    except BaseException as error:
        # Whatever ended the run is what the user has to know, and the next run ends what stays open.
        with uninterrupted(), suppress(Exception), quiet():
            if run:
                end_run(client, run, error)
            end_runs(client, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise


def _experiment(client: Any, local: Path, name: str) -> str:
    known = client.get_experiment_by_name(name)
    if known is None:
        # Without a location of its own, it writes to the working directory, which is the code folder of a step.
        return str(client.create_experiment(name, artifact_location=(local / "artifacts").as_uri()))
    if known.lifecycle_stage == "deleted":
        again = f"uv run mlflow experiments restore --experiment-id {known.experiment_id}"
        variable = f"MLFLOW_TRACKING_URI=sqlite:///{(local / STORE).as_posix()}"
        raise UserError(f"the experiment {name} was deleted in MLflow: `{again}` restores it, with {variable}")
    refuse_foreign(local, known.artifact_location)
    return str(known.experiment_id)


def _output(steps: RunResult, name: str) -> Path:
    try:
        return steps.outputs[name]
    except KeyError:
        raise UserError(f"the pipeline has no output {name!r}: bind the output of a step to it") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"the step that writes {path.parent} left out {path.name}") from None
    except ValueError:
        raise UserError(f"{path} is not valid JSON: correct the step that writes it") from None
    return document


def _publish(report: Path, outputs: Mapping[str, Path], folder: Path) -> Path:
    """Copy the report to the place that stays the same from run to run, with links to the other pages of the run."""
    links = []
    for name, output in outputs.items():
        for page in sorted(output.glob("*.html")):
            if page != report:
                content = page.read_text(encoding="utf-8")
                write_whole(folder / name / page.name, content)
                title = re.search(r"<title>(.*?)</title>", content[:10_000], re.DOTALL)
                links.append(f'<a href="{name}/{page.name}">{title[1] if title else page.stem}</a>')
    text = report.read_text(encoding="utf-8")
    if links:
        text = text.replace("</header>", f"<p>Also of this run: {' &middot; '.join(links)}</p>\n</header>", 1)
    write_whole(folder / "index.html", text)
    return folder / "index.html"


def query(project: Project, pipeline: Pipeline, endpoint: Endpoint) -> list[Any]:
    """Send a live request with real rows and check the answer against the schema."""
    request = sample_request(project, pipeline, ROWS)
    begun = time.perf_counter()
    answer = endpoint.score(request)
    milliseconds = 1000 * (time.perf_counter() - begun)
    contract, modality = project.module("core.endpoint"), project.module("modality").MODALITY
    schema = input_path(pipeline, "schema")
    if problems := contract.check_response(modality, answer, ROWS, schema):
        raise UserError(f"the endpoint's answer is wrong: {'; '.join(problems)} (log: {endpoint.log})")
    predictions: list[Any] = answer["predictions"]
    shown = ", ".join(contract.shown(modality, predictions, schema))
    say(f"scored     {ROWS} rows by {endpoint.url}: [{shown}] (POST, {milliseconds:.0f} ms)")
    return predictions


def _score_batch(project: Project, pipeline: Pipeline, endpoint: Endpoint, output: Path) -> Path | None:
    """Score the files that arrived after training as a batch job does, and write the table of predictions."""
    suffixes = project.module("modality").MODALITY.suffixes
    files = project.module("core.endpoint").data_files(input_path(pipeline, "production_data"), suffixes)
    if not files:
        say_step("batch", 0, "there is no production data to score")
        return None
    begun = time.perf_counter()
    table = endpoint.score_files(files)
    table.to_csv(output, index=False)
    bad = int(table["error"].notna().sum()) if "error" in table else 0
    errors = f", {bad:,} of them with an error" if bad else ""
    say_step("batch", time.perf_counter() - begun, f"{len(table):,} rows in {len(files)} files{errors}: {output.name}")
    return output


def _drift(evaluation: Path) -> str:
    drift = _read(evaluation / "drift.json")
    if not drift["checked"]:
        return "not checked: there is no production data"
    drifted, columns = drift["drifted"], {result["feature"] for result in drift["results"]}
    return f"{len(drifted)} of {len(columns)} columns drifted" + (f": {', '.join(drifted)}" if drifted else "")


def _say_decision(evaluation: Path) -> None:
    """Print drift, and the decision with its reasons: a line for each."""
    decision = _read(evaluation / "decision.json")
    say(f"drift      {_drift(evaluation)}")
    say(f"decision   {'promote' if decision['promote'] else 'do not promote'}, because")
    for reason in (*decision["reasons"], decision["note"], *decision["better_baselines"]):
        if reason:
            say(f"           - {reason}")


def _say_next(evaluation: Path) -> None:
    """Print what to do next, a line for each step."""
    for step in _read(evaluation / "decision.json").get("next", []):
        say(f"next       {step}")


def _scores(evaluation: Path) -> str:
    """Return the score of the new model and those of its rivals, in words."""
    metrics = _read(evaluation / "metrics.json")
    metric = metrics["metric"]
    rivals = {f"{name} baseline": scores for name, scores in metrics["baselines"].items()}
    if metrics["champion"]:
        rivals = {"champion": metrics["champion"], **rivals}
    values = {"": metrics["challenger"], **rivals}
    shown = {name: "-" if scores[metric] is None else f"{scores[metric]:.4g}" for name, scores in values.items()}
    return f"{metric} {shown.pop('')}" + "".join(f"; {name} {value}" for name, value in shown.items())
