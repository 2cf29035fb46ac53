"""How long each stage of a request takes, for `Server-Timing`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Recorder:
    """Seconds by stage name; the time of an inner stage does not count for the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        before, self._inner = self._inner, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed - self._inner
            self._inner = before + elapsed


_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Records the stages that run inside, on this thread."""
    recorder = Recorder()
    token = _recorder.set(recorder)
    try:
        yield recorder
    finally:
        _recorder.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Adds the time inside to the recorder of this thread, if there is one."""
    recorder = _recorder.get()
    if recorder is None:
        yield
    else:
        with recorder.stage(name):
            yield
