"""The local runner, on pipelines of two or three plain steps that need no machine learning."""

import logging
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from mlflow.utils import requirements_utils

from mlops.errors import UserError
from mlops.local import runner
from mlops.pipeline import Pipeline

COPY_STEP = """
import sys
from pathlib import Path

source, target, *rest = sys.argv[1:]
text = "".join(path.read_text() for path in sorted(Path(source).glob("*.txt")))
(Path(target) / "out.txt").write_text(text + "|".join(rest))
print("working")
print(f"copied {len(text)} characters")
"""


def document(**jobs: dict) -> dict:
    return {"type": "pipeline", "inputs": {"data": {"type": "uri_folder", "path": "in put"}, "level": 3}, "jobs": jobs}


def job(command: str, inputs: dict, ports: dict | None = None, outputs: tuple = ("out",), **more: object) -> dict:
    kinds = {"source": {"type": "uri_folder"}, **(ports or {})}
    component = {
        "type": "command",
        "command": command,
        "code": "co de",
        "inputs": {name: kinds[name] for name in kinds},
        "outputs": {name: {"type": "uri_folder"} for name in outputs},
        **more,
    }
    return {"type": "command", "component": component, "inputs": inputs}


COPY = "python copy_step.py ${{inputs.source}} ${{outputs.out}}"
FIRST = {"source": "${{parent.inputs.data}}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project folder with spaces in its paths, one text file as data, and the step that copies it."""
    root = tmp_path / "my project's files"
    (root / "in put").mkdir(parents=True)
    (root / "in put" / "a.txt").write_text("hello ")
    (root / "co de").mkdir()
    (root / "co de" / "copy_step.py").write_text(COPY_STEP)
    return root


def run(root: Path, content: dict, **options: object) -> runner.RunResult:
    pipeline = Pipeline.from_dict(content, root / "pipeline.yml")
    return runner.run_pipeline(pipeline, runner.new_run_folder(root / "runs"), **options)  # type: ignore[arg-type]


def read(result: runner.RunResult, step: str) -> str:
    return (result.steps[step]["out"] / "out.txt").read_text()


def test_a_step_runs_after_the_step_whose_output_it_reads(folder: Path) -> None:
    content = document(
        second=job(COPY + " second", {"source": "${{parent.jobs.first.outputs.out}}"}),
        first=job(COPY + " first", FIRST),
    )
    assert read(run(folder, content), "second") == "hello firstsecond"


def test_a_separate_interpreter_per_step_gives_the_same_result(folder: Path) -> None:
    content = document(first=job(COPY + " 'a b' ${{inputs.n}}", {**FIRST, "n": "x\"y'z"}, {"n": {"type": "string"}}))
    shared, isolated = run(folder, content), run(folder, content, isolated=True)
    assert read(shared, "first") == read(isolated, "first") == "hello a b|x\"y'z"
    assert [p.read_text() for r in (shared, isolated) for p in r.folder.glob("*/log.txt")] == [
        "working\ncopied 6 characters\n"
    ] * 2


def test_values_with_backslashes_quotes_and_dollars_reach_the_step_unchanged(folder: Path) -> None:
    value = r"C:\new folder\$HOME;`x`*'\"" + '"'
    content = document(
        first=job(COPY + " ${{ inputs.n }} --n=${{inputs.n}}", {**FIRST, "n": value}, {"n": {"type": "string"}})
    )
    assert read(run(folder, content), "first") == f"hello {value}|--n={value}"


def test_an_optional_part_is_kept_only_when_all_its_inputs_have_a_value(folder: Path) -> None:
    ports = {name: {"type": "string", "optional": True} for name in ("a", "b")}
    command = COPY + " $[[--a ${{inputs.a}}]] $[[--both ${{inputs.a}} ${{inputs.b}}]]"
    given = run(folder, document(first=job(command, {**FIRST, "a": "1", "b": "2"}, ports)))
    partly = run(folder, document(first=job(command, {**FIRST, "a": "1"}, ports)))
    assert read(given, "first") == "hello --a|1|--both|1|2"
    assert read(partly, "first") == "hello --a|1"


def test_an_input_without_value_takes_its_default_and_pipeline_values_are_passed_on(folder: Path) -> None:
    ports = {"size": {"type": "integer", "default": 7}, "level": {"type": "integer"}}
    content = document(
        first=job(COPY + " ${{inputs.size}} ${{inputs.level}}", {**FIRST, "level": "${{parent.inputs.level}}"}, ports)
    )
    assert read(run(folder, content), "first") == "hello 7|3"


def test_a_required_input_without_value_is_named(folder: Path) -> None:
    content = document(first=job(COPY + " ${{inputs.size}}", FIRST, {"size": {"type": "integer"}}))
    with pytest.raises(UserError, match="step first: its input 'size' has no value"):
        run(folder, content)


def test_data_that_is_not_on_this_machine_is_named(folder: Path) -> None:
    content = document(first=job(COPY, FIRST))
    content["inputs"]["data"] = {"type": "uri_folder", "path": "azureml:elsewhere@latest"}
    with pytest.raises(UserError, match="not on this machine"):
        run(folder, content)
    content["inputs"]["data"] = {"type": "uri_folder", "path": "nowhere"}
    with pytest.raises(UserError, match="nowhere, which does not exist"):
        run(folder, content)


def test_other_input_values_replace_those_of_the_definition(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = folder / "elsewhere"
    other.mkdir()
    (other / "b.txt").write_text("other ")
    monkeypatch.chdir(folder)
    ports = {"level": {"type": "integer"}}
    content = document(first=job(COPY + " ${{inputs.level}}", {**FIRST, "level": "${{parent.inputs.level}}"}, ports))
    pipeline = Pipeline.from_dict(content, folder / "pipeline.yml")
    changed = runner.with_inputs(pipeline, {"data": "elsewhere", "level": "9"})
    assert read(runner.run_pipeline(changed, folder / "run"), "first") == "other 9"
    with pytest.raises(UserError, match="no input 'speed': it has data, level"):
        runner.with_inputs(pipeline, {"speed": "1"})


def test_a_value_that_the_pipeline_leaves_open_goes_to_the_step_that_takes_it(folder: Path) -> None:
    command = COPY + " $[[--extra ${{inputs.extra}}]]"
    content = document(first=job(command, FIRST, {"extra": {"type": "string", "optional": True}}))
    pipeline = Pipeline.from_dict(content, folder / "pipeline.yml")
    changed = runner.with_inputs(pipeline, {"extra": "a=1 b=2"})
    assert read(runner.run_pipeline(changed, folder / "run"), "first") == "hello --extra|a=1 b=2"


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            "import sys; print('error: column x is empty', file=sys.stderr); print('bye'); sys.exit(1)",
            "column x is empty",
        ),
        ("raise SystemExit('no data')", "no data"),
        ("def f(): raise ValueError('seven is odd')\nf()", "ValueError: seven is odd"),
        ("import sys; sys.exit(3)", "it printed nothing"),
        ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    ],
)
def test_a_failing_step_stops_the_run_with_its_own_words_and_the_log(
    folder: Path, body: str, problem: str, isolated: bool
) -> None:
    (folder / "co de" / "bad.py").write_text(body)
    content = document(
        first=job("python bad.py ${{inputs.source}} ${{outputs.out}}", FIRST),
        second=job(COPY, {"source": "${{parent.jobs.first.outputs.out}}"}),
    )
    with pytest.raises(UserError) as caught:
        run(folder, content, isolated=isolated)
    message = str(caught.value)
    (log,) = folder.glob("runs/*/first/log.txt")
    assert message.startswith("step first failed: ")
    assert problem in message
    assert message.endswith(f"(log: {log})")
    assert "\n" not in message
    assert ("Traceback" in log.read_text()) == ("Error" in problem or "module" in problem)
    assert not list(folder.glob("runs/*/second"))


