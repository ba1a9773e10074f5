"""The API's way to the projects' streams: it waits for a stream that is being made, and knows how far it published."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from coordinator.api.surroundings import IntakeDoor
from coordinator.intake.stream import Published
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import StreamCursorRow
from verifier.errors import NotFound
from verifier.reading import Reading

NEW_STREAM_SECONDS = 10.0
"""How long the intake may take to make the stream of a project whose first version was just mined."""
LOOK_SECONDS = 0.05


class StreamDoor:
    """Publishes readings that passed every check."""

    def __init__(self, ledger: Ledger, intake: IntakeDoor) -> None:
        self._ledger = ledger
        self._intake = intake
        self._ends: dict[int, int] = {}

    async def publish(self, project_id: int, readings: Sequence[Reading]) -> list[Published]:
        """Store readings of one project; durable when this returns.

        The project admits readings, so a stream that is not there yet is about to be made: this waits for it.
        Raises Unavailable (W3B-1008) and, when no stream comes, NotFound (W3B-1006).
        """
        gives_up = time.monotonic() + NEW_STREAM_SECONDS
        while True:
            try:
                published = await self._intake.publish(project_id, readings)
            except NotFound:
                if time.monotonic() >= gives_up:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
                continue
            end = max((each.position for each in published), default=0) + 1
            self._ends[project_id] = max(self._ends.get(project_id, 1), end)
            return published

    async def end(self, project_id: int) -> int:
        """First position after everything that was acknowledged, by any coordinator, or that the intake has taken.

        Raises Unavailable (W3B-1008) and Refused, on a ledger that other coordinators may share.
        """
        if self._ledger.shared:
            with suppress(NotFound):  # nothing was published yet
                return await self._intake.end(project_id)
        async with self._ledger.reading() as session:
            cursor = await session.get(StreamCursorRow, project_id)
        return max(self._ends.get(project_id, 1), cursor.next_position if cursor else 1)

    def stopped(self, project_id: int) -> str:
        """Why the project's intake stands still; empty when it does not."""
        return self._intake.stopped(project_id)
