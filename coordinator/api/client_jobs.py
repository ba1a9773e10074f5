"""The client's calls about jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from w3bstream.v1 import job_pb2, job_pb2_grpc


class JobCalls:
    """Jobs: accepted at once, worked off in the background."""

    if TYPE_CHECKING:
        _channel: grpc.Channel
        _call: Callable[..., Any]
        _resumed: Callable[..., Iterator[Any]]

    def _jobs(self) -> Any:
        return job_pb2_grpc.JobServiceStub(self._channel)

    def submit_job(
        self,
        project_id: int,
        readings: Sequence[bytes] = (),
        *,
        intent: job_pb2.JobIntent | None = None,
        idempotency_key: str = "",
    ) -> job_pb2.Job:
        """Submit a job with readings in wire form, at most 1,024; it is committed when this returns.

        With a signed `intent` the nonce is what makes a repeat safe, else the idempotency key: the caller's, or a fresh
        one. Raises what the service refuses with.
        """
        from coordinator.api.client import new_idempotency_key

        key = idempotency_key or ("" if intent is not None else new_idempotency_key())
        request = job_pb2.SubmitJobRequest(project_id=project_id, readings=readings, idempotency_key=key, intent=intent)
        answer: job_pb2.Job = self._call(self._jobs().SubmitJob, request)
        return answer

    def get_job(self, job_id: str) -> job_pb2.Job:
        """A job with its tasks."""
        answer: job_pb2.Job = self._call(self._jobs().GetJob, job_pb2.GetJobRequest(job_id=job_id))
        return answer

    def list_jobs(
        self, project_id: int = 0, *, state: str = "", page_size: int = 0, page_token: str = ""
    ) -> job_pb2.ListJobsResponse:
        """A page of jobs, newest first; `state` is a name such as `WINDOWED`."""
        number = job_pb2.JobState.Value(f"JOB_STATE_{state}") if state else job_pb2.JOB_STATE_UNSPECIFIED
        request = job_pb2.ListJobsRequest(
            project_id=project_id, state=number, page_size=page_size, page_token=page_token
        )
        answer: job_pb2.ListJobsResponse = self._call(self._jobs().ListJobs, request)
        return answer

    def watch_job(self, job_id: str) -> Iterator[job_pb2.Job]:
        """The job whenever it changed, until it is WINDOWED or EXPIRED; over broken connections too."""
        return self._resumed(self._jobs().WatchJob, job_pb2.WatchJobRequest(job_id=job_id), lambda _: None)
