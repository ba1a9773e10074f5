"""The part of IngestService that looks back: replay of a stream, the rebuild check, and dead letters put back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping

from coordinator.api import render
from coordinator.api.auth import current_caller
from coordinator.api.surroundings import IntakeDoor
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.rebuild import Rebuild
from coordinator.intake.replay import Kind, Record, replay
from coordinator.intake.requeue import requeue
from coordinator.ledger.store import Ledger
from coordinator.projects.programs import Manifest
from verifier.errors import InvalidInput, W3bstreamError
from verifier.reading import Reading
from w3bstream.v1 import ingest_pb2

REBUILDS = 1
"""Rebuilds at once, whoever asks; each reads a whole stream and keeps a core busy. Further ones wait."""
YEAR_10000 = 253_402_300_800_000
"""Milliseconds; protobuf's timestamps end there. A device's clock may say anything, so a later one stays unset."""
_DEVICE = re.compile(r"0x[0-9a-f]{40}")


def _decoded(record: Record) -> Reading | None:
    if record.kind is Kind.HOLE:
        return None
    try:
        return Reading.from_wire(record.wire)
    except W3bstreamError:
        return None  # a refused message may be anything


def _message(record: Record, reading: Reading | None) -> ingest_pb2.StreamRecord:
    found = ingest_pb2.StreamRecord(
        position=record.position,
        end=record.end,
        kind=record.kind.value,
        wire=record.wire,
        from_stream=record.from_stream,
        task_id=record.task_id,
        version=record.version,
        code=record.code,
        reason=record.reason,
        difference=record.difference,
        at=render.timestamp(record.at or None),
    )
    if reading is not None:
        found.device, found.sequence = f"0x{reading.device.hex()}", reading.sequence
        found.payload = reading.payload
        if reading.timestamp < YEAR_10000:
            found.timestamp.FromMilliseconds(reading.timestamp)
    return found


class StreamMethods:
    """ReplayStream, VerifyStream and RequeueDeadLetters."""

    _ledger: Ledger
    _intake: IntakeDoor
    _programs: Mapping[str, Manifest] | None
    _rebuilds: asyncio.Semaphore
    """Places for rebuilds."""

    async def ReplayStream(
        self, request: ingest_pb2.ReplayStreamRequest, context: object
    ) -> AsyncIterator[ingest_pb2.StreamRecord]:
        """Each position's record; gRPC's flow control holds it back for a slow reader, at most two pages are held."""
        current_caller().require_project(request.project_id)
        if request.device and not _DEVICE.fullmatch(request.device):
            raise InvalidInput(
                "W3B-7008", f"device {request.device[:80]!r} is not 0x and 40 hex digits", field="device"
            )
        stream = await self._intake.stream(request.project_id)
        end = request.to_position or None
        async for record in replay(self._ledger, stream, request.project_id, request.from_position or 1, end):
            reading = _decoded(record)
            if not request.device or (reading is not None and f"0x{reading.device.hex()}" == request.device):
                yield _message(record, reading)

    async def VerifyStream(
        self, request: ingest_pb2.VerifyStreamRequest, context: object
    ) -> ingest_pb2.StreamVerification:
        """Rebuild what the ledger holds from the stream."""
        current_caller().require_project(request.project_id)
        async with self._rebuilds:
            stream = await self._intake.stream(request.project_id)
            pool = CryptoPool(1)
            try:
                found = await Rebuild(self._ledger, stream, request.project_id, pool, self._programs).run()
            finally:
                pool.close()
        return ingest_pb2.StreamVerification(**vars(found))

    async def RequeueDeadLetters(
        self, request: ingest_pb2.RequeueDeadLettersRequest, context: object
    ) -> ingest_pb2.RequeueDeadLettersResponse:
        """Publish dead letters again."""
        current_caller().require_project(request.project_id)
        stream = await self._intake.stream(request.project_id)
        done = await requeue(self._ledger, stream, request.project_id, list(request.positions), request.code)
        return ingest_pb2.RequeueDeadLettersResponse(
            letters=[ingest_pb2.RequeuedLetter(**vars(letter)) for letter in done]
        )
