"""Two coordinators' ledgers on one PostgreSQL: writers take turns, ids come in order, commits are heard, and what is
wrong with the server is said with a code and without the password."""

from __future__ import annotations

import asyncio
import builtins
import socket
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlmodel import col, func, select

from coordinator.ledger import postgres
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.outboxes import enqueue_tx, enqueue_webhooks
from coordinator.ledger.store import Ledger, move_task
from coordinator.ledger.tables import IdempotencyRow, TaskEventRow, TaskRow
from coordinator.ledger.transitions import TaskState
from coordinator.settings import Settings
from coordinator.settlement.outbox import reserve_nonce
from tests.databases import Databases
from verifier.errors import Conflict, InvalidInput, Unavailable, W3bstreamError

PASSWORD = "a-password-of-the-test"


@pytest.fixture
async def pair(postgresql_url: str) -> AsyncIterator[tuple[Ledger, Ledger]]:
    """Two coordinators' ledgers: each with connections of its own."""
    first, second = Ledger(postgresql_url), Ledger(postgresql_url)
    yield first, second
    await first.close()
    await second.close()


def task_row(state: TaskState = TaskState.OPEN) -> TaskRow:
    """Task 0x01 of project 1."""
    return TaskRow(
        id="0x01",
        project_id=1,
        version=1,
        window_start=1,
        window_end=2,
        count=1,
        readings_root="0x",
        device_set_root="0x",
        inputs="0x",
        state=state,
        kinds=[],
        deadline_at=10**15,
        first_reading_at=1,
        created_at=1,
        updated_at=1,
    )


async def count(ledger: Ledger, column: Any) -> int:
    async with ledger.reading() as session:
        return int((await session.exec(select(func.count()).select_from(column))).one())


# --- two coordinators at once ---


async def test_one_of_two_coordinators_moves_a_task(pair: tuple[Ledger, Ledger]) -> None:
    async with pair[0].transaction() as session:
        session.add(task_row())

    async def cancel(ledger: Ledger) -> bool:
        try:
            async with ledger.transaction() as session:
                await move_task(session, 5, "0x01", TaskState.CANCELLED)
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(*(cancel(ledger) for ledger in pair * 4))) == [False] * 7 + [True]
    assert await count(pair[0], TaskEventRow) == 1


async def test_a_nonce_is_reserved_once(pair: tuple[Ledger, Ledger]) -> None:
    async def reserve(ledger: Ledger, number: int) -> int:
        async with ledger.transaction() as session:
            nonce = await reserve_nonce(session, 7, "0xaa", 3)
            row = OutboxTxRow(
                dedupe_key=f"key {number}",
                purpose="settle",
                ref={},
                to="0x",
                data=b"",
                state="SENT",
                sender="0xaa",
                nonce=nonce,
                chain_id=7,
                created_at=1,
                updated_at=1,
            )
            session.add(row)
        return nonce

    nonces = await asyncio.gather(*(reserve(ledger, number) for number, ledger in enumerate(pair * 5)))
    assert sorted(nonces) == list(range(3, 13))


async def test_outboxes_take_each_thing_once(pair: tuple[Ledger, Ledger]) -> None:
    async with pair[0].transaction() as session:
        session.add(WebhookEndpointRow(id="ep_1", project_id=1, url="https://x", secret="s", events=[], created_at=1))

    async def enqueue(ledger: Ledger) -> int:
        async with ledger.transaction() as session:
            await enqueue_webhooks(session, 1, project_id=1, event_type="t", subject="0x01", body=str.encode)
            return await enqueue_tx(session, 1, dedupe_key="settle:1", purpose="settle", to="0x", data=b"", ref={})

    assert len(set(await asyncio.gather(*(enqueue(ledger) for ledger in pair * 5)))) == 1
    assert await count(pair[0], OutboxTxRow) == 1
    assert await count(pair[0], WebhookMessageRow) == 1


async def test_what_one_has_read_is_true_until_it_ends(pair: tuple[Ledger, Ledger]) -> None:
    """Look whether a row is there, then write it: the way of every `Once`; nobody comes in between."""

    async def once(ledger: Ledger) -> str:
        async with ledger.transaction() as session:
            if await session.get(IdempotencyRow, ("key", "Submit", "one")) is not None:
                return "found"
            await asyncio.sleep(0.01)  # room for the others, if they could come in
            session.add(
                IdempotencyRow(
                    key_id="key", method="Submit", idempotency_key="one", request_hash="", response=b"", created_at=1
                )
            )
            return "made"

    assert sorted(await asyncio.gather(*(once(ledger) for ledger in pair * 3))) == ["found"] * 5 + ["made"]


