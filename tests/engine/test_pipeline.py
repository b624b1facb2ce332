"""Pipelines as plain data: what the lint and the local runner see of the YAML."""

from pathlib import Path

import pytest
import yaml
from expected_pipeline import EXPECTED, facts
from rendered import ROOT

from mlops.errors import UserError
from mlops.pipeline import OPTIONAL, REFERENCE, Binding, Component, Pipeline, binding, data_assets, local_path

SHIPPED = ROOT / "mlops" / "aml-cli-v2" / "pipeline.yml"


def pipeline_of(needs: dict[str, list[str]], source: Path = Path("pipeline.yml")) -> Pipeline:
    """A pipeline whose jobs read the outputs of others."""
    jobs = {
        name: {
            "command": "echo",
            "inputs": {f"from_{other}": f"${{{{parent.jobs.{other}.outputs.out}}}}" for other in others},
            "outputs": {"out": {"type": "uri_folder"}},
        }
        for name, others in needs.items()
    }
    return Pipeline.from_dict({"type": "pipeline", "jobs": jobs}, source)


def test_the_shipped_pipeline_runs_prep_train_evaluate_register() -> None:
    assert Pipeline.load(SHIPPED).order() == ["prep", "train", "evaluate", "register"]


def test_the_shipped_pipeline_is_that_of_the_other_versions_port_by_port() -> None:
    assert facts(Pipeline.load(SHIPPED), ROOT) == EXPECTED


def test_every_input_of_the_shipped_pipeline_is_a_value_or_lies_on_this_machine() -> None:
    pipeline = Pipeline.load(SHIPPED)
    for name, value in pipeline.inputs.items():
        path = local_path(value, pipeline)
        assert isinstance(value, str) if path is None else path.exists(), name


def test_each_job_comes_after_those_it_reads_from() -> None:
    order = pipeline_of({"last": ["left", "right"], "right": ["first"], "left": ["first"], "first": []}).order()
    assert order[0] == "first"
    assert order[-1] == "last"


def test_a_circle_of_jobs_is_named() -> None:
    with pytest.raises(UserError, match=r"circle: .*a -> .*b|circle: .*b -> .*a"):
        pipeline_of({"a": ["b"], "b": ["a"]}).order()


def test_a_binding_to_a_missing_job_does_not_stop_the_order() -> None:
    assert pipeline_of({"a": ["absent"]}).order() == ["a"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${{parent.inputs.x}}", Binding("input", "x")),
        ("${{ parent.outputs.x }}", Binding("output", "x")),
        ("${{parent.jobs.a.outputs.x}}", Binding("job", "x", "a")),
        ({"path": "${{parent.inputs.x}}", "mode": "download"}, Binding("input", "x")),
        ("${{inputs.x}}", None),
        ("parent.inputs.x", None),
        ("text", None),
        ({"path": "data"}, None),
        (3, None),
    ],
)
def test_bindings_are_told_from_values(value: object, expected: Binding | None) -> None:
    assert binding(value) == expected


