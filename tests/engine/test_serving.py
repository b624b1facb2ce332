"""The local endpoint: Azure ML's inference server with a registered model, on a project of a few lines."""

import builtins
import json
import multiprocessing
import os
import re
import shutil
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import mlflow
import pytest
import threadpoolctl
import yaml
from rendered import CORE_IMPORTS, HERE

from mlops.config import Project, load_environment
from mlops.errors import UserError
from mlops.local import front, serving
from mlops.local.runner import local_variables

SCORE = """
import json
import os
import time
from pathlib import Path

running = []

def init():
    global factor, folder
    folder = Path(os.environ["AZUREML_MODEL_DIR"])
    (model,) = folder.rglob("factor.txt")
    factor = float(model.read_text())
    print("loaded", factor)

def run(data):
    if isinstance(data, list):
        return [factor * float(Path(file).read_text()) for file in data]
    rows = json.loads(data)["input_data"]["data"]
    running.append(rows)
    time.sleep(0.001)
    assert running == [rows], "two at once"
    if rows == [["wait"]]:
        (folder / f"waiting {os.getpid()}").touch()
        while not (folder / "go on").exists():
            time.sleep(0.01)
        rows = [[1]]
    if rows == [["die"]] or (folder / "die").exists():
        os._exit(3)
    running.pop()
    return {"predictions": [factor * row[0] for row in rows]}
"""
ENDPOINT = """
from .champion import champion
from .step import StepError

def sample_request(modality, schema_path, folder, rows):
    assert schema_path.is_file() and folder.is_dir()
    return {"input_data": {"columns": ["x"], "index": list(range(rows)), "data": [[i] for i in range(rows)]}}
"""


