"""The typed client: one method for each call of the API, for scripts and for the command line.

It needs no other room of the service. Every failure is raised as the W3bstreamError that the service raised; a call
that may be repeated is tried again, with growing pauses, while the service is UNAVAILABLE. Creates and submits carry
an idempotency key: the caller's, or a fresh one.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from coordinator.api.client_access import SECURE, AccessCalls, dialled
from coordinator.api.client_chain import ChainCalls
from coordinator.api.client_evidence import EvidenceCalls
from coordinator.api.client_jobs import JobCalls
from coordinator.api.client_repairs import TaskRepairCalls
from coordinator.api.client_stream import StreamCalls
from coordinator.api.client_webhooks import WebhookCalls
from coordinator.api.errors import from_rpc
from verifier.errors import InvalidInput, W3bstreamError
from w3bstream.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    project_pb2,
    project_pb2_grpc,
    prover_pb2,
    prover_pb2_grpc,
    task_pb2,
    task_pb2_grpc,
)

BATCH = 256
"""Readings of one message of an ingest."""
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)
"""Pauses between tries; each is stretched by up to a half, at random."""
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_retries", 0),
)

Answer = TypeVar("Answer")
Item = TypeVar("Item")


def new_idempotency_key() -> str:
    """A fresh key for one create or submit."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Certificate:
    """The client's own certificate, for a service that asks for one (mutual TLS)."""

    chain: bytes
    """PEM."""
    key: bytes = field(repr=False)
    """Its private key, PEM."""


def _channel(target: str, ca: bytes | None, own: Certificate | None) -> grpc.Channel:
    if not target.startswith(SECURE):
        return grpc.insecure_channel(target, _OPTIONS)
    pair = (own.key, own.chain) if own else (None, None)
    return grpc.secure_channel(dialled(target), grpc.ssl_channel_credentials(ca, *pair), _OPTIONS)


