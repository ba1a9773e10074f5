"""Tasks: looked at, listed page by page, cancelled by the rules, and followed without a loss or a repeat."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from api_live import Live, project_rows, task_row
from eth_abi.abi import encode

from coordinator.api.paging import make_token
from coordinator.api.tail import LOOK_SECONDS
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import move_task
from coordinator.ledger.tables import AttemptRow
from coordinator.ledger.transitions import TASK_TRANSITIONS, TaskState
from verifier.errors import Conflict, InvalidInput, NotFound, Unavailable
from w3bstream.v1 import task_pb2


@pytest.fixture
def weather(live: Live) -> Live:
    """Two projects, and 25 tasks of the first, many of them created in the same millisecond."""
    live.add(*project_rows(1, "weather"), *project_rows(2, "rain"))
    states = list(TaskState)
    live.add(*(task_row(n, state=states[n % 9], created_at=1000 + n // 4) for n in range(1, 26)))
    live.add(task_row(1, project_id=2, created_at=5000))
    return live


def test_a_task_shows_everything(live: Live) -> None:
    output = encode(["uint32", "int64", "int32", "int32"], [3, -5, -10, 7])
    live.add(*project_rows(1, "weather"))
    live.add(
        OutboxTxRow(
            id=1,
            dedupe_key="a",
            purpose="apply_batch",
            ref={},
            to="0x",
            data=b"",
            tx_hash="0xaa",
            created_at=1,
            updated_at=1,
            state="FINAL",
        ),
        OutboxTxRow(
            id=2,
            dedupe_key="b",
            purpose="settle",
            ref={},
            to="0x",
            data=b"",
            tx_hash="0xbb",
            created_at=1,
            updated_at=1,
            state="MINED",
            gas_used=5,
        ),
        task_row(1, state="SETTLED", public_output=output, output="0x01", record_tx=1, dapp_ok=False, block_number=9),
    )
    live.add(
        AttemptRow(
            id=4,
            task_id=task_row(1).id,
            kind="zkp.groth16",
            program_id="0x",
            prover_id="p1",
            prover_address="0x09",
            fence=1,
            state="POSTED",
            lease_expires_at=1,
            heartbeat_at=1,
            deadline_at=1,
            assign_tx=1,
            settle_tx=2,
            seconds={"prove": 1.5},
            proof=b"proof",
            created_at=1,
            updated_at=1500,
        )
    )
    with live.client() as client:
        found = client.get_task(task_row(1).id)
    task = found.task
    assert [(f.name, f.type, f.value) for f in task.result] == [
        ("count", "uint32", "3"),
        ("sum", "int64", "-5"),
        ("minimum", "int32", "-10"),
        ("maximum", "int32", "7"),
    ]
    assert (task.state, task.dapp, task.block_number) == (task_pb2.TASK_STATE_SETTLED, "failed", 9)
    assert (task.created_at.ToMilliseconds(), task.first_reading_at.ToMilliseconds()) == (1000, 1)
    assert [(tx.purpose, tx.hash, tx.state) for tx in found.transactions] == [
        ("record", "0xaa", "FINAL"),
        ("assign", "0xaa", "FINAL"),
        ("settle", "0xbb", "MINED"),
    ]
    attempt = found.attempts[0]
    assert (attempt.id, attempt.proof, dict(attempt.seconds)) == (4, b"proof", {"prove": 1.5})
    assert attempt.updated_at.ToMilliseconds() == 1500


def test_an_output_that_the_manifest_does_not_fit_is_shown_as_bytes(live: Live) -> None:
    live.add(*project_rows(1, "weather"), task_row(1, public_output=b"\x01" * 33))
    with live.client() as client:
        task = client.get_task(task_row(1).id).task
    assert (task.public_output, len(task.result)) == (b"\x01" * 33, 0)


def test_an_unknown_task(live: Live) -> None:
    with live.client() as client:
        for call in (client.get_task, client.cancel_task, lambda task: list(client.watch_tasks(task_id=task))):
            with pytest.raises(NotFound) as caught:
                call("0x77")
            assert (caught.value.code, caught.value.field) == ("W3B-3003", "task_id")


@pytest.mark.parametrize("size", [1, 2, 7, 25, 26, 200])
def test_pages_hold_every_task_once_newest_first(weather: Live, size: int) -> None:
    with weather.client() as client:
        tasks = list(client.tasks(page_size=size))
    assert len(tasks) == 26
    assert len({task.id for task in tasks}) == 26
    keys = [(task.created_at.ToMilliseconds(), task.id) for task in tasks]
    assert keys == sorted(keys, reverse=True)


def test_a_page_holds_what_was_there_although_new_tasks_come(weather: Live) -> None:
    with weather.client() as client:
        first = client.list_tasks(page_size=10)
        weather.add(task_row(99, created_at=9000))
        rest = client.list_tasks(page_size=200, page_token=first.next_page_token)
    assert len({task.id for task in (*first.tasks, *rest.tasks)}) == 26


def test_filters_and_counts(weather: Live) -> None:
    with weather.client() as client:
        some = client.list_tasks(project_id=1, states=["FINAL", "FAILED"], page_size=1)
        assert {task.state for task in some.tasks} <= {task_pb2.TASK_STATE_FINAL, task_pb2.TASK_STATE_FAILED}
        assert sum(some.counts.values()) == 25
        assert some.counts["OPEN"] == 3
        wanted = {"project_id": 1, "states": ["FINAL", "FAILED"]}
        assert len(list(client.tasks(**wanted))) == some.counts["FINAL"] + some.counts["FAILED"]
        after = datetime.fromtimestamp(1.003, UTC)
        before = datetime.fromtimestamp(1.005, UTC)
        times = {task.created_at.ToMilliseconds() for task in client.tasks(created_after=after, created_before=before)}
        assert times == {1004}
        assert len(list(client.tasks(project_id=2))) == 1


def test_page_tokens_belong_to_their_list(weather: Live) -> None:
    with weather.client() as client:
        token = client.list_tasks(page_size=5).next_page_token
        bad = [
            token[:-1],
            token + "A",
            ("B" if token[0] == "A" else "A") + token[1:],
            "x" * 600,
            "ünicode",
            "=",
            "AAAA",
            make_token(("ListTasks", 0, [], [None, None]), (1, 2)),
            make_token(("ListTasks", 0, [], [None, None]), (1,)),
            make_token(("ListTasks", 0, [], [None, None]), (1 << 70, "x")),
            make_token(("ListTasks", 0, [], [None, None]), (True, "x")),
        ]
        for each in bad:
            with pytest.raises(InvalidInput) as caught:
                client.list_tasks(page_size=5, page_token=each)
            assert caught.value.code == "W3B-7009"
        with pytest.raises(InvalidInput) as caught:
            client.list_tasks(project_id=1, page_size=5, page_token=token)
        assert (caught.value.code, caught.value.field) == ("W3B-7009", "page_token")
        with pytest.raises(InvalidInput) as caught:
            client.list_tasks(page_size=201)
        assert caught.value.field == "page_size"
        with pytest.raises(InvalidInput):
            client.list_tasks(states=["FLYING"])


@pytest.mark.parametrize("state", list(TaskState))
def test_cancel_follows_the_table(live: Live, state: TaskState) -> None:
    live.add(*project_rows(1, "weather"), task_row(1, state=state))
    allowed = TaskState.CANCELLED in TASK_TRANSITIONS[state]
    with live.client() as client:
        if not allowed:
            with pytest.raises(Conflict) as caught:
                client.cancel_task(task_row(1).id)
            assert caught.value.code == "W3B-3001"
            return
        task = client.cancel_task(task_row(1).id, "wrong data")
        assert task.state == task_pb2.TASK_STATE_CANCELLED
        assert task.reason.endswith(": wrong data")
        timeline = client.get_task(task.id).timeline
        assert [(event.source, event.target) for event in timeline] == [(state.value, "CANCELLED")]
    assert state in (TaskState.RECEIVED, TaskState.OPEN)


async def churn(live: Live, numbers: range, pause: float = 0.0) -> None:
    """Write events as the other rooms do: each task goes OPEN, SATISFIED, SETTLED, FINAL."""
    for number in numbers:
        for target in (TaskState.OPEN, TaskState.SATISFIED, TaskState.SETTLED, TaskState.FINAL):
            async with live.ledger.transaction() as session:
                await move_task(session, number, task_row(number).id, target)
            await asyncio.sleep(pause)


def test_a_watch_gets_each_event_once_while_they_are_written(live: Live) -> None:
    live.add(*project_rows(1, "weather"), *(task_row(n, state="RECEIVED") for n in range(1, 31)))
    results: list[list[int]] = []

    def watch(after: int) -> None:
        with live.client() as client:
            events = client.watch_tasks(project_id=1, after_event_id=after, until_settled=True)
            results.append([event.id for event in events])

    watchers = [threading.Thread(target=watch, args=(after,)) for after in (0, 0, 0, 5, 0, 0)]
    for watcher in watchers[:3]:
        watcher.start()
    writing = asyncio.run_coroutine_threadsafe(churn(live, range(1, 31)), live._loop)
    for watcher in watchers[3:]:
        time.sleep(0.05)
        watcher.start()
    writing.result(60)
    for watcher in watchers:
        watcher.join(30)
    everything = list(range(1, 121))
    assert sorted(map(tuple, results)) == sorted([tuple(everything)] * 5 + [tuple(everything[5:])])


def test_a_watch_of_a_task_ends_with_it_and_sees_no_other(live: Live) -> None:
    live.add(*project_rows(1, "weather"), *(task_row(n, state="RECEIVED") for n in (1, 2)))
    live.run(churn(live, range(1, 2)))
    asyncio.run_coroutine_threadsafe(churn(live, range(2, 3), pause=0.1), live._loop)
    with live.client() as client:
        events = list(client.watch_tasks(task_id=task_row(2).id))
        assert [event.target for event in events] == ["OPEN", "SATISFIED", "SETTLED", "FINAL"]
        assert list(client.watch_tasks(task_id=task_row(2).id, after_event_id=events[-1].id)) == []
        assert [event.id for event in client.watch_tasks(task_id=task_row(2).id, after_event_id=events[1].id)] == [
            event.id for event in events[2:]
        ]


def test_a_watch_sees_what_another_process_wrote(live: Live) -> None:
    """No commit of this process wakes the tail then: it looks by itself."""
    from coordinator.ledger.store import Ledger

    live.add(*project_rows(1, "weather"), task_row(1, state="OPEN"))
    events: list[Any] = []

    def watch() -> None:
        with live.client() as client:
            events.extend(client.watch_tasks(task_id=task_row(1).id))

    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(0.3)  # the watch has read what was there; only what comes from elsewhere is left to see

    async def elsewhere() -> None:
        other = Ledger(live.settings.ledger)
        async with other.transaction() as session:
            await move_task(session, 5, task_row(1).id, TaskState.CANCELLED)
        await other.close()

    asyncio.run(elsewhere())
    watcher.join(10)
    assert [event.target for event in events] == ["CANCELLED"]


def test_a_client_goes_on_over_a_restart_of_the_server(live: Live) -> None:
    live.settings = live.settings.model_copy(update={"api_port": int(live.target.rpartition(":")[2])})
    live.add(*project_rows(1, "weather"), *(task_row(n, state="RECEIVED") for n in (1, 2)))
    seen: list[int] = []

    def watch() -> None:
        with live.client() as client:
            for event in client.watch_tasks(project_id=1, until_settled=True):
                seen.append(event.id)

    watcher = threading.Thread(target=watch)
    watcher.start()
    live.run(churn(live, range(1, 2)))
    deadline = time.monotonic() + 10
    while len(seen) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    live.run(live.server.stop(0.1))
    live.server = live.new_server()
    live.run(live.server.start())
    live.run(churn(live, range(2, 3)))
    watcher.join(20)
    assert seen == list(range(1, 9))


def test_a_watch_names_one_thing(live: Live) -> None:
    live.add(*project_rows(1, "weather"), task_row(1))
    with live.client() as client:
        for wrong in ({}, {"task_id": task_row(1).id, "project_id": 1}):
            with pytest.raises(InvalidInput) as caught:
                next(client.watch_tasks(**wrong))
            assert caught.value.code == "W3B-7008"
        with pytest.raises(NotFound) as missing:
            next(client.watch_tasks(project_id=9))
        assert missing.value.code == "W3B-2002"


def test_a_hundred_watchers_cost_one_look_each_commit(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watchers of other tasks sleep through a commit: only the tail and the one concerned read."""
    live.add(*project_rows(1, "weather"), *(task_row(n, state="OPEN") for n in range(1, 101)))
    reads = 0
    original = live.ledger.reading

    def counted() -> Any:
        nonlocal reads
        reads += 1
        return original()

    monkeypatch.setattr(live.ledger, "reading", counted)
    client = live.client()
    calls = [
        client._tasks.WatchTasks(task_pb2.WatchTasksRequest(task_id=task_row(n).id), metadata=client._metadata)
        for n in range(1, 101)
    ]
    deadline = time.monotonic() + 20
    while sum(map(len, live.server._tails[0]._watchers.values())) < 100 and time.monotonic() < deadline:
        time.sleep(0.02)
    before = -1
    while before != reads and time.monotonic() < deadline:  # until the watches' first reads are over
        before = reads
        time.sleep(1.5 * LOOK_SECONDS)  # the tail wakes everybody once when it notes that somebody watches
    for number in (1, 2, 3):
        client.cancel_task(task_row(number).id)
        assert next(iter(calls[number - 1])).target == "CANCELLED"
    for call in calls:
        call.cancel()
    client.close()
    assert reads - before < 60


def test_a_deadline_that_passes_says_what_to_do(live: Live) -> None:
    with live.client(timeout=0.001) as client, pytest.raises(Unavailable) as caught:
        client.list_tasks()
    assert caught.value.code == "W3B-7012"
    assert "idempotency key" in caught.value.next_step
