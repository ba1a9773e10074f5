"""The typed client's calls about evidence; `client.Client` has them as its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from coordinator.api.errors import from_rpc
from verifier.errors import Unavailable
from verifier.evidence.document import MAX_BYTES
from w3bstream.v1 import evidence_pb2, evidence_pb2_grpc

EVIDENCE_SECONDS = 120.0
"""For one file: a large device set takes seconds, an RPC server far away more."""


@dataclass(frozen=True)
class EvidenceFile:
    """An evidence file as the service made it. `verifier.evidence.verification.verify_evidence` checks `data`."""

    data: bytes
    sha256: str
    """Of `data`, 0x hex."""
    final: bool
    """Whether the task is FINAL: then the same bytes come whenever they are asked for."""


class EvidenceCalls:
    """What `Client` adds to its channel for evidence."""

    _channel: grpc.Channel
    _metadata: Any

    def get_evidence(
        self, task_id: str, *, proofs_only: bool = False, timeout: float = EVIDENCE_SECONDS
    ) -> EvidenceFile:
        """The evidence file of a settled task. Raises Conflict (W3B-9001) while it is not settled."""
        stub = evidence_pb2_grpc.EvidenceServiceStub(self._channel)
        request = evidence_pb2.GetEvidenceRequest(task_id=task_id, proofs_only=proofs_only)
        return _collect(lambda: stub.GetEvidence(request, timeout=timeout, metadata=self._metadata))

    def get_inclusion_receipt(
        self,
        project_id: int,
        *,
        device: str = "",
        sequence: int = 0,
        position: int = 0,
        wire_hash: str = "",
        timeout: float = EVIDENCE_SECONDS,
    ) -> EvidenceFile:
        """The inclusion receipt of a reading, by device and sequence or by stream position.

        Raises NotFound (W3B-9010) and Conflict (W3B-9001).
        """
        stub = evidence_pb2_grpc.EvidenceServiceStub(self._channel)
        request = evidence_pb2.GetInclusionReceiptRequest(
            project_id=project_id, device=device, sequence=sequence, position=position, wire_hash=wire_hash
        )
        return _collect(lambda: stub.GetInclusionReceipt(request, timeout=timeout, metadata=self._metadata))


def _collect(call: Callable[[], Iterable[evidence_pb2.EvidenceChunk]]) -> EvidenceFile:
    """The whole file. Raises what the service raised, Unavailable (W3B-7010) for one that grows beyond the limit, and
    Unavailable (W3B-7011) for one that broke off."""
    data, first = bytearray(), evidence_pb2.EvidenceChunk()
    try:
        for chunk in call():
            if not data:
                first = chunk
            data += chunk.data
            if len(data) > MAX_BYTES:
                raise Unavailable("W3B-7010", f"the evidence file has more than {MAX_BYTES} bytes")
    except grpc.RpcError as error:
        raise from_rpc(error) from error
    found = "0x" + hashlib.sha256(data).hexdigest()
    if found != first.sha256 or len(data) != first.size:
        raise Unavailable("W3B-7011", f"the evidence file broke off after {len(data)} of {first.size} bytes")
    return EvidenceFile(bytes(data), found, first.final)
