"""How many calls a key and a project may make, and how many at once: counted by each coordinator in its memory."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

from coordinator.access.quotas import REQUESTS, Buckets, OverQuota, limits
from coordinator.api.auth import Caller
from coordinator.ledger.store import Ledger

FRESH_SECONDS = 1.0
"""How long a project's limit holds after it was read."""
MINUTE = 60.0
MAX_PROJECTS = 10_000


class Rates:
    """Lets calls in.

    Parameters: `defaults` are the installation's quotas by resource; `per_key` requests a minute may come with one key
    or identity, so that none uses up a project's rate alone (0: no limit); `calls_per_key` may be under way at once.
    """

    def __init__(self, ledger: Ledger, defaults: Mapping[str, int], per_key: int, calls_per_key: int) -> None:
        self._ledger = ledger
        self._defaults = defaults
        self._per_key = per_key
        self._calls_per_key = calls_per_key
        self._under_way: defaultdict[str, int] = defaultdict(int)
        self._buckets = Buckets()
        self._limits: dict[int, tuple[float, int]] = {}
        self._asking: dict[int, asyncio.Task[int]] = {}

    async def enter(self, caller: Caller, request: Any) -> None:
        """Count a call in; `leave` must follow.

        Raises OverQuota (W3B-7028), and W3B-7010 when the caller has too many calls under way; nothing is counted then.
        """
        if self._under_way.get(caller.key_id, 0) >= self._calls_per_key:
            raise OverQuota("W3B-7010", f"{caller.key_id} has {self._calls_per_key} calls under way", retry_after=1.0)
        if self._per_key:
            self._take(f"key {caller.key_id}", self._per_key, caller.key_id)
        project_id = caller.project_id or getattr(request, "project_id", 0)
        if project_id:
            allowance = await self._allowance(int(project_id))
            if allowance:
                self._take(f"project {project_id}", allowance, f"project {project_id}")
        self._under_way[caller.key_id] += 1

    def leave(self, caller: Caller) -> None:
        """The call ended."""
        self._under_way[caller.key_id] -= 1
        if self._under_way[caller.key_id] <= 0:
            del self._under_way[caller.key_id]

    def _take(self, bucket: str, allowance: int, who: str) -> None:
        wait = self._buckets.wait(bucket, allowance, MINUTE)
        if wait:
            message = f"{who} may make {allowance} requests a minute"
            raise OverQuota("W3B-7028", message, field=REQUESTS, retry_after=wait)

    async def _allowance(self, project_id: int) -> int:
        known = self._limits.get(project_id)
        if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        if project_id >= 1 << 31:  # no such project: the service says so
            return 0
        task = self._asking.get(project_id)
        if task is None:  # one reads for all the calls that come meanwhile
            task = self._asking[project_id] = asyncio.create_task(self._read(project_id))
            task.add_done_callback(partial(self._answered, project_id))
        return await asyncio.shield(task)

    def _answered(self, project_id: int, task: asyncio.Task[int]) -> None:
        del self._asking[project_id]
        if not task.cancelled():
            task.exception()  # whoever still waits is told; nobody may

    async def _read(self, project_id: int) -> int:
        async with self._ledger.reading() as session:
            found = (await limits(session, self._defaults, [project_id]))[project_id, REQUESTS].allowance
        if len(self._limits) >= MAX_PROJECTS:
            self._limits.pop(next(iter(self._limits)))
        self._limits[project_id] = (time.monotonic(), found)
        return found
