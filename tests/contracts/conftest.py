"""Chains to run the contracts on, and one deployment on each."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_hash.auto import keccak

from l1.process import ChainProcess
from tests.contracts.chain_client import Chain
from tests.contracts.groth16_simulator import TrapdoorKey
from tests.contracts.world import SIGNED, ZKP, World, address
from verifier import bindings as b
from verifier.contracts.compile import NODE_MODULES, SOURCES, compile_sources, with_imports

ANVIL = NODE_MODULES / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
SOLIDITY = Path(__file__).parent / "solidity"


CHAINS = ["anvil", "l1"]


def _anvil(folder: Path) -> Iterator[Chain]:
    log = folder / "anvil.log"
    with log.open("w") as sink:
        process = subprocess.Popen([str(ANVIL), "--port", "0", "--hardfork", "osaka", "--accounts", "1"], stdout=sink)
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(r"Listening on (127\.0\.0\.1:\d+)", log.read_text())):
            assert process.poll() is None, "anvil ended before it listened"
            assert time.monotonic() < deadline, "anvil does not listen"
            time.sleep(0.05)
        key = re.search(r"\(0\) (0x[0-9a-f]{64})", log.read_text())
        assert key is not None
        yield Chain.connect("anvil", f"http://{found[1]}", key[1])
    finally:
        process.terminate()
        process.wait(timeout=10)


def _l1(folder: Path) -> Iterator[Chain]:
    funded = Account.from_key(keccak(b"funded"))
    genesis = folder / "genesis.json"
    genesis.write_text(json.dumps({"chainId": 4690, "alloc": {funded.address: {"balance": str(10**24)}}}))
    with ChainProcess(folder / "chain", genesis, options=["--min-interval", "0.02"]) as node:
        yield Chain.connect("l1", node.rpc_url, funded.key)


@pytest.fixture(scope="session", params=CHAINS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A running chain with a funded account."""
    yield from {"anvil": _anvil, "l1": _l1}[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def test_abi() -> dict[str, dict[str, Any]]:
    """The test contracts, compiled with the real interfaces."""
    sources = {path.name: path.read_text() for path in SOLIDITY.glob("*.sol")}
    sources |= {path.name: path.read_text() for path in SOURCES.glob("*.sol")}
    _, contracts = compile_sources(with_imports(sources), only="TestContracts.sol")
    return contracts["TestContracts.sol"]


@pytest.fixture(scope="session")
def world(chain: Chain, test_abi: dict[str, dict[str, Any]]) -> World:
    """Everything deployed, a verifying key registered, two provers registered and Idle."""
    names = ("coordinator", "stranger", "prover one", "prover two", "signer")
    coordinator, stranger, one, two, signer = (Account.from_key(keccak(name.encode())) for name in names)
    for account in (coordinator, stranger, one):
        chain.fund(account)
    deployment = b.deploy(chain.web3, chain.funded, address(coordinator), heartbeat_timeout=7 * 86_400)
    key = TrapdoorKey.generate(seed=1)
    built = World(chain, deployment, coordinator, stranger, (one, two), signer, b"", key, test_abi)
    built.signature_verifier = built.deploy_test(
        "SignatureVerifier", ["address", "address"], [deployment.router, signer.address]
    )
    chain.send(stranger, deployment.groth16, b.register_verifying_key(key.encoded()))
    for prover in (one, two):
        chain.send(coordinator, deployment.fleet, b.register_prover(address(prover), [ZKP, SIGNED]))
    idle = [b.StatusUpdate(address(prover), b.ProverStatus.IDLE) for prover in (one, two)]
    built.coordinate(statuses=idle)
    return built
