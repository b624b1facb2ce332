"""Seeded errors for the lint, and files of the kinds that the project does not ship."""

from rendered import HERE, TORCH

PACKAGE = HERE.package
IMAGE = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260715.v1"

EXTRA = {
    "compute.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/amlCompute.schema.json
name: cpu-cluster
type: amlcompute
size: Standard_D4as_v4
min_instances: 0
max_instances: 4
idle_time_before_scale_down: 900
""",
    "job.yml": f"""
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
command: python -m {PACKAGE}.prep --raw-data ${{{{inputs.raw}}}} --schema ${{{{inputs.schema}}}}
  --settings ${{{{inputs.settings}}}} --train-data ${{{{outputs.train}}}} --test-data ${{{{outputs.test}}}}
code: ../../data-science/src
environment: file:environments/training.yml
compute: azureml:cpu-cluster
inputs:
  raw: {{type: uri_folder, path: ../../data/raw}}
  schema: {{type: uri_file, path: ../../data/schema.yml}}
  settings: {{type: uri_file, path: ../../config/model.yml}}
outputs:
  train: {{type: uri_folder}}
  test: {{type: uri_folder}}
""",
    "schedule.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/schedule.schema.json
name: retraining
display_name: Retraining
description: Runs the training pipeline.
trigger:
  type: cron
  expression: "0 4 * * 1"
  time_zone: UTC
create_job:
  type: pipeline
  job: ./pipeline.yml
  experiment_name: training
  inputs:
    model_name: model
""",
    "sweep.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/sweepJob.schema.json
type: sweep
trial:
  code: scripts
  command: python fit.py --data ${{inputs.data}} --rate ${{search_space.rate}}
  environment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest
inputs:
  data: {type: uri_folder, path: azureml:training-data@latest}
compute: azureml:cpu-cluster
sampling_algorithm: random
search_space:
  rate: {type: uniform, min_value: 0.01, max_value: 0.9}
objective: {goal: minimize, primary_metric: mae}
limits: {max_total_trials: 4, max_concurrent_trials: 2, timeout: 7200}
""",
    "parallel.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/parallelComponent.schema.json
type: parallel
name: score_many
inputs:
  data: {type: uri_folder}
outputs:
  scores: {type: uri_file}
input_data: ${{inputs.data}}
mini_batch_size: "10"
mini_batch_error_threshold: 1
logging_level: INFO
resources: {instance_count: 2}
max_concurrency_per_instance: 2
retry_settings: {max_retries: 2, timeout: 60}
task:
  type: run_function
  code: scripts
  entry_script: fit.py
  environment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest
  program_arguments: --out ${{outputs.scores}}
  append_row_to: ${{outputs.scores}}
""",
    "conda.yml": """
channels: [conda-forge]
dependencies:
  - python=3.11
  - numpy=2.3.4
  - pip:
      - pandas==2.3.3
""",
    "conda-environment.yml": f"""
$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json
name: with-conda
image: {IMAGE}
conda_file: conda.yml
""",
    "build.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json
name: built
build: {path: docker}
""",
    "docker/Dockerfile": f"FROM {IMAGE}\n",
    "table.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json
name: table
type: mltable
path: table
""",
    "table/MLTable": "paths: [{file: rows.csv}]\ntransformations: [{read_delimited: {delimiter: ','}}]\n",
    "table/rows.csv": "a\n1\n",
    "model.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/model.schema.json
name: saved
type: mlflow_model
path: saved
""",
    "saved/MLmodel": "flavors: {}\n",
    "scripts/fit.py": """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--rate", type=float)
""",
    "inline.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
inputs:
  rate: 0.5
  data: {type: uri_folder, path: ../../data/raw}
settings: {default_compute: azureml:cpu-cluster}
jobs:
  fit:
    type: command
    component:
      type: command
      name: fit
      inputs:
        data: {type: uri_folder}
        rate: {type: number, min: 0, max: 1, default: 0.1}
        kind: {type: string, enum: [tree, line], default: tree}
        steps: {type: integer, optional: true}
      outputs:
        out: {type: uri_folder}
      environment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest
      command: >-
        echo ${{inputs.data}} ${{inputs.rate}} ${{inputs.kind}} $[[--steps ${{inputs.steps}}]] ${{outputs.out}}
    inputs:
      data: ${{parent.inputs.data}}
      rate: ${{parent.inputs.rate}}
""",
}
"""Files of the kinds that the project does not ship, put beside its own."""


