"""The pipelines: training, which `mlops local` also runs on your machine, a check for drift, and batch scoring."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azureml.core import Environment, RunConfiguration
from azureml.core.runconfig import DockerConfiguration
from azureml.data import FileDataset, OutputFileDatasetConfig
from azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from azureml.pipeline.core import PipelineParameter
from azureml.pipeline.steps import ParallelRunConfig, ParallelRunStep, PythonScriptStep

from environments import CONDA_FILES, IMAGE
from mlops.config import EnvironmentConfig
from mlops.project import Project
from run_step import NO_VALUE

# Every step gets a copy of this folder, without what .amlignore lists. Paths in the options below start here.
ROOT = Path(__file__).parents[2]
DEFINITIONS = Path(__file__).parent.relative_to(ROOT)
PACKAGE = Project.load(ROOT).package
SCHEMA, SETTINGS = "data/schema.yml", "config/model.yml"


def training(config: EnvironmentConfig, data: Mapping[str, Any]) -> list[PythonScriptStep]:
    """Return the training pipeline: prepare the data, train, compare with the champion, register what is better.

    A pipeline parameter can have another value in each run.

    Args:
        config: The environment to train in.
        data: A dataset for each name in data.py.
    """
    # Datasets have versions, so that every run records exactly which data it saw.
    raw_data = dataset("raw_data", PipelineParameter("raw_data", data["training_dataset"]))
    # What arrived after deployment: `evaluate` measures drift on it.
    production_data = dataset("production_data", PipelineParameter("production_data", data["production_dataset"]))
    model_name = PipelineParameter("model_name", config.model.name)
    # `mlops train --overrides "training.seed=7"` changes settings in each step for one run.
    overrides = PipelineParameter("overrides", NO_VALUE)
    train_data, test_data = output("train_data"), output("test_data")
    model, evaluation, registration = output("model"), output("evaluation"), output("registration")

    # Checks the raw data against its schema, then splits it into training and test data.
    prep = step(
        config,
        "prep",
        {
            "raw-data": raw_data,
            "schema": SCHEMA,
            "settings": SETTINGS,
            "overrides": overrides,
            "train-data": train_data,
            "test-data": test_data,
        },
    )

    # Trains the model on the training data alone.
    train = step(
        config,
        "train",
        {
            "train-data": train_data.as_input("train_data"),
            "schema": SCHEMA,
            "settings": SETTINGS,
            "overrides": overrides,
            "model": model,
        },
    )

    # Scores the new model and the champion on the same held-out data and decides which one is better.
    evaluate = step(
        config,
        "evaluate",
        {
            "model": model.as_input("model"),
            "model-name": model_name,
            "train-data": train_data.as_input("train_data"),
            "test-data": test_data.as_input("test_data"),
            "schema": SCHEMA,
            "settings": SETTINGS,
            "overrides": overrides,
            "production-data": production_data,
            "evaluation": evaluation,
        },
        # The champion may have changed since the last run with the same inputs, so never reuse an earlier result.
        allow_reuse=False,
    )

    # Registers the model if the decision is to promote it; otherwise prints the reason and succeeds.
    register = step(
        config,
        "register",
        {
            "model": model.as_input("model"),
            "model-name": model_name,
            "evaluation": evaluation.as_input("evaluation"),
            "registration": registration,
        },
        # Registering is a side effect: it must happen again even when nothing but the registry has changed.
        allow_reuse=False,
    )

    return [prep, train, evaluate, register]


def drift(config: EnvironmentConfig, data: Mapping[str, Any]) -> list[PythonScriptStep]:
    """Return the pipeline that compares the production data, and what the champion predicts, with the training data.

    The run fails when a threshold of config/model.yml is exceeded, because a failed run is what an alert can be set on.
    """
    # Not pinned by a parameter, these are the newest versions in each run. Such an input must have the name of its
    # dataset, because SDK v1 confuses the two.
    raw_data = dataset("training_dataset", data["training_dataset"])
    production_data = dataset("production_dataset", data["production_dataset"])
    train_data, test_data = output("train_data"), output("test_data")
    # Written at once: an upload at the end would be left out when the step fails, which is when this is wanted.
    results = OutputFileDatasetConfig("drift").as_mount()

    prep = step(
        config,
        "prep",
        {
            "raw-data": raw_data,
            "schema": SCHEMA,
            "settings": SETTINGS,
            "train-data": train_data,
            "test-data": test_data,
        },
    )

    check = step(
        config,
        "drift",
        {
            "train-data": train_data.as_input("train_data"),
            "test-data": test_data.as_input("test_data"),
            "production-data": production_data,
            "model-name": config.model.name,
            "schema": SCHEMA,
            "settings": SETTINGS,
            "drift": results,
        },
        # A scheduled run that reuses an old result would hide that nothing was compared.
        allow_reuse=False,
    )

    return [prep, check]


def batch(config: EnvironmentConfig, files: FileDataset, model_version: str) -> list[PythonScriptStep]:
    """Return the batch pipeline of a model version: it scores the files of its parameter `files`, row by row."""
    sizes = config.compute.batch
    settings = ParallelRunConfig(
        environment=environment("inference"),
        compute_target=config.compute.cluster.name,
        node_count=sizes.instance_count,
        process_count_per_node=sizes.max_concurrency_per_instance,
        source_directory=str(ROOT),
        entry_script=(DEFINITIONS / "batch_score.py").as_posix(),
        # Files per call of run(): large enough to pay for the call, small enough to lose little when it fails.
        mini_batch_size=str(sizes.mini_batch_size),
        run_invocation_timeout=300,
        run_max_try=3,
        output_action="append_row",
        append_row_file_name="predictions.csv",
        # No bad file is skipped silently: one that still fails after the retries fails the job.
        error_threshold=0,
        logging_level="INFO",
    )
    score = ParallelRunStep(
        name="score",
        parallel_run_config=settings,
        inputs=[dataset("files", PipelineParameter("files", files))],
        output=output("predictions"),
        arguments=["--package", PACKAGE, "--model-name", config.model.name, "--model-version", model_version],
        allow_reuse=False,
    )
    return [score]


def step(
    config: EnvironmentConfig, name: str, options: Mapping[str, Any], allow_reuse: bool = True
) -> PythonScriptStep:
    """Return a step that runs the module `name` of the package; with `allow_reuse`, not again while it is unchanged."""
    settings = RunConfiguration()
    settings.environment = environment("train")
    settings.docker = DockerConfiguration(use_docker=True)
    return PythonScriptStep(
        name=name,
        script_name=(DEFINITIONS / "run_step.py").as_posix(),
        arguments=[f"{PACKAGE}.{name}", *(word for key, value in options.items() for word in (f"--{key}", value))],
        compute_target=config.compute.cluster.name,
        runconfig=settings,
        source_directory=str(ROOT),
        allow_reuse=allow_reuse,
    )


def environment(conda_file: str) -> Environment:
    """Return the environment of a step: the image that the online deployment has too, and a conda file."""
    made = Environment.from_conda_specification(conda_file, CONDA_FILES / f"{conda_file}.yml")
    made.docker.base_image = IMAGE
    return made


def dataset(name: str, source: Any) -> DatasetConsumptionConfig:
    """Return a dataset, or a parameter that holds one, as a folder that a step can read."""
    return DatasetConsumptionConfig(name, source).as_mount()


def output(name: str) -> OutputFileDatasetConfig:
    """Return a folder that a step writes; it is uploaded once, when the step ends."""
    return OutputFileDatasetConfig(name).as_upload()