async def test_a_read_is_consistent(pair: tuple[Ledger, Ledger]) -> None:
    reader, writer = pair
    async with reader.reading() as session:
        assert (await session.exec(select(func.count(col(TaskRow.id))))).one() == 0
        async with writer.transaction() as other:
            other.add(task_row())
        assert (await session.exec(select(func.count(col(TaskRow.id))))).one() == 0
    assert await count(reader, TaskRow) == 1


# --- the order of events ---


def event() -> TaskEventRow:
    return TaskEventRow(task_id="0x01", project_id=1, subject="task", source="", target="", reason="", at=1)


async def test_events_become_visible_in_the_order_of_their_ids(pair: tuple[Ledger, Ledger]) -> None:
    slow, quick = pair
    async with slow.transaction() as session:
        session.add(event())
        await session.flush()  # its id is taken, and not visible yet

        async def write() -> None:
            async with quick.transaction() as other:
                other.add(event())

        writing = asyncio.create_task(write())
        done, _ = await asyncio.wait({writing}, timeout=0.3)
        assert not done, "a later id would be visible before this one"
        assert await count(quick, TaskEventRow) == 0, "readers do not wait"
    await writing
    async with quick.reading() as session:
        ids = (await session.exec(select(TaskEventRow.id).order_by(col(TaskEventRow.id)))).all()
    assert len(ids) == 2


async def test_a_watch_misses_nothing_that_two_coordinators_write(pair: tuple[Ledger, Ledger]) -> None:
    seen: list[int] = []

    async def watch() -> None:
        while len(seen) < 60:
            async with pair[1].reading() as session:
                query = select(TaskEventRow.id).where(col(TaskEventRow.id) > (seen[-1] if seen else 0))
                seen.extend(each for each in await session.exec(query.order_by(col(TaskEventRow.id))) if each)

    async def write(ledger: Ledger) -> None:
        for _ in range(10):
            async with ledger.transaction() as session:
                session.add(event())
                await session.flush()
                await asyncio.sleep(0)  # lets the others go on between the id and the commit

    async with asyncio.timeout(60):
        await asyncio.gather(watch(), *(write(ledger) for ledger in pair * 3))
    async with pair[0].reading() as session:
        assert seen == list(await session.exec(select(TaskEventRow.id).order_by(col(TaskEventRow.id))))


# --- being heard ---


async def hears(ledger: Ledger, seconds: float = 20.0) -> bool:
    return await ledger.changed(ledger.commits, seconds)


async def test_a_commit_is_heard_by_the_other_coordinator(pair: tuple[Ledger, Ledger]) -> None:
    listener, writer = pair
    await hears(listener)  # it says once that it has begun to listen
    waiting = asyncio.create_task(hears(listener))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="rolled back"):
        async with writer.transaction() as session:
            session.add(task_row())
            raise RuntimeError("rolled back")
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done, "nothing was committed"
    async with writer.transaction() as session:
        session.add(task_row())
    assert await waiting


async def test_who_listens_goes_on_after_the_server_broke_the_connection(
    pair: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "RELISTEN_SECONDS", 0.05)
    listener, writer = pair
    await hears(listener)
    before = listener.commits
    async with writer.transaction() as session:
        await session.exec(  # type: ignore[call-overload]
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
            )
        )
    async with asyncio.timeout(30):
        while listener.commits == before:  # it says so when it listens again; that commit itself went unheard
            await listener.changed(listener.commits, 5)
    seen = listener.commits
    async with writer.transaction() as session:
        session.add(task_row())
    assert await listener.changed(seen, 20)


# --- a writer that does not end ---


async def test_a_writer_that_sleeps_in_a_transaction_loses_it(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "IDLE_SECONDS", 0.5)
    sleeper, other = Ledger(postgresql_url), Ledger(postgresql_url)
    with pytest.raises(Unavailable) as caught:
        async with sleeper.transaction() as session:
            session.add(task_row())
            await session.flush()
            async with other.transaction() as later:  # waits for the sleeper
                later.add(event())
    assert caught.value.code in {"W3B-3021", "W3B-3024"}
    assert await count(other, TaskRow) == 0
    assert await count(other, TaskEventRow) == 1
    await sleeper.close()
    await other.close()


