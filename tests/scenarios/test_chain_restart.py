"""What must hold: when the chain's node, here not the service's own, is killed or stopped in the middle of settlements
and started again on its data, it takes the same port at once and has every block that it had shown; every task becomes
FINAL and settles once; ledger, chain and stream agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from web3 import Web3

from coordinator.settlement.signer import KeyFileSigner
from l1.process import ChainProcess
from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final

VALUES = temperatures(64)
TASKS = 4
SETTLING = (
    "select outbox_tx.id from outbox_tx join attempt on settle_tx = outbox_tx.id join task on task.id = task_id "
    "where project_id = ? and outbox_tx.state in ('QUEUED', 'SENT')"
)


class OwnNode:
    """A chain on which `account` has funds."""

    def __init__(self, folder: Path, account: str) -> None:
        genesis = folder / "genesis.json"
        genesis.write_text(json.dumps({"chainId": 4690, "alloc": {account: {"balance": str(10**24)}}}))
        self._folder = folder / "chain"
        self._process = ChainProcess(self._folder, genesis)
        self.url = self._process.rpc_url

    def again(self, *, killed: bool) -> None:
        """End it by SIGKILL or SIGTERM, start it on its data, and require that it has what it had shown."""
        web3 = Web3(Web3.HTTPProvider(self.url))
        shown = web3.eth.get_block("latest")
        if killed:
            self._process.kill()
        else:
            assert self._process.stop() == 0
        self._process = ChainProcess(self._folder, port=int(self.url.rsplit(":", 1)[1]))
        assert self._process.rpc_url == self.url
        assert web3.eth.get_block(shown["number"])["hash"] == shown["hash"]

    def stop(self) -> None:
        """SIGTERM."""
        self._process.stop()


@pytest.fixture
def home(tmp_path: Path, keys: Path) -> Path:
    return with_keys(tmp_path / "home", keys)


@pytest.fixture
def node(tmp_path: Path, home: Path) -> Iterator[OwnNode]:
    made = OwnNode(tmp_path, to_checksum_address(KeyFileSigner.at(home / "keys" / "coordinator.json").address))
    yield made
    made.stop()


@pytest.mark.slow
def test_chain_restart(home: Path, node: OwnNode) -> None:
    own = Installation(home, {"CHAIN_RPC_URL": node.url, "PROVER_THREADS": "1", "EXPLORER": "false"})
    try:
        own.start()
        with own.client() as client:
            project = WeatherProject(client, "chain-restart")
            client.ingest(project.sign(VALUES))
            for killed in (True, False):
                until(lambda: own.rows(SETTLING, project.id), 120, "a settlement is under way", every=0.005)
                node.again(killed=killed)
            wait_final(client, project.id, TASKS)
        require_exactly_once(own, project.id, VALUES)
        report = json.loads(own.run_command("reconcile", "--json"))
        assert (report["whole"], report["breaks"]) == (True, [])
    finally:
        own.stop()
