"""Requests: what a session key signs, and that every field of it counts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from broker_requests import DOMAIN, Enclave
from eth_account import Account

from verifier.attestation.secret_request import SecretRequest
from verifier.errors import InvalidInput, Refused, W3bstreamError
from verifier.statement import Domain

NONCE = bytes([3] * 32)


def test_the_digest_is_eip_712() -> None:
    request = Enclave().request(NONCE)
    types = {
        "SecretRequest": [
            {"name": "name", "type": "string"},
            {"name": "nonce", "type": "bytes32"},
            {"name": "sealingKey", "type": "bytes32"},
            {"name": "sessionKey", "type": "bytes32"},
        ]
    }
    router = "0x" + DOMAIN.router.hex()
    domain = {"name": "W3bstream", "version": "1", "chainId": DOMAIN.chain_id, "verifyingContract": router}
    message = {
        "name": request.name,
        "nonce": request.nonce,
        "sealingKey": request.sealing_key,
        "sessionKey": request.session_key.digest(DOMAIN),
    }
    signed = Account.from_key(Enclave().secret).sign_typed_data(domain, types, message)
    assert bytes(signed.signature) == request.signature


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other-key"},
        {"nonce": bytes([4] * 32)},
        {"sealing_key": bytes([4] * 32)},
        {"session_key": Enclave(number=2).session},
        {"session_key": replace(Enclave().session, expiry=1)},
        {"session_key": replace(Enclave().session, program_id=bytes(32))},
        {"session_key": replace(Enclave().session, prover=bytes(20))},
        {"session_key": replace(Enclave().session, nonce=bytes(32))},
        {"signature": b""},
        {"signature": bytes(65)},
    ],
)
def test_a_changed_request_is_not_signed(change: dict[str, Any]) -> None:
    request = Enclave().request(NONCE)
    request.require_signed(DOMAIN)
    with pytest.raises(Refused, match="W3B-9123"):
        replace(request, **change).require_signed(DOMAIN)


def test_another_chain_or_router_is_not_signed() -> None:
    request = Enclave().request(NONCE)
    for domain in (Domain(1, DOMAIN.router), Domain(DOMAIN.chain_id, bytes(20))):
        with pytest.raises(Refused, match="W3B-9123"):
            request.require_signed(domain)


def test_json_both_ways() -> None:
    request = Enclave().request(NONCE)
    assert SecretRequest.from_json(json.loads(json.dumps(request.to_json()))) == request


def spoiled() -> list[Any]:
    good = Enclave().request(NONCE).to_json()
    session = good["session_key"]
    return [
        None,
        [],
        {},
        {**good, "more": 1},
        {**good, "name": "UPPER"},
        {**good, "name": 7},
        {**good, "name": "a" * 65},
        {**good, "nonce": "0x00"},
        {**good, "nonce": "00" * 32},
        {**good, "nonce": None},
        {**good, "signature": "0x" + "0" * 5001},
        {**good, "session_key": {**session, "expiry": "1"}},
        {**good, "session_key": {**session, "expiry": True}},
        {**good, "session_key": {**session, "expiry": -1}},
        {**good, "session_key": {**session, "public_key": "0x00"}},
        {**good, "session_key": []},
    ]


@pytest.mark.parametrize("found", spoiled())
def test_what_is_no_request(found: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        SecretRequest.from_json(found)
    assert isinstance(refused.value, W3bstreamError)
    assert refused.value.code in ("W3B-9120", "W3B-9101")
    assert refused.value.field
