"""What must hold: when the chain takes back blocks with records, assignments and settlements, also while the service is
killed and started again, their tasks go back, are posted anew and become FINAL once; ledger, chain and stream agree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.settlement.signer import KeyFileSigner
from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from tests.settlement.settlement_world import Anvil

VALUES = temperatures(48)
SECONDS = 400.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Anvil]:
    """A block each second; a block is final 1,000 blocks later, so that nothing here is before the test says so."""
    made = Anvil(tmp_path, "--block-time", "1", "--slots-in-an-epoch", "500")
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_reorg(node: Anvil, tmp_path: Path, keys: Path) -> None:
    home = with_keys(tmp_path / "home", keys)
    account = KeyFileSigner.at(home / "keys" / "coordinator.json").address
    asyncio.run(node.rpc("anvil_setBalance", account, hex(10**20)))
    own = Installation(home, {"CHAIN_RPC_URL": node.url})
    try:
        own.start()
        with own.client() as client:
            project = WeatherProject(client, "reorg")
            published = max(tx.block_number for tx in client.list_transactions().transactions)
            client.ingest(project.sign(VALUES))
            until(lambda: settled(own, project.id), SECONDS, "all are settled, none is final")
        ((first,),) = own.rows(
            "select min(block_number) from outbox_tx"
            " where purpose = 'apply_batch' and ref like '%0x%' and block_number > ?",
            published,
        )
        rewind(node, first)
        until(lambda: reorged(own), SECONDS, "the reorg was seen")
        own.kill()
        rewind(node, first)
        own.start()
        tasks = until(lambda: settled_on(node, own, project.id), SECONDS, "all are settled again")
        asyncio.run(node.rpc("anvil_mine", hex(1010)))
        with own.client() as client:
            wait_final(client, project.id, tasks)
            settles = client.list_transactions(purpose="settle").transactions
            ladders = [client.get_transaction(tx.id).ladder for tx in settles]
        assert any("REORGED" in [step.target for step in ladder] for ladder in ladders)
        require_exactly_once(own, project.id, VALUES)
        report = json.loads(own.run_command("reconcile", "--json"))
        assert (report["whole"], report["breaks"]) == (True, [])
    finally:
        own.stop()


def settled(own: Installation, project_id: int) -> int:
    """Tasks that are settled, or final already, once they hold every reading; 0 before."""
    query = "select count(*), coalesce(sum(count), 0) from task where project_id = ? and state in ('SETTLED', 'FINAL')"
    ((tasks, readings),) = own.rows(query, project_id)
    return tasks if readings == len(VALUES) else 0


def settled_on(node: Anvil, own: Installation, project_id: int) -> int:
    """As `settled`, once the chain as it is now holds every settlement: the ledger hears of a reorg only later, and a
    settlement that is mined among the blocks that make the others final would itself wait 1,000 blocks more."""
    if not (tasks := settled(own, project_id)):
        return 0
    hashes = own.rows("select transaction_hash from task where project_id = ?", project_id)
    receipts = [asyncio.run(node.rpc("eth_getTransactionReceipt", hash)) for (hash,) in hashes]
    return tasks if all(receipts) else 0


def reorged(own: Installation) -> int:
    return len(own.rows("select id from tx_event where target = 'REORGED'"))


def rewind(node: Anvil, first: int) -> None:
    """Replace block `first` and all after it by empty ones."""
    head = int(asyncio.run(node.rpc("eth_blockNumber")), 16)
    asyncio.run(node.rpc("anvil_reorg", head - first + 1, []))