PIPELINE = {
    "inputs": {
        "schema": {"type": "uri_file", "path": "../../data/schema.yml"},
        "raw_data": {"type": "uri_folder", "path": "../../data/raw"},
    }
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose model is one number: versions 1 to 11 are registered as 1 to 11, and 11 is rejected."""
    root = tmp_path_factory.mktemp("a project's folder")
    real = HERE
    project = replace(real, root=root, package="tiny_numbers")
    package = root / "data-science" / "src" / "tiny_numbers"
    for folder in (package, project.definitions, root / "data" / "raw", root / ".local"):
        folder.mkdir(parents=True)
    shutil.copytree(real.root / "config", root / "config")
    (package / "__init__.py").touch()
    shutil.copytree(real.root / "data-science" / "src" / real.package / "core", package / "core")
    for name in CORE_IMPORTS:
        shutil.copy(real.root / "data-science" / "src" / real.package / name, package / name)
    (package / "score.py").write_text(SCORE)
    (package / "modality.py").write_text("MODALITY = None\n")
    (package / "core" / "endpoint.py").write_text(ENDPOINT)
    (root / "data" / "schema.yml").touch()
    (project.definitions / "pipeline.yml").write_text(yaml.safe_dump(PIPELINE))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLOPS_LOCAL_DIR", raising=False)
        patch.syspath_prepend(package.parent)
        register_versions(project)
        yield project


def register_versions(project: Project) -> None:
    client = mlflow.MlflowClient(tracking_uri=local_variables(project)["MLFLOW_TRACKING_URI"])
    name = load_environment(project, "dev").model.name
    client.create_registered_model(name)
    for number in range(1, 12):
        folder = project.root / "models" / str(number)
        folder.mkdir(parents=True)
        (folder / "factor.txt").write_text(str(number))
        client.create_model_version(name, folder.as_uri())
    client.set_model_version_tag(name, "11", "rejected", "true")


def test_the_newest_version_that_was_not_rejected_answers_over_http(project: Project) -> None:
    before = (dict(os.environ), list(sys.path), builtins.print)
    with serving.Endpoint(project) as endpoint:
        assert (dict(os.environ), list(sys.path), builtins.print) == before
        assert endpoint.champion.version == 10
        assert endpoint.url.startswith("http://127.0.0.1:")
        assert endpoint.score({"input_data": {"data": [[1], [2.5]]}}) == {"predictions": [10.0, 25.0]}
        with urllib.request.urlopen(endpoint.url.removesuffix("score")) as answer:
            assert answer.read() == b"Healthy"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(endpoint.url)


def test_files_are_scored_by_the_same_script_and_model(project: Project, tmp_path: Path) -> None:
    (tmp_path / "three.txt").write_text("3")
    with serving.Endpoint(project) as endpoint:
        assert endpoint.score_files([tmp_path / "three.txt"]) == [30.0]


def test_the_server_is_quiet_and_keeps_a_log(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    with serving.Endpoint(project) as endpoint:
        endpoint.score({"input_data": {"data": [[1]]}})
    assert capfd.readouterr() == ("", "")
    log = endpoint.log.read_text(encoding="utf-8")
    assert "loaded 10.0" in log
    assert "POST /score 200" in log


def test_a_request_that_the_script_cannot_answer_is_an_error_with_the_log(project: Project) -> None:
    with (
        serving.Endpoint(project) as endpoint,
        pytest.raises(UserError, match=r"the endpoint answered 500: .* \(log: .*server.log\)"),
    ):
        endpoint.score({"something": "else"})
    assert "KeyError: 'input_data'" in endpoint.log.read_text(encoding="utf-8")


def test_serve_prints_a_request_that_can_be_sent_as_it_is(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    answers = []

    def call() -> None:
        printed = capsys.readouterr().out
        request, url = re.search(r'--data "@(.+)" (\S+)', printed).groups()  # type: ignore[union-attr]
        call = urllib.request.Request(url, Path(request).read_bytes(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(call) as answer:
            answers.append(json.load(answer))
        raise KeyboardInterrupt

    serving.serve(project, port=0, wait=call)
    assert answers == [{"predictions": [0.0, 10.0, 20.0]}]
    assert capsys.readouterr().out == "stopped\n"


CLIENTS = 200
T = TypeVar("T")


def eventually(find: Callable[[], T]) -> T:
    """What is found as soon as it is true; after a minute whatever it is."""
    end = time.monotonic() + 60
    while not (found := find()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def request_of(*rows: object) -> dict[str, object]:
    return {"input_data": {"data": [[row] for row in rows]}}


def connect(endpoint: serving.Endpoint) -> socket.socket:
    port = int(endpoint.url.removesuffix("/score").rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def message(body: bytes, *headers: str) -> bytes:
    """A request as a client writes it."""
    lines = ["POST /score HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_200_clients_at_once_get_each_their_own_answer_and_leave_nothing_behind(project: Project) -> None:
    """Twice, and one after the other in the script, which says so if two are in it."""
    start = threading.Barrier(CLIENTS)

    def ask(number: int) -> object:
        start.wait(60)
        return endpoint.score(request_of(number))

    limit = threading.active_count() + CLIENTS + 10
    with serving.Endpoint(project) as endpoint, ThreadPoolExecutor(CLIENTS) as clients:
        counts = []
        for _ in range(2):
            answers = list(clients.map(ask, range(CLIENTS)))
            assert answers == [{"predictions": [10.0 * number]} for number in range(CLIENTS)]
            eventually(lambda: threading.active_count() <= limit)
            counts.append(threading.active_count())
    assert max(counts) <= limit


def test_requests_are_answered_in_the_order_in_which_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a client, too, that sends its next one as soon as it has an answer."""
    here, go_on, answered, queue = threading.Semaphore(0), threading.Event(), [], front.InTurn()
    monkeypatch.setattr(front, "InTurn", lambda: queue)

    def app(environ: dict[str, str], start_response: Callable[..., object]) -> list[bytes]:
        if environ["PATH_INFO"] == "first":
            here.release()
            go_on.wait(60)
        answered.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b""]

    answer = front.one_worker(app)

    def first_client() -> None:
        for request in ("first", "first again"):
            answer({"PATH_INFO": request}, b"")

    with ThreadPoolExecutor(9) as clients:
        clients.submit(first_client)
        here.acquire()
        for number in range(8):
            clients.submit(answer, {"PATH_INFO": str(number)}, b"")
            assert eventually(lambda count=number + 1: len(queue._waiting) == count)
        go_on.set()
    assert answered == ["first", *map(str, range(8)), "first again"]