def test_a_step_that_leaves_without_error_is_no_failure(folder: Path) -> None:
    (folder / "co de" / "copy_step.py").write_text(COPY_STEP + "\nsys.exit(0)\n")
    assert read(run(folder, document(first=job(COPY, FIRST))), "first") == "hello "


def test_an_output_that_a_step_does_not_write_is_named(folder: Path) -> None:
    content = document(first=job(COPY + " ${{outputs.extra}}", FIRST, outputs=("out", "extra")))
    with pytest.raises(UserError, match="step first ended without writing its output 'extra'"):
        run(folder, content)


@pytest.mark.parametrize("mode", ["rw_mount", "upload"])
def test_a_mounted_output_may_be_empty_at_the_end_and_an_uploaded_one_may_not(folder: Path, mode: str) -> None:
    content = document(first=job(COPY + " ${{outputs.extra}}", FIRST, outputs=("out", "extra")))
    content["jobs"]["first"]["outputs"] = {"extra": {"mode": mode}}
    if mode == "rw_mount":
        assert read(run(folder, content), "first").startswith("hello ")
        return
    with pytest.raises(UserError, match="without writing its output 'extra'"):
        run(folder, content)


def test_a_step_is_one_process_whatever_its_distribution_says(folder: Path) -> None:
    content = document(first=job(COPY, FIRST))
    content["jobs"]["first"] |= {
        "resources": {"instance_count": 2},
        "distribution": {"type": "pytorch", "process_count_per_instance": 4},
    }
    assert read(run(folder, content), "first") == "hello "


