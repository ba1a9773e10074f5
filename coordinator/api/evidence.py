"""EvidenceService: evidence files of tasks and inclusion receipts of readings, in chunks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator

from coordinator.api.auth import current_caller
from coordinator.api.unbroken import Unbroken
from coordinator.evidence.gathering import Evidence, EvidenceMaker
from coordinator.ledger.store import Ledger, get_task
from verifier.errors import InvalidInput
from w3bstream.v1 import evidence_pb2, evidence_pb2_grpc

CHUNK = 256 << 10
"""Bytes of the file in one message."""
_MOST = (1 << 63) - 1
"""What the ledger's integers hold."""


class EvidenceService(evidence_pb2_grpc.EvidenceServiceServicer):
    """Hands out what the maker makes."""

    def __init__(self, ledger: Ledger, maker: EvidenceMaker, unbroken: Unbroken) -> None:
        self._ledger = ledger
        self._maker = maker
        self._unbroken = unbroken

    async def GetEvidence(
        self, request: evidence_pb2.GetEvidenceRequest, context: object
    ) -> AsyncIterator[evidence_pb2.EvidenceChunk]:
        """The evidence file of a settled task."""
        caller = current_caller()

        async def make() -> Evidence:
            async with self._ledger.reading() as session:
                caller.require_project((await get_task(session, request.task_id)).project_id)
            return await self._maker.of_task(request.task_id, readings=not request.proofs_only)

        for chunk in _chunks(await self._unbroken.run(make())):
            yield chunk

    async def GetInclusionReceipt(
        self, request: evidence_pb2.GetInclusionReceiptRequest, context: object
    ) -> AsyncIterator[evidence_pb2.EvidenceChunk]:
        """The inclusion receipt of a reading."""
        current_caller().require_project(request.project_id)
        device, wire_hash = _named(request)
        work = self._maker.of_reading(
            request.project_id,
            device=device,
            sequence=request.sequence,
            position=request.position,
            wire_hash=wire_hash,
        )
        for chunk in _chunks(await self._unbroken.run(work)):
            yield chunk


def _named(request: evidence_pb2.GetInclusionReceiptRequest) -> tuple[str, bytes]:
    """(device, wire hash) of a request that names one reading. Raises InvalidInput (W3B-7008)."""
    if bool(request.device) == bool(request.position):
        raise InvalidInput("W3B-7008", "name a device with a sequence, or a position, not both", field="device")
    if request.device and re.fullmatch(r"0x[0-9a-f]{40}", request.device) is None:
        raise InvalidInput("W3B-7008", f"device {request.device[:80]!r} is not 0x and 40 hex digits", field="device")
    if request.wire_hash and re.fullmatch(r"0x[0-9a-f]{64}", request.wire_hash) is None:
        raise InvalidInput("W3B-7008", "wire_hash is not 0x and 64 hex digits", field="wire_hash")
    for name in ("project_id", "sequence", "position"):
        if getattr(request, name) > _MOST:
            raise InvalidInput("W3B-7008", f"{name} is above 2^63 - 1", field=name)
    return request.device, bytes.fromhex(request.wire_hash.removeprefix("0x"))


def _chunks(evidence: Evidence) -> list[evidence_pb2.EvidenceChunk]:
    data = evidence.encoded
    parts = [evidence_pb2.EvidenceChunk(data=data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]
    parts[0].sha256 = "0x" + hashlib.sha256(data).hexdigest()
    parts[0].size = len(data)
    parts[0].final = evidence.final
    return parts