def test_a_slow_client_keeps_no_other_one_waiting(project: Project) -> None:
    body = json.dumps(request_of(7)).encode()
    whole = message(body, f"Content-Length: {len(body)}")
    with serving.Endpoint(project) as endpoint, connect(endpoint) as slow, connect(endpoint) as slower:
        slow.sendall(whole[:-5])
        slower.sendall(whole[:10])
        assert endpoint.score(request_of(1)) == {"predictions": [10.0]}
        slow.sendall(whole[-5:])
        assert b'{"predictions": [70.0]}' in read_all(slow)


def test_a_client_that_leaves_is_passed_over(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    whole = message(b"{}", "Content-Length: 9999")
    with serving.Endpoint(project) as endpoint:
        for part in (b"", whole[:10], whole):
            with connect(endpoint) as client:
                client.sendall(part)
        assert endpoint.score(request_of(1)) == {"predictions": [10.0]}
    assert capfd.readouterr() == ("", "")


def test_a_silent_client_is_given_up(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front._Handler, "timeout", 0.2)
    body = b"half"
    with serving.Endpoint(project) as endpoint, connect(endpoint) as silent, connect(endpoint) as half:
        half.sendall(message(body, "Content-Length: 99"))
        assert read_all(silent) == b""
        read_all(half)
        assert endpoint.score(request_of(1)) == {"predictions": [10.0]}


def test_a_body_in_chunks_is_answered_like_any_other(project: Project) -> None:
    body = json.dumps(request_of(3)).encode()
    parts = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:9], body[9:], b""))
    with serving.Endpoint(project) as endpoint, connect(endpoint) as client:
        client.sendall(message(parts, "Transfer-Encoding: chunked"))
        assert b'{"predictions": [30.0]}' in read_all(client)


@pytest.mark.parametrize("length", ["-1", "many", ""])
def test_a_length_that_is_none_is_answered_and_stops_nothing(project: Project, length: str) -> None:
    with serving.Endpoint(project) as endpoint:
        with connect(endpoint) as client:
            client.sendall(message(b"", f"Content-Length: {length}"))
            assert re.match(rb"HTTP/1.1 [45]\d\d ", read_all(client))
        assert endpoint.score(request_of(1)) == {"predictions": [10.0]}


