"""A stand-in for the Azure CLI: run as a program it answers as `az` does; imported it is what tests steer it with.

It keeps its "Azure" as JSON, writes each command line to a log, refuses what the real commands refuse (unknown
options, a second endpoint of a name, traffic to a missing deployment, ...), and fails where a test wants it.
As a program it uses the standard library alone, so that it starts fast.
"""

import json
import re
import sys
from collections.abc import Container, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

TABLE = json.loads((Path(__file__).parent / "az_ml_commands.json").read_text(encoding="utf-8"))
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
EMPTY: dict[str, Any] = {
    "data": {},  # name: versions
    "datastores": {"workspaceblobstore": {"account_name": "stdev", "container_name": "azureml-blobstore"}},
    "files": {},  # "account/container/path": {"size": ..., "etag": ...}
    "jobs": {},  # name: {"status": ..., "set": {...}}
    "runs": {},  # of the monitor, as `monitor_run` makes them
    "models": {},  # version: tags
    "registries": {},  # name: {version: tags}
    "online": None,  # {"traffic": {...}, "deployments": {name: {"model": ..., "tags": {...}}}, "set": {...}}
    "batch": None,  # {"default": name, "deployments": {name: {"model": ...}}}
    "schedules": {},  # name: {"enabled": ..., "set": {...}, "file": ...}
    "failures": [],  # {"words": ..., "message": ..., "after": ...}
    "answers": {},  # deployment: what it predicts for every row
    "prediction": 5.0,
    "callers": {},  # deployment: what `metric` takes
    "next_status": "Completed",
    "registration": {},
    "evaluation": {},  # what the step of this name writes, if it does
    "search": {},  # what the best trial of a search writes
    "copies": {},  # where the files of a downloaded model come from: registry name (or ""): folder
    "created": {},  # version in the registry that did not come from the workspace: {file: content}
    "closed": False,  # whether the storage of the workspace has its public access off
}


class RefusedError(Exception):
    """The command fails with this message."""


class Memory:
    """Where the state is, as JSON, and the log, with a command line in each of its lines; no other process sees it."""

    def __init__(self) -> None:
        """Begin with an empty log."""
        self._state, self._log = "", list[str]()

    def read(self) -> str:
        """Return the state."""
        return self._state

    def write(self, state: str) -> None:
        """Put another state in its place."""
        self._state = state

    def add_line(self, line: str) -> None:
        """Add a line to the log."""
        self._log.append(line)

    def lines(self) -> list[str]:
        """Return the lines of the log."""
        return self._log


class Files(Memory):
    """The same in files, which the programs share."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the files."""
        self._files = folder / "state.json", folder / "log.jsonl"

    def read(self) -> str:
        """Return the state."""
        return self._files[0].read_text(encoding="utf-8")

    def write(self, state: str) -> None:
        """Put another state in its place."""
        self._files[0].write_text(state, encoding="utf-8")

    def add_line(self, line: str) -> None:
        """Add a line to the log."""
        with self._files[1].open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def lines(self) -> list[str]:
        """Return the lines of the log."""
        return self._files[1].read_text(encoding="utf-8").splitlines() if self._files[1].exists() else []


class FakeAzure:
    """A test's view of the fake: its state, its log, and where it should fail."""

    def __init__(self, folder: Path, place: Memory) -> None:
        """Put programs named az (and az.cmd for Windows) into `folder`; they see its `Files` alone."""
        self.place = place
        self.state = json.loads(json.dumps(EMPTY))
        self.save()
        launcher = folder / "az"
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" "$0" "$@"\n', encoding="utf-8")
        launcher.chmod(0o755)
        windows = f'@"{sys.executable}" -I -S "{__file__}" "%~dp0az" %*\r\n'
        (folder / "az.cmd").write_text(windows, encoding="utf-8", newline="")

    def save(self) -> None:
        """Write what the test has changed in `state`."""
        self.place.write(json.dumps(self.state))

    def load(self) -> dict[str, Any]:
        """Read the state as the last command left it."""
        self.state = json.loads(self.place.read())
        return self.state

    def fail(self, words: str, message: str = "(Conflict) not now", *, after: bool = False) -> None:
        """Fail each command line that contains `words`; with `after` only when its work is done."""
        self.load()["failures"].append({"words": words, "message": message, "after": after})
        self.save()

    def works_again(self) -> None:
        """Forget all failures."""
        self.load()["failures"] = []
        self.save()

    def execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        """Do what `mlops.shell.execute` does with this az, but without a new process, which is much faster."""
        code, output, errors = respond(["az", *command[1:]], self.place)
        if not captured:
            print(output, end="")
        return code, output, errors

    @property
    def log(self) -> list[list[str]]:
        """The command lines so far."""
        return [json.loads(line) for line in self.place.lines()]

    def ran(self, words: str) -> list[list[str]]:
        """The command lines that contain `words`."""
        return [line for line in self.log if words in " ".join(line)]