def _moment(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise InvalidInput("W3B-7008", f"time {at} has no time zone", field="created_after")
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


class Client(AccessCalls, ChainCalls, EvidenceCalls, JobCalls, StreamCalls, TaskRepairCalls, WebhookCalls):
    """A connection to the API; use it as a context manager.

    Parameters: `target` is `host:port` in clear, for loopback and private networks, or `https://host[:port]` with TLS;
    `api_key` is `w3b_…` or a login's token; `ca` is a PEM bundle where the system's roots do not do; `certificate` is for
    a service with mutual TLS; `timeout` in seconds bounds each call that has no bound of its own.
    """

    def __init__(
        self,
        target: str,
        api_key: str,
        *,
        ca: bytes | None = None,
        certificate: Certificate | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.target = target
        """Where the service is."""
        self.timeout = timeout
        """Seconds for a plain call."""
        self._metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        self._channel = _channel(target, ca, certificate)
        self._projects = project_pb2_grpc.ProjectServiceStub(self._channel)
        self._tasks = task_pb2_grpc.TaskServiceStub(self._channel)
        self._ingest = ingest_pb2_grpc.IngestServiceStub(self._channel)
        self._provers = prover_pb2_grpc.ProverServiceStub(self._channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; watches under way end."""
        self._channel.close()

    def _once(self, method: Callable[..., Answer], request: Any, timeout: float | None = None) -> Answer:
        try:
            return method(request, timeout=timeout or self.timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from error

    def _call(self, method: Callable[..., Answer], request: Any, timeout: float | None = None) -> Answer:
        """A call that may be repeated."""
        ends = time.monotonic() + (timeout or self.timeout)
        for pause in (*RETRY_SECONDS, None):
            try:
                return method(request, timeout=max(0.001, ends - time.monotonic()), metadata=self._metadata)
            except grpc.RpcError as error:
                wait = _pause(error, pause)
                if wait is None or time.monotonic() + wait >= ends:
                    raise from_rpc(error) from error
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _watch(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """The events of a watch; a connection that breaks is made anew from the last event on."""

        def go_on(event: Any) -> None:
            request.after_event_id = event.id

        return self._resumed(method, request, go_on)

    def _resumed(self, method: Callable[..., Any], request: Any, go_on: Callable[[Any], None]) -> Iterator[Any]:
        """A stream of answers; `go_on` moves the request past each, from where a broken connection is made anew."""
        tries = 0
        while True:
            try:
                for answer in method(request, metadata=self._metadata):
                    go_on(answer)
                    tries = 0
                    yield answer
            except grpc.RpcError as error:
                wait = _pause(error, RETRY_SECONDS[tries] if tries < len(RETRY_SECONDS) else None)
                if wait is None:
                    raise from_rpc(error) from error
                tries += 1
                time.sleep(wait)
            else:
                return

    # Projects

    def create_project(self, name: str, *, idempotency_key: str = "") -> project_pb2.Project:
        """Create a project. Raises Conflict (W3B-2004) when the name is taken."""
        request = project_pb2.CreateProjectRequest(name=name, idempotency_key=idempotency_key or new_idempotency_key())
        return self._call(self._projects.CreateProject, request)

    def publish_version(
        self, project_id: int, file: str, *, idempotency_key: str = "", timeout: float = 600.0
    ) -> project_pb2.ProjectVersion:
        """Publish the next version from the text of a project file; a new program's set-up takes minutes."""
        key = idempotency_key or new_idempotency_key()
        request = project_pb2.PublishVersionRequest(project_id=project_id, file=file, idempotency_key=key)
        return self._call(self._projects.PublishVersion, request, timeout)

    def pause_project(self, project_id: int) -> project_pb2.Project:
        """Stop intake and new tasks."""
        return self._call(self._projects.PauseProject, project_pb2.PauseProjectRequest(project_id=project_id))

    def resume_project(self, project_id: int) -> project_pb2.Project:
        """Undo `pause_project`."""
        return self._call(self._projects.ResumeProject, project_pb2.ResumeProjectRequest(project_id=project_id))

    def get_project(self, project_id: int) -> project_pb2.GetProjectResponse:
        """A project with its versions."""
        return self._call(self._projects.GetProject, project_pb2.GetProjectRequest(project_id=project_id))

    def get_quote(self, project_id: int) -> project_pb2.Quote:
        """What a task of the project's newest version is likely to take. Raises NotFound (W3B-2002, W3B-2003)."""
        return self._call(self._projects.GetQuote, project_pb2.GetQuoteRequest(project_id=project_id))

    def list_projects(self, *, page_size: int = 0, page_token: str = "") -> project_pb2.ListProjectsResponse:
        """A page of projects, oldest first."""
        request = project_pb2.ListProjectsRequest(page_size=page_size, page_token=page_token)
        return self._call(self._projects.ListProjects, request)

    def projects(self) -> Iterator[project_pb2.Project]:
        """Every project, oldest first."""
        return _pages(lambda token: self.list_projects(page_size=200, page_token=token), lambda page: page.projects)

    # Tasks

    def submit_task(
        self, project_id: int, readings: Sequence[bytes] = (), *, idempotency_key: str = "", timeout: float = 330.0
    ) -> task_pb2.SubmitTaskResponse:
        """Publish readings (wire form, at most 1,024) and close the open window; returns the tasks that were formed."""
        key = idempotency_key or new_idempotency_key()
        request = task_pb2.SubmitTaskRequest(project_id=project_id, readings=readings, idempotency_key=key)
        return self._call(self._tasks.SubmitTask, request, timeout)

    def get_task(self, task_id: str) -> task_pb2.GetTaskResponse:
        """A task with its attempts, transactions and timeline."""
        return self._call(self._tasks.GetTask, task_pb2.GetTaskRequest(task_id=task_id))

    def list_tasks(
        self,
        *,
        project_id: int = 0,
        states: Iterable[str] = (),
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> task_pb2.ListTasksResponse:
        """A page of tasks, newest first; `states` are names such as `FINAL`, the bounds are exclusive and zoned."""
        names = {name.removeprefix("TASK_STATE_"): value for name, value in task_pb2.TaskState.items() if value}
        wanted = list(states)
        if unknown := sorted(set(wanted) - set(names)):
            raise InvalidInput("W3B-7008", f"states {unknown} are unknown; there are {list(names)}", field="states")
        request = task_pb2.ListTasksRequest(
            project_id=project_id,
            states=[names[name] for name in wanted],
            created_after=_moment(created_after),
            created_before=_moment(created_before),
            page_size=page_size,
            page_token=page_token,
        )
        return self._call(self._tasks.ListTasks, request)

    def tasks(self, **filters: Any) -> Iterator[task_pb2.Task]:
        """Every task, newest first; the filters of `list_tasks`."""
        pages = {"page_size": 200, **filters}
        return _pages(lambda token: self.list_tasks(**pages, page_token=token), lambda page: page.tasks)

    def cancel_task(self, task_id: str, reason: str = "") -> task_pb2.Task:
        """Cancel a task that is not satisfied yet. Raises Conflict (W3B-3001)."""
        return self._once(self._tasks.CancelTask, task_pb2.CancelTaskRequest(task_id=task_id, reason=reason))

    def watch_tasks(
        self, *, task_id: str = "", project_id: int = 0, after_event_id: int = 0, until_settled: bool = False
    ) -> Iterator[task_pb2.TaskEvent]:
        """The timeline of a task or of a project, each event once and in order, over broken connections too."""
        request = task_pb2.WatchTasksRequest(
            task_id=task_id, project_id=project_id, after_event_id=after_event_id, until_settled=until_settled
        )
        return self._watch(self._tasks.WatchTasks, request)

    # Intake

    def ingest(
        self, readings: Iterable[bytes], *, batch: int = BATCH, timeout: float | None = None
    ) -> ingest_pb2.IngestSummary:
        """Publish readings in wire form. On an error send them again: what is in the stream is not added twice."""
        messages = _batches(readings, batch)
        try:
            return self._ingest.Ingest(messages, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from error

    def get_intake(self, project_id: int) -> ingest_pb2.IntakeStatus:
        """How a project's intake stands."""
        return self._call(self._ingest.GetIntake, ingest_pb2.GetIntakeRequest(project_id=project_id))

    def list_dead_letters(
        self, project_id: int, *, page_size: int = 0, page_token: str = ""
    ) -> ingest_pb2.ListDeadLettersResponse:
        """A page of refused messages, newest first."""
        request = ingest_pb2.ListDeadLettersRequest(project_id=project_id, page_size=page_size, page_token=page_token)
        return self._call(self._ingest.ListDeadLetters, request)

    # Provers

    def list_provers(self, kind: str = "") -> list[prover_pb2.Prover]:
        """All provers, or those of one kind."""
        return list(self._call(self._provers.ListProvers, prover_pb2.ListProversRequest(kind=kind)).provers)

    def watch_provers(self, after_event_id: int = 0) -> Iterator[prover_pb2.ProverEvent]:
        """Changes of provers' status, each once and in order; it does not end by itself."""
        return self._watch(self._provers.WatchProvers, prover_pb2.WatchProversRequest(after_event_id=after_event_id))

    def drain_prover(self, prover_id: str, *, drain: bool = True) -> prover_pb2.Prover:
        """Let a prover finish and give it nothing new; `drain=False` undoes it."""
        return self._call(self._provers.DrainProver, prover_pb2.DrainProverRequest(prover_id=prover_id, drain=drain))

    # The installation

    def create_api_key(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        project_id: int = 0,
        expires_in_seconds: int = 0,
        idempotency_key: str = "",
    ) -> admin_pb2.CreateApiKeyResponse:
        """Make an API key, which runs out after so long (0: never); the answer holds its secret, this once."""
        request = admin_pb2.CreateApiKeyRequest(
            name=name,
            scopes=scopes,
            project_id=project_id,
            expires_in_seconds=expires_in_seconds,
            idempotency_key=idempotency_key or new_idempotency_key(),
        )
        return self._call(self._admin.CreateApiKey, request)

    def list_api_keys(self) -> list[admin_pb2.ApiKey]:
        """Every API key, without secrets."""
        return list(self._call(self._admin.ListApiKeys, admin_pb2.ListApiKeysRequest()).api_keys)

    def revoke_api_key(self, api_key_id: str) -> admin_pb2.ApiKey:
        """Revoke a key at once. Raises Conflict (W3B-7018) for the last admin key."""
        return self._call(self._admin.RevokeApiKey, admin_pb2.RevokeApiKeyRequest(api_key_id=api_key_id))

    def get_status(self) -> admin_pb2.Status:
        """How each part of the installation stands."""
        return self._call(self._admin.GetStatus, admin_pb2.GetStatusRequest())


def _pause(error: grpc.RpcError, planned: float | None) -> float | None:
    """Seconds to wait before the next try, or None where there is none."""
    if planned is None or error.code() is not grpc.StatusCode.UNAVAILABLE:
        return None
    return planned * (1 + random.random() / 2)


def _pages(fetch: Callable[[str], Any], items: Callable[[Any], Iterable[Item]]) -> Iterator[Item]:
    token = ""
    while True:
        page = fetch(token)
        yield from items(page)
        token = page.next_page_token
        if not token:
            return


def _batches(readings: Iterable[bytes], size: int) -> Iterator[ingest_pb2.IngestRequest]:
    source = iter(readings)
    while batch := list(islice(source, size)):
        yield ingest_pb2.IngestRequest(readings=batch)


__all__ = ["Certificate", "Client", "W3bstreamError", "new_idempotency_key"]
