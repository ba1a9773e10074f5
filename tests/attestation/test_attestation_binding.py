"""What evidence carries: published vectors of both encodings, and every field of them counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from verifier.attestation.binding import SessionKey, direct, register_key
from verifier.attestation.evidence import Platform
from verifier.errors import InvalidInput
from verifier.statement import Domain, Statement

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors/attestation/binding.json").read_text())
DOMAIN = Domain(VECTORS["domain"]["chain_id"], bytes.fromhex(VECTORS["domain"]["router"]))
KEY = SessionKey(
    **{name: bytes.fromhex(VECTORS["session_key"][name]) for name in ("public_key", "program_id", "prover", "nonce")},
    expiry=VECTORS["session_key"]["expiry"],
)
STATEMENT = Statement(
    project_id=VECTORS["statement"]["project_id"],
    project_version=VECTORS["statement"]["project_version"],
    **{
        name: bytes.fromhex(VECTORS["statement"][name])
        for name in ("task_id", "inputs", "output", "program_id", "prover")
    },
)
DEVICES = [bytes.fromhex(each) for each in VECTORS["devices"]]
PLATFORMS = pytest.mark.parametrize("platform", list(Platform), ids=str)


def plain(data: Any) -> dict[str, str | None]:
    return {name: None if value is None else value.hex() for name, value in data.items()}


@PLATFORMS
@pytest.mark.parametrize("devices", [[], DEVICES], ids=["alone", "with devices"])
def test_the_published_vectors(platform: Platform, devices: list[bytes]) -> None:
    wanted = VECTORS["with_devices" if devices else "alone"]
    assert plain(register_key(platform, DOMAIN, KEY, devices)) == wanted["register_key"][platform.value]
    assert plain(direct(platform, DOMAIN, STATEMENT, devices)) == wanted["direct"][platform.value]


def test_a_wallet_computes_the_same_digest() -> None:
    """EIP-712 by eth_account, which shares no code with ours."""
    message = encode_typed_data(
        full_message={
            "domain": {
                "name": "W3bstream",
                "version": "1",
                "chainId": DOMAIN.chain_id,
                "verifyingContract": "0x" + DOMAIN.router.hex(),
            },
            "primaryType": "SessionKey",
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "SessionKey": [
                    {"name": "publicKey", "type": "bytes"},
                    {"name": "programId", "type": "bytes32"},
                    {"name": "prover", "type": "address"},
                    {"name": "nonce", "type": "bytes32"},
                    {"name": "expiry", "type": "uint64"},
                ],
            },
            "message": {
                "publicKey": KEY.public_key,
                "programId": KEY.program_id,
                "prover": "0x" + KEY.prover.hex(),
                "nonce": KEY.nonce,
                "expiry": KEY.expiry,
            },
        }
    )
    assert keccak(b"\x19" + message.version + message.header + message.body) == KEY.digest(DOMAIN)


def bump(value: Any) -> Any:
    return value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]


@PLATFORMS
@pytest.mark.parametrize("name", ["public_key", "program_id", "prover", "nonce", "expiry"])
def test_each_field_of_a_registration_counts(platform: Platform, name: str) -> None:
    other = replace(KEY, **{name: bump(getattr(KEY, name))})
    assert register_key(platform, DOMAIN, other) != register_key(platform, DOMAIN, KEY)


@PLATFORMS
@pytest.mark.parametrize(
    "name", ["project_id", "project_version", "task_id", "inputs", "output", "program_id", "prover"]
)
def test_each_field_of_a_statement_counts(platform: Platform, name: str) -> None:
    other = replace(STATEMENT, **{name: bump(getattr(STATEMENT, name))})
    assert direct(platform, DOMAIN, other) != direct(platform, DOMAIN, STATEMENT)


@PLATFORMS
def test_chain_router_kind_and_devices_count(platform: Platform) -> None:
    others = [replace(DOMAIN, chain_id=DOMAIN.chain_id + 1), replace(DOMAIN, router=bump(DOMAIN.router))]
    for make, subject in ((register_key, KEY), (direct, STATEMENT)):
        for other in others:
            assert make(platform, other, subject) != make(platform, DOMAIN, subject)
        # A GPU's nonce and SEV's mnonce have no room for the evidence of further devices.
        room = platform not in (Platform.NVIDIA_H100, Platform.SEV)
        orders = [[], DEVICES, DEVICES[::-1], DEVICES[:1]] if room else [[]]
        assert len({str(plain(make(platform, DOMAIN, subject, each))) for each in orders}) == len(orders)


@given(st.binary(max_size=70), st.integers(-1, 1 << 65))
def test_a_field_that_is_wrong_is_named(data: bytes, expiry: int) -> None:
    for name, length in (("public_key", 64), ("program_id", 32), ("prover", 20), ("nonce", 32)):
        if len(data) != length:
            with pytest.raises(InvalidInput) as caught:
                replace(KEY, **{name: data})
            assert (caught.value.code, caught.value.field) == ("W3B-9101", name)
    if not 0 < expiry < 1 << 64:
        with pytest.raises(InvalidInput) as caught:
            replace(KEY, expiry=expiry)
        assert caught.value.field == "expiry"
