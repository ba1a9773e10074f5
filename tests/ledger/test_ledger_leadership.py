"""One coordinator leads; it can be taken for dead, but then it writes nothing more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from coordinator.ledger.control_tables import CoordinatorRow, LeadershipRow
from coordinator.ledger.coordinators import beat, deployed, join, require_account, standing
from coordinator.ledger.leadership import LONGEST_MS, Leadership, Term, database_now
from coordinator.ledger.outbox_tables import DeploymentRow, OutboxTxRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
from coordinator.service.leading import Leading
from verifier.errors import Conflict, Unavailable

LEASE_MS = 60_000
"""Long: these tests let leases end, and wait for none."""


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    made = Ledger(ledger_url)
    yield made
    await made.close()


@pytest.fixture
async def shared(postgresql_url: str) -> AsyncIterator[tuple[Ledger, Ledger]]:
    first, second = Ledger(postgresql_url), Ledger(postgresql_url)
    yield first, second
    await first.close()
    await second.close()


async def end_lease(ledger: Ledger) -> None:
    """What time does to a leader that is not heard of."""
    async with ledger.transaction() as session:
        await session.exec(update(LeadershipRow).values(expires_at=1))


async def enqueue(ledger: Ledger, key: str) -> None:
    async with ledger.transaction() as session:
        await enqueue_tx(session, 1, dedupe_key=key, purpose="settle", to="0x", data=b"", ref={})


async def keys(ledger: Ledger) -> list[str]:
    async with ledger.reading() as session:
        return sorted(await session.exec(select(OutboxTxRow.dedupe_key)))


# --- the lease ---


async def test_one_leads_and_the_other_stands_by(shared: tuple[Ledger, Ledger]) -> None:
    terms = await asyncio.gather(*(Leadership(each, f"co_{at}", LEASE_MS).take() for at, each in enumerate(shared * 4)))
    (term,) = (term for term in terms if term is not None)
    assert term.fence == 1
    other = Leadership(shared[1], "co_other", LEASE_MS)
    assert await other.take() is None
    assert not await other.free()
    assert await Leadership(shared[0], term.holder, LEASE_MS).renew(term)


async def test_a_lease_that_ran_out_is_taken_over_with_the_next_fence(shared: tuple[Ledger, Ledger]) -> None:
    old, new = (Leadership(each, f"co_{at}", LEASE_MS) for at, each in enumerate(shared))
    first = await old.take()
    assert first is not None
    await end_lease(shared[0])
    assert await old.renew(first), "nobody had taken over: it goes on"
    assert await new.take() is None
    await end_lease(shared[0])
    second = await new.take()
    assert second is not None
    assert second.fence == first.fence + 1
    assert not await old.renew(first)
    await old.give_back(first)
    assert await new.renew(second), "an old leader gives nothing back that is not its own"


async def test_a_lease_that_is_given_back_is_free_at_once(shared: tuple[Ledger, Ledger]) -> None:
    old, new = (Leadership(each, f"co_{at}", LEASE_MS) for at, each in enumerate(shared))
    first = await old.take()
    assert first is not None
    await old.give_back(first)
    assert await new.free()
    assert await new.take() is not None


async def test_a_lease_from_before_the_clock_was_set_back_is_free(shared: tuple[Ledger, Ledger]) -> None:
    old, new = (Leadership(each, f"co_{at}", LEASE_MS) for at, each in enumerate(shared))
    first = await old.take()
    assert first is not None
    for ahead, free in ((LONGEST_MS - LEASE_MS, False), (LONGEST_MS + LEASE_MS, True)):
        async with shared[0].transaction() as session:
            until = await database_now(session, shared[0]) + ahead
            await session.exec(update(LeadershipRow).values(expires_at=until))
        assert await new.free() is free
    assert await new.take() is not None
    assert not await old.renew(first)


async def test_a_coordinator_that_was_heard_in_the_future_is_not_alive(ledger: Ledger) -> None:
    """Its last word is from before the clock was set back; one that lives is heard again in a moment."""
    await join(
        ledger, CoordinatorRow(id="co_a", host="a", home="a", embedded="", started_at=0, heartbeat_at=0), LEASE_MS
    )
    assert [row.id for row in (await standing(ledger, LEASE_MS)).others] == ["co_a"]
    async with ledger.transaction() as session:
        await session.exec(update(CoordinatorRow).values(heartbeat_at=CoordinatorRow.heartbeat_at + 7_200_000))
    assert not (await standing(ledger, LEASE_MS)).others
    await beat(ledger, "co_a")
    assert [row.id for row in (await standing(ledger, LEASE_MS)).others] == ["co_a"]


async def test_a_ledger_that_is_not_shared_is_led_at_once(ledger: Ledger) -> None:
    """SQLite is behind a lock: who had led before is gone, whatever the lease says."""
    assert await Leadership(ledger, "co_0", LEASE_MS).take() is not None
    taken = await Leadership(ledger, "co_1", LEASE_MS).take()
    assert (taken is None) == ledger.shared


# --- the fence ---


async def test_a_leader_writes_until_another_took_over(ledger: Ledger) -> None:
    first = await Leadership(ledger, "co_0", LEASE_MS).take()
    assert first is not None
    led = ledger.led_by(first)
    await enqueue(led, "one")
    await end_lease(ledger)
    second = await Leadership(ledger, "co_1", LEASE_MS).take()
    assert second is not None
    with pytest.raises(Conflict) as caught:
        await enqueue(led, "two")
    assert caught.value.code == "W3B-8010"
    assert first.lost.is_set()
    await enqueue(ledger.led_by(second), "three")
    await enqueue(ledger, "from the API")
    assert await keys(ledger) == ["from the API", "one", "three"]


async def test_a_leader_whose_lease_ran_out_writes_nothing_even_before_another_comes(
    shared: tuple[Ledger, Ledger],
) -> None:
    term = await Leadership(shared[0], "co_0", LEASE_MS).take()
    assert term is not None
    await end_lease(shared[1])
    with pytest.raises(Conflict, match="W3B-8010"):
        await enqueue(shared[0].led_by(term), "one")
    assert await keys(shared[0]) == []


@pytest.mark.parametrize("change", [{"holder": "co_9"}, {"fence": 2}, {"fence": 0}])
async def test_a_forged_term_writes_nothing(ledger: Ledger, change: dict[str, object]) -> None:
    term = await Leadership(ledger, "co_0", LEASE_MS).take()
    assert term is not None
    forged = Term(**({"holder": term.holder, "fence": term.fence} | change))  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="W3B-8010"):
        await enqueue(ledger.led_by(forged), "one")


async def test_nobody_takes_over_in_the_middle_of_a_leaders_transaction(shared: tuple[Ledger, Ledger]) -> None:
    term = await Leadership(shared[0], "co_0", LEASE_MS).take()
    assert term is not None
    async with shared[0].led_by(term).transaction() as session:
        taking = asyncio.create_task(end_lease(shared[1]))
        done, _ = await asyncio.wait({taking}, timeout=0.3)
        assert not done
        await enqueue_tx(session, 1, dedupe_key="one", purpose="settle", to="0x", data=b"", ref={})
    await taking
    assert await keys(shared[1]) == ["one"]


# --- who has joined ---


def coordinator(name: str, home: str, embedded: str = "") -> CoordinatorRow:
    return CoordinatorRow(id=f"co_{name}", host=f"{name}:1", home=home, embedded=embedded, started_at=0, heartbeat_at=0)


async def test_coordinators_that_share_everything_join(ledger: Ledger) -> None:
    await join(ledger, coordinator("a", "home-a"), LEASE_MS)
    await join(ledger, coordinator("b", "home-b"), LEASE_MS)
    assert (await standing(ledger, LEASE_MS)).leader is None
    await Leadership(ledger, "co_a", LEASE_MS).take()
    found = await standing(ledger, LEASE_MS)
    assert found.leader is not None
    assert (found.leader.id, [row.id for row in found.others]) == ("co_a", ["co_b"])
    await beat(ledger, "co_b", stopped=True)
    assert (await standing(ledger, LEASE_MS)).others == []


@pytest.mark.parametrize(("first", "second"), [("nats, chain", ""), ("", "nats"), ("chain", "chain")])
async def test_a_part_of_ones_own_cannot_be_shared(ledger: Ledger, first: str, second: str) -> None:
    await join(ledger, coordinator("a", "home-a", first), LEASE_MS)
    with pytest.raises(Conflict) as caught:
        await join(ledger, coordinator("b", "home-b", second), LEASE_MS)
    assert caught.value.code == "W3B-8011"
    assert "W3BSTREAM_NATS_URL" in caught.value.next_step
    # The same home after a crash, and anybody once the first one has ended:
    await join(ledger, coordinator("c", "home-a", first), LEASE_MS)
    for gone in ("co_a", "co_c"):
        await beat(ledger, gone, stopped=True)
    await join(ledger, coordinator("d", "home-b", second), LEASE_MS)


async def test_another_account_is_refused(ledger: Ledger) -> None:
    assert not await deployed(ledger)
    async with ledger.transaction() as session:
        session.add(DeploymentRow(chain_id=7, genesis_hash="0x01", addresses={}, created_at=1))
    assert await deployed(ledger)
    await require_account(ledger, 7, "0xAA")
    await require_account(ledger, 7, "0xaa")
    with pytest.raises(Conflict) as caught:
        await require_account(ledger, 7, "0xbb")
    assert caught.value.code == "W3B-8012"


# --- leading and standing by ---


@dataclass
class Worker:
    """A coordinator that works while it leads."""

    ledger: Ledger
    name: str
    seconds: float = 60.0
    working: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.leading = Leading(self.ledger, coordinator(self.name, self.name), self.seconds, self.work)

    async def work(self, ledger: Ledger, ending: asyncio.Event) -> None:
        self.led = ledger
        self.ended.clear()
        self.working.set()
        await ending.wait()
        self.working.clear()
        self.ended.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.leading.join()
        task = asyncio.create_task(self.leading.run())
        try:
            yield
        finally:
            self.leading.stop()
            await task


async def reached(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_graceful_end_hands_over_at_once(shared: tuple[Ledger, Ledger]) -> None:
    """The lease is a minute long; nobody waits for it."""
    first, second = Worker(shared[0], "first"), Worker(shared[1], "second")
    async with asyncio.timeout(50), contextlib.AsyncExitStack() as stack:
        async with first.running():
            await first.working.wait()
            await stack.enter_async_context(second.running())
            assert not second.working.is_set()
            component = await second.leading.component()
            assert component.healthy
            assert component.detail.startswith("co_first (first:1) since ")
            assert component.detail.endswith("standing by: co_second (second:1)")
        assert first.ended.is_set()
        await second.working.wait()
        await enqueue(second.led, "one")
        with pytest.raises(Conflict, match="W3B-8010"):
            await enqueue(first.led, "two")
        assert "second:1, this one" in (await second.leading.component()).detail


async def test_a_leader_that_was_paused_stops_its_work_as_soon_as_it_writes(shared: tuple[Ledger, Ledger]) -> None:
    first, second = Worker(shared[0], "first"), Worker(shared[1], "second")
    async with asyncio.timeout(50), first.running():
        await first.working.wait()
        await end_lease(shared[1])  # as if it had slept for a minute
        async with second.running():
            await second.working.wait()
            with pytest.raises(Conflict, match="W3B-8010"):
                await enqueue(first.led, "one")
            await first.ended.wait()
            await reached(lambda: not first.leading.leads)
    assert await keys(shared[0]) == []


async def test_a_leader_that_cannot_reach_the_ledger_stops_its_work(
    shared: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Worker(shared[0], "first", seconds=0.3)

    async def away(*_: object, **__: object) -> bool:
        raise Unavailable("W3B-3021", "the ledger does not answer")

    async with asyncio.timeout(50), first.running():
        await first.working.wait()
        with monkeypatch.context() as patched:
            patched.setattr(Leadership, "renew", away)
            patched.setattr(Leadership, "take", away)
            patched.setattr(Leadership, "free", away)
            await first.ended.wait()
            await reached(lambda: not first.leading.leads)
        await first.working.wait()  # and leads again when it can


async def test_work_that_fails_is_begun_again(shared: tuple[Ledger, Ledger]) -> None:
    worker = Worker(shared[0], "first", seconds=0.3)
    work, tries = worker.work, []

    async def fail_once(ledger: Ledger, ending: asyncio.Event) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("once")
        await work(ledger, ending)

    worker.leading._work = fail_once
    async with asyncio.timeout(50), worker.running():
        await worker.working.wait()
    async with shared[0].reading() as session:
        row = (await session.exec(select(LeadershipRow))).one()
        coordinators = (
            await session.exec(select(CoordinatorRow).where(col(CoordinatorRow.stopped_at).is_(None)))
        ).all()
    assert (row.fence, row.expires_at, list(coordinators)) == (1, 0, [])
