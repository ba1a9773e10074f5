"""IngestService: readings into a project's stream, and how its intake stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from coordinator.access.quotas import READINGS, OverQuota, charge
from coordinator.api import render
from coordinator.api.auth import Caller, current_caller, require_still_valid
from coordinator.api.paging import make_token, page_size, read_token
from coordinator.api.reading_check import ReadingCheck
from coordinator.api.stream_door import StreamDoor
from coordinator.api.stream_methods import REBUILDS, StreamMethods
from coordinator.api.surroundings import IntakeDoor
from coordinator.api.unbroken import Unbroken
from coordinator.intake.status import dead_letters, stats
from coordinator.ledger.store import Ledger
from coordinator.projects.programs import Manifest
from verifier.error_codes import CODES
from verifier.errors import InvalidInput, NotFound, Unavailable, W3bstreamError
from verifier.reading import Reading
from w3bstream.v1 import ingest_pb2, ingest_pb2_grpc

MAX_READINGS = 256
"""Readings of one message of the stream."""
MAX_REFUSALS = 100
"""Refusals that a summary names."""


MESSAGE_SECONDS = 60.0
"""How long the next message of a call may take to arrive whole: a sender that dribbles holds no call for ever."""
CALL_SECONDS = 3600.0
"""How long a call may last; a sender with more to say begins another."""


@dataclass
class _Tally:
    """What became of the readings of one call so far."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    last_position: int = 0
    refusals: list[ingest_pb2.Refusal] = field(default_factory=list)

    def refuse(self, index: int, error: W3bstreamError) -> None:
        self.refused += 1
        if len(self.refusals) < MAX_REFUSALS:
            self.refusals.append(ingest_pb2.Refusal(index=index, code=error.code, message=error.message))

    def summary(self) -> ingest_pb2.IngestSummary:
        self.refusals.sort(key=lambda refusal: refusal.index)
        return ingest_pb2.IngestSummary(
            received=self.received,
            accepted=self.accepted,
            duplicates=self.duplicates,
            refused=self.refused,
            refusals=self.refusals,
            last_position=self.last_position,
        )


async def _next(messages: AsyncIterator[ingest_pb2.IngestRequest], tally: _Tally) -> ingest_pb2.IngestRequest | None:
    """The next message, None at the end. Raises Unavailable (W3B-1055) when it does not come whole in time."""
    try:
        async with asyncio.timeout(MESSAGE_SECONDS):
            return await anext(messages, None)
    except TimeoutError:
        raise _stood_still(tally, "no whole message came") from None


def _stood_still(tally: _Tally, why: str) -> Unavailable:
    sent = tally.accepted + tally.duplicates
    return Unavailable("W3B-1055", f"{why}; of this call {sent} readings were stored", field="readings")


