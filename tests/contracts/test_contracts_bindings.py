"""The bindings and the artifacts: what is committed is what compiles, and no bytes make the decoders fail."""

from __future__ import annotations

import dataclasses
import json

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.world import World
from verifier import bindings as b
from verifier.bindings.abi import CONTRACTS
from verifier.contracts import compile as build
from verifier.errors import InvalidInput

DEPLOYMENT = b.Deployment(1, 2, *["0x" + "aB" * 20] * 5)


def test_the_committed_artifacts_are_what_the_sources_compile_to(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    compiled = build.compile_sources(build.read_sources(build.SOURCES))
    monkeypatch.setattr(build, "compile_sources", lambda sources: compiled)  # it takes half a minute: once is enough
    assert build.main(["--check"]) == 0
    monkeypatch.setattr(build, "ARTIFACTS", tmp_path)
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    router = tmp_path / "Router.json"
    router.write_text(router.read_text().replace("0x60", "0x61", 1))
    assert build.main(["--check"]) == 1
    assert "artifacts/Router.json" in capsys.readouterr().err


def test_a_source_that_does_not_compile_says_where() -> None:
    with pytest.raises(InvalidInput, match=r"Bad\.sol:2"):
        build.compile_sources({"Bad.sol": "pragma solidity ^0.8.0;\ncontract Bad { uint x = ; }"})


def test_every_contract_fits_the_code_size_limit() -> None:
    for contract in CONTRACTS:
        record = json.loads((build.ARTIFACTS / f"{contract}.json").read_text())
        assert len(record["deployedBytecode"]) // 2 - 1 <= 24_576, f"{contract}: EIP-170"
        assert len(b.bytecode_of(contract)) <= 49_152, f"{contract}: EIP-3860"


def test_a_deployment_survives_json(world: World) -> None:
    for deployment in (DEPLOYMENT, world.deployment):
        assert b.Deployment.from_json(deployment.to_json()) == deployment
    assert world.deployment.router_bytes().hex() == world.deployment.router[2:].lower()


@pytest.mark.parametrize(
    "change",
    [
        *({"router": "0x12"}, {"router": None}, {"chain_id": "1"}, {"block": -1}, {"other": 1}),
        *({"fleet": "0x" + "g" * 40}, {"production": 1}, {"production": "false"}, {"generation": True}),
    ],
)
def test_a_malformed_deployment_record_is_refused(change: dict[str, object]) -> None:
    text = json.dumps(dataclasses.asdict(DEPLOYMENT) | change)
    with pytest.raises(InvalidInput, match="W3B-5008"):
        b.Deployment.from_json(text)


def test_a_record_of_the_release_before_policies_is_read() -> None:
    fields = dataclasses.asdict(DEPLOYMENT)
    text = json.dumps({name: fields[name] for name in fields if name not in ("generation", "production")})
    found = b.Deployment.from_json(text)
    assert (found.generation, found.production) == (1, False)


@pytest.mark.parametrize("text", ["", "[]", "{}", "1", "null"])
def test_a_text_that_is_no_deployment_record_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="W3B-5008"):
        b.Deployment.from_json(text)


KNOWN_ERRORS = [error for contract in CONTRACTS for error in b.abi_of(contract) if error["type"] == "error"]


@given(st.sampled_from(KNOWN_ERRORS), st.binary(max_size=200))
def test_no_revert_data_makes_the_decoder_fail(error: dict[str, object], tail: bytes) -> None:
    from eth_hash.auto import keccak

    signature = f"{error['name']}({','.join(each['type'] for each in error['inputs'])})"  # type: ignore[attr-defined]
    assert b.decode_revert(keccak(signature.encode())[:4] + tail).name in (error["name"], "Unknown")
    assert str(b.decode_revert(tail))


def test_the_built_in_reverts_are_decoded() -> None:
    message = bytes.fromhex("08c379a0") + encode(["string"], ["no"])
    assert str(b.decode_revert(message)) == "Error(message=no)"
    assert b.decode_revert(bytes.fromhex("4e487b71") + encode(["uint256"], [17])).args == {"code": 17}
    assert b.decode_revert(b"") == b.Revert("", {})


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=4), st.binary(max_size=300))
def test_no_log_makes_the_decoder_fail(topics: list[bytes], data: bytes) -> None:
    assert b.decode_event(topics, data) is None
    for contract, name in [("Router", "TaskSettled"), ("Router", "DappFailed"), ("FleetManagement", "CapabilitiesSet")]:
        decoded = b.decode_event([b.event_topic(contract, name), *topics], data)
        assert decoded is None or decoded.name == name
