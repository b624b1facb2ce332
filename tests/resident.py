"""Runs Python modules of projects one after the other in this process, which imports the large libraries once.

They take ten seconds of a processor in each process that starts anew. What a run has imported of its project is
forgotten at its end, and variables, working directory and import path are put back. A line of JSON on standard input
asks for a run, a line on standard output answers with its exit code.
"""

import json
import os
import runpy
import sys
import traceback
from pathlib import Path


def run(command: list[str], project: Path, env: dict[str, str], output: str, errors: str) -> int:
    """Run `-c code ...` or `module ...` as `python` does, in the folder of a project; return the exit code."""
    path, variables, folder, words = list(sys.path), dict(os.environ), Path.cwd(), sys.argv
    os.environ.clear()
    os.environ.update(env)
    os.chdir(project)
    name, *arguments = command
    sys.path[:0] = [str(project), *env["PYTHONPATH"].split(os.pathsep)]
    streams = [(1, os.dup(1), output), (2, os.dup(2), errors)]
    for stream, _, file in streams:
        redirect(stream, os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        if name == "-c":
            sys.argv = ["-c", *arguments[1:]]
            exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = command
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        for stream, original, _ in streams:
            redirect(stream, original)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        sys.path[:], sys.argv = path, words
        # A database that `mlflow.set_tracking_uri` chose, as in the own tests of a project, goes before variables.
        if service := sys.modules.get("mlflow.tracking._tracking_service.utils"):
            vars(service)["_tracking_uri"] = None
        for each, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or os.sep).is_relative_to(project):
                del sys.modules[each]
    return 0


def redirect(stream: int, file: int) -> None:
    """Let a standard stream, also of the processes that a run starts, go to an open file."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(file, stream)
    os.close(file)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    redirect(1, os.dup(2))
    for line in sys.stdin:
        request = json.loads(line)
        print(run(**request | {"project": Path(request["project"])}), file=answers, flush=True)
