"""Nodes and accounts of the chain's tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from l1_wallet import CHAIN_ID, RICH, key
from web3 import Web3

from l1.process import ChainProcess


@pytest.fixture(scope="session")
def genesis_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty accounts with a million coins each."""
    path = tmp_path_factory.mktemp("genesis") / "genesis.json"
    alloc = {key(number).address: {"balance": str(RICH)} for number in range(1, 41)}
    path.write_text(json.dumps({"chainId": CHAIN_ID, "alloc": alloc}))
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, genesis_path: Path) -> Iterator[ChainProcess]:
    """A node of its own for each test file."""
    options = ["--min-interval", "0.05", "--block-time", "1"]
    with ChainProcess(tmp_path_factory.mktemp("node"), genesis_path, options=options) as running:
        yield running


@pytest.fixture(scope="module")
def web3(node: ChainProcess) -> Web3:
    """A client of the file's node."""
    return Web3(Web3.HTTPProvider(node.rpc_url))