def test_an_output_of_type_file_is_a_path_in_an_existing_folder(folder: Path) -> None:
    (folder / "co de" / "write.py").write_text("import sys; open(sys.argv[1], 'w').write('x')")
    content = document(first=job("python write.py ${{outputs.one}} ${{inputs.source}}", FIRST, outputs=()))
    content["jobs"]["first"]["component"]["outputs"] = {"one": {"type": "uri_file"}}
    assert run(folder, content).steps["first"]["one"].read_text() == "x"


def test_what_a_step_changes_in_the_process_is_put_back(folder: Path) -> None:
    (folder / "co de" / "helper.py").write_text("NAME = 'first'")
    (folder / "co de" / "rude.py").write_text(
        "import os, sys, logging, helper\n"
        "os.environ['RUDE'] = os.environ.pop('HOME', '') + os.environ['GREETING'] + os.environ['FROM_COMPONENT']\n"
        "sys.path.insert(0, 'rude'); sys.argv.append('rude'); logging.basicConfig(level=1)\n"
        "open(os.path.join(sys.argv[1], 'out.txt'), 'w').write(os.environ['RUDE'][-4:] + helper.NAME)\n"
        "os.chdir('..')\n"
    )
    other = folder / "other code"
    other.mkdir()
    (other / "helper.py").write_text("NAME = 'second'")
    (other / "polite.py").write_text(
        "import os, sys, helper\nopen(os.path.join(sys.argv[1], 'out.txt'), 'w').write(helper.NAME + os.getcwd())"
    )
    first = job(
        "python rude.py ${{outputs.out}} ${{inputs.source}}", FIRST, environment_variables={"FROM_COMPONENT": "cd"}
    )
    second = job(
        "python polite.py ${{outputs.out}} ${{inputs.source}}", {"source": "${{parent.jobs.first.outputs.out}}"}
    )
    second["component"]["code"] = "other code"
    root = logging.getLogger()
    before = (list(sys.argv), list(sys.path), dict(os.environ), Path.cwd(), list(root.handlers), root.level)
    result = run(folder, document(first=first, second=second), environment={"GREETING": "ab"})
    after = (list(sys.argv), list(sys.path), dict(os.environ), Path.cwd(), list(root.handlers), root.level)
    assert after == before
    assert "helper" not in sys.modules
    assert read(result, "first") == "abcdfirst"
    assert read(result, "second") == f"second{other}"


