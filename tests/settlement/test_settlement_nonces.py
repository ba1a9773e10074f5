"""What must hold: no nonce is given twice, none blocks the later ones for ever, nothing is sent under an old fence or to
another chain, and every step of a transaction stands in its ladder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlmodel import col, select, update

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger, move_attempt
from coordinator.ledger.tables import AttemptRow
from coordinator.ledger.transitions import AttemptState
from coordinator.settlement import outbox
from coordinator.settlement.chain import Block
from coordinator.settlement.deployment import ensure_deployment
from coordinator.settlement.finality import Finality
from tests.settlement.memory_chain import CHAIN_ID, MemorySigner
from tests.settlement.memory_run import IMPATIENT, Run
from verifier.errors import Conflict

SENDER = "0x" + "99" * 20


@pytest.fixture
async def run(ledger_url: str) -> AsyncIterator[Run]:
    made = await Run.begin(ledger_url, IMPATIENT, tasks=1)
    yield made
    await made.ledger.close()


async def settle_row(run: Run) -> OutboxTxRow:
    return next(row for row in await run.outbox() if row.purpose == "settle")


async def until_settle_is(run: Run, state: str) -> OutboxTxRow:
    """Mine all but the settlement, until it is in the state."""
    for _ in range(40):
        rows = [row for row in await run.outbox() if row.purpose == "settle"]
        if rows and rows[0].state == state:
            return rows[0]
        await run.step()
        run.chain.mine(skip=lambda sent: sent.to == run.chain.deployment.router.lower())
    raise AssertionError(await run.outbox())


async def test_a_row_climbs_the_whole_ladder(run: Run) -> None:
    await run.until("FINAL")
    row = await settle_row(run)
    steps = [step for step in await run.ladder(row) if step not in ("BUMPED", "RESENT")]
    assert steps == ["QUEUED", "SENT", "MINED", "SAFE", "FINAL"]
    assert (row.chain_id, row.fence, row.reorgs) == (CHAIN_ID, 1, 0)


async def test_a_reorg_from_safe_stands_in_the_ladder(run: Run) -> None:
    await run.until("SETTLED")
    while (await settle_row(run)).state != "SAFE":
        run.chain.mine()
        await run.step()
    run.chain.reorg(6, blocks=1)
    await run.step()
    assert (await settle_row(run)).state == "SENT"
    await run.until("FINAL")
    row = await settle_row(run)
    steps = [step for step in await run.ladder(row) if step not in ("BUMPED", "RESENT")]
    assert steps == ["QUEUED", "SENT", "MINED", "SAFE", "REORGED", "MINED", "SAFE", "FINAL"]
    assert row.reorgs == 1


async def test_a_nonce_that_a_reorg_left_empty_is_filled(run: Run) -> None:
    """Another transaction of the account used a nonce, a reorg took it away for good, and ours holds the next one."""
    await run.until("OPEN")
    at = run.chain.state.nonce
    foreign = MemorySigner().sign(chain_id=CHAIN_ID, nonce=at, to=SENDER, data=b"", gas=1, fees=await run.chain.fees())
    await run.chain.send_raw(foreign.raw)
    run.chain.mine()
    row = await until_settle_is(run, "SENT")
    run.chain.reorg(len(run.chain.blocks), lost=lambda sent: sent.hash == foreign.tx_hash)
    assert foreign.tx_hash not in run.chain.mempool
    await run.until("FINAL")
    filled = [each for each in await run.outbox() if each.purpose == "fill_nonce"]
    assert [each.nonce for each in filled] == [at], "nobody else would ever have used that nonce"
    assert run.chain.state.nonce > (row.nonce or 0)


async def test_a_proof_that_nobody_wants_any_more_gives_its_nonce_free(run: Run) -> None:
    row = await until_settle_is(run, "SENT")
    async with run.ledger.transaction() as session:
        attempt = await session.get_one(AttemptRow, row.ref["attempt_id"])
        await move_attempt(session, run.ledger.clock(), attempt.id or 0, attempt.fence, AttemptState.SUPERSEDED)
    for _ in range(3):
        await run.step()
    assert "CANCELLED" in await run.ladder(row)
    router = run.chain.deployment.router.lower()
    for _ in range(20):
        run.chain.mine(skip=lambda sent: sent.to == router)
        await run.step()
    after = next(each for each in await run.outbox() if each.id == row.id)
    assert after.state == "REFUSED"
    assert f"is {AttemptState.SUPERSEDED}" in after.reason
    assert run.chain.state.nonce > (row.nonce or 0), "the nonce was used by an empty transfer"
    assert not run.chain.state.accepted


async def test_the_bytes_of_a_cancelled_proof_may_be_mined_all_the_same(run: Run) -> None:
    row = await until_settle_is(run, "SENT")
    first = run.chain.mempool[row.tx_hash]
    async with run.ledger.transaction() as session:
        attempt = await session.get_one(AttemptRow, row.ref["attempt_id"])
        await move_attempt(session, run.ledger.clock(), attempt.id or 0, attempt.fence, AttemptState.SUPERSEDED)
    for _ in range(3):
        await run.step()
    run.chain.mempool = {first.hash: first}
    run.chain.mine()
    await run.step()
    after = next(each for each in await run.outbox() if each.id == row.id)
    assert (after.state, after.tx_hash) == ("MINED", first.hash)


@pytest.mark.parametrize("change", [{"fence": 7}, {"state": "LOST"}])
async def test_a_proof_under_an_old_fence_is_not_sent(run: Run, change: dict[str, object]) -> None:
    """The attempt's row says another thing than when the proof was enqueued."""
    for _ in range(40):
        await run.settlement._collector.round()
        if any(row.purpose == "settle" for row in await run.outbox()):
            break
        await run.step()
        run.chain.mine()
        async with run.ledger.transaction() as session:
            proved = (await session.exec(select(AttemptRow).where(AttemptRow.state == "PROVED"))).first()
    row = await settle_row(run)
    assert (row.state, row.fence) == ("QUEUED", 1)
    async with run.ledger.transaction() as session:
        await session.exec(update(AttemptRow).where(col(AttemptRow.id) == row.ref["attempt_id"]).values(**change))
    await run.settlement._sender.step()
    after = await settle_row(run)
    assert (after.state, after.raw, after.nonce) == ("REFUSED", None, None)
    assert proved is not None
    assert not run.chain.state.accepted