SEEDS = {
    "pipeline.yml": [
        ("no type", "type: pipeline\n", "", "type missing"),
        (
            "an input with no value",
            "raw_data: ${{parent.inputs.raw_data}}",
            "raw_data:",
            "jobs.prep.inputs.raw_data value is missing",
        ),
        (
            "an unknown kind of distribution",
            "    component: ./components/prep.yml",
            "    component: ./components/prep.yml\n    distribution: {type: pytorc}",
            "jobs.prep.distribution.type 'pytorc' mpi",
        ),
        ("an input with no path", "    path: ../../data/schema.yml\n", "", "inputs.schema path missing"),
        (
            "a bad name of an experiment",
            "experiment_name: training",
            "experiment_name: my training!",
            "experiment_name no name",
        ),
        (
            "a binding to a missing input",
            "${{parent.inputs.raw_data}}",
            "${{parent.inputs.raw}}",
            'jobs.prep.inputs.raw_data no input "raw" mean "raw_data"',
        ),
        (
            "a binding to a missing job",
            "jobs.prep.outputs.test_data",
            "jobs.prepare.outputs.test_data",
            'jobs.evaluate.inputs.test_data no job "prepare" mean "prep"',
        ),
        (
            "a binding to a missing output of a job",
            "prep.outputs.test_data",
            "prep.outputs.test_dat",
            'jobs.evaluate.inputs.test_data no output "test_dat" mean "test_data"',
        ),
        (
            "a binding to a missing output of the pipeline",
            "{{parent.outputs.model}}",
            "{{parent.outputs.modell}}",
            'jobs.train.outputs.model no output "modell"',
        ),
        (
            "an output of the pipeline that no step writes",
            "    outputs:\n      model: ${{parent.outputs.model}}\n",
            "",
            "outputs.model no job writes",
        ),
        (
            "an output that two jobs write",
            "registration: ${{parent.outputs.registration}}",
            "registration: ${{parent.outputs.evaluation}}",
            "outputs.evaluation only one job",
        ),
        (
            "an output read as an input",
            "${{parent.jobs.train.outputs.model}}",
            "${{parent.outputs.model}}",
            "cannot be read",
        ),
        (
            "a circle of jobs",
            "train_data: ${{parent.jobs.prep.outputs.train_data}}",
            "train_data: ${{parent.jobs.evaluate.outputs.evaluation}}",
            "circle train evaluate",
        ),
        (
            "a job that waits for itself",
            "train_data: ${{parent.jobs.prep.outputs.train_data}}",
            "train_data: ${{parent.jobs.train.outputs.model}}",
            "circle train",
        ),
        (
            "an input that the component does not have",
            "      raw_data: ${{",
            "      raw: ${{",
            'jobs.prep.inputs.raw no input "raw"',
        ),
        (
            "a required input left out",
            "      test_data: ${{parent.jobs.prep.outputs.test_data}}\n",
            "",
            'jobs.evaluate.inputs required input "test_data"',
        ),
        (
            "an output that the component does not have",
            "evaluation: ${{parent.outputs.evaluation}}",
            "results: ${{parent.outputs.evaluation}}",
            'jobs.evaluate.outputs.results no output "results"',
        ),
        (
            "a folder bound to a file",
            "schema: ${{parent.inputs.schema}}",
            "schema: ${{parent.inputs.raw_data}}",
            "jobs.prep.inputs.schema uri_folder bound uri_file",
        ),
        (
            "a model bound to a folder",
            "evaluation: ${{parent.jobs.evaluate.outputs.evaluation}}",
            "evaluation: ${{parent.jobs.train.outputs.model}}",
            "jobs.register.inputs.evaluation mlflow_model uri_folder",
        ),
        (
            "an output of another type",
            "    type: mlflow_model\n",
            "    type: uri_file\n",
            "jobs.train.outputs.model mlflow_model uri_file",
        ),
        (
            "a folder given for text",
            "model_name: ${{parent.inputs.model_name}}",
            "model_name: {type: uri_folder, path: ../../data}",
            "inputs.model_name plain string",
        ),
        (
            "text given for a folder",
            "raw_data: ${{parent.inputs.raw_data}}",
            "raw_data: data/raw",
            "jobs.prep.inputs.raw_data uri_folder is expected",
        ),
        (
            "a half-written binding",
            "${{parent.inputs.raw_data}}",
            "${{inputs.raw_data}}",
            "jobs.prep.inputs.raw_data no binding",
        ),
        (
            "an input of the pipeline that no step uses",
            "  model_name: model",
            "  extra: 3\n  model_name: model",
            "inputs.extra no job uses",
        ),
        (
            "a missing data file",
            "../../data/schema.yml",
            "../../data/schemas.yml",
            'inputs.schema.path no such file mean "schema.yml"',
        ),
        (
            "a folder given for a file",
            "path: ../../data/schema.yml",
            "path: ../../data",
            "inputs.schema is a folder, but uri_file",
        ),
        (
            "a data asset that no file defines",
            "azureml:training-data@latest",
            "azureml:train-data@latest",
            'inputs.raw_data.path no file data "train-data"',
        ),
        (
            "a data asset of another type",
            "type: uri_folder\n    path: azureml:training",
            "type: mltable\n    path: azureml:training",
            "inputs.raw_data is a uri_folder, but mltable",
        ),
        ("a label other than latest", "training-data@latest", "training-data@newest", 'only label "newest"'),
        (
            "a missing component file",
            "./components/prep.yml",
            "./components/prepare.yml",
            "jobs.prep.component no such file",
        ),
        (
            "an environment where a component belongs",
            "./components/prep.yml",
            "./environments/training.yml",
            "jobs.prep.component environment component is expected",
        ),
        (
            "a component that is not registered",
            "./components/prep.yml",
            "azureml:prepp@latest",
            'jobs.prep.component no file a component "prepp" mean "prep"',
        ),
        (
            "an unknown key of a job",
            "    component: ./components/prep.yml",
            "    component: ./components/prep.yml\n    comptue: azureml:cpu-cluster",
            "jobs.prep.comptue unknown key",
        ),
        (
            "an unknown key of the settings",
            "  continue_on_step_failure: false",
            "  continue_on_failure: false",
            "settings.continue_on_failure unknown key",
        ),
        (
            "an unknown key of the pipeline",
            "display_name: training",
            "displayname: training",
            'displayname unknown key mean "display_name"',
        ),
        (
            "an unknown type of job",
            "    type: command\n    component: ./components/prep.yml",
            "    type: comand\n    component: ./components/prep.yml",
            "jobs.prep.type 'comand' not one of",
        ),
        ("an unknown mode", "mode: ro_mount", "mode: readonly", "inputs.raw_data.mode not one of"),
        (
            "an unknown type of input",
            "type: uri_folder\n    path: azureml:training",
            "type: folder\n    path: azureml:training",
            "inputs.raw_data 'folder'",
        ),
        ("a mode for inputs on an output", "mode: upload", "mode: ro_mount", "outputs.model.mode not one of"),
        ("no compute at all", "  default_compute: azureml:cpu-cluster\n", "", "compute"),
        (
            "a compute that config does not know",
            "azureml:cpu-cluster",
            "azureml:gpu-cluster",
            'settings.default_compute no compute "gpu-cluster"',
        ),
        ("a bad name of a job", "  prep:\n", "  Prep-Data:\n", "jobs.Prep-Data"),
        (
            "a key that stands twice",
            "display_name: training",
            "display_name: one\ndisplay_name: two",
            'line "display_name" twice',
        ),
        ("a tab", "  raw_data:\n    type", "\traw_data:\n    type", "line not valid YAML"),
        ("an open bracket", "display_name: training", "display_name: [training", "line not valid YAML"),
        ("a misspelt schema", "pipelineJob.schema", "pipelinJob.schema", '$schema no schema "pipelinJob"'),
    ],
    "inline.yml": [
        ("no jobs", "jobs:\n", "tags:\n", "jobs at least one job"),
        (
            "an unknown key of an inline component",
            "      name: fit\n",
            "      name: fit\n      colour: red\n",
            "jobs.fit.component.colour unknown key",
        ),
        (
            "a word for a number",
            "rate: ${{parent.inputs.rate}}",
            "rate: fast",
            "jobs.fit.inputs.rate a number is expected, not 'fast'",
        ),
        (
            "a word for a number, through the pipeline",
            "  rate: 0.5",
            "  rate: fast",
            "jobs.fit.inputs.rate a number is expected, not 'fast'",
        ),
        (
            "a fraction for an integer",
            "      rate: ${{parent.inputs.rate}}",
            "      rate: ${{parent.inputs.rate}}\n      steps: 1.5",
            "jobs.fit.inputs.steps an integer is expected",
        ),
        ("a number out of range", "  rate: 0.5", "  rate: 2", "jobs.fit.inputs.rate greater than the maximum 1"),
        (
            "a word that is not in the enum",
            "      rate: ${{parent.inputs.rate}}",
            "      rate: ${{parent.inputs.rate}}\n      kind: forest",
            "jobs.fit.inputs.kind not one of: tree, line",
        ),
        ("a default out of range", "max: 1, default: 0.1", "max: 1, default: 7", "inputs.rate.default greater"),
        ("a default that is not in the enum", "default: tree", "default: bush", "inputs.kind.default not one of"),
        ("min greater than max", "min: 0, max: 1", "min: 2, max: 1", "inputs.rate min 2 greater than max 1"),
        ("a minimum of a text", "{type: string, enum", "{type: string, min: 1, enum", "inputs.kind.min"),
        (
            "a path default",
            "        data: {type: uri_folder}",
            "        data: {type: uri_folder, default: x}",
            "inputs.data.default no default",
        ),
        (
            "a bad name of an inline component",
            "      name: fit\n",
            "      name: Fit it\n",
            'jobs.fit.component.name "Fit it"',
        ),
        (
            "an unknown input of an inline command",
            "${{inputs.kind}}",
            "${{inputs.sort}}",
            "jobs.fit.component.command no input 'sort'",
        ),
        (
            "an empty command",
            "      command: >-",
            "      command: ''\n      description: >-",
            "jobs.fit.component.command empty",
        ),
        (
            "a binding with no dollar",
            "      rate: ${{parent.inputs.rate}}",
            "      rate: ${{parent.inputs.rate}}\n      kind: '{{parent.inputs.rate}}'",
            "jobs.fit.inputs.kind left as it stands",
        ),
        ("a quote that never closes", "echo ${{inputs.data}}", 'echo "${{inputs.data}}', "command quotes"),
    ],
    "components/prep.yml": [
        ("a misspelt program", "python -m", "pyhton -m", 'command no program "pyhton"'),
        (
            "an unknown input in a command",
            "${{inputs.schema}}",
            "${{inputs.shema}}",
            "command no input 'shema' mean \"schema\"",
        ),
        ("an unknown output in a command", "${{outputs.test_data}}", "${{outputs.tests}}", "command no output 'tests'"),
        ("an input that the command never uses", "  --schema ${{inputs.schema}}\n", "", "inputs.schema never uses"),
        (
            "an output that is never written",
            "  --test-data ${{outputs.test_data}}",
            "",
            "outputs.test_data never writes",
        ),
        ("an expression that never closes", "${{inputs.schema}}", "${{inputs.schema}", "command ${{ no matching"),
        (
            "an unknown expression",
            "${{inputs.schema}}",
            "${{input.schema}}",
            "command unknown expression ${{input.schema}}",
        ),
        ("a placeholder of another tool", "${{inputs.schema}}", "${inputs.schema}", "command left as it stands"),
        (
            "a search space outside of a sweep",
            "${{inputs.schema}}",
            "${{search_space.schema}}",
            "command works in a sweep only",
        ),
        (
            "a module that is not in the code",
            f"{PACKAGE}.prep",
            f"{PACKAGE}.prepare",
            f"command no module {PACKAGE}.prepare",
        ),
        (
            "a package that is not in the code",
            f"{PACKAGE}.prep",
            f"{PACKAGE}s.prep",
            f"command no module {PACKAGE}s.prep",
        ),
        ("a script that is not in the code", f"-m {PACKAGE}.prep", "prep_data.py", "command no script prep_data.py"),
        (
            "an option that the step does not take",
            "--train-data",
            "--training-data",
            "command no option --training-data",
        ),
        ("an option that the step needs", "--settings ${{", "${{", "command needs the option --settings"),
        ("a missing code folder", "../../../data-science/src", "../../../data-science/source", "code no such folder"),
        ("no code folder", "code: ../../../data-science/src\n", "", f"command {PACKAGE}.prep"),
        (
            "a missing include",
            "is_deterministic: true",
            "is_deterministic: true\nadditional_includes: [../shared]",
            "additional_includes no such file",
        ),
        (
            "a missing environment file",
            "environments/training.yml",
            "environments/train.yml",
            "environment no such file",
        ),
        (
            "a component where an environment belongs",
            "../environments/training.yml",
            "train.yml",
            "environment commandComponent an environment is expected",
        ),
        (
            "an environment that is not registered",
            "file:../environments/training.yml",
            "azureml:trainning@latest",
            'environment no file an environment "trainning" mean "training"',
        ),
        ("an environment with no prefix", "file:../environments/training.yml", "training", "environment azureml:"),
        (
            "a broken address of a registry",
            "file:../environments/training.yml",
            "azureml://registries/azureml/environment/sklearn-1.5/version/1",
            "environment azureml://registries/",
        ),
        (
            "a model of a registry as environment",
            "file:../environments/training.yml",
            "azureml://registries/azureml/models/sklearn-1.5/versions/1",
            "environment is expected 'models'",
        ),
        ("no environment", "environment: file:../environments/training.yml\n", "", "environment missing"),
        ("no command", "command: >-", "description2: >-", "command missing"),
        ("a bad name of a component", "name: prep\n", "name: Prep Data\n", 'name "Prep Data"'),
        ("a bad name of an input", "  raw_data:\n", "  raw-data:\n", "inputs.raw-data letters, digits"),
        (
            "inputs equal but for case",
            "  schema:\n",
            "  Settings:\n    type: uri_file\n  schema:\n",
            "differ only in upper",
        ),
        (
            "an unknown key of a component",
            "is_deterministic:",
            "deterministic:",
            'deterministic unknown key mean "is_deterministic"',
        ),
        (
            "environment variables of a component",
            "is_deterministic: true",
            "environment_variables: {A: b}",
            "environment_variables unknown key",
        ),
        (
            "an unknown key of an input",
            "    type: uri_file\n    description: data",
            "    type: uri_file\n    descripton: data",
            "inputs.schema.descripton unknown key",
        ),
        ("an unknown type of port", "type: uri_folder", "type: uri_dir", "inputs.raw_data 'uri_dir'"),
        (
            "a type that is no text",
            "is_deterministic: true",
            "is_deterministic: perhaps",
            "is_deterministic true or false",
        ),
    ],
    "components/train.yml": [
        (
            "an optional input outside of brackets",
            '$[[--overrides "${{inputs.overrides}}"]]',
            '--overrides "${{inputs.overrides}}"',
            "command 'overrides' optional $[[",
        ),
        (
            "brackets around a required input",
            "--schema ${{inputs.schema}}",
            "$[[--schema ${{inputs.schema}}]]",
            "command no input $[[--schema",
        ),
        ("a bracket that never closes", 'inputs.overrides}}"]]', 'inputs.overrides}}"', "command $[[ no matching"),
    ],
    "components/tune.yml": [
        (
            "a missing option of the search",
            "  --search ${{outputs.search}}\n",
            "",
            "command tune.py needs the option --search",
        ),
        (
            "an unknown option of the search",
            "[[--candidate ",
            "[[--candidat ",
            'command tune.py no option --candidat mean "--candidate"',
        ),
        (
            "a state that no option takes",
            '  $[[--state "${{inputs.state}}"]]\n',
            "",
            "inputs.state never uses this input",
        ),
    ],
    "tuning.yml": [
        (
            "no output of the search",
            "  search:\n    type: uri_folder",
            "  result:\n    type: uri_folder",
            'outputs "search" missing `mlops tune`',
        ),
        (
            "a search that nothing writes",
            "      search: ${{parent.outputs.search}}",
            "",
            "outputs.search no job writes",
        ),
        (
            "another output of the trial",
            "      search: ${{parent.outputs.search}}",
            "      result: ${{parent.outputs.search}}",
            'jobs.tune.outputs.result no output "result"',
        ),
        (
            "an output that is not the sweep's",
            "      settings: ${{parent.inputs.settings}}\n\n  tune",
            "      settings: ${{parent.inputs.settings}}\n"
            "    outputs: {test_data: '${{parent.outputs.search}}'}\n\n  tune",
            "outputs.search job prep writes it, not the sweep tune",
        ),
        ("no component of the trials", "components/tune.yml", "components/tunes.yml", "jobs.tune.trial no such file"),
        (
            "a trial that takes no candidate",
            "components/tune.yml",
            "components/train.yml",
            'jobs.tune.trial needs the input "candidate"',
        ),
        ("an unknown input of the trial", "      train_data:", "      rows:", 'jobs.tune.inputs.rows no input "rows"'),
        ("an unknown key of the sweep", "    limits:", "    limit:", 'jobs.tune.limit unknown key mean "limits"'),
        (
            "an unknown goal",
            "goal: maximize",
            "goal: biggest",
            "jobs.tune.objective.goal 'biggest' not one of: minimize, maximize",
        ),
    ],
    "environments/training.yml": [
        ("no image", f"image: {IMAGE}\n", "", "image missing"),
        ("an image with the tag latest", ":20260715.v1", ":latest", "image latest"),
        ("an image with no tag", ":20260715.v1", "", "image no tag"),
        ("no name of an image", "mcr.microsoft.com/", "mcr.microsoft.com//", "image not the name"),
        ("an image and a build context", "description: ", "build: {path: .}\ndescription: ", "build exclude"),
        (
            "a missing conda file",
            "environment/train.yml",
            "environment/trains.yml",
            'conda_file no such file mean "train.yml"',
        ),
        (
            "conda packages in an environment file",
            "description: Tr",
            "dependencies: [python=3.11]\ndescription: Tr",
            "dependencies unknown key",
        ),
        (
            "an unknown operating system",
            "description: ",
            "os_type: solaris\ndescription: ",
            "os_type 'solaris' not one of: linux",
        ),
        ("a bad name of an environment", "name: training", "name: my training", "name no name"),
    ],
    "environments/inference.yml": [
        (
            "an incomplete inference_config",
            "name: inference",
            "name: inference\ninference_config: {scoring_route: {port: 5001}}",
            "inference_config.scoring_route.path missing",
        ),
    ],
    "build.yml": [
        ("a missing build context", "path: docker", "path: dockers", "build.path no such folder"),
        ("a missing Dockerfile", "path: docker", "path: scripts", "build.dockerfile_path no Dockerfile"),
        (
            "an unknown key of a build context",
            "path: docker",
            "path: docker, dockerfile: Dockerfile",
            "build.dockerfile unknown key",
        ),
    ],
    "conda.yml": [
        ("a conda dependency of bad form", "numpy=2.3.4", "numpy=>2.3.4", "dependencies[1] 'numpy=>2.3.4'"),
        (
            "a conda file with no packages",
            "dependencies:\n  - python=3.11\n",
            "dependencys:\n  - python=3.11\n",
            'dependencys unknown key mean "dependencies"',
        ),
        ("a pip requirement of bad form", "pandas==2.3.3", "pandas=2.3.3", "dependencies[2].pip[0] 'pandas=2.3.3'"),
        ("a pip file that is missing", "pandas==2.3.3", "-r requirements.txt", "pip[0] no such file: requirements.txt"),
        ("a package listed twice", "numpy=2.3.4", "python=3.12", 'dependencies[1] "python" twice'),
        ("a conda file with a tab", "  - numpy", "\t- numpy", "line not valid YAML"),
    ],
    "data/training-data.yml": [
        ("data with no name", "name: training-data\n", "", "name missing"),
        ("a missing data folder", "data/raw", "data/rows", "path no such file or folder"),
        ("a file given for a folder", "data/raw", "data/schema.yml", "path is a file, but uri_folder"),
        ("an unknown type of data", "type: uri_folder", "type: csv", "type 'csv' not one of"),
        ("a missing MLTable", "type: uri_folder", "type: mltable", "path MLTable"),
        ("data with no path", "path: ../../../data/raw", "tags: {a: b}", "path missing"),
        (
            "a broken address of a datastore",
            "../../../data/raw",
            "azureml://datastore/a/paths/b",
            "path not azureml://datastores",
        ),
        ("an unknown key of data", "type: uri_folder", "type: uri_folder\nformat: csv", "format unknown key"),
        ("a name that another file has", "name: training-data", "name: production-data", "name defined already"),
    ],
    "table/MLTable": [
        ("a table of missing files", "rows.csv", "row.csv", "paths[0].file no such file"),
    ],
    "model.yml": [
        ("a folder that is no MLflow model", "path: saved", "path: scripts", "path MLmodel"),
    ],
    "online/endpoint.yml": [
        ("too long a name of an endpoint", "name: online-endpoint", f"name: {'a' * 33}", "name 3 to 32"),
        ("an underscore in a name of an endpoint", "name: online-endpoint", "name: online_endpoint", "name 3 to 32"),
        ("an unknown way to sign in", "auth_mode: aad_token", "auth_mode: token", "auth_mode not one of"),
        ("traffic above 100", "auth_mode", "traffic: {blue: 90, green: 20}\nauth_mode", "traffic add up to 110"),
        ("traffic below 100", "auth_mode", "traffic: {blue: 90}\nauth_mode", "traffic add up to 90"),
        (
            "traffic of no deployment",
            "auth_mode",
            "traffic: {purple: 100}\nauth_mode",
            'traffic.purple no deployment "purple"',
        ),
        ("traffic that is not a number", "auth_mode", "traffic: {blue: all}\nauth_mode", "traffic.blue integer"),
        (
            "too much mirrored traffic",
            "auth_mode",
            "mirror_traffic: {blue: 60}\nauth_mode",
            "mirror_traffic.blue 50 percent",
        ),
        ("an identity with no id", "type: system_assigned", "type: user_assigned", "identity resource_id"),
        ("an unknown identity", "type: system_assigned", "type: system", "identity.type not one of"),
        ("an unknown key of an endpoint", "auth_mode:", "authmode:", "authmode unknown key"),
    ],
    "batch/endpoint.yml": [
        ("a key for a batch endpoint", "auth_mode: aad_token", "auth_mode: key", "auth_mode aad_token only"),
        (
            "a missing default deployment",
            "auth_mode",
            "defaults: {deployment_name: scorin}\nauth_mode",
            'defaults.deployment_name no deployment "scorin" mean "scoring"',
        ),
    ],
    "online/deployment.yml": [
        (
            "a misspelt collection",
            "    model_inputs:",
            "    model_input:",
            'collections.model_input mean "model_inputs"',
        ),
        ("no model", "model: azureml:model@latest\n", "", "model missing"),
        (
            "an endpoint that no file defines",
            "endpoint_name: online-endpoint",
            "endpoint_name: onlin-endpoint",
            'endpoint_name no file "onlin-endpoint"',
        ),
        (
            "a model that is not registered",
            "azureml:model@latest",
            "azureml:modle@latest",
            'model no file a model "modle"',
        ),
        ("a missing scoring script", "score.py", "scoring.py", "scoring_script no script"),
        ("a step as scoring script", "score.py", "prep.py", "scoring_script no function init()"),
        (
            "a missing folder of the scoring script",
            "data-science/src",
            "data-science/sources",
            "code_configuration.code no such folder",
        ),
        (
            "a scoring script with no folder",
            "  code: ../../../data-science/src\n",
            "",
            "code_configuration.code missing",
        ),
        ("no size of machine", "instance_type: Standard_D2as_v4\n", "", "instance_type missing"),
        ("a bad size of machine", "Standard_D2as_v4", "D2as_v4", "instance_type no size"),
        ("no machine at all", "instance_count: 1", "instance_count: 0", "instance_count less than 1"),
        ("a word for a count", "instance_count: 1", "instance_count: one", "instance_count integer"),
        ("a boolean in the data collector", 'enabled: "true"', "enabled: true", "model_inputs.enabled quotes"),
        ("an unknown rolling rate", "rolling_rate: hour", "rolling_rate: week", "rolling_rate not one of"),
        ("a sampling rate above 1", "sampling_rate: 1.0", "sampling_rate: 10", "sampling_rate greater"),
        (
            "an unknown key of the requests",
            "request_timeout_ms",
            "timeout_ms",
            "request_settings.timeout_ms unknown key",
        ),
        ("too long a timeout", "request_timeout_ms: 10000", "request_timeout_ms: 600000", "request_timeout_ms greater"),
        ("an unknown key of a probe", "  initial_delay: 30", "  delay: 30", "liveness_probe.delay unknown"),
        (
            "scaling that a managed deployment lacks",
            "app_insights_enabled: false",
            "scale_settings: {type: target_utilization, min_instances: 3, max_instances: 2}",
            "scale_settings.type default only",
        ),
        (
            "an unknown key of a deployment",
            "app_insights_enabled",
            "app_insights",
            'app_insights unknown key mean "app_insights_enabled"',
        ),
    ],
    "batch/deployment.yml": [
        ("no type of deployment", "type: model\n", "", "type missing"),
        ("an unknown output action", "append_row", "append_rows", "settings.output_action not one of"),
        (
            "an unknown logging level",
            "logging_level: info",
            "logging_level: loud",
            "settings.logging_level not one of: debug, info, warning",
        ),
        ("a batch of nothing", "mini_batch_size: 10", "mini_batch_size: 0", "mini_batch_size less than 1"),
        ("an unknown key of the batch settings", "retry_settings:", "retries:", "settings.retries unknown"),
        ("an unknown key of the retries", "max_retries", "retries", "retry_settings.retries unknown"),
        ("no compute for a batch", "compute: azureml:cpu-cluster\n", "", "compute missing"),
        (
            "a compute that config does not know, for a batch",
            "azureml:cpu-cluster",
            "azureml:cpu-clusters",
            'compute no compute "cpu-clusters" mean "cpu-cluster"',
        ),
        (
            "an online endpoint for a batch",
            "endpoint_name: batch-endpoint",
            "endpoint_name: online-endpoint",
            'endpoint_name no file "online-endpoint"',
        ),
        (
            "a scoring script with no environment",
            "environment: file:../environments/inference.yml\n",
            "",
            "environment missing",
        ),
        ("a file name for no file", "append_row", "summary_only", "output_file_name summary_only"),
    ],
    "schedule.yml": [
        ("an hour of 25", "0 4 * * 1", "0 25 * * 1", "trigger.expression no hour"),
        ("a cron text of four fields", "0 4 * * 1", "0 4 * *", "trigger.expression 4 fields"),
        ("a cron text of six fields", "0 4 * * 1", "0 0 4 * * 1", "trigger.expression 6 fields"),
        ("a cron nickname", "0 4 * * 1", "@weekly", "trigger.expression five are needed"),
        ("a weekday of 8", "0 4 * * 1", "0 4 * * 8", "trigger.expression no day of the week"),
        ("a step of 0", "0 4 * * 1", "*/0 4 * * 1", "trigger.expression step"),
        ("a name of the IANA list", "time_zone: UTC", "time_zone: Europe/Berlin", "trigger.time_zone Windows"),
        (
            "a misspelt time zone",
            "time_zone: UTC",
            "time_zone: W. Europ Standard Time",
            'trigger.time_zone mean "W. Europe Standard Time"',
        ),
        ("a misspelt key of a trigger", "time_zone: UTC", "timezone: UTC", "trigger.timezone unknown key"),
        ("an unknown type of trigger", "type: cron", "type: crontab", "trigger.type 'crontab'"),
        ("no expression", '  expression: "0 4 * * 1"', '  start_time: "2026-01-01T00:00:00"', "expression missing"),
        (
            "an end before the start",
            "type: cron",
            'type: cron\n  start_time: "2026-02-01T00:00:00"\n  end_time: "2026-01-01T00:00:00"',
            "trigger.end_time not after",
        ),
        (
            "a time that is none",
            "type: cron",
            'type: cron\n  start_time: "tomorrow"',
            "trigger.start_time date and time",
        ),
        (
            "hour 99 of a recurrence",
            '  type: cron\n  expression: "0 4 * * 1"',
            "  type: recurrence\n  frequency: day\n  interval: 1\n  schedule: {hours: 99, minutes: [0]}",
            "trigger.schedule.hours 99 between 0 and 23",
        ),
        (
            "minute 60 of a recurrence",
            '  type: cron\n  expression: "0 4 * * 1"',
            "  type: recurrence\n  frequency: day\n  interval: 1\n  schedule: {hours: 9, minutes: [0, 60]}",
            "trigger.schedule.minutes 60",
        ),
        (
            "an unknown frequency",
            '  type: cron\n  expression: "0 4 * * 1"',
            "  type: recurrence\n  frequency: yearly\n  interval: 1",
            "trigger.frequency 'yearly'",
        ),
        (
            "an unknown weekday",
            '  type: cron\n  expression: "0 4 * * 1"',
            "  type: recurrence\n  frequency: week\n  interval: 1\n  schedule: {hours: 1, minutes: 0, week_days: [mo]}",
            "week_days",
        ),
        (
            "an interval of 0",
            '  type: cron\n  expression: "0 4 * * 1"',
            "  type: recurrence\n  frequency: day\n  interval: 0",
            "trigger.interval less than 1",
        ),
        (
            "a missing pipeline",
            "  job: ./pipeline.yml",
            "  job: ./pipelines.yml",
            'create_job.job no such file mean "pipeline.yml"',
        ),
        ("no job", "  job: ./pipeline.yml\n", "", "create_job.job missing"),
        ("a schedule of nothing", "\ncreate_job:\n", "\ncreate_jobs:\n", "create_job"),
        (
            "an environment where a job belongs",
            "  job: ./pipeline.yml",
            "  job: environments/training.yml",
            "create_job.job environment job is expected",
        ),
        (
            "an input that the pipeline does not have",
            "    model_name: model",
            "    model: model",
            'create_job.inputs.model no input "model" mean "model_name"',
        ),
        (
            "an unknown key of the job",
            "  experiment_name: training",
            "  experiment: training",
            "create_job.experiment unknown key",
        ),
    ],
    "monitor.yml": [
        ("an unknown signal", "      type: data_drift", "      type: data_drifts", "data_drift 'data_drifts'"),
        ("an unknown measure", "jensen_shannon_distance: 0.2", "jensen_shannon: 0.2", "jensen_shannon unknown key"),
        (
            "a measure of numbers for categories",
            "categorical:\n          jensen_shannon_distance: 0.2",
            "categorical:\n          normalized_wasserstein_distance: 0.2",
            "categorical.normalized_wasserstein_distance unknown",
        ),
        (
            "a threshold that is not a number",
            "jensen_shannon_distance: 0.2",
            "jensen_shannon_distance: low",
            "jensen_shannon_distance a number is expected",
        ),
        ("a negative threshold", "jensen_shannon_distance: 0.2", "jensen_shannon_distance: -1", "negative"),
        (
            "a second metric, which Azure ML would ignore",
            "normalized_wasserstein_distance: 0.2\n",
            "normalized_wasserstein_distance: 0.2\n          jensen_shannon_distance: 0.2\n",
            "data_drift.metric_thresholds.numerical ignores all but one",
        ),
        ("a share above 1", "null_value_rate: 0.05", "null_value_rate: 5", "null_value_rate greater than 1"),
        (
            "a window that is no duration",
            "lookback_window_size: P7D",
            "lookback_window_size: 7 days",
            "lookback_window_size duration P7D",
        ),
        ("a misspelt window", "lookback_window_size", "lookback_windows", "lookback_windows unknown key"),
        ("an unknown data context", "data_context: model_inputs", "data_context: inputs", "data_context 'inputs'"),
        (
            "outputs watched as inputs",
            "data_context: model_inputs",
            "data_context: model_outputs",
            "data_context watches model_inputs",
        ),
        ("an old Spark", '"3.4"', '"3.2"', "runtime_version not supported"),
        ("a machine that Spark lacks", "standard_e4s_v3", "standard_d4s_v3", "instance_type serverless Spark"),
        ("an unknown task", "ml_task: regression", "ml_task: regresion", "ml_task 'regresion'"),
        (
            "a deployment that no file defines",
            "azureml:online-endpoint:blue",
            "azureml:online-endpoint:teal",
            "endpoint_deployment_id no file",
        ),
        ("a collection that no deployment has", "point-model_inputs", "point-model_input", "input_data.path no file"),
        (
            "an unknown notification",
            "alert_notification: azmonitoring",
            "alert_notification: pager",
            "alert_notification",
        ),
        (
            "a bad address",
            "alert_notification: azmonitoring",
            "alert_notification: {emails: [me]}",
            "emails[0] no mail address",
        ),
        ("a bad cron text of a monitor", "0 6 * * *", "61 6 * * *", "trigger.expression no minute"),
    ],
    "registry.yml": [
        (
            "a registry that lacks its own place",
            "  - location: westeurope",
            "  - location: northeurope",
            "replication_locations own location",
        ),
        ("an unknown kind of storage", "standard_lrs", "standard", "storage_account_type 'standard'"),
        ("no location", "\nlocation: westeurope", "", "location missing"),
    ],
    "compute.yml": [
        ("fewer nodes at most than at least", "min_instances: 0", "min_instances: 5", "min_instances greater"),
        ("an unknown tier", "min_instances: 0", "tier: spot", "tier 'spot'"),
        ("an unknown key of a compute", "idle_time_before_scale_down", "idle_time", "idle_time unknown key"),
        ("a size that is none", "Standard_D4as_v4", "big", "size no size"),
        ("a compute of no size", "size: Standard_D4as_v4\n", "", "size missing"),
        ("a bad name of a compute", "name: cpu-cluster", "name: cpu_cluster", "name no name"),
    ],
    "job.yml": [
        ("an unknown input of a job's command", "${{inputs.schema}}", "${{inputs.nope}}", "command no input 'nope'"),
        ("a job's missing data", "path: ../../data/raw", "path: ../../data/none", "inputs.raw.path no such file"),
        ("a job's missing code", "code: ../../data-science/src", "code: ../nowhere", "code no such folder"),
        (
            "an unknown key of a job's resources",
            "compute:",
            "resources: {instances: 1}\ncompute:",
            "resources.instances unknown key",
        ),
    ],
    "sweep.yml": [
        (
            "an unknown search space",
            "${{search_space.rate}}",
            "${{search_space.rates}}",
            "trial.command search_space 'rates'",
        ),
        ("a parameter that is never used", "sampling_algorithm: random", "inputs2: 1", "inputs2 unknown key"),
        ("an unknown sampling", "sampling_algorithm: random", "sampling_algorithm: guess", "sampling_algorithm"),
        (
            "an empty search space",
            "min_value: 0.01, max_value: 0.9",
            "min_value: 0.9, max_value: 0.01",
            "search_space.rate not less",
        ),
        (
            "more trials at once than in all",
            "max_concurrent_trials: 2",
            "max_concurrent_trials: 9",
            "limits.max_concurrent_trials more than",
        ),
        ("an unknown goal", "goal: minimize", "goal: least", "objective.goal 'least'"),
        ("a missing script of a sweep", "fit.py", "fits.py", "no script fits.py"),
    ],
    "parallel.yml": [
        (
            "rows appended to no output",
            "append_row_to: ${{outputs.scores}}",
            "append_row_to: ${{outputs.rows}}",
            "task.append_row_to no output 'rows'",
        ),
        (
            "an unknown input of a parallel step",
            "input_data: ${{inputs.data}}",
            "input_data: ${{inputs.rows}}",
            "input_data no input 'rows'",
        ),
        ("an unknown kind of parallel task", "type: run_function", "type: run_functions", "task.type"),
        ("a missing entry script", "entry_script: fit.py", "entry_script: fits.py", "task.entry_script no script"),
        ("a size that is no size", 'mini_batch_size: "10"', "mini_batch_size: ten", "mini_batch_size"),
    ],
}
"""Errors by file: a name, the text that changes, what it becomes, and words that the answer must hold."""