def test_a_component_file_gives_its_ports_with_their_limits(tmp_path: Path) -> None:
    path = tmp_path / "component.yml"
    document = {
        "name": "fit",
        "command": "python fit.py ${{inputs.rate}}",
        "code": "./code",
        "inputs": {
            "rate": {"type": "number", "min": 0, "max": "1.5", "default": 0.1},
            "kind": {"type": "string", "enum": ["a", "b"], "optional": True},
            "data": {"type": "uri_folder", "mode": "download"},
        },
        "outputs": {"model": {"type": "mlflow_model"}},
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    component = Component.load(path)
    assert component.code == tmp_path / "code"
    assert component.outputs["model"].type == "mlflow_model"
    rate, kind, data = (component.inputs[name] for name in ("rate", "kind", "data"))
    assert (rate.minimum, rate.maximum, rate.default) == (0.0, 1.5, 0.1)
    assert (kind.enum, kind.optional) == (("a", "b"), True)
    assert data.mode == "download"


def test_a_command_in_a_job_gets_its_ports_from_the_values(tmp_path: Path) -> None:
    values = {
        "a": 1,
        "b": True,
        "c": "x",
        "d": 0.5,
        "e": {"type": "uri_file", "path": "f"},
        "f": "${{parent.inputs.f}}",
    }
    job = {"command": "echo", "inputs": values, "outputs": {"o": None, "p": "${{parent.outputs.p}}"}}
    component = Pipeline.from_dict({"jobs": {"one": job}}, tmp_path / "p.yml").nodes["one"].component
    assert isinstance(component, Component)
    types = {name: port.type for name, port in component.inputs.items()}
    assert types == {"a": "integer", "b": "boolean", "c": "string", "d": "number", "e": "uri_file", "f": ""}
    assert {name: port.type for name, port in component.outputs.items()} == {"o": "uri_folder", "p": ""}


@pytest.mark.parametrize("reference", ["./none.yml", "azureml://registries/r/components/c/versions/1", "azureml:c:1"])
def test_a_component_that_is_not_in_the_project_stays_text(reference: str, tmp_path: Path) -> None:
    pipeline = Pipeline.from_dict({"jobs": {"one": {"component": reference}}}, tmp_path / "p.yml")
    assert pipeline.nodes["one"].component == reference


@pytest.mark.parametrize("document", [{}, {"jobs": None}, {"jobs": ["a"]}, {"jobs": {"a": 1}, "inputs": [1]}])
def test_a_pipeline_of_broken_shape_still_loads(document: dict[str, object]) -> None:
    pipeline = Pipeline.from_dict(document, Path("p.yml"))
    assert (pipeline.nodes, pipeline.inputs) == ({}, {})


def test_data_assets_stand_for_the_paths_in_their_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = "name: flights\nversion: 2\npath: ../raw\n"
    (tmp_path / "data" / "flights.yml").write_text(text, encoding="utf-8")
    pipeline = Pipeline.from_dict({}, tmp_path / "p.yml", data_assets(tmp_path / "data"))
    expected = tmp_path / "raw"
    for reference in ("azureml:flights@latest", "azureml:flights:2"):
        path = local_path({"type": "uri_folder", "path": reference}, pipeline)
        assert path is not None
        assert path.resolve() == expected.resolve()
    assert local_path({"path": "azureml:flights:1"}, pipeline) is None
    assert local_path({"path": "azureml:other@latest"}, pipeline) is None


@pytest.mark.parametrize(
    "value", ["text", 3, {"path": "${{parent.inputs.x}}"}, {"path": "azureml://datastores/d/paths/p"}, {"path": None}]
)
def test_what_is_not_on_this_machine_has_no_local_path(value: object, tmp_path: Path) -> None:
    assert local_path(value, Pipeline.from_dict({}, tmp_path / "p.yml")) is None


def test_a_local_path_starts_at_the_folder_of_the_pipeline(tmp_path: Path) -> None:
    assert local_path({"path": "../x"}, Pipeline.from_dict({}, tmp_path / "p.yml")) == tmp_path / "../x"


def test_placeholders_and_optional_parts_of_a_command_are_found() -> None:
    command = "run ${{inputs.a}} $[[--b ${{ inputs.b }}]] ${{outputs.c}}"
    assert REFERENCE.findall(command) == [("inputs", "a"), ("inputs", "b"), ("outputs", "c")]
    assert OPTIONAL.findall(command) == ["--b ${{ inputs.b }}"]


@pytest.mark.parametrize(("text", "word"), [("a: [", "valid YAML"), ("- a", "keys and values")])
def test_an_unreadable_pipeline_is_a_user_error(text: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=word):
        Pipeline.load(path)
    with pytest.raises(UserError, match=r"none\.yml"):
        Pipeline.load(tmp_path / "none.yml")
