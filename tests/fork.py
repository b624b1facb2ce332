"""`python fork.py SOCKET MODULE ...` is `python -m MODULE ...`, as a fork of the process of resident.py that listens.

It imports next to nothing itself, and takes a twentieth of the processor time of a program with large libraries.
"""

import json
import os
import socket
import sys

address, *command = sys.argv[1:]
folder = f"{address}.{os.getpid()}"
os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - pathlib is one of the larger libraries
files = {name: f"{folder}/{name}.txt" for name in ("output", "errors")}
# Modules beside this one are found, too.
paths = filter(None, (os.path.dirname(__file__), os.environ.get("PYTHONPATH")))  # noqa: PTH120
env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
request = {"command": command, "folder": os.getcwd(), "env": env, **files}  # noqa: PTH109
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(address)
    with connection.makefile(encoding="utf-8") as answers:
        answers.readline()
        connection.sendall(f"{json.dumps(request)}\n".encode())
        answers.readline()
        code = int(answers.readline())
for stream, file in zip((1, 2), files.values(), strict=True):
    with open(file, "rb") as written, open(stream, "wb", closefd=False) as shown:  # noqa: PTH123
        shown.write(written.read())
os._exit(code if code >= 0 else 128 - code)