def test_a_module_is_run_like_python_dash_m(folder: Path) -> None:
    package = folder / "co de" / "tiny_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "names.py").write_text("NAME = 'module'")
    (package / "step.py").write_text(
        "import sys, os\nfrom tiny_package.names import NAME\n"
        "if __name__ == '__main__':\n    open(os.path.join(sys.argv[1], 'out.txt'), 'w').write(NAME + sys.argv[2])"
    )
    content = document(first=job("python -m tiny_package.step ${{outputs.out}} $[[${{inputs.source}}]] ", FIRST))
    for isolated in (False, True):
        assert read(run(folder, content, isolated=isolated), "first") == f"module{(folder / 'in put').resolve()}"
    assert "tiny_package" not in sys.modules


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_command_with_shell_operators_runs_in_bash(folder: Path) -> None:
    command = COPY + ' one && echo "two three" >> "${{outputs.out}}/out.txt" && cat ${{outputs.out}}/out.txt | wc -l'
    content = document(first=job(command, FIRST))
    lines: list[str] = []
    assert read(run(folder, content, announce=lines.append), "first") == "hello onetwo three\n"
    assert "".join(lines).endswith(" 1\n")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_sees_values_as_they_are_inside_and_outside_of_quotes(folder: Path) -> None:
    value = "a b'c\"d$HOME`e`"
    command = COPY + " \"in ${{inputs.n}}\" 'in ${{inputs.n}}' ${{inputs.n}} && true"
    content = document(first=job(command, {**FIRST, "n": value}, {"n": {"type": "string"}}))
    assert read(run(folder, content), "first") == f"hello in {value}|in {value}|{value}"


def test_without_bash_the_remedy_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"no bash: install it .* or write the command as one"):
        run(folder, document(first=job(COPY + " && echo done", FIRST)))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -m a.b --x ${{inputs.x}} $[[--y 'a;b' \"c|d\"]]", True),
        ("python -m a.b --x ${{ inputs.x }} --y 'a;b $c' \"d|e\"", False),
        ("python a.py \\\n  --x 1\n", False),
        ("python a.py\npython b.py", True),
        ("python a.py > log", True),
        ("python a.py $HOME", True),
        ('python a.py "$HOME"', True),
        ("python a.py *.csv", True),
    ],
)
def test_only_what_a_shell_must_interpret_goes_to_a_shell(command: str, expected: bool) -> None:
    assert runner.needs_shell(command) is expected


def test_progress_names_each_step_and_ends_with_what_it_printed_last(folder: Path) -> None:
    lines: list[str] = []
    run(folder, document(first=job(COPY, FIRST)), announce=lines.append)
    assert "".join(lines).startswith("first ")
    assert "".join(lines).endswith(" s  copied 6 characters\n")


def test_a_line_that_is_too_long_is_cut_with_the_name_of_the_log_that_has_all_of_it(folder: Path) -> None:
    lines: list[str] = []
    long = " ".join(["words"] * 40)
    (folder / "co de" / "talk.py").write_text(f"{COPY_STEP}print({long!r})\n")
    result = run(folder, document(first=job(COPY.replace("copy_step", "talk"), FIRST)), announce=lines.append)
    assert "".join(lines).endswith(" words ... (all of it: first/log.txt)\n")
    assert long in (result.folder / "first" / "log.txt").read_text()


def test_without_an_output_its_step_and_those_that_need_it_are_left_out(folder: Path) -> None:
    content = document(
        first=job(COPY, FIRST),
        second=job(COPY, {"source": "${{parent.jobs.first.outputs.out}}"}),
        apart=job(COPY, FIRST),
    )
    content["outputs"] = {"kept": {"type": "uri_folder"}}
    content["jobs"]["first"]["outputs"] = {"out": "${{parent.outputs.kept}}"}
    (folder / "pipeline.yml").write_text(yaml.safe_dump(content))
    pipeline = Pipeline.load(folder / "pipeline.yml")
    assert list(runner.without_output(pipeline, "kept").nodes) == ["apart"]
    assert set(pipeline.nodes) == {"first", "second", "apart"}
    with pytest.raises(UserError, match="the pipeline has no output 'other': bind the output of a step to it"):
        runner.without_output(pipeline, "other")


