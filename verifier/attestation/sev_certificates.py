"""AMD's own certificates of SEV's first generations (AMD document 55766, SEV API 0.24, appendices B and C).

A root or signing key (ARK, ASK) is RSA; a platform's (CEK, PEK, OCA) is ECC with room for two signatures. Integers are
little-endian, signatures and moduli too. None of them has a validity or a name.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from verifier.attestation.evidence import bad_endorsement, refused

ARK, ASK, OCA, PEK, CEK = 0x0000, 0x0013, 0x1001, 0x1002, 0x1004
"""Key usages."""
RSA_SHA256, ECDSA_SHA256, RSA_SHA384, ECDSA_SHA384 = 0x0001, 0x0002, 0x0101, 0x0102
"""Signature algorithms."""
_CURVES: dict[int, tuple[type[ec.SECP256R1] | type[ec.SECP384R1], int]] = {1: (ec.SECP256R1, 32), 2: (ec.SECP384R1, 48)}
PLATFORM_BYTES = 2084
_BODY, _SIGNATURE, _SCALAR = 0x414, 520, 72


@dataclass(frozen=True)
class Signature:
    """One of a platform certificate's two."""

    usage: int
    algorithm: int
    value: bytes
    """512 bytes."""


@dataclass(frozen=True)
class Authority:
    """An ARK or ASK."""

    usage: int
    key_id: bytes
    signer_id: bytes
    key: rsa.RSAPublicKey
    body: bytes
    """What is signed."""
    signature: bytes
    """Little-endian."""


@dataclass(frozen=True)
class PlatformCertificate:
    """A CEK, PEK or OCA."""

    usage: int
    api: tuple[int, int]
    """Firmware's API version: major, minor."""
    key: ec.EllipticCurvePublicKey
    body: bytes
    signatures: tuple[Signature, Signature]


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def read_authority(data: bytes, where: str, usage: int) -> Authority:
    """Read an ARK or ASK. Raises InvalidInput (W3B-9104)."""
    size = _number(data, 60) // 8
    if size not in (256, 512) or len(data) != 64 + 3 * size or _number(data, 56) != 8 * size or _number(data, 0) != 1:
        raise bad_endorsement(where, f"is no AMD root or signing key certificate: {len(data)} bytes")
    if _number(data, 36) != usage:
        raise bad_endorsement(where, f"has the usage {_number(data, 36):#x}, not {usage:#x}")
    exponent, modulus = (int.from_bytes(data[at : at + size], "little") for at in (64, 64 + size))
    try:
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise bad_endorsement(where, f"has no RSA key: {error}") from error
    body = data[: 64 + 2 * size]
    return Authority(usage, data[4:20], data[20:36], key, body, data[64 + 2 * size :])


def read_platform(data: bytes, where: str, usage: int) -> PlatformCertificate:
    """Read a CEK, PEK or OCA. Raises InvalidInput (W3B-9104)."""
    if len(data) != PLATFORM_BYTES or _number(data, 0) != 1:
        raise bad_endorsement(where, f"is no SEV certificate of version 1: {len(data)} bytes, not {PLATFORM_BYTES}")
    if _number(data, 8) != usage:
        raise bad_endorsement(where, f"has the usage {_number(data, 8):#x}, not {usage:#x}")
    algorithm, curve = _number(data, 12), _CURVES.get(_number(data, 16))
    if algorithm not in (ECDSA_SHA256, ECDSA_SHA384) or curve is None:
        raise bad_endorsement(where, f"has a key of algorithm {algorithm:#x}, curve {_number(data, 16)}")
    x, y = (int.from_bytes(data[at : at + _SCALAR], "little") for at in (20, 20 + _SCALAR))
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, curve[0]()).public_key()
    except ValueError as error:
        raise bad_endorsement(where, f"has no point of {curve[0].name}") from error
    first, second = (
        Signature(_number(data, at), _number(data, at + 4), data[at + 8 : at + _SIGNATURE])
        for at in (_BODY, _BODY + _SIGNATURE)
    )
    return PlatformCertificate(usage, (data[4], data[5]), key, data[:_BODY], (first, second))


def rsa_algorithm(key: rsa.RSAPublicKey | rsa.RSAPrivateKey) -> int:
    """The algorithm that an ASK of this size signs with (appendix B.1)."""
    return RSA_SHA256 if key.key_size == 2048 else RSA_SHA384


def check_rsa(signer: Authority, body: bytes, signature: bytes, where: str) -> None:
    """Check a signature of an ARK or ASK: PSS with SHA-256 for 2,048 bits, SHA-384 for 4,096 (appendix B.1).

    Raises Refused (W3B-9106).
    """
    size = signer.key.key_size // 8
    digest = hashes.SHA256() if size == 256 else hashes.SHA384()
    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
    if signature[size:].strip(b"\0"):
        raise refused("W3B-9106", where, "has a signature that is longer than its signer's key")
    try:
        signer.key.verify(signature[:size][::-1], body, scheme, digest)
    except InvalidSignature as error:
        raise refused("W3B-9106", where, "is not signed by its issuer") from error


def check_ecdsa(key: ec.EllipticCurvePublicKey, algorithm: int, body: bytes, signature: bytes, where: str) -> None:
    """Check an ECDSA signature: r and s of 72 bytes, little-endian. Raises Refused (W3B-9106)."""
    if algorithm not in (ECDSA_SHA256, ECDSA_SHA384) or signature[2 * _SCALAR :].strip(b"\0"):
        raise refused("W3B-9106", where, f"has a signature of algorithm {algorithm:#x}, or bytes after it")
    r, s = (int.from_bytes(signature[at : at + _SCALAR], "little") for at in (0, _SCALAR))
    digest = hashes.SHA256() if algorithm == ECDSA_SHA256 else hashes.SHA384()
    try:
        key.verify(encode_dss_signature(r, s), body, ec.ECDSA(digest))
    except InvalidSignature as error:
        raise refused("W3B-9106", where, "is not signed by its issuer") from error


def signature_by(certificate: PlatformCertificate, usage: int, where: str) -> Signature:
    """The one signature by a key of that usage. Raises Refused (W3B-9107)."""
    found = [each for each in certificate.signatures if each.usage == usage]
    if len(found) != 1:
        raise refused("W3B-9107", where, f"has {len(found)} signatures of the usage {usage:#x}, not one")
    return found[0]
