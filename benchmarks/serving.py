"""How fast does a project's endpoint answer on this machine, beside plain FastAPI and MLflow's own server?

    uv run --project <project folder> python benchmarks/serving.py <project folder> [--rounds N]

All serve the champion of the project's local registry, each in processes of its own, and answer the same rows: `mlops
serve` raw ones, which it checks and converts as in Azure, the others those that the model takes. FastAPI is a function
of three lines behind uvicorn. They are asked in turns by 1, 16 and 200 clients at once. Each keeps its connection where
the server does, and sends the next request when it has the answer. A lost request or another answer is an error.

`processor` is the time of a server's processes for one request, which a busy machine changes least; the clients run on
the same machine, so two workers are worth it where there is a processor to spare. With one round there are 1 and 16
clients and a few requests, which shows that it runs, and no server has two workers.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

REQUESTS, FEWER = {1: 60, 16: 240, 200: 400}, {1: 3, 16: 16}
"""How many, by the number of clients."""
ROWS = 3
START = 120
FASTAPI = """
import sys
import fastapi, mlflow, pandas, uvicorn

model, app = mlflow.pyfunc.load_model(sys.argv[1]), fastapi.FastAPI()

@app.post("/score")
def score(body: dict) -> dict:
    table = body["dataframe_split"]
    return {"predictions": model.predict(pandas.DataFrame(table["data"], columns=table["columns"])).tolist()}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
"""


class Server(NamedTuple):
    """A server that answers: its process, the path and the body of a request, and what the body is answered with."""

    process: subprocess.Popen[str]
    port: int
    path: str
    body: bytes


class Result(NamedTuple):
    """What some clients saw: seconds of each request, of all together, and of the server's processor for each."""

    latencies: list[float]
    seconds: float
    processor: float


def main() -> None:
    """Measure, and print the latency of a request and requests per second."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project with a registered model")
    arguments.add_argument("--rounds", type=int, default=3, help="turns of each server")
    options = arguments.parse_args()
    root = options.project.resolve()
    amounts = FEWER if options.rounds == 1 else REQUESTS
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers = start(root, Path(folder), stack, with_two_workers=options.rounds > 1)
        expected = {name: answer(server) for name, server in servers.items()}
        check_same(expected)
        print(f"{'clients':>7}  {'server':<22}{'p50':>9}{'p99':>9}{'processor':>11}{'requests/s':>12}")
        for clients, amount in amounts.items():
            results: dict[str, list[Result]] = {name: [] for name in servers}
            for _ in range(options.rounds):
                for name, server in servers.items():
                    results[name].append(measure(server, clients, amount, expected[name]))
            for name, turns in results.items():
                print(f"{clients:>7}  {name:<22}{line(turns)}", flush=True)


def start(root: Path, folder: Path, stack: contextlib.ExitStack, *, with_two_workers: bool) -> dict[str, Server]:
    """Start the servers, where possible beside each other, because each imports for seconds; wait until they answer."""
    raw, model, inputs = champion(root, folder)
    body = json.dumps({"dataframe_split": inputs}).encode()
    script = folder / "plain.py"
    script.write_text(FASTAPI, encoding="utf-8")
    ports = [free_port() for _ in range(4)]
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", model, "-p", ports[3]]
    ours, rows = [sys.executable, "-m", "mlops.cli", "serve", "--port"], json.dumps(raw).encode()
    commands: dict[str, tuple[list[object], int, str, bytes]] = {
        "FastAPI": ([sys.executable, script, model, ports[2]], ports[2], "/score", body),
        "mlflow models serve": (mlflow, ports[3], "/invocations", body),
        "mlops serve": ([*ours, ports[0], "--workers", 1], ports[0], "/score", rows),
        "mlops serve, 2 workers": ([*ours, ports[1], "--workers", 2], ports[1], "/score", rows),
    }
    if not with_two_workers:
        del commands["mlops serve, 2 workers"]
    servers = {}
    for name, (command, port, path, content) in commands.items():
        process = stack.enter_context(running(command, root, folder / f"{port}.log"))
        servers[name] = Server(process, port, path, content)
        if name.startswith("mlops serve"):
            wait_for(servers[name])  # two of one project that start at the same moment would copy the same champion
    for server in servers.values():
        wait_for(server)
    return servers


def champion(root: Path, folder: Path) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Return a request with raw rows, a copy of the champion, and the rows as it takes them."""
    import mlflow
    import pandas as pd

    from mlops import definitions
    from mlops.local import serving
    from mlops.project import Project

    sys.path.insert(0, str(root / "data-science" / "src"))
    project = Project.load(root)
    with serving.Endpoint(project) as endpoint:
        (model,) = (path.parent for path in endpoint.champion.folder.rglob("MLmodel"))
        copy = shutil.copytree(model, folder / "model")
        request = serving.sample_request(project, definitions.of(project).pipeline(), rows=ROWS)
    loaded = mlflow.models.Model.load(str(copy))
    conversion = project.module("conversion")
    table = pd.DataFrame(request["input_data"]["data"], columns=request["input_data"]["columns"], dtype=object)
    typed = conversion.convert(table, (loaded.metadata or {})[conversion.METADATA])
    inputs = typed[loaded.get_input_schema().input_names()]
    return request, str(copy), json.loads(inputs.to_json(orient="split", index=False))