DISTRIBUTED = {
    "pipeline.yml": [
        (
            "no process",
            "instance: 1",
            "instance: 0",
            "jobs.train.distribution.process_count_per_instance 0 less than 1",
        ),
        (
            "a missing number of processes",
            "      process_count_per_instance: 1\n",
            "",
            "jobs.train.distribution.process_count_per_instance missing: one per GPU",
        ),
        (
            "a missing number of nodes",
            "    resources:\n      instance_count: 1\n",
            "",
            "jobs.train.resources.instance_count missing: the number of nodes",
        ),
        ("no node", "instance_count: 1", "instance_count: 0", "jobs.train.resources.instance_count 0 less than 1"),
        ("an unknown distribution", "type: pytorch", "type: torch", "jobs.train.distribution.type 'torch'"),
        (
            "a misspelt key of a distribution",
            "process_count_per_instance",
            "process_count",
            "jobs.train.distribution.process_count unknown key",
        ),
        (
            "an unknown cluster",
            "    compute: azureml:cpu",
            "    compute: azureml:gpu",
            "jobs.train.compute gpu-cluster",
        ),
        (
            "checkpoints that are uploaded at the end",
            "rw_mount",
            "upload",
            "jobs.train.outputs.checkpoints written when the step ends rw_mount",
        ),
        ("an unknown mode of an output", "rw_mount", "rw_mont", "jobs.train.outputs.checkpoints 'rw_mont'"),
        (
            "an output that the component lacks",
            "      checkpoints:",
            "      checkpoint:",
            'jobs.train.outputs.checkpoint no output "checkpoint" mean "checkpoints"',
        ),
    ],
    "components/train.yml": [
        ("an unknown option", "--checkpoints $", "--checkpoint $", "command train.py no option --checkpoint"),
        ("an unused output", "  --checkpoints ${{outputs.checkpoints}}\n", "", "outputs.checkpoints never writes"),
        (
            "a component of no process",
            "is_deterministic: true",
            "is_deterministic: true\nresources: {instance_count: 1}\n"
            "distribution: {type: pytorch, process_count_per_instance: 0}",
            "distribution.process_count_per_instance 0 less than 1",
        ),
        (
            "a component of an unknown number of nodes",
            "is_deterministic: true",
            "is_deterministic: true\ndistribution: {type: pytorch, process_count_per_instance: 2}",
            "resources.instance_count missing: the number of nodes",
        ),
    ],
    "online/deployment.yml": [
        (
            "variables by another name",
            "environment_variables:",
            "environment_variable:",
            'environment_variable unknown key mean "environment_variables"',
        ),
    ],
}
"""More of them where a training is distributed."""

SEEDS["batch/deployment.yml"] += [
    (
        "variables that are dropped",
        "settings:\n",
        "environment_variables: {A: b}\nsettings:\n",
        "environment_variables move it to settings.environment_variables",
    ),
    (
        "variables by another name",
        "  environment_variables:",
        "  environment_variable:",
        'settings.environment_variable unknown key mean "environment_variables"',
    ),
]
SEEDS = {file: seeds + (DISTRIBUTED.get(file, []) if TORCH else []) for file, seeds in SEEDS.items()}
