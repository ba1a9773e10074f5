"""What must hold: through an RPC server that takes transactions and then does not answer, alone or beside a good one, a
window settles once on real contracts, and ledger and chain agree afterwards."""

from __future__ import annotations

import pytest

from coordinator.reconcile.chain_checks import ChainSide, check_chain
from coordinator.reconcile.report import InvariantReport
from coordinator.settlement.many_chains import chain_at
from tests.scenarios.deaf_proxy import DeafProxy
from tests.settlement.settlement_world import Anvil, World
from tests.settlement.test_settlement_mempool import QUIET, proved

DEAF = {"eth_sendRawTransaction": 0.6, "eth_getTransactionReceipt": 0.1, "eth_call": 0.05}


@pytest.mark.parametrize("servers", ["alone", "beside a good one"])
async def test_a_window_settles_once_through_a_deaf_server(anvil_world: World, own_anvil: Anvil, servers: str) -> None:
    world, proxy = anvil_world, DeafProxy(own_anvil.url, DEAF, seed=7)
    chain = chain_at(proxy.url if servers == "alone" else f"{proxy.url},{own_anvil.url}", 0.5)
    try:
        settlement = world.settlement(chain=chain, collector_limits=QUIET)
        task, attempt = await proved(world, settlement)
        await world.until_task(settlement, task, "SETTLED")
        assert proxy.swallowed["eth_sendRawTransaction"]
        await own_anvil.rpc("anvil_mine", hex(70))
        await world.until_task(settlement, task, "FINAL")
        assert (await world.attempt(attempt)).state == "VERIFIED"
        rows = await world.outbox()
        assert {row.state for row in rows} <= {"MINED", "SAFE", "FINAL"}
        assert await world.chain.nonce(world.signer.address) == len(rows), "no transaction was made twice"
        report = InvariantReport(0)
        await check_chain(
            world.ledger, ChainSide(world.chain, world.deployment, world.signer.address, moment=0.05), report, None
        )
        assert report.breaks == []
        assert report.checked["settlements"] == report.checked["assignments"] == report.checked["recorded tasks"] == 1
    finally:
        proxy.close()
        await chain.close()