def mistakes(line: list[str]) -> list[str]:
    """Return what is wrong with a command line according to the table of commands."""
    name = command_in(TABLE, line)
    if name is None:
        return [f"'{' '.join(line[1:4])}' is misspelled or not recognized by the system."]
    entry, given = TABLE[name], options(line[len(name.split()) :])
    wrong = [f"unrecognized arguments: {option}" for option in given if option not in entry["options"]]
    wrong += [f"the following arguments are required: {option}" for option in entry["required"] if option not in given]
    for option, values in given.items():
        flag, several = option in entry.get("flags", []), option in entry.get("several", [])
        if (flag and values) or (not flag and not values) or (len(values) > 1 and not several):
            wrong.append(f"argument {option}: unexpected number of values: {values}")
    return wrong


def command_in(table: Container[str], line: list[str]) -> str | None:
    """Return the name of the command that a line begins with, if a table has it; none is the beginning of another."""
    names = (" ".join(line[:length]) for length in range(1, 6))
    return next((name for name in names if name in table), None)


def options(words: list[str]) -> dict[str, list[str]]:
    """Return the values of each option; words before the first option count as values of ""."""
    found: dict[str, list[str]] = {}
    current = ""
    for word in words:
        if word.startswith("--"):
            current = word
            found[current] = []
        else:
            found.setdefault(current, []).append(word)
    return found


def files_in(folder: Path) -> dict[str, str]:
    """Return the content of the files in a folder, as text that JSON can hold."""
    return {file.name: file.read_text(encoding="latin-1") for file in folder.iterdir()}


def require(condition: object, message: str) -> None:
    """Refuse the command with a message unless a condition holds."""
    if not condition:
        raise RefusedError(message)


DIMENSIONS = {
    "RequestsPerMinute": ("deployment", "statusCode", "statusCodeClass", "modelStatusCode"),
    "RequestLatency_P95": ("deployment",),
}
"""The metrics of an online endpoint that are faked, with their dimensions."""


def metric(callers: Mapping[str, Any], name: str, series: str, start: str, end: str, top: str | None) -> dict[str, Any]:
    """Return what Azure Monitor answers to a query in minutes; refuse one that it would refuse.

    `callers` has for each deployment how many requests of each status code it answers in a minute ("424 400": the
    endpoint answers 424 and the model 400), its latency, and after how many minutes Azure Monitor learns of a minute.
    """
    require(name in DIMENSIONS, f"(BadRequest) Failed to find metric configuration for {name}")
    wanted = dict(re.findall(r"(\w+) eq '([^']*)'", series))
    require(" and ".join(f"{key} eq '{value}'" for key, value in wanted.items()) == series, "(BadRequest) bad filter")
    require(set(wanted) <= set(DIMENSIONS[name]), f"(BadRequest) {name} does not have a dimension of {series}")
    times = [datetime.fromisoformat(time.replace("Z", "+00:00")) for time in (start, end)]
    require(times[0] + timedelta(minutes=1) <= times[1], "(BadRequest) The time span is shorter than the interval")
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for deployment, calls in callers.items():
        minute = times[0].replace(second=0)
        while minute < times[1]:
            known = minute + timedelta(minutes=1 + calls["late"]) <= times[1]
            for code, number in calls["codes"].items() if name == "RequestsPerMinute" else [("", calls["latency"])]:
                status, _, of_model = code.partition(" ")
                labels = {"deployment": deployment, "statusCode": status, "modelStatusCode": of_model or status}
                if number is not None and all(value in ("*", labels[key]) for key, value in wanted.items()):
                    split = tuple(f"{key.lower()}={labels[key]}" for key, value in wanted.items())
                    points = found.setdefault(split, {})
                    points.setdefault(f"{minute:%Y-%m-%dT%H:%M:%SZ}", 0.0)
                    points[f"{minute:%Y-%m-%dT%H:%M:%SZ}"] += number if known else 0.0
            minute += timedelta(minutes=1)
    shown = [
        {
            "metadatavalues": [
                {"name": {"value": key}, "value": value} for key, value in (x.split("=") for x in split)
            ],
            # A minute of which nothing is known is there without a value.
            "data": [{"timeStamp": time, **({"average": value} if value else {})} for time, value in points.items()],
        }
        for split, points in found.items()
    ]
    return {"value": [{"name": {"value": name}, "timeseries": shown[: int(top or 10)]}]}


