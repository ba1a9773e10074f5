"""Job intents: eth-account makes the same digest, and nothing but the signed bytes passes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from coordinator.access.intents import JobIntent, readings_hash, signer_of
from verifier.errors import InvalidInput, Refused
from verifier.reading import SECP256K1_ORDER
from verifier.statement import Domain

KEY = bytes([7]) * 32
DOMAIN = Domain(4690, bytes([1]) * 20)
ADDRESS = bytes.fromhex(Account.from_key(KEY).address[2:])
INTENT = JobIntent(3, 9, readings_hash([b"a", b"b"]), 2**255, 1_900_000_000)


@given(
    st.builds(
        JobIntent,
        st.integers(0, 2**256 - 1),
        st.integers(0, 2**64 - 1),
        st.binary(min_size=32, max_size=32),
        st.integers(0, 2**256 - 1),
        st.integers(0, 2**64 - 1),
    )
)
def test_wallets_sign_the_same(intent: JobIntent) -> None:
    types = {
        "JobIntent": [
            {"name": "projectId", "type": "uint256"},
            {"name": "upTo", "type": "uint64"},
            {"name": "readingsHash", "type": "bytes32"},
            {"name": "nonce", "type": "uint256"},
            {"name": "deadline", "type": "uint64"},
        ]
    }
    values = {
        "projectId": intent.project_id,
        "upTo": intent.up_to,
        "readingsHash": intent.readings_hash,
        "nonce": intent.nonce,
        "deadline": intent.deadline,
    }
    domain = {"name": "W3bstream", "version": "1", "chainId": 4690, "verifyingContract": "0x" + "01" * 20}
    made = Account.sign_message(encode_typed_data(domain, types, values), KEY)
    assert signer_of(intent, DOMAIN, bytes(made.signature)) == ADDRESS
    assert intent.sign(DOMAIN, KEY) == bytes(made.signature)


@pytest.mark.parametrize(
    ("intent", "domain"),
    [
        (replace(INTENT, project_id=4), DOMAIN),
        (replace(INTENT, up_to=8), DOMAIN),
        (replace(INTENT, readings_hash=readings_hash([b"b", b"a"])), DOMAIN),
        (replace(INTENT, nonce=1), DOMAIN),
        (replace(INTENT, deadline=1), DOMAIN),
        (INTENT, Domain(1, DOMAIN.router)),
        (INTENT, Domain(4690, bytes([2]) * 20)),
    ],
)
def test_a_signature_is_for_one_intent_chain_and_router(intent: JobIntent, domain: Domain) -> None:
    signature = INTENT.sign(DOMAIN, KEY)
    assert signer_of(INTENT, DOMAIN, signature) == ADDRESS
    other = None
    with suppress(Refused):  # some digests have no key at all for these r and s
        other = signer_of(intent, domain, signature)
    assert other != ADDRESS


def test_a_signature_has_one_form() -> None:
    signature = INTENT.sign(DOMAIN, KEY)
    s = int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + (SECP256K1_ORDER - s).to_bytes(32, "big") + bytes((55 - signature[64],))
    for bad in (
        twin,
        signature[:64],
        signature + b"\0",
        b"",
        signature[:64] + bytes((signature[64] - 27,)),
        signature[:64] + b"\x1d",
        bytes(32) + signature[32:],
        signature[:32] + bytes(32) + signature[64:],
        b"\xff" * 65,
    ):
        with pytest.raises(Refused) as caught:
            signer_of(INTENT, DOMAIN, bad)
        assert caught.value.code == "W3B-7025"


def test_ranges_are_checked() -> None:
    for changes in ({"nonce": 2**256}, {"up_to": 2**64}, {"deadline": -1}, {"project_id": -1}):
        with pytest.raises(InvalidInput):
            replace(INTENT, **changes)
