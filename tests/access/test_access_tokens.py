"""Tokens and logins: what was changed, is old, early, another's or signed another way is refused."""

from __future__ import annotations

import base64
import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import OctKey, OKPKey

from coordinator.access import did_keys, dids
from coordinator.access.dids import LoginClaims
from coordinator.access.token_keys import TokenKeys, rotate
from coordinator.access.tokens import ALGORITHM, CHALLENGE_TYPE, TOKEN_SECONDS, TOKEN_TYPE, Tokens
from verifier.errors import Conflict, Denied, InvalidInput, Refused

NOW = 1_800_000_000_000
HERE = "w3bstream:4690:0x" + "01" * 20
DID = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"


@pytest.fixture
def keys(tmp_path: Path) -> TokenKeys:
    return TokenKeys(tmp_path / "tokens.json")


@pytest.fixture
def tokens(keys: TokenKeys) -> Tokens:
    return Tokens(keys, HERE)


def claims(**changes: Any) -> dict[str, Any]:
    whole = {"iss": HERE, "aud": HERE, "sub": DID, "scopes": ["admin"], "project": None, "jti": "1"}
    times = {"iat": NOW // 1000, "nbf": NOW // 1000, "exp": NOW // 1000 + 60}
    return {key: value for key, value in {**whole, **times, **changes}.items() if value != "absent"}


def signed(keys: TokenKeys, header: dict[str, Any] | None = None, **changes: Any) -> str:
    kid, key = keys.signing()
    whole = {"alg": ALGORITHM, "kid": kid, "typ": TOKEN_TYPE, **(header or {})}
    return jwt.encode(whole, claims(**changes), key, algorithms=[ALGORITHM])


def test_a_token_says_what_was_granted(tokens: Tokens) -> None:
    text, ends = tokens.issue(DID, ["tasks:read"], 7, NOW)
    grant = tokens.read(text, NOW)
    assert (grant.did, grant.scopes, grant.project_id, grant.expires_at) == (DID, ("tasks:read",), 7, ends)
    assert ends == NOW + TOKEN_SECONDS * 1000
    tokens.read(text, ends - 1)
    with pytest.raises(Denied) as caught:
        tokens.read(text, ends)
    assert caught.value.code == "W3B-7020"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "w3bstream:1:0x" + "01" * 20},
        {"aud": "w3bstream:4690:0x" + "02" * 20},
        {"aud": [HERE, "x"]},
        {"nbf": NOW // 1000 + 60},
        {"iat": NOW // 1000 + 60, "nbf": NOW // 1000 + 60},
        {"exp": "absent"},
        {"nbf": "absent"},
        {"exp": True},
        {"exp": "9999999999"},
        {"iss": "absent"},
    ],
)
def test_a_token_with_wrong_claims_is_refused(keys: TokenKeys, tokens: Tokens, changes: dict[str, Any]) -> None:
    tokens.read(signed(keys), NOW)
    with pytest.raises(Denied) as caught:
        tokens.read(signed(keys, **changes), NOW)
    assert caught.value.code == "W3B-7021"


@pytest.mark.parametrize("header", [{"typ": CHALLENGE_TYPE}, {"typ": "JWT"}, {"kid": "other"}, {"kid": ""}])
def test_a_token_with_another_header_is_refused(keys: TokenKeys, tokens: Tokens, header: dict[str, Any]) -> None:
    with pytest.raises(Denied):
        tokens.read(signed(keys, header), NOW)


def test_a_challenge_is_no_token_and_a_token_no_challenge(tokens: Tokens) -> None:
    challenge, _ = tokens.challenge(DID, NOW)
    with pytest.raises(Denied):
        tokens.read(challenge, NOW)
    with pytest.raises(Refused):
        tokens.read_challenge(DID, tokens.issue(DID, ["admin"], None, NOW)[0], NOW)


def test_no_algorithm_but_ours(keys: TokenKeys, tokens: Tokens) -> None:
    kid, key = keys.signing()

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    for algorithm in ("none", "None", "NONE", ""):
        for signature in ("", "AA"):
            with pytest.raises(Denied):
                tokens.read(f"{part({'alg': algorithm, 'kid': kid})}.{part(claims())}.{signature}", NOW)
    raw = OKPKey.import_key(key.as_dict(private=False)).raw_value
    for secret in (
        raw.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        raw.public_bytes_raw(),
        json.dumps(key.as_dict(private=False)).encode(),
    ):
        header = {"alg": "HS256", "kid": kid, "typ": TOKEN_TYPE}
        # By hand: the library itself refuses to use a public key so.
        content = f"{part(header)}.{part(claims())}"
        mac = base64.urlsafe_b64encode(hmac.digest(secret, content.encode(), "sha256")).decode().rstrip("=")
        confused = f"{content}.{mac}"
        with pytest.raises(Denied):
            tokens.read(confused, NOW)


@given(st.data())
def test_a_token_with_any_bit_changed_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    tokens = Tokens(TokenKeys(tmp_path_factory.mktemp("k") / "tokens.json"), HERE)
    text = tokens.issue(DID, ["admin"], None, NOW)[0]
    head, body, signature = text.split(".")
    parts = [bytearray(base64.urlsafe_b64decode(part + "==")) for part in (head, body, signature)]
    part = data.draw(st.integers(0, 2))
    at = data.draw(st.integers(0, len(parts[part]) * 8 - 1))
    parts[part][at // 8] ^= 1 << at % 8
    changed = ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts)
    with pytest.raises(Denied):
        tokens.read(changed, NOW)