class Commands:
    """One method for each command, named after it; returns what `--output json` prints."""

    def __init__(self, state: dict[str, Any], given: dict[str, list[str]]) -> None:
        """Take the state to change and the options of one command line."""
        self.state = state
        self.given = given
        self.name = self.option("--name")
        self.set = dict(pair.split("=", 1) for pair in given.get("--set", []))
        if "--file" in given:
            require(Path(self.option("--file")).is_file(), f"No such file or directory: {self.option('--file')}")

    def option(self, key: str) -> str:
        """Return an option's value, "" when it was not given."""
        return self.given.get(key, [""])[0]

    def models(self) -> dict[str, dict[str, str]]:
        """Return the models of the workspace, or those of the registry that the command names."""
        registry = self.option("--registry-name")
        require(not registry or registry in self.state["registries"], f"(RegistryNotFound) {registry}")
        return self.state["registries"][registry] if registry else self.state["models"]

    def account_show(self) -> object:
        return {"id": SUBSCRIPTION, "name": "A subscription"}

    def identity_show(self) -> object:
        return {"name": self.name, "clientId": f"client-of-{self.name}"}

    def data_list(self) -> object:
        if not self.name:
            return [{"name": name, "latest_version": versions[-1]} for name, versions in self.state["data"].items()]
        require(self.name in self.state["data"], f"(UserError) Could not find asset with name {self.name}")
        return [{"name": self.name, "version": version} for version in self.state["data"][self.name]]

    def data_create(self) -> object:
        versions = self.state["data"].setdefault(self.name, [])
        require(self.option("--version") not in versions, "(UserError) this version exists")
        versions.append(self.option("--version"))
        return None

    def datastore_show(self) -> object:
        require(self.name in self.state["datastores"], f"(UserError) Datastore {self.name} was not found")
        return self.state["datastores"][self.name]

    def storage_blob_list(self) -> object:
        # What is printed is what the query of the one caller asks for.
        require(self.option("--query") == "[].[name, properties.contentLength, properties.etag]", "another query")
        require(self.option("--auth-mode") == "login", "The storage account has no keys: use --auth-mode login")
        require(self.option("--num-results") == "*", "only the first 5000 would be printed")
        start = f"{self.option('--account-name')}/{self.option('--container-name')}/"
        found = {key.removeprefix(start): file for key, file in self.state["files"].items() if key.startswith(start)}
        prefix = self.option("--prefix")
        return [[name, file["size"], file["etag"]] for name, file in found.items() if name.startswith(prefix)]

    def job_create(self) -> object:
        require(self.name not in self.state["jobs"], "(UserError) A job with this name already exists.")
        self.state["jobs"][self.name] = {"status": "Running", "set": self.set, "file": self.option("--file")}
        return None

    def job_stream(self) -> object:
        print(f"RunId: {self.name}")
        self.state["jobs"][self.name]["status"] = self.state["next_status"]
        require(self.state["next_status"] == "Completed", "Exception : the job failed")
        return None

    def job_list(self) -> object:
        # What is printed is what the query of the one caller asks for.
        keys = ("name", "display_name", "status", "tags", "properties", "created", "studio")
        places = {"created": "creation_context.created_at", "studio": "services.Studio.endpoint"}
        query = ", ".join(f"{key}: {places.get(key, key)}" for key in keys)
        require(self.option("--query") == f"[].{{{query}}}", "another query")
        parent, most = self.option("--parent-job-name"), int(self.option("--max-results") or 50)
        runs = self.state["runs"]
        if parent:
            require(parent in runs, f"(UserError) Could not find job {parent}")
            return [dict(runs[name], name=name) for name in runs[parent]["children"]][:most]
        started = {"created": "2025-12-01T00:00:00Z", "display_name": None, "tags": {}, "properties": {}}
        jobs = [{**started, "name": name, "status": job["status"]} for name, job in self.state["jobs"].items()]
        # Only those without a parent, the newest first.
        return [*(dict(run, name=name) for name, run in runs.items() if not run["parent"]), *jobs][:most]

    def job_show(self) -> object:
        require(self.name in self.state["jobs"], f"(UserError) Could not find job with name {self.name}.")
        status = self.state["jobs"][self.name]["status"]
        studio = {"endpoint": f"https://ml.example.com/runs/{self.name}"}
        return {"name": self.name, "status": status, "services": {"Studio": studio}}

    def job_download(self) -> object:
        folder = Path(self.option("--download-path")) / "named-outputs" / self.option("--output-name")
        output = self.option("--output-name")
        writes = ["search"] if "tuning" in self.state["jobs"][self.name]["file"] else ["registration", "evaluation"]
        require(output in writes and self.state[output], f"(UserError) The job has no output {output}.")
        folder.mkdir(parents=True)
        name = {"evaluation": "metrics"}.get(output, output)
        (folder / f"{name}.json").write_text(json.dumps(self.state[output]), encoding="utf-8")
        return None

    def model_list(self) -> object:
        models = self.models()
        if not self.name:
            return [{"name": "a-model"}] if models else []
        require(models, f"(UserError) Could not find asset with name {self.name}")
        return [{"name": self.name, "version": version, "tags": tags} for version, tags in models.items()]

    def model_update(self) -> object:
        models = self.models()
        require(self.option("--version") in models, "(UserError) no such version")
        tags = {key.removeprefix("tags."): value for key, value in self.set.items()}
        models[self.option("--version")].update(tags)
        return None

    def model_create(self) -> object:
        version, folder = self.option("--version"), Path(self.option("--path"))
        require(version not in self.models(), "A model with this name and version already exists in registry")
        require((folder / "MLmodel").is_file(), "(ValidationError) there is no MLmodel file in the folder")
        self.models()[version] = {}
        self.state["created"][version] = files_in(folder)
        return None

    def model_share(self) -> object:
        version, registry = self.option("--version"), self.models()
        require(version in self.state["models"], "(UserError) no such version")
        # What Azure says then is written nowhere, so no code may depend on it.
        require(not self.state["closed"], "(UserError) the storage account is closed")
        require(version not in registry, "A model with this name and version already exists in registry")
        registry[version] = {}
        return None

    def model_download(self) -> object:
        version, registry, copies = self.option("--version"), self.option("--registry-name"), self.state["copies"]
        require(version in self.models(), "(UserError) no such version")
        files = files_in(Path(copies.get(registry, copies[""])))
        if registry and registry not in copies:
            files = self.state["created"].get(version, files)
        target = Path(self.option("--download-path")) / self.name / "model"
        target.mkdir(parents=True)
        for name, content in files.items():
            (target / name).write_text(content, encoding="latin-1")
        return None

    def registry_list(self) -> object:
        return [{"name": name} for name in self.state["registries"]]

    def registry_create(self) -> object:
        self.state["registries"][self.name] = {}
        return None

    def online_endpoint_list(self) -> object:
        endpoint = self.state["online"]
        if endpoint is None:
            return []
        address = f"https://{endpoint['name']}.westeurope.inference.ml.azure.com/score"
        return [{"name": endpoint["name"], "traffic": endpoint["traffic"], "scoring_uri": address}]

    def online_endpoint_create(self) -> object:
        require(self.state["online"] is None, "(UserError) An endpoint with this name already exists.")
        self.state["online"] = {"name": self.name, "traffic": {}, "deployments": {}, "set": self.set}
        return None

    def online_endpoint_delete(self) -> object:
        require(self.state["online"], "Online endpoint does not exist.")
        self.state["online"] = None
        return None

    def online_endpoint_update(self) -> object:
        pairs = [pair.split("=") for pair in self.option("--traffic").split(" ")]
        traffic = {name: int(share) for name, share in pairs}
        require(sum(traffic.values()) in (0, 100), "(BadRequest) Traffic values must sum to 0 or 100")
        unknown = traffic.keys() - self.state["online"]["deployments"].keys()
        require(not unknown, f"(BadRequest) There is no deployment {unknown}")
        self.state["online"]["traffic"] = traffic
        return None

    def online_endpoint_invoke(self) -> object:
        request = json.loads(Path(self.option("--request-file")).read_text(encoding="utf-8"))
        deployment = self.option("--deployment-name") or max(
            self.state["online"]["traffic"], key=lambda name: self.state["online"]["traffic"][name]
        )
        require(deployment in self.state["online"]["deployments"], "(UserError) no such deployment")
        value = self.state["answers"].get(deployment, self.state["prediction"])
        return json.dumps({"predictions": [value] * len(request["input_data"]["data"])})

    def online_deployment_list(self) -> object:
        deployments = self.state["online"]["deployments"]
        # As in Azure, without the tags.
        return [{"name": name, "model": content["model"]} for name, content in deployments.items()]

    def online_deployment_show(self) -> object:
        return {"name": self.name, **self.state["online"]["deployments"][self.name]}

    def online_deployment_create(self) -> object:
        deployments = self.state["online"]["deployments"]
        require(self.name not in deployments, "(UserError) A deployment with this name already exists.")
        tags = {key.removeprefix("tags."): value for key, value in self.set.items() if key.startswith("tags.")}
        version = self.set["model"].replace("/", ":").rsplit(":", 1)[-1]
        model = f"azureml:/subscriptions/{SUBSCRIPTION}/models/a-model/versions/{version}"
        deployments[self.name] = {"model": model, "tags": tags, "set": self.set}
        return None

    def online_deployment_delete(self) -> object:
        online = self.state["online"]
        require(self.name in online["deployments"], "(UserError) no such deployment")
        require(not online["traffic"].get(self.name), "(BadRequest) A deployment with traffic cannot be deleted")
        del online["deployments"][self.name]
        online["traffic"].pop(self.name, None)
        return None

    def online_deployment_get_logs(self) -> object:
        print(f"log of {self.name}")
        return None

    def monitor_metrics_list(self) -> object:
        endpoint = self.state["online"]
        require(endpoint and self.option("--resource").endswith(f"/onlineEndpoints/{endpoint['name']}"), "(NotFound)")
        require(self.option("--aggregation") == "Average", "(BadRequest) Only aggregation Average is supported")
        require(self.option("--interval") == "PT1M", "another interval")
        times = (self.option("--start-time"), self.option("--end-time"))
        top = self.option("--top")
        return metric(self.state["callers"], self.option("--metrics"), self.option("--filter"), *times, top)

    def batch_endpoint_list(self) -> object:
        endpoint = self.state["batch"]
        return [{"name": endpoint["name"], "deployment_name": endpoint["default"]}] if endpoint else []

    def batch_endpoint_create(self) -> object:
        self.state["batch"] = {"name": self.name, "default": None, "deployments": {}}
        return None

    def batch_endpoint_delete(self) -> object:
        self.state["batch"] = None
        return None

    def batch_deployment_list(self) -> object:
        return [{"name": name, **content} for name, content in self.state["batch"]["deployments"].items()]

    def batch_deployment_create(self) -> object:
        self.state["batch"]["deployments"][self.name] = {"model": self.set["model"], "set": self.set}
        if "--set-default" in self.given:
            self.state["batch"]["default"] = self.name
        return None

    def batch_deployment_delete(self) -> object:
        require(self.name != self.state["batch"]["default"], "(BadRequest) The default deployment cannot be deleted")
        del self.state["batch"]["deployments"][self.name]
        return None

    def schedule_list(self) -> object:
        return [{"name": name, "is_enabled": content["enabled"]} for name, content in self.state["schedules"].items()]

    def schedule_create(self) -> object:
        enabled = self.state["schedules"].get(self.name, {}).get("enabled", True)
        file = Path(self.option("--file")).read_text(encoding="utf-8")
        self.state["schedules"][self.name] = {"enabled": enabled, "set": self.set, "file": file}
        return None

    def schedule_enable(self) -> object:
        self.state["schedules"][self.name]["enabled"] = True
        return None

    def schedule_disable(self) -> object:
        self.state["schedules"][self.name]["enabled"] = False
        return None

    def schedule_delete(self) -> object:
        require(not self.state["schedules"][self.name]["enabled"], "(BadRequest) An enabled schedule cannot be deleted")
        del self.state["schedules"][self.name]
        return None


