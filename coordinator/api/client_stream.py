"""The typed client's calls that look back at a stream; `client.Client` has them as its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from w3bstream.v1 import ingest_pb2, ingest_pb2_grpc

VERIFY_SECONDS = 3600.0


class StreamCalls:
    """What `Client` adds to its connection for replay, the rebuild check and dead letters put back."""

    _ingest: ingest_pb2_grpc.IngestServiceStub
    _call: Callable[..., Any]
    _resumed: Callable[..., Iterator[Any]]

    def replay_stream(
        self, project_id: int, *, start: int = 1, end: int = 0, device: str = ""
    ) -> Iterator[ingest_pb2.StreamRecord]:
        """Each position's record, over broken connections too; `end` 0 is everything there is now."""
        request = ingest_pb2.ReplayStreamRequest(
            project_id=project_id, from_position=start, to_position=end, device=device
        )

        def go_on(record: ingest_pb2.StreamRecord) -> None:
            request.from_position = record.end

        return self._resumed(self._ingest.ReplayStream, request, go_on)

    def verify_stream(self, project_id: int) -> ingest_pb2.StreamVerification:
        """Put the stream through the intake's rules again and compare with the ledger."""
        request = ingest_pb2.VerifyStreamRequest(project_id=project_id)
        answer: ingest_pb2.StreamVerification = self._call(self._ingest.VerifyStream, request, VERIFY_SECONDS)
        return answer

    def requeue_dead_letters(
        self, project_id: int, positions: Sequence[int] = (), *, code: str = ""
    ) -> ingest_pb2.RequeueDeadLettersResponse:
        """Publish dead letters again, by position or the oldest 1,000 of a code. It may be repeated."""
        request = ingest_pb2.RequeueDeadLettersRequest(project_id=project_id, positions=positions, code=code)
        answer: ingest_pb2.RequeueDeadLettersResponse = self._call(self._ingest.RequeueDeadLetters, request, 120.0)
        return answer
