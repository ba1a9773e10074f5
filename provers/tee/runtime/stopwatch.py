"""The wall clock of runs: one thread for the process counts time for the engines that are busy, in ticks of wasmtime's
epoch. A thread for each run would cost more than a small program does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import wasmtime

TICK_MILLISECONDS = 10


def ticks(milliseconds: int) -> int:
    """An epoch deadline that lies at least so far ahead: the tick under way has begun already."""
    return -(-milliseconds // TICK_MILLISECONDS) + 1


class _Stopwatch:
    """Advances the epoch of busy engines; sleeps while there are none."""

    def __init__(self) -> None:
        self._busy: list[wasmtime.Engine] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def counting(self, engine: wasmtime.Engine) -> Iterator[None]:
        """Count time for an engine."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():  # not alive after a fork
                self._thread = threading.Thread(target=self._count, name="wasm-stopwatch", daemon=True)
                self._thread.start()
            self._busy.append(engine)
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._busy.remove(engine)

    def _count(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._busy)
            time.sleep(TICK_MILLISECONDS / 1000)
            with self._changed:
                for engine in self._busy:
                    engine.increment_epoch()


STOPWATCH = _Stopwatch()
"""The process's."""