def test_two_workers_answer_at_the_same_time_and_end_with_the_server(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(multiprocessing.active_children())
    with serving.Endpoint(project, workers=2) as endpoint, ThreadPoolExecutor(1) as clients:
        (started,) = {len(set(multiprocessing.active_children()) - before)}
        waits = clients.submit(endpoint.score, request_of("wait"))
        assert [endpoint.score(request_of(number)) for number in (1, 2)] == [
            {"predictions": [10.0]},
            {"predictions": [20.0]},
        ]
        assert not waits.done()
        (endpoint.champion.folder.parent / "go on").touch()
        assert waits.result(60) == {"predictions": [10.0]}
    assert started == 2
    assert set(multiprocessing.active_children()) <= before
    assert capfd.readouterr() == ("", "")
    assert endpoint.log.read_text(encoding="utf-8").count("loaded 10.0") == 2


def test_a_dead_worker_costs_no_request_and_a_new_one_takes_its_place(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(multiprocessing.active_children())
    with serving.Endpoint(project, workers=2) as endpoint, ThreadPoolExecutor(4) as clients:
        folder = endpoint.champion.folder.parent
        waits = clients.submit(endpoint.score, request_of("wait"))
        (mark,) = eventually(lambda: list(folder.glob("waiting *")))
        # The one that is about to answer: another one may die, and none is needed, before anyone notices.
        (busy,) = (each for each in multiprocessing.active_children() if each.pid == int(mark.name.split()[1]))
        busy.kill()
        answers = [clients.submit(endpoint.score, request_of(number)) for number in (1, 2, 3)]
        # What the dead worker, or the one that went with it, was about to answer is answered by another.
        (folder / "go on").touch()
        assert waits.result(60) == {"predictions": [10.0]}
        assert [answer.result(60)["predictions"] for answer in answers] == [[10.0], [20.0], [30.0]]
        assert eventually(lambda: len(set(multiprocessing.active_children()) - before) == 2)
        with pytest.raises(UserError, match=r"answered 503: .*two workers of the endpoint died of this request: send"):
            endpoint.score(request_of("die"))
        assert endpoint.score(request_of(4)) == {"predictions": [40.0]}
        assert eventually(lambda: len(set(multiprocessing.active_children()) - before) == 2)
    assert set(multiprocessing.active_children()) <= before
    line = "workers    a worker has died: 2 new ones take the place of all\n"
    assert capfd.readouterr() == (line * 3, "")


def test_a_request_that_its_worker_dies_of_takes_no_other_with_it(project: Project) -> None:
    with serving.Endpoint(project, workers=2) as endpoint, ThreadPoolExecutor(9) as clients:
        bad = clients.submit(endpoint.score, request_of("die"))
        answers = list(clients.map(endpoint.score, map(request_of, range(8))))
        assert [answer["predictions"] for answer in answers] == [[10.0 * number] for number in range(8)]
        with pytest.raises(UserError, match="two workers of the endpoint died of this request"):
            bad.result(60)


def test_a_request_that_two_workers_died_of_is_not_tried_again(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving.Endpoint(project, workers=2) as endpoint, ThreadPoolExecutor(6) as clients:
        refused = [clients.submit(endpoint.score, request_of("die")) for _ in range(4)]
        answers = [clients.submit(endpoint.score, request_of(number)) for number in (1, 2)]
        for each in [*refused, clients.submit(endpoint.score, request_of("die"))]:
            with pytest.raises(UserError, match="two workers of the endpoint died of this request: send fewer rows"):
                each.result(60)
        assert [answer.result(60)["predictions"] for answer in answers] == [[10.0], [20.0]]
    assert capfd.readouterr().out.count("a worker has died") == 2


class _Pool:
    """A pool whose workers end at the body b"die"."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken

    def submit(self, _function: object, _environ: object, body: bytes) -> Future[bytes]:
        if self.broken:
            raise BrokenExecutor
        self.broken = body == b"die"
        future = Future[bytes]()
        if self.broken:
            future.set_exception(BrokenExecutor())
        else:
            future.set_result(body)
        return future

    def shutdown(self, **_options: object) -> None:
        pass


def test_a_request_is_not_blamed_for_workers_that_another_one_killed_before_its_second_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = front._Workers(1, lambda: nullcontext(), lambda _: None)
    workers.pool = _Pool(broken=True)
    monkeypatch.setattr(workers, "start", lambda: setattr(workers, "pool", _Pool()))
    alone, there, over = workers._alone, threading.Event(), threading.Event()

    def die() -> None:
        with pytest.raises(BrokenExecutor):
            workers.answer({}, b"die")

    dying, waiting = threading.Thread(target=die), [threading.get_ident()]

    def alone_after_others() -> AbstractContextManager[None]:
        if threading.current_thread() is dying:
            there.set()
            over.wait(60)
        elif waiting:
            waiting.clear()
            assert workers.answer({}, b"another") == b"another"
            dying.start()
            there.wait(60)
        return alone()

    monkeypatch.setattr(workers, "_alone", alone_after_others)
    assert workers.answer({}, b"good") == b"good"
    over.set()
    dying.join()


def test_a_request_that_waited_while_workers_died_of_the_same_one_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = front._Workers(1, lambda: nullcontext(), lambda _: None)
    workers.pool, deaths = _Pool(), []
    monkeypatch.setattr(workers, "start", lambda: setattr(workers, "pool", _Pool()))
    monkeypatch.setattr(workers, "report", deaths.append)
    beside = workers._beside_others

    @contextmanager
    def beside_others_after_the_first_client() -> Iterator[None]:
        monkeypatch.setattr(workers, "_beside_others", beside)
        with pytest.raises(BrokenExecutor):
            workers.answer({}, b"die")
        with beside():
            yield

    monkeypatch.setattr(workers, "_beside_others", beside_others_after_the_first_client)
    with pytest.raises(BrokenExecutor):
        workers.answer({}, b"die")
    assert len(deaths) == 2


def test_a_request_that_two_workers_were_ended_at_by_something_else_is_answered_again_after_some_minutes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving.Endpoint(project, workers=2) as endpoint:
        cause = endpoint.champion.folder.parent / "die"
        cause.touch()
        with pytest.raises(UserError, match="two workers of the endpoint died of this request"):
            endpoint.score(request_of(5))
        cause.unlink()
        with pytest.raises(UserError, match="two workers of the endpoint died of this request"):
            endpoint.score(request_of(5))
        later = time.monotonic() + front.REFUSED_SECONDS
        monkeypatch.setattr(front, "time", SimpleNamespace(monotonic=lambda: later))
        assert endpoint.score(request_of(5)) == {"predictions": [50.0]}


def test_where_no_new_worker_can_start_it_is_not_tried_for_each_request(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def start(workers: object) -> None:
        tried.append(workers)
        raise UserError("no memory")

    with serving.Endpoint(project, workers=2) as endpoint, ThreadPoolExecutor(4) as clients:
        monkeypatch.setattr(front._Workers, "start", start)
        refused = [clients.submit(endpoint.score, request_of("die")) for _ in range(4)]
        for each in refused:
            with pytest.raises(UserError, match=r"answered 503: .*new workers cannot start: no memory"):
                each.result(60)
    assert len(tried) == 1


def test_workers_that_cannot_load_the_model_are_one_line_with_the_log(project: Project) -> None:
    script = project.root / "data-science" / "src" / "tiny_numbers" / "score.py"
    script.write_text(SCORE.replace("    global", "    raise OSError('no such model')\n    global"))
    try:
        with (
            pytest.raises(UserError, match=r"^score.py cannot serve the model: OSError: no such model \(log: .*log\)$"),
            serving.Endpoint(project, workers=2),
        ):
            pass
    finally:
        script.write_text(SCORE)


@pytest.mark.parametrize(("given", "expected"), [(None, 3), (1, 1)])
def test_serve_has_the_workers_of_the_configuration_unless_it_is_told_another_number(
    project: Project, monkeypatch: pytest.MonkeyPatch, given: int | None, expected: int
) -> None:
    file = project.root / "config" / "dev.yml"
    before = file.read_text(encoding="utf-8")
    document = yaml.safe_load(before)
    document["compute"]["online"]["workers"] = 3
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    asked = []

    def endpoint(*_: object, workers: int) -> None:
        asked.append(workers)
        raise UserError("enough")

    monkeypatch.setattr(serving, "Endpoint", endpoint)
    with pytest.raises(UserError, match="enough"):
        serving.serve(project, workers=given)
    file.write_text(before, encoding="utf-8")
    assert asked == [expected]


def test_a_worker_computes_in_one_thread_whatever_ran_in_this_process_before() -> None:
    pytest.importorskip("sklearn.utils._openmp_helpers")

    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"}

    def app(environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [])
        return [json.dumps(list(threads())).encode()]

    with threadpoolctl.threadpool_limits(4, user_api="openmp"):
        assert threads() == {4}
        assert front.one_worker(app)({}, b"")[2] == b"[1]"
        assert threads() == {4}


def test_a_port_in_use_is_one_line_with_the_remedy(project: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is in use or not allowed: choose another one"):
            serving.serve(project, port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_impossible_port_is_refused(project: Project, port: int) -> None:
    with pytest.raises(UserError, match="there is no port"):
        serving.serve(project, port)


def test_without_a_registered_model_the_remedy_is_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_LOCAL_DIR", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="run `uv run mlops local` first"):
        serving.serve(project, 0)
    assert not (tmp_path / "empty").exists()


def test_a_model_whose_files_are_gone_is_one_line_with_the_remedy(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "copy"
    shutil.copytree(project.root / ".local", local)
    monkeypatch.setenv("MLOPS_LOCAL_DIR", str(local))
    (project.root / "models").rename(project.root / "moved")
    try:
        with pytest.raises(UserError, match=r"cannot be read .* delete that folder and run `uv run mlops local`"):
            serving.serve(project, 0)
    finally:
        (project.root / "moved").rename(project.root / "models")


def test_a_script_that_cannot_load_the_model_is_one_line_with_the_log(project: Project) -> None:
    script = project.root / "data-science" / "src" / "tiny_numbers" / "score.py"
    script.write_text(SCORE.replace("factor.txt", "other.txt"))
    try:
        with pytest.raises(UserError, match=r"score.py cannot serve the model: ValueError: not enough .* \(log: "):
            serving.serve(project, 0)
    finally:
        script.write_text(SCORE)
