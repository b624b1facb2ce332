"""A process that answers lines: it starts once for all questions of a process of the tests, and ends with it."""

import atexit
import os
import subprocess
import threading


class Resident:
    """Answers each line on its standard input with a line on its standard output.

    Args:
        command: What starts it, which happens with the first question, and after it has ended.
        variables: Environment variables beside those of this process.
    """

    def __init__(self, *command: str, **variables: str) -> None:
        self.command, self.variables = command, variables
        self.process: subprocess.Popen[str] | None = None

    def ask(self, question: str, timeout: float = 300) -> str:
        """Return the answer; nothing if the process ends or takes too long, which ends it."""
        if self.process is None or self.process.poll() is not None:
            self.process = self.start()
        assert self.process.stdin
        assert self.process.stdout
        timer = threading.Timer(timeout, self.process.kill)
        timer.start()
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        timer.cancel()
        return answer

    def start(self) -> subprocess.Popen[str]:
        """Start the process, which ends with its standard input, and so with this one."""
        env, pipe = os.environ | self.variables, subprocess.PIPE
        process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, text=True, env=env)

        def stop() -> None:
            with process:
                assert process.stdin
                process.stdin.close()

        atexit.register(stop)
        return process
