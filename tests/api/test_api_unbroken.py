"""A caller that hangs up tears nothing: its work ends, and the ledger goes on for everyone else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time

import grpc
import pytest
from api_live import Live, project_rows, task_row

import coordinator.api.unbroken as module
from coordinator.api.unbroken import Unbroken
from w3bstream.v1 import project_pb2, task_pb2


async def test_work_ends_although_its_caller_is_gone() -> None:
    unbroken, done = Unbroken(), []

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append(1)

    caller = asyncio.create_task(unbroken.run(work()))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == []
    await unbroken.finish()
    assert done == [1]


async def test_work_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)
    unbroken, ended = Unbroken(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    caller = asyncio.create_task(unbroken.run(work()))
    await asyncio.sleep(0.01)
    caller.cancel()
    async with asyncio.timeout(5):
        await ended.wait()


async def test_results_and_errors_pass_through() -> None:
    async def good() -> int:
        return 5

    async def bad() -> int:
        raise ValueError("no")

    assert await Unbroken().run(good()) == 5
    with pytest.raises(ValueError, match="no"):
        await Unbroken().run(bad())


def test_callers_that_hang_up_at_any_moment(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    live.add(*project_rows(1, "weather"), *(task_row(n) for n in range(1, 50)))
    with live.client() as client:

        def hang_up(number: int) -> None:
            watch = client._tasks.WatchTasks(task_pb2.WatchTasksRequest(project_id=1), metadata=client._metadata)
            request = project_pb2.CreateProjectRequest(name=f"project-{number}", idempotency_key=f"k{number}")
            create = client._projects.CreateProject.future(request, metadata=client._metadata)
            time.sleep(number / 2000)
            create.cancel()
            watch.cancel()

        threads = [threading.Thread(target=hang_up, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(40):
            project = client.create_project(f"project-{number}", idempotency_key=f"k{number}")
            assert project.name == f"project-{number}"
        assert len(list(client.projects())) == 41
        for timeout in (0.0005, 0.001, 0.002):
            with contextlib.suppress(grpc.RpcError):  # a fast machine may answer in time
                client._tasks.ListTasks(task_pb2.ListTasksRequest(), metadata=client._metadata, timeout=timeout)
    assert [record for record in caplog.records if record.name.startswith("sqlalchemy")] == []