def test_a_component_that_is_only_in_azure_is_refused(folder: Path) -> None:
    content = document(
        first={"type": "command", "component": "azureml://registries/azureml/components/x/labels/latest"}
    )
    with pytest.raises(UserError, match="only in Azure ML"):
        run(folder, content)


def test_outputs_of_the_pipeline_are_found_by_their_names(folder: Path) -> None:
    content = document(first=job(COPY, FIRST))
    content["outputs"] = {"text": {"type": "uri_folder"}}
    content["jobs"]["first"]["outputs"] = {"out": "${{parent.outputs.text}}"}
    (folder / "pipeline.yml").write_text(yaml.safe_dump(content))
    result = runner.run_pipeline(Pipeline.load(folder / "pipeline.yml"), folder / "run")
    assert result.outputs == {"text": result.steps["first"]["out"]}


def test_the_newest_five_runs_are_kept(tmp_path: Path) -> None:
    made = [runner.new_run_folder(tmp_path) for _ in range(7)]
    assert sorted(tmp_path.iterdir()) == made[-5:]


@pytest.mark.parametrize("isolated", [False, True])
def test_lines_that_are_watched_are_shown_while_the_step_runs(
    folder: Path, isolated: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "co de" / "tries.py").write_text(
        "import sys\nfrom pathlib import Path\n"
        "print('noise')\nprint('trial', 1)\nprint('  trial 2')\n"
        "(Path(sys.argv[1]) / 'out.txt').write_text('')\nprint('done')\n"
    )
    content = document(first=job("python tries.py ${{outputs.out}}", {}, ports={"source": {"type": "x"}}))
    content["jobs"]["first"]["component"]["inputs"] = {}
    run(folder, content, isolated=isolated, watch=("trial ", "  trial "))
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines[:3]] == ["first", "trial 1", "  trial 2"]
    assert lines[3].startswith("first ")
    assert lines[3].endswith("done")
    assert len(lines) == 4


def test_a_step_may_import_ipython_though_mlflow_does_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "IPython"]:
        monkeypatch.delitem(sys.modules, name)
    (folder / "co de" / "copy_step.py").write_text(
        "import sys\n"
        "from mlflow.utils.databricks_utils import is_running_in_ipython_environment\n"
        "assert not is_running_in_ipython_environment()\n"
        "assert 'IPython.core.interactiveshell' not in sys.modules\n"
        "import IPython\n"
        "from IPython.display import display\n"
        "assert IPython.get_ipython() is None\n"
        "assert IPython.version_info[0] > 7\n"
        "assert IPython.InteractiveShell\n" + COPY_STEP
    )
    assert read(run(folder, document(first=job(COPY, FIRST))), "first") == "hello "


def test_mlflow_compares_versions_and_does_not_look_through_all_that_is_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search() -> None:
        pytest.fail("it looks through all that is installed")

    before = requirements_utils._init_packages_to_modules_map
    monkeypatch.setattr(requirements_utils.importlib_metadata, "packages_distributions", search)
    monkeypatch.setattr(requirements_utils, "_MODULES_TO_PACKAGES", None)
    (folder / "co de" / "compare.py").write_text(
        "import sys\n"
        "from mlflow.utils.requirements_utils import _check_requirement_satisfied as check\n"
        "found = [str(check(line)) for line in ('mlflow', 'mlflow==0.1', 'no-such-package==1')]\n"
        "open(sys.argv[1] + '/out.txt', 'w').write(' '.join(found))\n"
    )
    compare = job("python compare.py ${{outputs.out}} ${{inputs.source}}", FIRST)
    found = read(run(folder, document(compare=compare)), "compare")
    old = f"mlflow (current: {metadata.version('mlflow')}, required: mlflow==0.1)"
    assert found == f"None {old} no-such-package (current: uninstalled, required: no-such-package==1)"
    assert requirements_utils._init_packages_to_modules_map is before
