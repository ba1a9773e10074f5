"""Our genesis is geth's genesis: block 0 has one hash, or geth is not started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine_world import COUNTER, genesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l1.chain.genesis import Genesis, GenesisAccount
from l1.chain.system_contracts import NO_REQUESTS, REQUEST_CONTRACTS, with_request_contracts
from l1.engine.genesis import GenesisUnfit, geth_genesis
from l1.engine.process import GethProcess, GethSettings
from l1.engine.rpc import EngineError
from l1.nodes.devnet_genesis import with_devnet

WORDS = st.sampled_from([0, 1, 2**255, 2**256 - 1]) | st.integers(0, 2**256 - 1)
ACCOUNTS = st.builds(
    GenesisAccount,
    balance=st.sampled_from([0, 0, 1, 2**256 - 1]),
    nonce=st.sampled_from([0, 1, 2**63]),
    code=st.sampled_from([b"", b"\x00", b"\x60\x00", bytes(24_576)]),
    storage=st.dictionaries(WORDS, WORDS, max_size=4),
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    alloc=st.dictionaries(st.binary(min_size=20, max_size=20), ACCOUNTS, max_size=5),
    timestamp=st.integers(0, 2**40),
    gas_limit=st.integers(5_000, 2**40),
    base_fee=st.integers(1, 2**60),
    extra_data=st.binary(max_size=32),
    chain_id=st.integers(1, 2**53),
)
def test_block_0_is_the_same_block(
    geth: Path,
    tmp_path_factory: pytest.TempPathFactory,
    alloc: dict[bytes, GenesisAccount],
    timestamp: int,
    gas_limit: int,
    base_fee: int,
    extra_data: bytes,
    chain_id: int,
) -> None:
    """Balances, nonces, code and slots, empty accounts and zero slots among them; every field of the header."""
    first = with_request_contracts(
        Genesis(
            chain_id,
            gas_limit=gas_limit,
            base_fee_per_gas=base_fee,
            timestamp=timestamp,
            extra_data=extra_data,
            alloc=alloc,
        )
    )
    assert _geths_first_block(geth, tmp_path_factory.mktemp("geth"), first) == first.executor()[1].hash


def test_block_0_of_a_chain_with_staking_is_the_same_block(geth: Path, tmp_path: Path) -> None:
    """Delegates' root, the rules' hash and the contracts of staking and governance are in it."""
    first = with_request_contracts(with_devnet(genesis(), tmp_path, 4))
    assert first.executor()[1].prev_randao != bytes(32)
    assert _geths_first_block(geth, tmp_path / "geth", first) == first.executor()[1].hash


def test_a_genesis_without_the_contracts_that_geth_calls_is_refused(tmp_path: Path) -> None:
    """Neither absent nor with other code: geth would refuse each block, or make requests that nobody answers."""
    fit = genesis()
    assert with_request_contracts(fit) == fit
    for address in REQUEST_CONTRACTS.values():
        alloc = dict(fit.alloc)
        del alloc[address]
        for other in (alloc, alloc | {address: GenesisAccount(nonce=1, code=b"\x5f\x5f\xf3")}):
            unfit = replace(fit, alloc=other)
            with pytest.raises(GenesisUnfit, match=address.hex()):
                geth_genesis(unfit)
            with pytest.raises(GenesisUnfit):
                GethProcess(unfit, GethSettings(Path("/bin/false"), tmp_path / address.hex()))


def test_a_genesis_with_forks_of_ours_is_refused() -> None:
    """geth would answer a call of a native precompile with nothing, and go on."""
    with pytest.raises(GenesisUnfit, match="verifiers"):
        geth_genesis(genesis(forks={"verifiers": 7}))


def test_contracts_that_are_there_stay() -> None:
    """Adding what geth calls changes nothing else."""
    plain = Genesis(7, alloc={COUNTER: GenesisAccount(5)})
    fit = with_request_contracts(plain)
    assert dict(fit.alloc) == {COUNTER: GenesisAccount(5)} | dict.fromkeys(REQUEST_CONTRACTS.values(), NO_REQUESTS)


def test_a_genesis_that_geth_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    """`geth init` fails: here a program that is no geth."""
    with pytest.raises(EngineError, match="geth did not take the genesis"):
        GethProcess(genesis(), GethSettings(Path("/bin/false"), tmp_path))


def _geths_first_block(geth: Path, folder: Path, first: Genesis) -> bytes:
    with GethProcess(first, GethSettings(geth, folder)) as process:
        return bytes.fromhex(process.engine.rpc.call("eth_getBlockByNumber", "0x0", False)["hash"][2:])
