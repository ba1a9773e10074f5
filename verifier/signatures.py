"""Ethereum signatures as wallets make them: 65 bytes r ‖ s ‖ v over a 32-byte digest (EIP-191, EIP-712)."""

from __future__ import annotations

import coincurve
from eth_hash.auto import keccak

from verifier.errors import Refused
from verifier.reading import SECP256K1_ORDER

SIGNATURE_BYTES = 65
ADDRESS_BYTES = 20


def address_of(public_key: coincurve.PublicKey) -> bytes:
    """The account of a secp256k1 key: the last 20 bytes of keccak256 of its x ‖ y."""
    return keccak(public_key.format(compressed=False)[1:])[-ADDRESS_BYTES:]


def personal_digest(message: str) -> bytes:
    """What a wallet signs for a text: EIP-191, version 0x45 (`personal_sign`)."""
    data = message.encode()
    return keccak(b"\x19Ethereum Signed Message:\n" + str(len(data)).encode() + data)


def sign(digest: bytes, private_key: bytes) -> bytes:
    """r ‖ s ‖ v over the digest, v 27 or 28, s in the lower half (EIP-2)."""
    made = coincurve.PrivateKey(private_key).sign_recoverable(digest, hasher=None)
    return made[:64] + bytes((made[64] + 27,))


def recover(digest: bytes, signature: bytes, *, code: str) -> bytes:
    """The address that signed, 20 bytes.

    Only one form is taken, so that a signature has no twin: s in the lower half (EIP-2), v 27 or 28. Raises Refused
    with `code`.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise Refused(code, f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}", field="signature")
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if not (0 < r < SECP256K1_ORDER and 0 < s <= SECP256K1_ORDER // 2 and v in (27, 28)):
        raise Refused(code, "the signature's r, s or v is out of range", field="signature")
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature[:64] + bytes((v - 27,)), digest, hasher=None)
    except ValueError as error:  # coincurve's own word for r without a point
        raise Refused(code, "the signature belongs to no key", field="signature") from error
    return address_of(key)
