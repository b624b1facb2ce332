"""What the SDKs do in each call although it is not used here, left out or done once: it took half of the time.

What goes to Azure stays the same.
"""

import importlib
import inspect
import logging
import pickle
import sys
import traceback
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

_done: set[str] = set()


def hasten() -> None:
    """Change each SDK once, as soon as it is imported."""
    logging.Logger.isEnabledFor = _is_enabled  # type: ignore[method-assign]
    logging.Manager._clear_cache = lambda _: None  # type: ignore[attr-defined]
    for module, change in _CHANGES.items():
        if module in sys.modules and module not in _done:
            _done.add(module)
            change(importlib.import_module(module))


def short_stack(*_: object, **__: object) -> list[inspect.FrameInfo]:
    """Return the stack without the source of its functions, which `inspect.stack` reads from their files.

    SDK v2 looks for the module that calls it.
    """
    frames = traceback.walk_stack(sys._getframe(1))
    return [
        inspect.FrameInfo(each, each.f_code.co_filename, line, each.f_code.co_name, None, None) for each, line in frames
    ]


def _is_enabled(logger: logging.Logger, level: int) -> bool:
    # Without the cache of each logger: the SDKs have thousands of them, and levels, which empty all, change in each
    # call.
    return not logger.disabled and logger.manager.disable < level and level >= logger.getEffectiveLevel()


def _schemas(module: Any) -> None:
    # Each validation of an object makes the schema of its class twice, and that of a pipeline those of its steps.
    @lru_cache(maxsize=64)
    def schema(kind: Any, context: tuple[tuple[str, Any], ...]) -> Any:
        return kind._create_schema_for_validation(context=dict(context))

    once = property(lambda entity: schema(type(entity), tuple(entity._default_context().items())))
    module.SchemaValidatableMixin._schema_for_validation = once


def _settings(module: Any) -> None:
    # Each client makes a class for its settings.
    known = lru_cache(namedtuple)
    module.namedtuple = lambda name, fields: known(name, tuple(fields))


def _component(module: Any) -> None:
    # For the docstring of the function that makes a step.
    module.Component._to_yaml = lambda _: ""


def _telemetry(module: Any) -> None:
    # SDK v1 writes it to its telemetry, a fifth of a second each time.
    module._LoggerFactory.get_stack = lambda *_, **__: ""


def _types(module: Any) -> None:
    # Each pipeline asks which types of files there are.
    ensure, asked = module._AevaDataTypeProvider.ensure_default_datatypes, []

    def ensure_once(provider: Any) -> None:
        if not asked:
            ensure(provider)
            asked.append(True)

    module._AevaDataTypeProvider.ensure_default_datatypes = ensure_once


def _proxies(module: Any) -> None:
    # Each request to the Azure of these tests looks for proxies in all variables of the environment, and for passwords.
    module.get_environ_proxies = lambda *_, **__: {}
    module.get_netrc_auth = lambda *_, **__: None


def _notebook(module: Any) -> None:
    # The first client, and the first object that becomes text, import IPython to see that no notebook runs it.
    module.in_jupyter_notebook = lambda: False


def _activities(module: Any) -> None:
    # Each call writes to a telemetry that is off when it begins and when it ends, and the calls in it do.
    @contextmanager
    def activity(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(activity_info={})

    module.log_activity = activity


def _uploads(module: Any) -> None:
    # Each folder of a few small files gets threads of its own.
    module.ThreadPoolExecutor = _AtOnce


class _AtOnce(Executor):
    """Calls in the thread of who asks."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(call(*arguments, **options))
        except BaseException as error:
            done.set_exception(error)
        return done


def _source(module: Any) -> None:
    # The file of a pipeline's function is searched for among those of all modules.
    module.inspect = SimpleNamespace(
        stack=short_stack, getmodule=lambda frame: sys.modules.get(frame.f_globals["__name__"])
    )


def _retries(module: Any) -> None:
    # Each client looks for each of a thousand codes in this list.
    module.ClientRetryPolicy.safe_codes = frozenset(module.ClientRetryPolicy.safe_codes)


def _yaml(module: Any) -> None:
    # Each environment reads the same file with the defaults of all environments.
    module.round_trip_load = _loaded_once(module.round_trip_load)


def _safe_yaml(module: Any) -> None:
    # The SDKs read with the parser in Python, of which there is one in C.
    module.safe_load = lambda stream: module.load(stream, getattr(module, "CSafeLoader", module.SafeLoader))


def _loaded_once(load: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[str | bytes, bytes] = {}

    def load_once(stream: Any, *arguments: object, **options: object) -> Any:
        text = stream.read() if hasattr(stream, "read") else stream
        if arguments or options:
            return load(text, *arguments, **options)
        if text not in known:
            known[text] = pickle.dumps(load(text))
        return pickle.loads(known[text])

    return load_once


_CHANGES: dict[str, Callable[[Any], None]] = {
    "azure.ai.ml._telemetry.activity": _activities,
    "azure.ai.ml._telemetry.logging_handler": _notebook,
    "azure.ai.ml._utils._asset_utils": _uploads,
    "azure.ai.ml.dsl._utils": _source,
    "azure.ai.ml.entities._resource": _notebook,
    "azure.ai.ml.entities._component.component": _component,
    "azure.ai.ml.entities._validation.schema": _schemas,
    "azure.core.settings": _settings,
    "azureml.dataprep.api._loggerfactory": _telemetry,
    "azureml.pipeline.core._aeva_provider": _types,
    "msrest.universal_http.requests": _retries,
    "requests.sessions": _proxies,
    "azureml._vendor.ruamel.yaml": _yaml,
    "yaml": _safe_yaml,
}
