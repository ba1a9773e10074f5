"""Arm CCA: a collection (tag 399) of a platform token and a realm token, draft-ffm-rats-cca-token.

The platform token is signed with the CPAK, which is looked up by instance id; the realm token with the RAK that it
carries, which is bound to the platform because the platform token's challenge is the RAK's hash. Claim numbers are the
draft's. No genuine silicon's token is published; the tests' are signed with test keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from verifier.attestation import cbor, cose
from verifier.attestation.anchors import Anchor, EndorsedKey, SimulatedAnchors, TrustAnchors
from verifier.attestation.claims import Claims
from verifier.attestation.evidence import Endorsements, malformed, read_json, refused, unknown_version
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.result import Finding
from verifier.errors import InvalidInput

COLLECTION, PLATFORM, REALM = 399, 44234, 44241
CHALLENGE, INSTANCE_ID, PROFILE = 10, 256, 265
LIFECYCLE, IMPLEMENTATION_ID, COMPONENTS, CONFIG = 2395, 2396, 2399, 2401
RPV, RAK, RIM, REM, RAK_HASH = 44235, 44237, 44238, 44239, 44240
PLATFORM_PROFILES = ("http://arm.com/CCA-SSD/1.0.0", "tag:arm.com,2023:cca_platform#1.0.0")
REALM_PROFILES = ("tag:arm.com,2023:realm#1.0.0",)
HASHES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
DEBUG_LIFECYCLES = (0x40, 0x50)
"""High byte of the lifecycle: non-CCA platform debug; recoverable CCA platform debug."""
MAX_COMPONENTS = 64


def verify(data: bytes, endorsements: Endorsements, anchors: TrustAnchors, policy: AppraisalPolicy, at: int) -> Claims:
    """Verify a CCA attestation token under the keys of `anchors.cca_keys`; there are no endorsements.

    Raises InvalidInput (W3B-9101, W3B-9102), Refused (W3B-9106, W3B-9107). `at` is not used: no part of a token has a
    time, so its freshness is the challenge's.
    """
    del endorsements, at
    collection = cbor.decode(data, "token")
    if (
        not isinstance(collection, cbor.Tagged)
        or collection.tag != COLLECTION
        or not isinstance(collection.value, dict)
    ):
        raise malformed("token", "is no CCA collection (tag 399)")
    if set(collection.value) != {PLATFORM, REALM}:
        raise malformed("token", f"is not the two tokens {PLATFORM} and {REALM}")
    signed = {}
    for label, name in ((PLATFORM, "platform"), (REALM, "realm")):
        if not isinstance(collection.value[label], bytes):
            raise malformed(name, "is no byte string")
        signed[name] = cose.parse(collection.value[label], name)
    platform, realm = (_Fields(signed[name].payload, name) for name in ("platform", "realm"))
    key = _endorsed(platform, anchors)
    cose.check(signed["platform"], key.point, "platform")
    point = _rak(realm)
    cose.check(signed["realm"], point, "realm")
    _check_binding(platform, realm)
    return _claims(platform, realm, key, anchors, policy)


class _Fields:
    """A token's claims, taken by number with their type and length."""

    def __init__(self, payload: bytes, name: str) -> None:
        found = cbor.decode(payload, f"{name}.claims")
        if not isinstance(found, dict):
            raise malformed(f"{name}.claims", "is no map")
        self._found: dict[Any, Any] = found
        self.name = name

    def data(self, label: int, *lengths: int) -> bytes:
        """A byte string of one of the lengths (any, where none is given)."""
        value = self._found.get(label)
        if not isinstance(value, bytes) or (lengths and len(value) not in lengths):
            raise malformed(
                f"{self.name}.{label}", f"is no byte string of {' or '.join(map(str, lengths)) or 'any'} bytes"
            )
        return value

    def text(self, label: int, default: str = "") -> str:
        """Text of at most 128 printable ASCII characters."""
        value = self._found.get(label, default)
        if not isinstance(value, str) or len(value) > 128 or not (value.isascii() and value.isprintable()):
            raise malformed(f"{self.name}.{label}", "is no printable text")
        return value

    def number(self, label: int) -> int:
        """An integer of 16 bits."""
        value = self._found.get(label)
        if type(value) is not int or not 0 <= value < 1 << 16:
            raise malformed(f"{self.name}.{label}", "is no integer of 16 bits")
        return value

    def items(self, label: int, most: int) -> list[Any]:
        """A list of 1 to `most` items."""
        value = self._found.get(label)
        if not isinstance(value, list) or not 0 < len(value) <= most:
            raise malformed(f"{self.name}.{label}", f"is no list of 1 to {most} items")
        return value

    def profile(self, known: tuple[str, ...], *, optional: bool) -> str:
        """The profile, which must be a known one."""
        if optional and PROFILE not in self._found:
            return ""
        if (found := self.text(PROFILE)) not in known:
            raise unknown_version(f"{self.name}.{PROFILE}", f"is {found!r}; {list(known)} are known")
        return found


def _endorsed(platform: _Fields, anchors: TrustAnchors) -> EndorsedKey:
    """The CPAK of the platform. Raises Refused (W3B-9107) where nobody vouches for one."""
    platform.profile(PLATFORM_PROFILES, optional=False)
    instance, implementation = platform.data(INSTANCE_ID, 33), platform.data(IMPLEMENTATION_ID, 32)
    for key in anchors.cca_keys:
        if (key.instance_id, key.implementation_id) == (instance, implementation):
            return key
    raise refused(
        "W3B-9107", "platform.256", f"{instance.hex()} has no endorsed key among the {anchors.kind.value} anchors"
    )


