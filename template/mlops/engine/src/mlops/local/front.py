"""The front of the local endpoint: it takes the requests of many clients at once, and hands them to workers.

A worker answers one request at a time, as each worker of the inference server does in Azure, so a scoring script needs
no locks. A single one is this process; more of them are processes of their own, each with its own copy of the model.
"""

import functools
import io
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from hashlib import sha256
from multiprocessing.synchronize import Barrier
from typing import Any

from threadpoolctl import ThreadpoolController
from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response
from werkzeug.wsgi import get_input_stream

from mlops.errors import UserError

SILENT_SECONDS = 60
"""A client that sends nothing for so long is given up."""

PAUSE_SECONDS = 5
"""Between two attempts to start workers."""

REFUSED_SECONDS = 600
"""So long a request that workers died of is refused, and no longer: something else may have ended one of them."""

Answer = tuple[str, list[tuple[str, str]], bytes]
Worker = Callable[[dict[str, str], bytes], Answer]
"""Answers a request: the texts of its WSGI environment, and its body."""
OpenApp = Callable[[], AbstractContextManager[Any]]


def one_worker(app: Any) -> Worker:
    """Answer by an application of this process."""
    free, one_thread = InTurn(), single_thread()

    def answer(environ: dict[str, str], body: bytes) -> Answer:
        with free, one_thread():
            return _answer(app, environ, body)

    return answer


class InTurn:
    """A lock that threads get in the order in which they came.

    A lock of Python keeps no order: of 200 clients, some had their fourth answer before others had their first.
    """

    def __init__(self) -> None:
        """Begin without a holder."""
        self._change, self._taken = threading.Lock(), False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        """Wait for those that came before."""
        with self._change:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(self, *_: object) -> None:
        """Pass the lock on to the one that waits longest."""
        with self._change:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


def single_thread() -> Callable[[], AbstractContextManager[Any]]:
    """Return what makes contexts in which models of scikit-learn use one thread, as score.py has it in Azure.

    What ran here before score.py was loaded, such as a training, has a pool with a thread for each processor: with a
    few rows, they spend more time on each other than on the rows.
    """
    return functools.partial(ThreadpoolController().limit, limits=1, user_api="openmp")


@contextmanager
def many_workers(count: int, open_app: OpenApp, report: Callable[[str], None]) -> Iterator[Worker]:
    """Answer by so many processes, each with an application that `open_app` makes there; that is pickled.

    Where one of them dies, new ones take the place of all, and the requests that they had are answered by these;
    `report` is told in a line. A request that two of them died of is refused for some minutes.

    Raises:
        UserError: They cannot make it.
    """
    others, workers = set(multiprocessing.active_children()), _Workers(count, open_app, report)
    try:
        workers.start()
        yield workers.answer
    finally:
        workers.ended = True
        with workers.change:
            ours = set(multiprocessing.active_children()) - others
            for process in ours:
                process.terminate()
            for process in ours:
                process.join()


