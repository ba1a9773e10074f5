"""What must hold: with transactions stuck, dropped, raced or rewound by a reorg, the ledger ends up with the chain."""

from __future__ import annotations

import asyncio

from coordinator.settlement.collector import CollectorLimits
from coordinator.settlement.sending import SenderLimits
from coordinator.settlement.service import Settlement
from tests.settlement.settlement_world import RICH, Anvil, World, mined, transfer

QUIET = CollectorLimits(status_seconds=0.0, refresh_seconds=1e9)


async def proved(world: World, settlement: Settlement) -> tuple[str, int]:
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    return task, attempt


async def send_unmined(world: World, node: Anvil, settlement: Settlement) -> str:
    """Stop mining, and let the settle transaction go to the mempool; its hash."""
    await node.rpc("evm_setAutomine", False)
    await world.until_tx(settlement, "settle", "SENT")
    return (await world.outbox("settle"))[-1].tx_hash


async def test_a_stuck_transaction_gets_higher_fees_under_its_nonce(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    limits = SenderLimits(resend_seconds=0.05, bump_seconds=0.1)
    settlement = world.settlement(sender_limits=limits, collector_limits=QUIET)
    task, attempt = await proved(world, settlement)
    first = await send_unmined(world, own_anvil, settlement)

    async def replaced() -> bool:
        return len((await world.outbox("settle"))[-1].ref["hashes"]) >= 2

    await world.until(settlement, replaced)
    (row,) = await world.outbox("settle")
    assert first in row.ref["hashes"]
    assert row.tx_hash not in row.ref["hashes"]
    await own_anvil.rpc("evm_mine")
    settled = await world.until_task(settlement, task, "SETTLED")
    assert settled.transaction_hash != first, "the mempool took the replacement"
    assert (await world.attempt(attempt)).state == "VERIFIED"
    assert await world.chain.nonce(world.signer.address) == (row.nonce or 0) + 1


async def test_the_first_of_several_hashes_may_be_the_one_mined(anvil_world: World, own_anvil: Anvil) -> None:
    """A block with the first version arrives although the ledger has signed a replacement: its receipt is found."""
    world = anvil_world
    settlement = world.settlement(sender_limits=SenderLimits(resend_seconds=1e9), collector_limits=QUIET)
    task, _ = await proved(world, settlement)
    first = await send_unmined(world, own_anvil, settlement)
    (row,) = await world.outbox("settle")
    replacement = await settlement._sender.mempool.replace(row)
    assert replacement.tx_hash != first
    await own_anvil.rpc("evm_mine")
    settled = await world.until_task(world.settlement(collector_limits=QUIET), task, "SETTLED")
    assert settled.transaction_hash == first
    (row,) = await world.outbox("settle")
    assert row.ref["hashes"] == [replacement.tx_hash]


async def test_a_transaction_that_the_mempool_dropped_is_sent_again(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    task, _ = await proved(world, settlement)
    sent = await send_unmined(world, own_anvil, settlement)
    await own_anvil.rpc("anvil_dropTransaction", sent)
    await own_anvil.rpc("evm_setAutomine", True)
    settled = await world.until_task(settlement, task, "SETTLED")
    assert settled.transaction_hash == sent, "the same bytes"


async def test_a_nonce_that_somebody_else_used_is_left_behind(anvil_world: World, own_anvil: Anvil) -> None:
    """The key was used elsewhere: once that is final, ours is signed anew under a fresh nonce."""
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    task, attempt = await proved(world, settlement)
    sent = await send_unmined(world, own_anvil, settlement)
    (row,) = await world.outbox("settle")
    await own_anvil.rpc("anvil_dropTransaction", sent)
    await own_anvil.rpc("evm_setAutomine", True)
    await transfer(world.chain, world.signer_key, "0x" + "22" * 20, b"", wei=1, nonce=row.nonce)
    for _ in range(3):
        await asyncio.sleep(0.25)
        await settlement.step()
    assert (await world.outbox("settle"))[-1].state == "SENT", "a block that is not final decides nothing"
    await own_anvil.rpc("anvil_mine", hex(70))
    await world.until_task(settlement, task, "SETTLED")
    (again,) = await world.outbox("settle")
    assert again.nonce == (row.nonce or 0) + 1
    assert (await world.attempt(attempt)).state == "VERIFIED"


async def test_a_foreign_nonce_before_ours_moves_ours_on(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    task, _ = await proved(world, settlement)
    used = await transfer(world.chain, world.signer_key, "0x" + "22" * 20, b"", wei=1)
    assert used.succeeded
    await world.until_task(settlement, task, "SETTLED")
    (row,) = await world.outbox("settle")
    assert row.nonce == await world.chain.nonce(world.signer.address) - 1


async def test_a_race_lost_in_the_block_is_adopted(anvil_world: World, own_anvil: Anvil) -> None:
    """Simulation passed, but a stranger's copy stands before ours in the block: ours reverts, the effect is there."""
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    task, attempt = await proved(world, settlement)
    ours = await send_unmined(world, own_anvil, settlement)
    (row,) = await world.outbox("settle")
    theirs = asyncio.create_task(transfer(world.chain, RICH, world.deployment.router, row.data))
    await asyncio.sleep(0.3)
    await own_anvil.rpc("evm_mine")
    copied = await theirs
    assert copied.succeeded, "anvil orders by fee, and the stranger pays more"
    assert not (await mined(world.chain, ours)).succeeded
    settled = await world.until_task(settlement, task, "SETTLED")
    assert settled.transaction_hash == copied.tx_hash
    assert (await world.attempt(attempt)).state == "VERIFIED"


async def test_several_transactions_are_in_flight_with_consecutive_nonces(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET, sender_limits=SenderLimits(in_flight=3, resend_seconds=0.2))
    attempts = [(await world.ready_attempt(settlement, "one")) for _ in range(5)]
    for _, attempt in attempts:
        await world.prove(attempt)
    await own_anvil.rpc("evm_setAutomine", False)
    for _ in range(3):
        await settlement.step()
    rows = await world.outbox("settle")
    nonces = [row.nonce for row in rows if row.state == "SENT"]
    assert len(nonces) == 3, "bounded"
    assert nonces == list(range(nonces[0] or 0, (nonces[0] or 0) + 3))
    await own_anvil.rpc("evm_setAutomine", True)
    await own_anvil.rpc("evm_mine")
    for task, _ in attempts:
        await world.until_task(settlement, task, "SETTLED")


async def rewind(node: Anvil, depth: int) -> None:
    """Replace the last `depth` blocks by empty ones (anvil_reorg)."""
    await node.rpc("anvil_reorg", depth, [])


async def states(world: World, task: str, attempt: int) -> tuple[str, str]:
    return (await world.task(task)).state, (await world.attempt(attempt)).state


async def test_a_reorg_takes_a_settlement_back_and_it_settles_again(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    task, attempt = await proved(world, settlement)
    settled = await world.until_task(settlement, task, "SETTLED")
    old = (settled.block_hash, settled.transaction_hash)
    await own_anvil.rpc("evm_setAutomine", False)
    await rewind(own_anvil, 1)

    async def back() -> bool:
        return await states(world, task, attempt) == ("SATISFIED", "POSTED")

    await world.until(settlement, back)
    row = await world.task(task)
    assert (row.block_hash, row.transaction_hash, row.dapp_ok) == ("", "", None)
    await own_anvil.rpc("evm_setAutomine", True)
    await own_anvil.rpc("evm_mine")
    again = await world.until_task(settlement, task, "SETTLED")
    assert again.transaction_hash == old[1], "the same bytes, so it can count once only"
    assert again.block_hash != old[0]
    await own_anvil.rpc("anvil_mine", hex(70))
    final = await world.until_task(settlement, task, "FINAL")
    assert final.block_hash == again.block_hash


async def test_a_reorg_takes_a_task_record_back(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    await world.until_tx(settlement, "publish_version", "MINED")
    await world.until_tx(settlement, "register_prover", "MINED")
    await world.until_tx(settlement, "apply_batch", "MINED")
    task = await world.add_task()
    await world.until_task(settlement, task, "OPEN")
    await own_anvil.rpc("evm_setAutomine", False)
    await rewind(own_anvil, 1)
    await world.until_task(settlement, task, "RECEIVED")
    await own_anvil.rpc("evm_setAutomine", True)
    await own_anvil.rpc("evm_mine")
    await world.until_task(settlement, task, "OPEN")
    assert len([row for row in await world.outbox("apply_batch") if task in row.ref["tasks"]]) == 1


async def test_a_deep_reorg_redoes_assignment_and_settlement_in_order(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    task, attempt = await proved(world, settlement)
    settled = await world.until_task(settlement, task, "SETTLED")
    blocks = (await world.outbox("settle"))[-1].block_number or 0
    assign = next(row for row in await world.outbox("apply_batch") if row.ref["assignments"] == [attempt])
    await own_anvil.rpc("evm_setAutomine", False)
    await rewind(own_anvil, blocks - (assign.block_number or 0) + 1)

    async def back() -> bool:
        return await states(world, task, attempt) == ("SATISFIED", "POSTED")

    await world.until(settlement, back)
    await own_anvil.rpc("evm_setAutomine", True)
    await own_anvil.rpc("evm_mine")
    again = await world.until_task(settlement, task, "SETTLED")
    assert again.block_hash != settled.block_hash
    assert len(await world.outbox("settle")) == 1
    await own_anvil.rpc("anvil_mine", hex(70))
    await world.until_task(settlement, task, "FINAL")


async def test_a_reorg_of_a_stranger_s_settlement_sends_our_own(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    task, attempt = await proved(world, settlement)
    await settlement._collector.round()
    (row,) = await world.outbox("settle")
    theirs = await transfer(world.chain, RICH, world.deployment.router, row.data)
    await world.until_task(settlement, task, "SETTLED")
    await rewind(own_anvil, 1)

    async def ours() -> bool:
        found = (await world.outbox("settle"))[-1]
        return found.state == "MINED" and found.raw is not None

    await world.until(settlement, ours)
    settled = await world.until_task(settlement, task, "SETTLED")
    assert settled.transaction_hash != theirs.tx_hash
    assert (await world.attempt(attempt)).state == "VERIFIED"


async def test_finality_waits_for_its_depth(anvil_world: World, own_anvil: Anvil) -> None:
    world = anvil_world
    settlement = world.settlement(collector_limits=QUIET)
    task, _ = await proved(world, settlement)
    await world.until_task(settlement, task, "SETTLED")
    await own_anvil.rpc("anvil_mine", hex(20))
    for _ in range(3):
        await settlement.step()
    assert (await world.task(task)).state == "SETTLED"
    await own_anvil.rpc("anvil_mine", hex(60))
    await world.until_task(settlement, task, "FINAL")