async def test_a_writer_waits_for_so_long_and_no_longer(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Ledger(postgresql_url)
    monkeypatch.setattr(postgres, "LOCK_SECONDS", 0.2)
    second = Ledger(postgresql_url)
    async with first.transaction():
        with pytest.raises(Unavailable) as caught:
            async with second.transaction():
                pytest.fail("two writers at once")
    assert caught.value.code == "W3B-3024"
    async with second.transaction() as session:
        session.add(event())
    await first.close()
    await second.close()


# --- values ---


@pytest.mark.parametrize("bad", [{"reason": "a\x00b"}, {"project_id": 2**40}], ids=["NUL", "too large"])
async def test_a_value_that_cannot_be_stored(pair: tuple[Ledger, Ledger], bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        async with pair[0].transaction() as session:
            session.add(TaskEventRow(**(event().model_dump() | bad)))
    assert caught.value.code == "W3B-3025"


# --- the server ---


async def refused(url: str) -> W3bstreamError:
    """What opening the ledger raises; neither it nor what it came from may hold the password."""
    with pytest.raises(W3bstreamError) as caught:
        ledger = Ledger(url)
        try:
            await ledger.migrate()
        finally:
            await ledger.close()
    text_ = "".join(f"{each!r}" for each in postgres._causes(caught.value))
    assert PASSWORD not in text_ + caught.value.next_step
    return caught.value


async def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = await refused(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/w3bstream")
    assert (error.code, type(error)) == ("W3B-3021", Unavailable)
    assert "127.0.0.1" in error.message


async def test_a_wrong_password_role_and_database(databases: Databases, postgresql_url: str) -> None:
    ledger = Ledger(postgresql_url)
    async with ledger.reading() as session:
        file = (await session.exec(text("SHOW hba_file"))).scalar()  # type: ignore[call-overload]
    await ledger.close()
    databases.sql(f"CREATE ROLE locked LOGIN PASSWORD 'another-{PASSWORD[::-1]}'")
    databases.sql(f"COPY (SELECT 'local all locked scram-sha-256') TO PROGRAM 'cat - {file} > {file}.new'")
    databases.sql(f"COPY (SELECT 1) TO PROGRAM 'mv {file}.new {file}'")
    databases.sql("SELECT pg_reload_conf()")
    wrong = postgresql_url.replace("postgres@", f"locked:{PASSWORD}@")
    async with asyncio.timeout(30):
        while True:  # the server takes a moment to read the file
            try:
                connection = await asyncpg.connect(wrong)
            except asyncpg.InvalidPasswordError:
                break
            await connection.close()
    error = await refused(wrong)
    assert (error.code, type(error)) == ("W3B-3022", Unavailable)
    assert "password authentication failed" in error.message
    assert (await refused(postgresql_url.replace("postgres@", "nobody@"))).code == "W3B-3022"
    assert (await refused(databases.url("not_there"))).code == "W3B-3022"


async def test_a_server_that_is_too_old(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "OLDEST", 99)
    assert (await refused(postgresql_url)).code == "W3B-3023"


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "asyncpg":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidInput) as caught:
        Ledger(f"postgresql://me:{PASSWORD}@db.example/w3bstream")
    assert caught.value.code == "W3B-3020"
    assert "w3bstream[postgres]" in caught.value.next_step


@pytest.mark.parametrize("url", [f"mysql://me:{PASSWORD}@db/w", f"me:{PASSWORD}@db", f"http//{PASSWORD}"])
def test_a_url_of_another_kind(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Ledger(url)
    assert caught.value.code == "W3B-3026"
    assert PASSWORD not in str(caught.value)


def test_the_password_is_not_shown() -> None:
    url = f"postgresql://me:{PASSWORD}@db.example/w3bstream"
    ledger = Ledger(url)
    assert PASSWORD not in f"{ledger!r} {ledger.url} {ledger.engine!r} {Settings(ledger_url=url)!r}"
    assert ledger.url == "postgresql://me:***@db.example/w3bstream"