class IngestService(StreamMethods, ingest_pb2_grpc.IngestServiceServicer):
    """Takes readings message by message: the next is read from the wire once this one is durable, which holds a sender
    that is faster than the stream back."""

    def __init__(
        self,
        ledger: Ledger,
        streams: StreamDoor,
        check: ReadingCheck,
        unbroken: Unbroken,
        defaults: Mapping[str, int],
        *,
        intake: IntakeDoor,
        programs: Mapping[str, Manifest] | None = None,
    ) -> None:
        self._intake = intake
        self._programs = programs
        self._rebuilds = asyncio.Semaphore(REBUILDS)
        self._unbroken = unbroken
        self._defaults = defaults
        self._ledger = ledger
        self._streams = streams
        self._check = check

    async def Ingest(
        self, request_iterator: AsyncIterator[ingest_pb2.IngestRequest], context: object
    ) -> ingest_pb2.IngestSummary:
        """Publish what passes every check; name what does not."""
        caller, tally = current_caller(), _Tally()
        messages = aiter(request_iterator)
        ends = time.monotonic() + CALL_SECONDS
        while (message := await _next(messages, tally)) is not None:
            await self._unbroken.run(self._take(caller, tally, message.readings))
            if time.monotonic() > ends:
                raise _stood_still(tally, "the call lasted too long")
        return tally.summary()

    async def _take(self, caller: Caller, tally: _Tally, messages: Sequence[bytes]) -> None:
        async with self._ledger.reading() as session:
            await require_still_valid(session, caller)
        first = tally.received
        tally.received += len(messages)
        good: list[tuple[int, Reading]] = []
        for index, verdict in enumerate(await self._check.check(caller, messages[:MAX_READINGS]), first):
            if isinstance(verdict, Reading):
                good.append((index, verdict))
            else:
                tally.refuse(index, verdict)
        excess = InvalidInput("W3B-7010", f"a message holds at most {MAX_READINGS} readings", field="readings")
        for index in range(first + MAX_READINGS, tally.received):
            tally.refuse(index, excess)
        for project_id, group in groupby(good, key=lambda each: each[1].project):
            await self._publish(tally, project_id, list(group))

    async def _publish(self, tally: _Tally, project_id: int, readings: Sequence[tuple[int, Reading]]) -> None:
        try:
            # Counted before they are published: a crash in between costs the project some of its quota, no reading.
            await charge(self._ledger, self._defaults, project_id, READINGS, len(readings))
        except OverQuota as error:
            sent = tally.accepted + tally.duplicates
            message = f"{error.message}; of this call {sent} readings were stored before"
            raise OverQuota(error.code, message, field=error.field, retry_after=error.retry_after) from error
        try:
            published = await self._streams.publish(project_id, [reading for _, reading in readings])
        except NotFound as error:
            for index, _ in readings:
                tally.refuse(index, error)
            return
        except Unavailable as error:
            sent = tally.accepted + tally.duplicates
            raise Unavailable(
                error.code,
                f"{error.message}; of this call {sent} readings were stored before",
                field=error.field,
                next_step="Send the call's readings again: those that are in the stream are not added twice.",
            ) from error
        for each in published:
            tally.duplicates += each.duplicate
            tally.accepted += not each.duplicate
            tally.last_position = max(tally.last_position, each.position)

    async def GetIntake(self, request: ingest_pb2.GetIntakeRequest, context: object) -> ingest_pb2.IntakeStatus:
        """How the project's intake stands."""
        current_caller().require_project(request.project_id)
        async with self._ledger.reading() as session:
            found = await stats(session, request.project_id)
        reason = "the project is paused" if found.paused else found.stopped_reason
        code = "" if found.paused else found.stopped_code
        next_step = CODES[code].next_step if code else ""
        return ingest_pb2.IntakeStatus(
            project_id=found.project_id,
            accepted=found.accepted,
            refused=found.refused,
            gaps=[
                ingest_pb2.Gap(
                    device=gap.device,
                    first_missing=gap.first_missing,
                    last_missing=gap.last_missing,
                    missing=gap.missing,
                )
                for gap in found.gaps
            ],
            next_position=found.next_position,
            window_start=found.window_start,
            open_readings=found.open_readings,
            stopped=f"{code}: {reason}. {next_step}" if code else reason,
            stopped_code=code,
            stopped_reason=reason,
            stopped_next_step=next_step,
            missing=found.missing,
        )

    async def ListDeadLetters(
        self, request: ingest_pb2.ListDeadLettersRequest, context: object
    ) -> ingest_pb2.ListDeadLettersResponse:
        """A page of refused messages, newest first."""
        current_caller().require_project(request.project_id)
        size, scope = page_size(request.page_size), ("ListDeadLetters", request.project_id)
        cursor = read_token(scope, request.page_token, (int,))
        async with self._ledger.reading() as session:
            before = int(cursor[0]) if cursor else None
            rows = await dead_letters(session, request.project_id, before=before, limit=size)
            more = len(rows) == size and await dead_letters(
                session, request.project_id, before=rows[-1].position, limit=1
            )
        return ingest_pb2.ListDeadLettersResponse(
            dead_letters=[render.dead_letter(row) for row in rows],
            next_page_token=make_token(scope, (rows[-1].position,)) if more else "",
        )
