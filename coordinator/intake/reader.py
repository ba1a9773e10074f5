"""The reader of one project: fetches messages, has them recorded, and acknowledges them only then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from coordinator.intake.recorder import CursorMovedError, Recorder, Turn, read_cursor
from coordinator.intake.stream import DaConsumer, DaStream, StreamMessage
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow
from verifier.errors import Conflict, Unavailable, W3bstreamError

BATCH = 256
"""Messages in one ledger transaction."""
FETCH_SECONDS = 5.0
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
SOUND_SECONDS = 10.0
"""A failure after so long a run is a new one: the pauses start small again."""
REPLAY_POSITIONS = 1_000_000
"""Messages that a stream keeps behind the cursor, so that they can be read again."""
TRIM_EVERY = 100_000

log = structlog.get_logger(__name__)


class ProjectReader:
    """Runs one project's intake until it is told to stop.

    Parameters: `stream` gives the project's DA layer, connected; `recorder` writes the project's intake.
    """

    def __init__(
        self, ledger: Ledger, project_id: int, stream: Callable[[], Awaitable[DaStream]], recorder: Recorder
    ) -> None:
        self._ledger = ledger
        self._project_id = project_id
        self._stream = stream
        self._recorder = recorder
        self._wake = asyncio.Event()
        self._ending = False
        self._trimmed = 0
        self.stopped: str = ""
        """Why the intake stands still, with its code; empty while it runs."""

    def wake(self) -> None:
        """Look at the ledger now: a flush, a new version or the end was asked for."""
        self._wake.set()

    def end(self) -> None:
        """Finish the batch under way, then return from `run`."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Read until `end`. What fails is tried again for ever, but a stream that is not ours ends it at once."""
        tries = 0
        while not self._ending:
            began = asyncio.get_running_loop().time()
            try:
                await self._session()
            except CursorMovedError as error:
                log.warning("intake_cursor_moved", project=self._project_id, reason=str(error))
            except Conflict as error:
                self._note(error)
                return
            except W3bstreamError as error:
                self._note(error)
            except Exception as error:
                # A defect must not end the intake of a project silently; it shows in `stopped` and is tried again.
                log.exception("intake_failed", project=self._project_id)
                self.stopped = f"internal error: {type(error).__name__}"
            if asyncio.get_running_loop().time() - began > SOUND_SECONDS:
                tries = 0
            if not self._ending:
                await self._pause(BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)])
                tries += 1

    def _note(self, error: W3bstreamError) -> None:
        reason = f"{error.code}: {error.message}. {error.next_step}"
        if reason != self.stopped:
            log.error("intake_stopped", project=self._project_id, code=error.code, reason=error.message)
        self.stopped = reason

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        if self._ending:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _session(self) -> None:
        """From one opening of the consumer to the failure that ends it."""
        await self._recorder.turn()  # enters the first version, so that there is a cursor
        stream = await self._stream()
        start = await self._position_checked(stream)
        consumer = await stream.consume(self._project_id, start)
        self.stopped = ""
        try:
            await self._read(stream, consumer)
        finally:
            with suppress(Unavailable):  # the failure that brought us here says it already
                await consumer.close()

    async def _position_checked(self, stream: DaStream) -> int:
        """The cursor's position, once it is sure that the stream is the one that the ledger has read.

        Raises Conflict (W3B-1011) when it was made anew: its positions would repeat those of windows already closed.
        """
        async with self._ledger.reading() as session:
            start = (await read_cursor(session, self._project_id)).window.next_position
            last_reading = await session.get(ReadingRow, (self._project_id, start - 1))
            last_refused = await session.get(DeadLetterRow, (self._project_id, start - 1))
        if start == 1:
            await stream.ensure(self._project_id)
            return start
        state = await stream.state(self._project_id)
        if state is None or state.last < start - 1:
            held = "is gone" if state is None else f"ends at position {state.last}"
            raise Conflict(
                "W3B-1011",
                f"the ledger has read project {self._project_id}'s stream up to {start - 1}, but the stream {held}; "
                f"a stream made anew must begin at {start}",
                field="da",
            )
        row = last_reading or last_refused
        held_bytes = await stream.message_at(self._project_id, start - 1)
        if row is not None and held_bytes is not None and held_bytes[: len(row.wire)] != row.wire:
            raise Conflict(
                "W3B-1011",
                f"position {start - 1} of project {self._project_id}'s stream holds another message than the ledger "
                f"has read there; a stream made anew must begin at {start}",
                field="da",
            )
        return start

    async def _read(self, stream: DaStream, consumer: DaConsumer) -> None:
        fetching: asyncio.Task[list[StreamMessage]] | None = None
        try:
            while not self._ending:
                self._wake.clear()
                turn = await self._recorder.turn()
                if fetching is None:
                    fetching = asyncio.create_task(consumer.fetch(BATCH, FETCH_SECONDS))
                await self._wait(fetching, turn)
                if fetching.done():
                    messages, fetching = fetching.result(), None
                    if messages:
                        turn = await self._recorder.turn(messages)
                        await consumer.ack(messages)
                        await self._trim(stream, turn.next_position)
        finally:
            if fetching is not None:
                fetching.cancel()
                await asyncio.gather(fetching, return_exceptions=True)

    async def _wait(self, fetching: asyncio.Task[list[StreamMessage]], turn: Turn) -> None:
        """Until messages came, somebody woke us, or the open window is due."""
        waking = asyncio.create_task(self._wake.wait())
        left = None if turn.due_at is None else max(0.0, (turn.due_at - self._ledger.clock()) / 1000 + 0.001)
        try:
            await asyncio.wait({fetching, waking}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()

    async def _trim(self, stream: DaStream, next_position: int) -> None:
        below = next_position - REPLAY_POSITIONS
        if below - self._trimmed >= TRIM_EVERY:
            await stream.trim(self._project_id, below)
            self._trimmed = below
