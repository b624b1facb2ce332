"""The definitions of python-sdk-v2: objects of azure-ai-ml that Python files make.

The lint and the local runner see them with the values that the verbs put in for the first environment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config import EnvironmentConfig, Sweep, drift_rules, load_environment, model_task
from mlops.definitions.base import DefinitionError, Document, Finding, error_line, load_module, require, running_in
from mlops.definitions.objects import document, job_content, pipeline_document
from mlops.definitions.values import endpoint_identity, model_reference
from mlops.pipeline import DataAsset, Pipeline, is_local
from mlops.project import Project

if TYPE_CHECKING:
    from azure.ai.ml.entities import PipelineJob

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
DEPLOYMENT, BATCH_DEPLOYMENT, MODEL_VERSION = "blue", "model-0", "1"
"""What the objects are made for when they are only checked."""

TUNING = "tuning"
"""The place of the second pipeline in its file, that of `mlops tune`."""


def folder(project: Project) -> Path:
    """Return the folder of the definitions; a python-sdk-v1 project has some of them too."""
    return project.root / "mlops" / "python-sdk-v2"


def call_definition(project: Project, module: str, function: str, *arguments: object) -> Any:
    """Build an object with a function of the definitions.

    Raises:
        UserError: That fails.
    """
    require("azure.ai.ml", "azure-ai-ml")
    with running_in(folder(project)):
        build = getattr(load_module(folder(project), module), function, None)
        if build is None:
            raise DefinitionError(Finding(folder(project) / f"{module}.py", "", f"the function {function} is missing"))
        return build(*arguments)


def entities(project: Project, module: str, kind: str) -> dict[str, Any]:
    """Return the objects of a class of azure-ai-ml that a definition makes, by the names of their variables.

    Raises:
        UserError: That fails.
    """
    require("azure.ai.ml", "azure-ai-ml")
    from azure.ai.ml import entities as classes

    with running_in(folder(project)):
        values = vars(load_module(folder(project), module))
    return {name: value for name, value in values.items() if isinstance(value, getattr(classes, kind))}


def training_job(project: Project, config: EnvironmentConfig) -> "PipelineJob":
    """Build the pipeline of an environment.

    Raises:
        UserError: That fails.
    """
    job: PipelineJob = call_definition(project, "pipeline", "training_job", config)
    return job


def tuning_job(project: Project, config: EnvironmentConfig, sweep: Sweep | None) -> "PipelineJob":
    """Build the pipeline that searches hyperparameters: with a sweep for Azure ML, without one for this machine.

    Raises:
        UserError: That fails.
    """
    job: PipelineJob = call_definition(project, "pipeline", "tuning_job", config, sweep)
    return job


def online_document(project: Project, config: EnvironmentConfig) -> Document:
    """Build a deployment behind the online endpoint; return it as a document with its environment in it.

    Raises:
        UserError: It cannot be built, or not be written as a document.
    """
    model = model_reference(config, MODEL_VERSION)
    entity = call_definition(project, "online", "deployment", config, DEPLOYMENT, model, {})
    return document(entity, "onlineDeployment", folder(project) / "online.py", "deployment")


def data_assets(project: Project) -> dict[str, DataAsset]:
    """Return the data assets of the definitions by name."""
    source, assets = project.definitions / "data.py", {}
    for entity in entities(project, "data", "Data").values():
        path = str(entity.path or "")
        local = source.parent / path if path and is_local(path) else None
        assets[str(entity.name)] = DataAsset(str(entity.name), local, source, entity.version, path)
    return assets


@dataclass(frozen=True)
class PythonSdkDefinitions:
    """The objects of a project; what several documents need is built once."""

    project: Project
    notice = ""
    monitor_writes_files = False
    needs_az_extension = False
    monitor_fails_on_drift = False

    def pipeline(self) -> Pipeline:
        """Build the training pipeline and bring it into its plain form.

        Raises:
            UserError: It cannot be built.
        """
        return self._plain(self._job)

    def tuning(self) -> Pipeline:
        """Build the pipeline that searches hyperparameters; see `Definitions.tuning`.

        Raises:
            UserError: It cannot be built.
        """
        return self._plain(tuning_job(self.project, self.config, None))

    def online_deployment(self, config: EnvironmentConfig) -> Document:
        """Build a deployment; see `Definitions.online_deployment`.

        Raises:
            UserError: It cannot be built, or not be written as a document.
        """
        return online_document(self.project, config)

    def beside_online(self) -> list[Path]:
        """Return the files of batch endpoint and monitor; see `Definitions.beside_online`."""
        return [self.file("batch"), self.file("schedules")]

    def _plain(self, job: "PipelineJob") -> Pipeline:
        source = self.project.definitions / "pipeline.py"
        try:
            content = job_content(job)
        except Exception as error:  # azure-ai-ml cannot write a job with a wrong value in it
            raise DefinitionError(Finding(source, "", error_line(error))) from error
        return Pipeline.from_dict(content, source, data_assets(self.project))

    def file(self, module: str) -> Path:
        """Return the file of one of MODULES."""
        return folder(self.project) / f"{module}.py"

    def documents(self, module: str) -> list[Document]:
        """Return the objects of one of MODULES as documents.

        Raises:
            UserError: They cannot be built, or not be written as documents.
        """
        return _DOCUMENTS[module](self, self.file(module))

    @cached_property
    def config(self) -> EnvironmentConfig:
        """The environment that the objects are made for."""
        return load_environment(self.project, self.project.first_environment)

    @cached_property
    def _environments(self) -> dict[str, Any]:
        return entities(self.project, "environments", "Environment")

    @cached_property
    def _components(self) -> dict[str, Any]:
        return {name: node.component for name, node in entities(self.project, "components", "Command").items()}

    @cached_property
    def _job(self) -> "PipelineJob":
        return training_job(self.project, self.config)

    def _call(self, module: str, function: str, *arguments: object) -> Any:
        return call_definition(self.project, module, function, self.config, *arguments)

    def _environment_documents(self, path: Path) -> list[Document]:
        return [document(item, "environment", path, name) for name, item in self._environments.items()]

    def _data_documents(self, path: Path) -> list[Document]:
        return [document(item, "data", path, name) for name, item in entities(self.project, "data", "Data").items()]

    def _component_documents(self, path: Path) -> list[Document]:
        environments = self._environments.values()
        return [document(item, "commandComponent", path, name, environments) for name, item in self._components.items()]

    def _pipeline_documents(self, path: Path) -> list[Document]:
        return [
            pipeline_document(self._job, path, self._environments.values(), self._components),
            self.tuning_document(None),
        ]

    def tuning_document(self, sweep: Sweep | None) -> Document:
        """Return the pipeline that searches hyperparameters as a document.

        Raises:
            UserError: It cannot be built, or not be written as a document.
        """
        job, path = tuning_job(self.project, self.config, sweep), self.file("pipeline")
        return pipeline_document(job, path, self._environments.values(), self._components, TUNING)

    def _online_documents(self, path: Path) -> list[Document]:
        endpoint = self._call("online", "endpoint", endpoint_identity(self.config, lambda: SUBSCRIPTION))
        model = model_reference(self.config, MODEL_VERSION)
        deployment = self._call("online", "deployment", DEPLOYMENT, model, {"generation": "1"})
        return [
            document(endpoint, "onlineEndpoint", path, "endpoint"),
            document(deployment, "onlineDeployment", path, "deployment", self._environments.values()),
        ]

    def _batch_documents(self, path: Path) -> list[Document]:
        endpoint = self._call("batch", "endpoint")
        model = model_reference(self.config, MODEL_VERSION)
        deployment = self._call("batch", "deployment", BATCH_DEPLOYMENT, model)
        return [
            document(endpoint, "batchEndpoint", path, "endpoint"),
            document(deployment, "modelBatchDeployment", path, "deployment", self._environments.values()),
        ]

    def _schedule_documents(self, path: Path) -> list[Document]:
        values = (model_task(self.project), drift_rules(self.project))
        monitor = self._call("schedules", "monitor", "monitor", DEPLOYMENT, *values)
        return [document(monitor, "monitor", path, "monitor")]

    def _registry_documents(self, path: Path) -> list[Document]:
        place = (self.config.names.registry, [self.config.location])
        registry = call_definition(self.project, "registry", "registry", *place)
        return [document(registry, "registry", path, "registry")]


_DOCUMENTS: Mapping[str, Callable[[PythonSdkDefinitions, Path], list[Document]]] = {
    "environments": PythonSdkDefinitions._environment_documents,
    "data": PythonSdkDefinitions._data_documents,
    "components": PythonSdkDefinitions._component_documents,
    "pipeline": PythonSdkDefinitions._pipeline_documents,
    "online": PythonSdkDefinitions._online_documents,
    "batch": PythonSdkDefinitions._batch_documents,
    "schedules": PythonSdkDefinitions._schedule_documents,
    "registry": PythonSdkDefinitions._registry_documents,
}
MODULES = tuple(_DOCUMENTS)
"""The modules of a python-sdk-v2 project."""
