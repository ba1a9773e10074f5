"""Keeps a part running: one that ends with an error is started again, with growing pauses; the error stays visible."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the next start, by how often it ended in a row."""
STEADY_SECONDS = 60.0
"""A part that ran so long begins with the first pause again."""


class Supervised:
    """One part's `run()`, started again whenever it raises.

    Parameters: `name` is the part's; `run` is awaited anew for each start and returns only when the part was stopped.
    """

    def __init__(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.name = name
        """The part's name, as status shows it."""
        self.error = ""
        """Why it ended the last time; empty while it runs well."""
        self._run = run
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it in the background."""
        self._task = asyncio.create_task(self._keep(), name=self.name)

    async def end(self, seconds: float = 20.0) -> None:
        """Wait for it to end after it was told to stop; cancel it when it takes longer than `seconds`."""
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=seconds)
        for task in late:
            log.warning("part_ended_late", part=self.name, seconds=seconds)
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._run()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # whatever a part may raise, the others go on and this one is started again
                self.error = f"{error}"[:500]
                failures = 0 if loop.time() - began > STEADY_SECONDS else failures
                pause = PAUSES[min(failures, len(PAUSES) - 1)]
                failures += 1
                log.exception("part_failed", part=self.name, pause_seconds=pause)
                await asyncio.sleep(pause)
                self.error = ""
            else:
                return
