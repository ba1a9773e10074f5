"""What must hold: when the RPC server takes transactions and then does not answer, again and again, no transaction is
taken for failed and none is sent twice: every task becomes FINAL once, and ledger, chain and stream agree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.settlement.signer import KeyFileSigner
from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from tests.scenarios.deaf_proxy import DeafProxy
from tests.settlement.settlement_world import Anvil

VALUES = temperatures(48)
SEED = 4
DEAF = {"eth_sendRawTransaction": 0.5, "eth_getTransactionReceipt": 0.1, "eth_call": 0.05}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Anvil]:
    made = Anvil(tmp_path, "--slots-in-an-epoch", "1", "--block-time", "1")
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rpc_timeout_after_accept(node: Anvil, tmp_path: Path, keys: Path) -> None:
    home = with_keys(tmp_path / "home", keys)
    account = KeyFileSigner.at(home / "keys" / "coordinator.json").address
    asyncio.run(node.rpc("anvil_setBalance", account, hex(10**20)))
    proxy = DeafProxy(node.url, DEAF, SEED)
    own = Installation(home, {"CHAIN_RPC_URL": proxy.url, "CHAIN_RPC_SECONDS": "0.5"})
    try:
        own.start()
        with own.client() as client:
            project = WeatherProject(client, "deaf-rpc")
            client.ingest(project.sign(VALUES))
            client.submit_task(project.id)
            tasks = until(lambda: windowed(own, project.id), 100, "every reading is in a window")
            wait_final(client, project.id, tasks, seconds=400)
            refused = client.list_transactions(states=["REFUSED"]).transactions
        assert [tx.reason for tx in refused] == []
        assert proxy.swallowed["eth_sendRawTransaction"] >= tasks
        require_exactly_once(own, project.id, VALUES)
        proxy._methods = {}
        report = json.loads(own.run_command("reconcile", "--json"))
        assert (report["whole"], report["breaks"]) == (True, [])
    finally:
        own.stop()
        proxy.close()


def windowed(own: Installation, project_id: int) -> int:
    """Tasks, once they hold every reading; 0 before."""
    ((tasks, readings),) = own.rows(
        "select count(*), coalesce(sum(count), 0) from task where project_id = ?", project_id
    )
    return tasks if readings == len(VALUES) else 0