@given(st.text(max_size=200))
def test_any_text_is_refused_with_a_code(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    tokens = Tokens(TokenKeys(tmp_path_factory.mktemp("k") / "tokens.json"), HERE)
    for read in (lambda: tokens.read(text, NOW), lambda: tokens.read_challenge(DID, text, NOW)):
        with pytest.raises((Denied, Refused)):
            read()


def test_another_installation_refuses(tmp_path: Path, tokens: Tokens) -> None:
    other = Tokens(TokenKeys(tmp_path / "others.json"), HERE)
    with pytest.raises(Denied):
        other.read(tokens.issue(DID, ["admin"], None, NOW)[0], NOW)
    with pytest.raises(Refused):
        other.read_challenge(DID, tokens.challenge(DID, NOW)[0], NOW)


def test_a_challenge_is_for_one_did_and_a_minute(tokens: Tokens) -> None:
    text, ends = tokens.challenge(DID, NOW)
    assert ends == NOW + 60_000
    tokens.read_challenge(DID, text, ends - 1)
    for did, now in ((DID, ends), ("did:key:other", NOW), (DID, NOW - 60_000)):
        with pytest.raises(Refused) as caught:
            tokens.read_challenge(did, text, now)
        assert caught.value.code == "W3B-7022"


def test_after_a_rotation_old_tokens_hold_and_new_ones_have_the_new_key(tmp_path: Path, tokens: Tokens) -> None:
    path = tmp_path / "tokens.json"
    old, seal = tokens.issue(DID, ["admin"], None, NOW)[0], tokens.seal(DID)
    kid = rotate(path)
    fresh = Tokens(TokenKeys(path), HERE)
    assert fresh.read(old, NOW).did == DID
    new = fresh.issue(DID, ["admin"], None, NOW)[0]
    assert jws.extract_compact(new.encode()).headers()["kid"] == kid
    assert fresh.seal(DID) == seal != fresh.seal("did:key:other")
    data = json.loads(path.read_text())
    for row in data["keys"]:
        row["created_at"] -= 10_000
    path.write_text(json.dumps(data))
    rotate(path)
    rotate(path)
    assert len(json.loads(path.read_text())["keys"]) == 3


def test_the_key_file_is_private_and_must_be(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "tokens.json"
    TokenKeys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    secret = json.loads(path.read_text())["keys"][0]["private"]
    os.chmod(path, 0o640)
    with pytest.raises(InvalidInput) as caught:
        TokenKeys(path)
    assert caught.value.code == "W3B-7016"
    os.chmod(path, 0o600)
    path.write_text(f'{{"seal": "", "keys": [{{"kid": 1, "private": "{secret}zz", "created_at": 1}}]}}')
    with pytest.raises(InvalidInput) as caught:
        TokenKeys(path)
    assert secret not in str(caught.value)


@pytest.mark.parametrize("kind", ["ed25519", "p256", "secp256k1", "account"])
def test_a_login_holds_for_its_claims_only(tmp_path: Path, kind: str) -> None:
    key = did_keys.generate(tmp_path / "key.pem", "secp256k1" if kind == "account" else kind)
    again = did_keys.load(tmp_path / "key.pem")
    assert again.did == key.did
    did = key.account(4690) if kind == "account" else key.did
    good = LoginClaims(did, HERE, "127.0.0.1:1", "challenge")
    proof = key.prove(good)
    dids.check_login(dids.parse(did), good, proof)
    other = did_keys.generate(tmp_path / "other.pem", "secp256k1" if kind == "account" else kind)
    stranger = other.account(4690) if kind == "account" else other.did
    for claims, text in (
        (LoginClaims(did, "w3bstream:1:x", "127.0.0.1:1", "challenge"), proof),
        (LoginClaims(did, HERE, "127.0.0.1:2", "challenge"), proof),
        (LoginClaims(did, HERE, "127.0.0.1:1", "another"), proof),
        (good, other.prove(good)),
        (good, proof[:-2]),
        (good, ""),
        (good, "x" * 5000),
        (LoginClaims(stranger, HERE, "127.0.0.1:1", "challenge"), proof),
    ):
        with pytest.raises(Refused) as caught:
            dids.check_login(dids.parse(claims.did), claims, text)
        assert caught.value.code == "W3B-7022"
    with pytest.raises(Conflict):
        did_keys.generate(tmp_path / "key.pem", "ed25519")


def test_a_proof_under_hmac_or_none_is_refused(tmp_path: Path) -> None:
    key = did_keys.generate(tmp_path / "key.pem", "ed25519")
    did = dids.parse(key.did)
    assert isinstance(did, dids.KeyDid)
    claims = LoginClaims(key.did, HERE, "t", "c")
    confused = jws.serialize_compact(
        {"alg": "HS256"}, json.dumps(claims.payload()), OctKey.import_key(did.key), algorithms=["HS256"]
    )
    with pytest.raises(Refused):
        dids.check_login(did, claims, confused)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "did:key:z",
        "did:key:z0OIl",
        "did:web:example.com",
        "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvkt",
        "did:key:z16MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH",
        "did:key:zDn" + "a" * 500,
        "did:pkh:eip155:0:0x" + "00" * 20,
        "did:pkh:eip155:01:0x" + "00" * 20,
        "did:pkh:eip155:1:0x" + "00" * 19,
        "did:pkh:solana:1:0x" + "00" * 20,
        dids.ec_did(b"\x02" + b"\xff" * 32, p256=True),
        dids.ec_did(b"\x05" + b"\x01" * 32, p256=False),
    ],
)
def test_a_did_has_one_spelling(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        dids.parse(text)
    assert caught.value.code == "W3B-7024"


def test_an_accounts_did_is_lower_case() -> None:
    assert dids.parse("did:pkh:eip155:1:0xAB" + "cd" * 19).did == "did:pkh:eip155:1:0xab" + "cd" * 19
    assert dids.parse(DID).did == DID  # the DID method's own example
