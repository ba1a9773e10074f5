"""The reader of one project: fetches messages, has them recorded, and acknowledges them only then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from coordinator.intake.batch import Judged
from coordinator.intake.batch_rows import CursorMovedError
from coordinator.intake.recorder import Recorder, Turn
from coordinator.intake.standing import read_cursor
from coordinator.intake.status import note_stopped
from coordinator.intake.stream import DaConsumer, DaStream
from coordinator.ledger.one_hop import in_one_hop
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow
from verifier.errors import Conflict, Unavailable, W3bstreamError

BATCH = 512
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
                await self._note(error)
                return
            except W3bstreamError as error:
                await self._note(error)
            except OperationalError as error:
                # The database is away or has no room; nothing was committed, so nothing was acknowledged.
                text = f"the ledger does not take the batch: {type(error.orig).__name__} {error.orig}"
                await self._note(Unavailable("W3B-1052", text[:300]))
            except Exception as error:
                # A defect must not end the intake of a project silently; it shows and is tried again.
                log.exception("intake_failed", project=self._project_id)
                await self._note(Unavailable("W3B-1053", f"internal error: {type(error).__name__}"))
            if asyncio.get_running_loop().time() - began > SOUND_SECONDS:
                tries = 0
            if not self._ending:
                await self._pause(BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)])
                tries += 1

    async def _note(self, error: W3bstreamError) -> None:
        """Say why the intake stands still, here and in the ledger."""
        reason = f"{error.code}: {error.message}. {error.next_step}"
        if reason == self.stopped:
            return
        log.error("intake_stopped", project=self._project_id, code=error.code, reason=error.message)
        self.stopped = reason
        await self._write_down(error.code, error.message)

    async def _write_down(self, code: str, reason: str) -> None:
        try:
            async with self._ledger.transaction() as session:
                await note_stopped(session, self._project_id, code, reason)
        except (SQLAlchemyError, W3bstreamError) as error:
            # The ledger itself may be what fails; `stopped` and the log say it meanwhile.
            log.warning("intake_reason_not_written", project=self._project_id, error=type(error).__name__)

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
        await self._write_down("", "")
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
            cursor = await in_one_hop(session, lambda connection: read_cursor(connection, self._project_id))
            start = cursor.window.next_position
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
        fetching: asyncio.Task[Judged] | None = None
        turn = await self._recorder.turn()
        try:
            while not self._ending:
                if fetching is None:
                    fetching = asyncio.create_task(self._judged(consumer))
                await self._wait(fetching, turn)
                if not fetching.done():
                    self._wake.clear()
                    turn = await self._recorder.turn()
                    continue
                judged, fetching = fetching.result(), None
                if judged:
                    # The next batch comes in and is checked while this one is written.
                    fetching = asyncio.create_task(self._judged(consumer))
                    turn = await self._recorder.turn(judged)
                    await consumer.ack(judged.messages)
                    await self._trim(stream, turn.next_position)
        finally:
            if fetching is not None:
                fetching.cancel()
                await asyncio.gather(fetching, return_exceptions=True)

    async def _judged(self, consumer: DaConsumer) -> Judged:
        return await self._recorder.judge(await consumer.fetch(BATCH, FETCH_SECONDS))

    async def _wait(self, fetching: asyncio.Task[Judged], turn: Turn) -> None:
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
