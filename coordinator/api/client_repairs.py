"""The typed client's calls that mend and question tasks; `client.Client` has them as its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from verifier.errors import InvalidInput
from w3bstream.v1 import task_pb2, task_pb2_grpc


class TaskRepairCalls:
    """What `Client` adds to its connection for dead tasks, re-runs and comparisons."""

    _tasks: task_pb2_grpc.TaskServiceStub
    _once: Callable[..., Any]
    _call: Callable[..., Any]

    def requeue_task(self, task_id: str, reason: str = "", *, deadline: datetime | None = None) -> task_pb2.Task:
        """Put a FAILED or EXPIRED task back. Raises Conflict (W3B-3001, W3B-3083)."""
        request = task_pb2.RequeueTaskRequest(task_id=task_id, reason=reason, deadline=_moment(deadline))
        answer: task_pb2.Task = self._once(self._tasks.RequeueTask, request)
        return answer

    def requeue_tasks(
        self, project_id: int, *, code: str = "", reason: str = "", deadline: datetime | None = None
    ) -> task_pb2.RequeueTasksResponse:
        """Put back what FAILED or EXPIRED in a project, at most 1,000 tasks; `code` picks those that ended with it."""
        request = task_pb2.RequeueTasksRequest(
            project_id=project_id, code=code, reason=reason, deadline=_moment(deadline)
        )
        answer: task_pb2.RequeueTasksResponse = self._once(self._tasks.RequeueTasks, request, 120.0)
        return answer

    def rerun_task(self, task_id: str, *, kind: str = "", prover_id: str = "") -> task_pb2.Rerun:
        """Have a task computed once more, to compare its output. Raises NotFound (W3B-3007)."""
        request = task_pb2.RerunTaskRequest(task_id=task_id, kind=kind, prover_id=prover_id)
        answer: task_pb2.Rerun = self._once(self._tasks.RerunTask, request)
        return answer

    def get_rerun(self, rerun_id: int) -> task_pb2.Rerun:
        """A re-run. Raises NotFound (W3B-3084)."""
        answer: task_pb2.Rerun = self._call(self._tasks.GetRerun, task_pb2.GetRerunRequest(rerun_id=rerun_id))
        return answer

    def diff_outputs(self, task_id: str) -> task_pb2.DiffOutputsResponse:
        """The outputs of a task's attempts and re-runs, field by field."""
        request = task_pb2.DiffOutputsRequest(task_id=task_id)
        answer: task_pb2.DiffOutputsResponse = self._call(self._tasks.DiffOutputs, request)
        return answer


def _moment(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise InvalidInput("W3B-7008", f"time {at} has no time zone", field="deadline")
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
