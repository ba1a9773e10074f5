"""The door to the native verifiers of SEV-SNP, Nitro and H100 evidence: what they refuse becomes a coded error here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from verifier.attestation.anchors import Anchor
from verifier.attestation.evidence import Endorsements, bad_endorsement, missing, refused
from verifier.errors import InvalidInput, Unavailable, W3bstreamError

_CODES = {
    "length": "W3B-9101",
    "encoding": "W3B-9101",
    "value": "W3B-9101",
    "missing": "W3B-9101",
    "unknown": "W3B-9101",
    "duplicate": "W3B-9101",
    "version": "W3B-9102",
    "algorithm": "W3B-9102",
    "signature": "W3B-9106",
    "anchor": "W3B-9107",
    "issuer": "W3B-9107",
    "constraint": "W3B-9107",
    "mismatch": "W3B-9107",
    "expired": "W3B-9105",
    "not-yet-valid": "W3B-9105",
    "revoked": "W3B-9108",
}
"""Error code by the native reason; any other is refused as W3B-9106."""
_MALFORMED = frozenset({"W3B-9101", "W3B-9102"})
MAX_CERTIFICATES = 8
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----\s*")


def native() -> ModuleType:
    """The native module. Raises Unavailable (W3B-9116) where it is not built with attestation."""
    try:
        from native import _native
    except ImportError as error:
        raise Unavailable("W3B-9116", "the native module is not installed", field="native") from error
    if not hasattr(_native, "AttestationRefused"):
        raise Unavailable("W3B-9116", "the native module has no attestation", field="native")
    return _native


def call(work: Callable[[], Any], *, endorsed: tuple[str, ...] = ()) -> Any:
    """Call a native verifier.

    Parameters: fields that begin with a word of `endorsed` are about endorsements, so that a malformed one is W3B-9104.

    Raises InvalidInput or Refused (W3B-9101 to W3B-9108) with the native field.
    """
    try:
        return work()
    except native().AttestationRefused as error:
        raise _coded(*error.args[:3], endorsed=endorsed) from error


def _coded(reason: str, field: str, text: str, *, endorsed: tuple[str, ...]) -> W3bstreamError:
    code = _CODES.get(reason, "W3B-9106")
    if code not in _MALFORMED:
        return refused(code, field, text)
    if field.startswith(endorsed) and endorsed:
        return bad_endorsement(f"collateral.{field}", text)
    return InvalidInput(code, f"{field} {text}", field=field)


def certificates(endorsements: Endorsements, *names: str) -> list[bytes]:
    """The certificates of the named parts in order, DER. A part has one of the suffixes .pem, .der, .crt and .cer.

    Raises InvalidInput: W3B-9103 where a part is missing, W3B-9104 where it is no certificate.
    """
    found: list[bytes] = []
    for name in names:
        part = next(
            (f"{name}{end}" for end in (".pem", ".der", ".crt", ".cer") if f"{name}{end}" in endorsements.parts), ""
        )
        if not part:
            raise missing(f"collateral.{name}", "is missing (.pem or .der)")
        found += _read(endorsements.parts[part], f"collateral.{part}")
    if len(found) > MAX_CERTIFICATES:
        raise bad_endorsement("collateral", f"has {len(found)} certificates; at most {MAX_CERTIFICATES}")
    return found


def _read(data: bytes, where: str) -> list[bytes]:
    if not data.lstrip().startswith(b"-----"):
        return [data]
    found, at, text = [], 0, data.strip() + b"\n"
    while at < len(text):
        match = _PEM.match(text, at)
        if match is None:
            raise bad_endorsement(where, "is no chain of PEM certificates")
        try:
            found.append(base64.b64decode(b"".join(match[1].split()), validate=True))
        except binascii.Error as error:
            raise bad_endorsement(where, f"is no PEM: {error}") from error
        at = match.end()
    return found


def revocation_lists(endorsements: Endorsements) -> list[bytes]:
    """The CRLs, parts `*.crl`, DER."""
    return [part for name, part in sorted(endorsements.parts.items()) if name.endswith(".crl")]


def earliest_expiry(ders: list[bytes]) -> int:
    """Unix seconds at which the first of the certificates expires. Raises InvalidInput (W3B-9104).

    Read here and not with `cryptography`, which is about to refuse serial numbers of 0: AMD's VCEKs have them.
    """
    try:
        return min(map(_not_after, ders))
    except (ValueError, IndexError) as error:
        raise bad_endorsement("collateral.certificate", f"has no validity that can be read: {error}") from error


def public_key_sha256(der: bytes) -> str:
    """SHA-256, hex, of what a certificate's SubjectPublicKeyInfo contains. Raises InvalidInput (W3B-9104)."""
    try:
        return hashlib.sha256(_fields(der)[5][1]).hexdigest()
    except (ValueError, IndexError) as error:
        raise bad_endorsement("collateral.certificate", f"has no key that can be read: {error}") from error


def _fields(der: bytes) -> list[tuple[int, bytes]]:
    """serialNumber and what follows it in a TBSCertificate (RFC 5280 §4.1). Raises ValueError, IndexError."""
    fields = _children(_children(_children(der)[0][1])[0][1])
    return fields[1:] if fields[0][0] == 0xA0 else fields


def _not_after(der: bytes) -> int:
    """The end of a certificate's validity."""
    kind, end = _children(_fields(der)[3][1])[1]
    text = end.decode("ascii")
    if kind == 0x17:  # UTCTime: years below 50 are of this century
        text = ("20" if int(text[:2]) < 50 else "19") + text
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())


def _children(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each DER element, one after the other. Raises ValueError, IndexError."""
    found, at = [], 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("an element is cut off")
        found.append((tag, data[at : at + length]))
        at += length
    return found


def anchor_of(root: bytes, anchors: tuple[Anchor, ...]) -> Anchor:
    """The anchor with the root's digest that a verifier returned. Raises Refused (W3B-9107)."""
    for anchor in anchors:
        if anchor.sha256 == root:
            return anchor
    raise refused("W3B-9107", "chain.root", f"{root.hex()} is no anchor")
