"""What must hold: on another chain, behind an RPC URL, the service deploys its contracts with its own funded account, and
a window becomes FINAL when that chain calls its block final."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from web3 import Web3
from web3.types import RPCEndpoint

from coordinator.settlement.signer import KeyFileSigner
from tests.e2e.installation import ChainView, Installation, until, with_keys
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from verifier.contracts.compile import NODE_MODULES

ANVIL = NODE_MODULES / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
CHAIN_ID = 31_337
FUNDS = 10**20
VALUES = temperatures(16)


@pytest.fixture
def rpc_url(tmp_path: Path) -> Iterator[str]:
    """An anvil that makes a block each second; blocks are final two epochs of one slot later."""
    log = tmp_path / "anvil.log"
    options = ["--hardfork", "osaka", "--accounts", "0", "--slots-in-an-epoch", "1", "--block-time", "1"]
    with log.open("w") as sink:
        process = subprocess.Popen([str(ANVIL), *options, "--host", "127.0.0.1", "--port", "0"], stdout=sink)
    try:
        found = until(lambda: re.search(r"Listening on (127\.0\.0\.1:\d+)", log.read_text()), 30, "anvil listens")
        yield f"http://{found[1]}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.slow
def test_anvil(rpc_url: str, tmp_path: Path, keys: Path) -> None:
    home = with_keys(tmp_path / "home", keys)
    account = Web3.to_checksum_address(KeyFileSigner.at(home / "keys" / "coordinator.json").address)
    web3 = Web3(Web3.HTTPProvider(rpc_url))
    web3.provider.make_request(RPCEndpoint("anvil_setBalance"), [account, hex(FUNDS)])
    own = Installation(home, {"CHAIN_RPC_URL": rpc_url})
    try:
        own.start()
        assert own.child("l1") is None, "no chain of our own beside it"
        with own.client() as client:
            project = WeatherProject(client, "anvil")
            client.ingest(project.sign(VALUES))
            (task,) = wait_final(client, project.id, 1)
            assert task.finality_source == "rpc-finalized"
            assert task.dapp == "processed"
            assert client.get_status().chain_id == CHAIN_ID
            assert ChainView(client).rpc_url == rpc_url
            assert web3.eth.get_block("finalized")["number"] >= task.block_number
        require_exactly_once(own, project.id, VALUES)
        assert 0 < web3.eth.get_balance(account) < FUNDS
    finally:
        own.stop()
