"""NVIDIA's reference integrity manifests: SWID tags (ISO 19770-2) with an XML signature (XMLDSig, ECDSA P-384).

A manifest is read only from what its signature covers. Its signer's chain is checked by the native module first, so
that the XML library is handed the one certificate that counts and no choice of its own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from verifier.attestation import accelerated
from verifier.attestation.anchors import Anchor
from verifier.attestation.evidence import bad_endorsement, refused
from verifier.errors import Unavailable

MAX_MEASUREMENTS = 64
MAX_ALTERNATIVES = 32
_SWID = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"
_HASH = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"
_CERTIFICATE = re.compile(rb"<ds:X509Certificate>([A-Za-z0-9+/=\s]{1,8192})</ds:X509Certificate>")


@dataclass(frozen=True)
class Manifest:
    """The values that NVIDIA vouches for, of one driver or VBIOS."""

    version: str
    """Its `colloquialVersion`: `550.90.07`, `96.00.9F.00.01`."""
    product: str
    measurements: Mapping[int, tuple[bytes, ...]]
    """Accepted values by index from 0; those that are not active are left out."""


def read(data: bytes, where: str, anchors: tuple[Anchor, ...], at: int) -> Manifest:
    """Verify and read a manifest.

    Raises InvalidInput (W3B-9104) for its form, Refused (W3B-9105 to W3B-9107) for its signature and chain, Unavailable
    (W3B-9116) without signxml.
    """
    # A document type could name entities that are elsewhere or that grow; no manifest has one.
    if re.search(rb"<!(DOCTYPE|ENTITY)", data, re.IGNORECASE):
        raise bad_endorsement(where, "has a document type")
    chain = _chain(data, where)
    accelerated.call(
        lambda: accelerated.native().x509_verify(chain, [each.sha256 for each in anchors], at),
        endorsed=("certificate", "chain", "revocation"),
    )
    return _manifest(_signed(data, chain[0], where, at), where)


def _chain(data: bytes, where: str) -> list[bytes]:
    """The signature's certificates, leaf first; nothing is believed of them yet."""
    found = []
    for match in _CERTIFICATE.finditer(data):
        try:
            found.append(base64.b64decode(b"".join(match[1].split()), validate=True))
        except ValueError as error:
            raise bad_endorsement(f"{where}.certificate", f"is no base64: {error}") from error
    if not 1 < len(found) <= accelerated.MAX_CERTIFICATES:
        raise bad_endorsement(
            where, f"has {len(found)} certificates; 2 to {accelerated.MAX_CERTIFICATES}: it is not signed"
        )
    return found


def _signed(data: bytes, leaf: bytes, where: str, at: int) -> Any:
    """The element that the signature covers. Raises Refused (W3B-9106), Unavailable (W3B-9116)."""
    try:
        from signxml.algorithms import DigestAlgorithm, SignatureMethod
        from signxml.verifier import SignatureConfiguration, XMLVerifier
    except ImportError as error:
        raise Unavailable("W3B-9116", "the module signxml is not installed", field="signxml") from error
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(leaf) + b"-----END CERTIFICATE-----\n"
    try:
        wanted = SignatureConfiguration(
            location="./",
            expect_references=1,
            signature_methods=frozenset({SignatureMethod.ECDSA_SHA384}),
            digest_algorithms=frozenset({DigestAlgorithm.SHA384}),
            verification_time=datetime.fromtimestamp(at, UTC),
        )
        found = XMLVerifier().verify(data, x509_cert=pem.decode("ascii"), expect_config=wanted)
    # The XML libraries raise many kinds for a file that a stranger wrote; each of them means that it is not signed.
    except Exception as error:
        raise refused("W3B-9106", f"{where}.signature", f"does not verify: {str(error)[:120]}") from error
    result = found[0] if isinstance(found, list) else found
    if result.signed_xml is None or result.signed_xml.tag != f"{_SWID}SoftwareIdentity":
        raise refused("W3B-9106", f"{where}.signature", "does not cover the manifest")
    return result.signed_xml


def _manifest(root: Any, where: str) -> Manifest:
    meta, payload = root.findall(f"{_SWID}Meta"), root.findall(f"{_SWID}Payload")
    if len(meta) != 1 or len(payload) != 1:
        raise bad_endorsement(where, "has not one Meta and one Payload")
    measurements: dict[int, tuple[bytes, ...]] = {}
    resources = [each for each in payload[0].findall(f"{_SWID}Resource") if each.get("type") == "Measurement"]
    if not 0 < len(resources) <= MAX_MEASUREMENTS:
        raise bad_endorsement(where, f"has {len(resources)} measurements; 1 to {MAX_MEASUREMENTS}")
    for each in resources:
        index = _number(each, "index", where, MAX_MEASUREMENTS - 1)
        if index in measurements:
            raise bad_endorsement(where, f"has the measurement {index} twice")
        if each.get("active") == "False":
            continue
        count = _number(each, "alternatives", where, MAX_ALTERNATIVES)
        size = _number(each, "size", where, 64)
        measurements[index] = tuple(_hash(each, at, size, where) for at in range(count))
    return Manifest(meta[0].get("colloquialVersion") or "", meta[0].get("product") or "", measurements)


def _number(element: Any, name: str, where: str, most: int) -> int:
    text = element.get(name) or ""
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > most:
        raise bad_endorsement(f"{where}.{name}", f"is {text[:20]!r}, not 0 to {most}")
    return int(text)


def _hash(element: Any, at: int, size: int, where: str) -> bytes:
    text = element.get(f"{_HASH}{at}") or ""
    if not re.fullmatch(r"[0-9a-fA-F]*", text) or len(text) != 2 * size:
        raise bad_endorsement(f"{where}.Hash{at}", f"is no hex of {size} bytes")
    return bytes.fromhex(text)