def _rak(realm: _Fields) -> bytes:
    """The RAK's point. Profile 1.0.0 carries a COSE_Key, the profile before it the point."""
    profile = realm.profile(REALM_PROFILES, optional=True)
    value = realm.data(RAK)
    if not profile:
        return value
    key = cbor.decode(value, "realm.44237")
    if not isinstance(key, dict) or key.get(1) != 2 or key.get(-1) not in (1, 2):
        raise malformed("realm.44237", "is no EC2 key of P-256 or P-384")
    size = 32 if key[-1] == 1 else 48
    x, y = key.get(-2), key.get(-3)
    if not isinstance(x, bytes) or not isinstance(y, bytes) or (len(x), len(y)) != (size, size):
        raise malformed("realm.44237", f"has no coordinates of {size} bytes")
    return b"\x04" + x + y


def _check_binding(platform: _Fields, realm: _Fields) -> None:
    """The platform token's challenge is the hash of the RAK as the realm token carries it."""
    name = realm.text(RAK_HASH)
    if name not in HASHES:
        raise unknown_version("realm.44240", f"is {name!r}; {list(HASHES)} are known")
    wanted = hashlib.new(name.replace("-", ""), realm.data(RAK)).digest()
    if platform.data(CHALLENGE, 32, 48, 64) != wanted:
        raise refused(
            "W3B-9106", "platform.10", "is not the hash of the realm's key: the tokens do not belong together"
        )


def _claims(
    platform: _Fields, realm: _Fields, key: EndorsedKey, anchors: TrustAnchors, policy: AppraisalPolicy
) -> Claims:
    lifecycle = platform.number(LIFECYCLE)
    registers = realm.items(REM, 4)
    measurements = {"rim": realm.data(RIM, *HASHES.values()), "rpv": realm.data(RPV, 64)}
    for at, value in enumerate(registers):
        if not isinstance(value, bytes) or len(value) not in HASHES.values():
            raise malformed(f"realm.44239[{at}]", "is no digest")
        measurements[f"rem{at}"] = value
    measurements["implementation_id"] = platform.data(IMPLEMENTATION_ID, 32)
    measurements["platform_config"] = platform.data(CONFIG)
    findings: tuple[Finding, ...] = ()
    if lifecycle >> 8 not in policy.accepted_lifecycles:
        findings = (Finding("W3B-9109", "platform.2395", f"platform.2395: lifecycle {lifecycle:#06x} is not accepted"),)
    name = f"SIMULATED {anchors.name}" if isinstance(anchors, SimulatedAnchors) else "CPAK that the operator pinned"
    return Claims(
        anchor=Anchor(name, key.sha256),
        caller_data={"report_data": realm.data(CHALLENGE, 64)},
        measurements=measurements,
        debug=lifecycle >> 8 in DEBUG_LIFECYCLES,
        findings=findings,
        details={
            "instance_id": platform.data(INSTANCE_ID, 33).hex(),
            "lifecycle": f"{lifecycle:#06x}",
            "components": [_component(each, at) for at, each in enumerate(platform.items(COMPONENTS, MAX_COMPONENTS))],
        },
    )


def _component(value: Any, at: int) -> dict[str, str]:
    """A software component of the platform, by the draft's labels 1, 2, 4 and 5."""
    where = f"platform.2399[{at}]"
    if not isinstance(value, dict):
        raise malformed(where, "is no map")
    found = {}
    for label, name, kind in ((1, "type", str), (2, "measurement", bytes), (4, "version", str), (5, "signer", bytes)):
        part = value.get(label)
        if part is None and kind is str:
            continue
        if not isinstance(part, kind) or len(part) > 128:
            raise malformed(f"{where}.{label}", "is missing or of another type")
        found[name] = part.hex() if isinstance(part, bytes) else ascii(part)[1:-1]
    return found


_CURVE_NAMES = {"P-256": (ec.SECP256R1, 32), "P-384": (ec.SECP384R1, 48)}


def read_endorsed_keys(data: bytes) -> tuple[EndorsedKey, ...]:
    """The keys of a trust-anchor file: a JSON list of {"instance-id": hex, "implementation-id": hex, "pkey": JWK}.

    Raises InvalidInput (W3B-9115) for anything else.
    """
    try:
        found = read_json(data, "cca_keys")
    except InvalidInput as error:
        raise _bad(error.message) from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _bad("cca_keys is no list of objects")
    return tuple(_endorsed_key(each) for each in found)


def _bad(why: str) -> InvalidInput:
    return InvalidInput("W3B-9115", why, field="cca_keys")


def _endorsed_key(entry: dict[str, Any]) -> EndorsedKey:
    try:
        instance, implementation = (bytes.fromhex(entry[name]) for name in ("instance-id", "implementation-id"))
        jwk = entry["pkey"]
        curve, size = _CURVE_NAMES[jwk["crv"]]
        x, y = (base64.urlsafe_b64decode(jwk[name] + "=" * (-len(jwk[name]) % 4)) for name in ("x", "y"))
        point = b"\x04" + x.rjust(size, b"\0") + y.rjust(size, b"\0")
        ec.EllipticCurvePublicKey.from_encoded_point(curve(), point)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise _bad(f"an entry of cca_keys is not valid: {str(error)[:120]}") from error
    return EndorsedKey(instance, implementation, point)