class _Workers:
    """A pool of processes, and the one that takes its place."""

    def __init__(self, count: int, open_app: OpenApp, report: Callable[[str], None]) -> None:
        self.count, self.open_app, self.report = count, open_app, report
        self.change, self.gate = threading.Lock(), threading.Condition()
        self.running, self.retrying = 0, False
        self.deadly: dict[bytes, float] = {}
        self.ended = False
        self.failure, self.next_try = "", 0.0
        self.broken: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """Start all processes of a new pool.

        Raises:
            UserError: They cannot make their application.
        """
        context = multiprocessing.get_context("spawn")
        start = (self.open_app, context.Barrier(self.count))
        pool = ProcessPoolExecutor(self.count, context, initializer=_begin, initargs=start)
        try:
            # Each starts a process, because none has ended a task before all have begun.
            tasks = [pool.submit(_failure) for _ in range(self.count)]
            failure = next(filter(None, [task.result() for task in tasks]), "")
        except BrokenExecutor:
            failure = f"the {self.count} workers end at their start: is there memory for so many models?"
        if failure:
            pool.shutdown(wait=False, cancel_futures=True)
            raise UserError(failure)
        self.pool = pool

    def answer(self, environ: dict[str, str], body: bytes) -> Answer:
        """Answer a request, at the second attempt if its worker dies; one that two workers died of has no third."""
        request = sha256(environ.get("PATH_INFO", "").encode() + b"\n" + body).digest()
        with self._beside_others():
            # Not before: while it waited, workers may have died of the same request of another client.
            if self._is_deadly(request):
                raise BrokenExecutor
            pool = self.pool
            try:
                return pool.submit(_answer_here, environ, body).result()
            except BrokenExecutor:
                self.broken = pool
        # Alone, so that it is known whose worker dies: that request would take the others with it again.
        with self._alone():
            # A request that came in the meantime may have ended the new workers, too.
            self._renew()
            if self._is_deadly(request):
                raise BrokenExecutor
            pool = self.pool
            try:
                return pool.submit(_answer_here, environ, body).result()
            except BrokenExecutor:
                now = time.monotonic()
                known = {each: end for each, end in self.deadly.items() if now < end}
                self.deadly = {**known, request: now + REFUSED_SECONDS}
                self.broken = pool
                self._renew()
                raise

    def _is_deadly(self, request: bytes) -> bool:
        return time.monotonic() < self.deadly.get(request, 0.0)

    @contextmanager
    def _beside_others(self) -> Iterator[None]:
        with self.gate:
            self.gate.wait_for(lambda: not self.retrying)
            self.running += 1
        try:
            yield
        finally:
            with self.gate:
                self.running -= 1
                self.gate.notify_all()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self.gate:
            self.gate.wait_for(lambda: not self.retrying)
            self.retrying = True
            self.gate.wait_for(lambda: not self.running)
        try:
            yield
        finally:
            with self.gate:
                self.retrying = False
                self.gate.notify_all()

    def _renew(self) -> None:
        with self.change:
            # Of the requests that a pool had, the first one is here first.
            if self.pool is not self.broken or self.ended:
                return
            # Where no worker can start, each of those that wait would try it again.
            if time.monotonic() < self.next_try:
                raise UserError(self.failure)
            self.report(f"a worker has died: {self.count} new ones take the place of all")
            self.pool.shutdown(wait=False)
            try:
                self.start()
            except UserError as error:
                self.failure, self.next_try = str(error), time.monotonic() + PAUSE_SECONDS
                raise


_opened = ExitStack()
_here: dict[str, Any] = {}


def _begin(open_app: OpenApp, ready: Barrier) -> None:
    """Begin a worker that is a process; it waits until all have begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; the server ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _here["app"] = _opened.enter_context(open_app())
    except UserError as error:
        _here["failure"] = str(error)
    ready.wait()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _failure() -> str:
    return str(_here.get("failure", ""))


def _answer_here(environ: dict[str, str], body: bytes) -> Answer:
    return _answer(_here["app"], environ, body)


def _answer(app: Any, environ: Mapping[str, str], body: bytes) -> Answer:
    server = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    chunks, status, headers = run_wsgi_app(app, {**environ, **server}, buffered=True)
    return status, list(headers), b"".join(chunks)


class _Server(ThreadedWSGIServer):
    """A thread for each connection, which waits for its client and for a worker."""

    request_queue_size = 1024  # clients that connect in the same moment

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about a client that is gone."""


class _Handler(WSGIRequestHandler):
    timeout = SILENT_SECONDS

    def log(self, type: str, message: str, *args: object) -> None:
        """Print nothing: the inference server logs each request itself."""


@contextmanager
def listen(host: str, port: int, worker: Worker) -> Iterator[int]:
    """Answer requests while the context is open; gives the port, a free one for 0.

    Raises:
        SystemExit: The port cannot be used.
    """
    server = _Server(host, port, _front(worker), handler=_Handler)
    # It looks this often whether it is to end.
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _front(worker: Worker) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            # All of it before a worker is asked: a slow client keeps none of them.
            body = get_input_stream(environ).read()
            texts = {name: value for name, value in environ.items() if isinstance(value, str)}
            texts.pop("HTTP_TRANSFER_ENCODING", None)
            status, headers, content = worker(texts | {"CONTENT_LENGTH": str(len(body))}, body)
        except HTTPException as error:
            return error(environ, start_response)
        except BrokenExecutor:
            return _refused(f"two workers of the endpoint died of this request: {_REMEDY}", environ, start_response)
        except UserError as error:
            return _refused(f"new workers cannot start: {error}", environ, start_response)
        start_response(status, headers)
        return [content]

    return call


_REMEDY = "send fewer rows at once; or give the machine more memory, and start the endpoint again"


def _refused(message: str, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return Response(json.dumps({"message": message}), 503, content_type="application/json")(environ, start_response)