def answer(line: list[str], place: Memory) -> object:
    """Carry a command line out and return what it prints as JSON; raise RefusedError as az fails."""
    state = json.loads(place.read())
    failure = next((failure for failure in state["failures"] if failure["words"] in " ".join(line)), None)
    if failure and not failure["after"]:
        raise RefusedError(failure["message"])
    if wrong := mistakes(line):
        raise RefusedError(wrong[0])
    name = command_in(TABLE, line)
    assert name  # or it would be a mistake
    words = [word for word in name.split()[1:] if word != "ml"]
    command = getattr(Commands(state, options(line[len(name.split()) :])), "_".join(words).replace("-", "_"))
    try:
        result = command()
    finally:
        place.write(json.dumps(state))
    if failure:
        raise RefusedError(failure["message"])
    return result


def respond(line: list[str], place: Memory) -> tuple[int, str, str]:
    """Log a command line, carry it out, and return exit code, output and error stream."""
    place.add_line(json.dumps(line))
    try:
        result = answer(line, place)
    except RefusedError as refusal:
        return 1, "", f"ERROR: {refusal}\n"
    shown = result is not None and line[-2:] == ["--output", "json"]
    return 0, f"{json.dumps(result)}\n" if shown else "", ""


def main() -> None:
    """Be az: the first argument is where the program lies, the others are those of the command line."""
    code, output, errors = respond(["az", *sys.argv[2:]], Files(Path(sys.argv[1]).parent))
    print(output, end="")
    print(errors, end="", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
