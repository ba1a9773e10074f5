"""Work that a caller's hanging up must not break in the middle.

gRPC cancels a handler when its caller goes away. A cancellation inside a database call tears the connection down with
it; so such work runs in a task of its own, which is given a little time to come to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

GRACE_SECONDS = 5.0
"""How long work may go on when nobody waits for it any more."""

Result = TypeVar("Result")


class Unbroken:
    """Runs work to its end."""

    def __init__(self) -> None:
        self._left: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The work's result; when the caller is cancelled the work still has `GRACE_SECONDS`."""
        task = asyncio.create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                self._left.add(task)
                task.add_done_callback(self._ended)
                asyncio.get_running_loop().call_later(GRACE_SECONDS, task.cancel)
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # nobody is left to hear of it

    async def finish(self) -> None:
        """Wait for what is still going on."""
        if self._left:
            await asyncio.wait(self._left, timeout=GRACE_SECONDS)