async def test_rows_of_another_chain_are_never_sent(run: Run) -> None:
    async with run.ledger.transaction() as session:
        await enqueue_tx(
            session, 1, dedupe_key="x", purpose="pause", to=SENDER, data=b"\x01", ref={}, chain_id=CHAIN_ID + 1
        )
    await run.until("FINAL")
    other = next(row for row in await run.outbox() if row.dedupe_key == "x")
    assert (other.state, other.tries) == ("QUEUED", 0)
    with pytest.raises(Conflict, match=rf"W3B-5011.*1 for chain {CHAIN_ID + 1}; this is chain {CHAIN_ID}"):
        await ensure_deployment(run.ledger, run.chain, MemorySigner(), finality=Finality("single-producer"))


@pytest.mark.parametrize("mined", [0, 5])
async def test_two_processes_never_get_the_same_nonce(ledger_url: str, mined: int) -> None:
    """Each reserves and stores in one transaction, as the sender does, all at once and over connections of their own."""
    ledgers = [Ledger(ledger_url) for _ in range(2)]

    async def one(number: int) -> int:
        async with ledgers[number % 2].transaction() as session:
            nonce = await outbox.reserve_nonce(session, 1, SENDER, mined)
            session.add(
                OutboxTxRow(
                    dedupe_key=f"row {number}",
                    chain_id=1,
                    purpose="pause",
                    ref={},
                    to="",
                    data=b"",
                    state="SENT",
                    sender=SENDER,
                    nonce=nonce,
                    created_at=0,
                    updated_at=0,
                )
            )
        return nonce

    given = await asyncio.gather(*(one(number) for number in range(12)))
    assert sorted(given) == list(range(mined, mined + 12))
    for ledger in ledgers:
        await ledger.close()


async def test_safe_comes_from_the_tag_or_the_depth_and_is_never_below_final(run: Run) -> None:
    chain, head = run.chain, Block(100, "0x", 0, 0)
    assert await Finality("rpc-depth", 20, knows_safe=False, safe_depth=5).safe_number(chain, head, 80) == 95
    assert await Finality("rpc-depth", 20, knows_safe=False).safe_number(chain, head, 80) == 80
    for _ in range(9):
        chain.mine()
    latest = await chain.block("latest")
    assert latest is not None
    assert await Finality("rpc-finalized").safe_number(chain, latest, chain.finalized) == chain.finalized + 2
    assert await Finality("rpc-finalized").safe_number(chain, latest, 9) == 9