def free_port() -> int:
    """Return a port that no one listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[object], root: Path, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a server in a process group of its own, and end all of that afterwards."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow looks for uvicorn there
    variables = {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    words = [str(word) for word in command]
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            words, cwd=root, env=variables, stdout=out, stderr=out, text=True, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def wait_for(server: Server) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + START
    while True:
        with contextlib.suppress(OSError):
            answer(server)
            return
        if server.process.poll() is not None or time.monotonic() > end:
            sys.exit(f"does not answer: {server.process.args!r}")
        time.sleep(0.2)


def answer(server: Server) -> bytes:
    """Return what a server answers."""
    url = f"http://127.0.0.1:{server.port}{server.path}"
    request = urllib.request.Request(url, server.body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=START) as found:
        return bytes(found.read())


def check_same(answers: dict[str, bytes]) -> None:
    """End the benchmark if the servers predict something else than each other."""
    values = {name: json.loads(each)["predictions"] for name, each in answers.items()}
    if len({json.dumps(each) for each in values.values()}) > 1:
        sys.exit(f"the servers' answers differ: {values}")


def measure(server: Server, clients: int, amount: int, expected: bytes) -> Result:
    """Let so many clients share so many requests."""
    before, started = processor(server), time.perf_counter()
    latencies = asyncio.run(ask(server, clients, amount, expected))
    seconds = time.perf_counter() - started
    return Result(latencies, seconds, (processor(server) - before) / amount)


async def ask(server: Server, clients: int, amount: int, expected: bytes) -> list[float]:
    """Return the seconds of each request."""
    head = (
        f"POST {server.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(server.body)}\r\n\r\n"
    ).encode()
    left = iter(range(amount))
    latencies: list[float] = []

    async def client() -> None:
        writer = None
        for _ in left:
            started = time.perf_counter()
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head + server.body)
            headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = re.search(r"content-length: (\d+)", headers)
            body = await (reader.readexactly(int(length[1])) if length else reader.read())
            latencies.append(time.perf_counter() - started)
            if " 200 " not in headers.splitlines()[0] or body != expected:
                sys.exit(f"another answer: {headers} {body!r}")
            if "connection: close" in headers or not length:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def processor(server: Server) -> float:
    """Seconds of the processor that a server's processes have taken so far; NaN where the system does not tell."""
    total, tick = 0.0, os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == server.process.pid:  # the session
                total += (int(fields[11]) + int(fields[12])) / tick
    return total or float("nan")


def line(turns: list[Result]) -> str:
    """Medians of the turns; the 99th percentile is that of all requests."""
    every = sorted(latency for turn in turns for latency in turn.latencies)
    middle, high = statistics.median(every), every[min(len(every) - 1, int(len(every) * 0.99))]
    rate = statistics.median(len(turn.latencies) / turn.seconds for turn in turns)
    spent = statistics.median(turn.processor for turn in turns)
    return f"{middle * 1000:>6,.0f} ms{high * 1000:>6,.0f} ms{spent * 1000:>8.1f} ms{rate:>12,.0f}"


if __name__ == "__main__":
    main()
