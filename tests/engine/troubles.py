"""What goes wrong while a verb runs: a call to Azure fails, a machine is lost, another verb comes at the same time."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

KINDS = {
    "refused": "Azure refuses call {}",
    "lost": "Azure does call {} and the answer is lost",
    "cancelled": "the run is cancelled at call {}",
    "killed": "the machine is lost at call {}",
    "killed after": "the machine is lost after call {}",
    "signed out": "the login expires at call {}",
    "quota": "there is no quota for another deployment",
    "throttled": "Azure throttles call {} for a minute",
    "throttled long": "Azure throttles all from call {} on",
    "late": "Azure answers call {}, or the next that asks what is there, as it was before the last change",
}


class KilledError(BaseException):
    """The machine that ran the verb is gone: nothing of the verb runs any more."""


@dataclass(frozen=True)
class Trouble:
    """What happens to one verb, and at which of its calls to Azure."""

    kind: str
    call: int

    @property
    def excuses(self) -> bool:
        """Return whether a verb may fail of it."""
        return self.kind != "throttled"

    def __str__(self) -> str:
        """Say it as the story does."""
        return KINDS[self.kind].format(self.call)


class Turns:
    """Two verbs at once: before each call to Azure it is decided whether the other one goes on."""

    def __init__(self, changes: Iterable[bool]) -> None:
        """Take the decisions in their order; when they are used up, each verb runs to its end."""
        self._changes, self._condition = iter(changes), threading.Condition()
        self._running, self._now = {"0", "1"}, "0"

    def run(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Run both to their ends."""
        threads = [
            threading.Thread(target=self._begin, args=(action,), name=name)
            for name, action in (("0", first), ("1", second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def pause(self) -> None:
        """Let the other verb go on, if that is decided."""
        with self._condition:
            if next(self._changes, False):
                self._pass_on()
        self._wait()

    def _begin(self, action: Callable[[], None]) -> None:
        self._wait()
        try:
            action()
        finally:
            with self._condition:
                self._running.discard(threading.current_thread().name)
                self._pass_on()

    def _pass_on(self) -> None:
        other = {"0": "1", "1": "0"}[threading.current_thread().name]
        if other in self._running:
            self._now = other
            self._condition.notify_all()

    def _wait(self) -> None:
        name = threading.current_thread().name
        with self._condition:
            assert self._condition.wait_for(lambda: self._now == name, timeout=60)
