"""Chains for settlement tests, and a world on each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from coordinator.settlement.chain import JsonRpcChain
from tests.settlement.settlement_world import L1, ZKP, Anvil, World
from verifier.contracts.compile import SOURCES, compile_sources, with_imports

SOLIDITY = Path(__file__).parent.parent / "contracts" / "solidity"


@pytest.fixture(scope="session")
def test_abi() -> dict[str, dict[str, Any]]:
    """The test contracts of tests/contracts, compiled with the real interfaces."""
    sources = {path.name: path.read_text() for path in SOLIDITY.glob("*.sol")}
    sources |= {path.name: path.read_text() for path in SOURCES.glob("*.sol")}
    _, contracts = compile_sources(with_imports(sources), only="TestContracts.sol")
    return contracts["TestContracts.sol"]


@pytest.fixture(scope="session")
def shared_anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    """An anvil whose blocks are final two blocks later."""
    node = Anvil(tmp_path_factory.mktemp("anvil"), "--slots-in-an-epoch", "1")
    yield node
    node.stop()


@pytest.fixture(scope="session")
def shared_l1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[L1]:
    """Our own chain; every block is final at once."""
    node = L1(tmp_path_factory.mktemp("l1"))
    yield node
    node.stop()


@pytest.fixture(params=["anvil", "l1"])
def node(request: pytest.FixtureRequest) -> Anvil | L1:
    """Both chains, one after the other."""
    found: Anvil | L1 = request.getfixturevalue(f"shared_{request.param}")
    return found


@pytest.fixture
async def world(
    node: Anvil | L1, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> AsyncIterator[World]:
    """A world on each chain, with a project and one prover."""
    built = await World.build(tmp_path, ledger_url, node.url, test_abi)
    await built.add_project()
    await built.add_prover("one", ZKP)
    yield built
    await built.close()


@pytest.fixture
async def own_anvil(tmp_path: Path) -> AsyncIterator[Anvil]:
    """An anvil for one test, deep finality (64 blocks), for tests that stop, rewind or mine by hand."""
    node = await asyncio.to_thread(Anvil, tmp_path)
    yield node
    node.stop()


@pytest.fixture
async def anvil_world(
    own_anvil: Anvil, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> AsyncIterator[World]:
    """A world on that anvil."""
    built = await World.build(tmp_path, ledger_url, own_anvil.url, test_abi)
    await built.add_project()
    await built.add_prover("one", ZKP)
    yield built
    await built.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """`await serve(handler)` gives a client of a server that answers with `handler(request)`."""
    open_parts: list[Any] = []

    async def start(handler: Callable[[web.Request], Any], timeout: float = 5.0) -> JsonRpcChain:
        application = web.Application()
        application.router.add_post("/", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        chain = JsonRpcChain(f"http://127.0.0.1:{runner.addresses[0][1]}/", timeout)
        open_parts.extend([chain.close, runner.cleanup])
        return chain

    yield start
    for close in open_parts:
        await close()
