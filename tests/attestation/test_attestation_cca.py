"""Arm CCA: the published tokens (test keys, no silicon) hold under those keys, and nothing else does."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from attestation_vectors import read, refusal
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from provers.tee.simulation.cbor import encode
from provers.tee.simulation.certificates import public_point
from provers.tee.simulation.cose import sign1
from verifier.attestation import cbor, cca
from verifier.attestation.anchors import EndorsedKey, SimulatedAnchors, TrustAnchors, VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.result import AttestationResult, Tier
from verifier.errors import InvalidInput, W3bstreamError


def parts(data: bytes) -> dict[str, Any]:
    """The claims and signatures of a token, to take apart and put together anew."""
    collection = cbor.decode(data, "token").value
    return {name: cbor.decode(collection[label], name).value for label, name in ((44234, "platform"), (44241, "realm"))}


def joined(platform: list[Any], realm: list[Any]) -> bytes:
    signed = {label: encode(cbor.Tagged(18, each)) for label, each in ((44234, platform), (44241, realm))}
    return encode(cbor.Tagged(399, signed))


def veraison(token: int) -> SimulatedAnchors:
    """The test keys that the published tokens are signed with."""
    if token == 2:
        return SimulatedAnchors("Veraison", cca_keys=cca.read_endorsed_keys(read("cca/token_02_trust_anchors.json")))
    claims = cbor.decode(parts(read("cca/token_01.cbor"))["platform"][2], "platform")
    entry = {
        "instance-id": claims[256].hex(),
        "implementation-id": claims[2396].hex(),
        "pkey": json.loads(read("cca/token_01_cpak.json")),
    }
    return SimulatedAnchors("Veraison", cca_keys=cca.read_endorsed_keys(json.dumps([entry]).encode()))


def appraised(data: bytes, anchors: TrustAnchors, **more: Any) -> AttestationResult:
    policy = more.pop("policy", AppraisalPolicy())
    return appraise(Evidence(Platform.CCA, data), Endorsements(), anchors, policy, at=1, **more)


TOKENS = pytest.mark.parametrize("token", [1, 2])


@TOKENS
def test_the_published_tokens_hold_under_their_test_keys(token: int) -> None:
    result = appraised(read(f"cca/token_0{token}.cbor"), veraison(token))
    assert result.findings == ()
    assert (result.status, result.anchor.kind.value) == (Tier.WARNING, "simulated")
    assert len(bytes.fromhex(result.claims["caller_data"]["report_data"])) == 64
    assert set(result.claims["measurements"]) >= {"rim", "rpv", "rem0", "rem3"}


@TOKENS
def test_no_vendor_vouches_for_them(token: int) -> None:
    data = read(f"cca/token_0{token}.cbor")
    result = appraised(data, VendorAnchors())
    assert result.status is Tier.CONTRAINDICATED
    assert [(each.code, each.field) for each in result.findings] == [("W3B-9107", "platform.256")]
    with pytest.raises(InvalidInput, match="published test key") as caught:
        VendorAnchors(veraison(token).cca_keys)
    assert caught.value.code == "W3B-9115"


@TOKENS
def test_every_changed_byte_is_refused(token: int) -> None:
    data, anchors = read(f"cca/token_0{token}.cbor"), veraison(token)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        assert refusal_of_simulated(bytes(changed), anchors)[0] in ("W3B-9101", "W3B-9102", "W3B-9106", "W3B-9107"), at


def refusal_of_simulated(data: bytes, anchors: SimulatedAnchors, **more: Any) -> tuple[str, str]:
    """Code and field; fails where nothing speaks against the evidence."""
    try:
        result = appraised(data, anchors, **more)
    except W3bstreamError as error:
        return error.code, error.field
    assert result.findings, "accepted"
    return result.findings[0].code, result.findings[0].field


@TOKENS
def test_every_truncation_is_refused(token: int) -> None:
    data = read(f"cca/token_0{token}.cbor")
    for length in range(1, len(data)):
        assert refusal_of_simulated(data[:length], veraison(token))[0] == "W3B-9101"
    assert refusal_of_simulated(data + b"\0", veraison(token)) == ("W3B-9101", "token")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_mutations_raise_our_errors_only(data: st.DataObject) -> None:
    whole = bytearray(read("cca/token_02.cbor"))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(whole) - 1))
        whole[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    if bytes(whole) != read("cca/token_02.cbor"):
        refusal_of_simulated(bytes(whole) or b"\0", veraison(2))


def test_tokens_of_two_platforms_do_not_make_one() -> None:
    one, two = parts(read("cca/token_01.cbor")), parts(read("cca/token_02.cbor"))
    both = SimulatedAnchors("both", cca_keys=veraison(1).cca_keys + veraison(2).cca_keys)
    assert refusal_of_simulated(joined(one["platform"], two["realm"]), both) == ("W3B-9106", "platform.10")
    assert refusal_of_simulated(joined(two["platform"], one["realm"]), both) == ("W3B-9106", "platform.10")


# --- a simulated platform, to change what is signed ---


class SimulatedRealm:
    """Keys and claims of a CCA platform; each token is signed anew."""

    def __init__(self) -> None:
        self.cpak = ec.generate_private_key(ec.SECP256R1())
        self.rak = ec.generate_private_key(ec.SECP384R1())
        self.instance, self.implementation = b"\1" + bytes(32), bytes([5] * 32)

    @property
    def anchors(self) -> SimulatedAnchors:
        return SimulatedAnchors(
            "tests", cca_keys=(EndorsedKey(self.instance, self.implementation, public_point(self.cpak)),)
        )

    def token(
        self, platform: dict[int, Any] | None = None, realm: dict[int, Any] | None = None, *, rak: bytes | None = None
    ) -> bytes:
        key = public_point(self.rak) if rak is None else rak
        realm_claims = {
            10: bytes(range(64)),
            44235: bytes(64),
            44236: "sha-256",
            44240: "sha-256",
            44237: key,
            44238: bytes([7] * 32),
            44239: [bytes(32)] * 4,
        }
        claims = {
            265: "http://arm.com/CCA-SSD/1.0.0",
            10: hashlib.sha256(key).digest(),
            256: self.instance,
            2395: 0x3000,
            2396: self.implementation,
            2399: [{1: "BL", 2: bytes(32), 4: "1.0", 5: bytes(32)}],
            2401: b"\1",
            2402: "sha-256",
        }
        merged = changed(claims, platform), changed(realm_claims, realm)
        return joined(sign1(self.cpak, encode(merged[0])), sign1(self.rak, encode(merged[1])))


def changed(claims: dict[int, Any], changes: dict[int, Any] | None) -> dict[int, Any]:
    found = claims | (changes or {})
    return {label: value for label, value in found.items() if value is not ...}


REALM = SimulatedRealm()


def test_a_simulated_realm_holds() -> None:
    result = appraised(REALM.token(), REALM.anchors)
    assert result.findings == ()
    assert result.claims["components"] == [
        {"type": "BL", "measurement": "00" * 32, "version": "1.0", "signer": "00" * 32}
    ]


def test_a_cose_key_is_read_under_the_newer_profile() -> None:
    raw = public_point(REALM.rak)
    key = encode({1: 2, -1: 2, -2: raw[1:49], -3: raw[49:]})
    profile = {265: "tag:arm.com,2023:realm#1.0.0"}
    assert appraised(REALM.token(realm=profile, rak=key), REALM.anchors).findings == ()
    for wrong in ({1: 1, -1: 2, -2: raw[1:49], -3: raw[49:]}, {1: 2, -1: 2, -2: raw[1:48], -3: raw[49:]}, [], {}):
        found = refusal_of_simulated(REALM.token(realm=profile, rak=encode(wrong)), REALM.anchors)
        assert found == ("W3B-9101", "realm.44237")


@pytest.mark.parametrize(
    ("platform", "realm", "code", "field"),
    [
        ({2395: 0x4000}, {}, "W3B-9109", "platform.2395"),
        ({2395: 0x5001}, {}, "W3B-9109", "platform.2395"),
        ({2395: 0x0000}, {}, "W3B-9109", "platform.2395"),
        ({2395: 1 << 16}, {}, "W3B-9101", "platform.2395"),
        ({2395: ...}, {}, "W3B-9101", "platform.2395"),
        ({2395: True}, {}, "W3B-9101", "platform.2395"),
        ({265: "http://arm.com/CCA-SSD/9.0.0"}, {}, "W3B-9102", "platform.265"),
        ({265: ...}, {}, "W3B-9102", "platform.265"),
        ({10: bytes(32)}, {}, "W3B-9106", "platform.10"),
        ({10: ...}, {}, "W3B-9101", "platform.10"),
        ({256: b"\1" + bytes([1] * 32)}, {}, "W3B-9107", "platform.256"),
        ({256: bytes(32)}, {}, "W3B-9101", "platform.256"),
        ({2396: bytes(32)}, {}, "W3B-9107", "platform.256"),
        ({2399: []}, {}, "W3B-9101", "platform.2399"),
        ({2399: [{}]}, {}, "W3B-9101", "platform.2399[0].2"),
        ({2399: [{2: bytes(32), 5: bytes(32)}] * 65}, {}, "W3B-9101", "platform.2399"),
        ({2401: ...}, {}, "W3B-9101", "platform.2401"),
        ({}, {10: bytes(32)}, "W3B-9101", "realm.10"),
        ({}, {10: ...}, "W3B-9101", "realm.10"),
        ({}, {44235: bytes(63)}, "W3B-9101", "realm.44235"),
        ({}, {44238: b""}, "W3B-9101", "realm.44238"),
        ({}, {44239: [b"x"]}, "W3B-9101", "realm.44239[0]"),
        ({}, {44239: [bytes(32)] * 5}, "W3B-9101", "realm.44239"),
        ({}, {44240: "md5"}, "W3B-9102", "realm.44240"),
        ({}, {44240: "\x1b[2J"}, "W3B-9101", "realm.44240"),
        ({}, {265: "tag:other"}, "W3B-9102", "realm.265"),
    ],
)
def test_a_claim_that_is_wrong_is_named(platform: Any, realm: Any, code: str, field: str) -> None:
    assert refusal_of_simulated(REALM.token(platform, realm), REALM.anchors) == (code, field)


def test_a_realm_key_that_is_no_point_is_refused() -> None:
    for key in (b"", bytes(97), b"\4" + bytes(96), public_point(REALM.cpak)):
        assert refusal_of_simulated(REALM.token(rak=key), REALM.anchors) == ("W3B-9106", "realm.key")


def test_debug_is_a_contraindicated_configuration() -> None:
    result = appraised(REALM.token({2395: 0x4000}), REALM.anchors)
    assert (result.status, result.vector.configuration) == (Tier.CONTRAINDICATED, 96)
    assert result.claims["debug"] is True


def test_a_stranger_who_knows_the_instance_is_refused() -> None:
    assert refusal_of_simulated(SimulatedRealm().token(), REALM.anchors) == ("W3B-9106", "platform.signature")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"[{}]", b'[{"instance-id":"00","implementation-id":"00","pkey":{}}]', b"[" * 9999, b"\xff"],
)
def test_a_key_file_that_is_wrong_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        cca.read_endorsed_keys(content)
    assert (caught.value.code, caught.value.field) == ("W3B-9115", "cca_keys")


def test_a_token_is_not_evidence_of_another_platform() -> None:
    token = Evidence(Platform.SGX, read("cca/token_02.cbor"))
    assert refusal(appraise, token, Endorsements(), VendorAnchors(), AppraisalPolicy(), at=1)[0] in (
        "W3B-9101",
        "W3B-9102",
    )
