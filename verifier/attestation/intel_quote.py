"""Intel DCAP quotes, read without trust: v3 (SGX), v4 and v5 (TDX), every length exact.

Layouts: Intel SGX ECDSA QuoteGenReference rev 1.x, appendix A (header 48 bytes, enclave report 384); TDX DCAP Quoting
Library API, appendix A (TD report 1.0 584 bytes, 1.5 648, 1.5ex 883, certification data of type 6 around the QE part).
All integers are little-endian.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from verifier.attestation.evidence import malformed, unknown_version

HEADER = 48
ENCLAVE_REPORT = 384
TD_REPORT_10, TD_REPORT_15 = 584, 648
SGX_TEE, TDX_TEE = 0x00, 0x81
ECDSA_P256 = 2
"""Attestation key type; 3 (P-384) is reserved."""
INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
"""Vendor id of Intel's quoting enclaves."""
PCK_CHAIN, QE_REPORT = 5, 6
"""Certification data types: a PEM chain; a QE report with certification data of its own."""
_BODY_15EX = TD_REPORT_15 + 1 + 32 + 48 + 48 + 8 + 16 + 16 + 12 + 48 + 8
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE-----\n")
MAX_CERTIFICATES = 4


@dataclass(frozen=True)
class Quote:
    """A quote's parts; nothing in it is verified."""

    version: int
    tee: int
    """`SGX_TEE` or `TDX_TEE`."""
    signed: bytes
    """Header and body: what the attestation key signs."""
    body: bytes
    """Enclave report or TD report."""
    chain: tuple[bytes, ...]
    """The PCK chain, DER, leaf first; empty where the quote names its PCK in another way."""


class _Reader:
    """Takes fields from the front; lengths come from the quote and are checked against what is left."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, length: int, name: str) -> bytes:
        """The next bytes. Raises InvalidInput (W3B-9101)."""
        end = self._at + length
        if end > len(self._data):
            raise malformed(name, f"is cut off: {len(self._data) - self._at} of {length} bytes")
        found, self._at = self._data[self._at : end], end
        return found

    def number(self, length: int, name: str) -> int:
        """An unsigned integer of so many bytes."""
        return int.from_bytes(self.take(length, name), "little")

    def rest(self) -> bytes:
        """What is left."""
        return self._data[self._at :]


def parse(data: bytes) -> Quote:
    """Read a quote. Zero bytes after its end, as some drivers pad with, are let through; nothing else is.

    Raises InvalidInput: W3B-9101 with the field, W3B-9102 for versions, key types and vendors that are not known.
    """
    reader = _Reader(data)
    header = _Reader(reader.take(HEADER, "quote.header"))
    version = header.number(2, "quote.version")
    if version not in (3, 4, 5):
        raise unknown_version("quote.version", f"is {version}; 3, 4 and 5 are known (little-endian)")
    if (kind := header.number(2, "quote.attestation_key_type")) != ECDSA_P256:
        raise unknown_version("quote.attestation_key_type", f"is {kind}; 2 (ECDSA P-256) is known")
    tee = header.number(4, "quote.tee_type")
    if tee not in (SGX_TEE, TDX_TEE) or (version == 3) != (tee == SGX_TEE):
        raise unknown_version("quote.tee_type", f"is {tee:#x} in version {version}")
    header.take(4, "quote.svns")
    if (vendor := header.take(16, "quote.qe_vendor_id")) != INTEL_QE:
        raise unknown_version("quote.qe_vendor_id", f"is {vendor.hex()}, not Intel's quoting enclave")
    body = reader.take(_body_length(reader, version), "quote.body")
    signed = data[: len(data) - len(reader.rest())]
    signature = _Reader(reader.take(reader.number(4, "quote.signature_length"), "quote.signature"))
    if reader.rest().strip(b"\0"):
        raise malformed("quote", f"has {len(reader.rest())} bytes after its signature that are not zero")
    return Quote(version, tee, signed, body, _signature_section(signature, version))


def _body_length(reader: _Reader, version: int) -> int:
    if version < 5:
        return ENCLAVE_REPORT if version == 3 else TD_REPORT_10
    kind, length = reader.number(2, "quote.body_type"), reader.number(4, "quote.body_size")
    wanted = {2: TD_REPORT_10, 3: TD_REPORT_15, 4: _BODY_15EX}.get(kind)
    if wanted is None:
        raise unknown_version("quote.body_type", f"is {kind}; 2, 3 and 4 are known")
    if length != wanted:
        raise malformed("quote.body_size", f"is {length}; body type {kind} has {wanted}")
    return wanted


def _signature_section(reader: _Reader, version: int) -> tuple[bytes, ...]:
    """The PCK chain of a signature section, whose lengths must be exact."""
    reader.take(64 + 64, "quote.signature")
    if version > 3:
        if (kind := reader.number(2, "quote.certification_type")) != QE_REPORT:
            raise unknown_version("quote.certification_type", f"is {kind}; 6 (QE report) is known")
        inner = _Reader(reader.take(reader.number(4, "quote.certification_size"), "quote.certification_data"))
        _at_end(reader, "quote.signature")
        reader = inner
    reader.take(ENCLAVE_REPORT + 64, "quote.qe_report")
    reader.take(reader.number(2, "quote.qe_auth_size"), "quote.qe_auth_data")
    kind = reader.number(2, "quote.pck_type")
    data = reader.take(reader.number(4, "quote.pck_size"), "quote.pck_data")
    _at_end(reader, "quote.pck_data")
    return _chain(data) if kind == PCK_CHAIN else ()


def _at_end(reader: _Reader, name: str) -> None:
    if reader.rest():
        raise malformed(name, f"is followed by {len(reader.rest())} bytes that its length does not count")


def _chain(data: bytes) -> tuple[bytes, ...]:
    """The certificates of a PEM chain, which must be in the one spelling that openssl writes, with one zero at most."""
    text = data[:-1] if data.endswith(b"\0") else data
    text = text if text.endswith(b"\n") else text + b"\n"
    found: list[bytes] = []
    at = 0
    while at < len(text):
        match = _PEM.match(text, at)
        if match is None or len(found) == MAX_CERTIFICATES:
            raise malformed("quote.pck_data", f"is no PEM chain of at most {MAX_CERTIFICATES} certificates")
        found.append(_der(match[1]))
        at = match.end()
    return tuple(found)


def _der(body: bytes) -> bytes:
    try:
        der = base64.b64decode(body.replace(b"\n", b""), validate=True)
    except binascii.Error as error:
        raise malformed("quote.pck_data", f"is no base64: {error}") from error
    text = base64.b64encode(der)
    if body != b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64)):
        raise malformed("quote.pck_data", "is not in canonical PEM")
    return der
