"""Sealing: bytes for the holder of one X25519 key alone (HPKE, RFC 9180, base mode).

Suite: DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM 0x0002. `info` says what the bytes are for: they
open under the same `info` only, so that what was sealed for one purpose, reading or request never passes for another's.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from verifier.errors import InvalidInput, Refused

KEY_BYTES = 32
OVERHEAD = 48
"""Bytes that sealing adds: the encapsulated key (32) before, the tag (16) after."""
MAX_SEALED = 1 << 20
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal(plaintext: bytes, public_key: bytes, info: bytes) -> bytes:
    """`enc ‖ ciphertext ‖ tag` of at most 1 MiB.

    Parameters: `public_key` is X25519, 32 bytes. Raises InvalidInput (W3B-9120) for a plaintext that is too long or a
    public key that cannot be used, such as a point of low order.
    """
    if len(plaintext) > MAX_SEALED - OVERHEAD:
        raise InvalidInput("W3B-9120", f"{len(plaintext)} bytes cannot be sealed; at most {MAX_SEALED - OVERHEAD}")
    try:
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public_key), info)
    except ValueError as error:  # another length, or a shared secret of zeros (RFC 7748 §6.1)
        raise InvalidInput("W3B-9120", f"the sealing key cannot be used: {error}", field="sealingKey") from error


class SealingKey:
    """An X25519 private key that never leaves its process: it has no bytes to read, and is not pickled."""

    def __init__(self, private: X25519PrivateKey | None = None) -> None:
        self._private = private or X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()
        """32 bytes."""

    @classmethod
    def from_secret(cls, secret: bytes) -> SealingKey:
        """The key that a broker released. Raises InvalidInput (W3B-9120) for another length than 32 bytes."""
        try:
            return cls(X25519PrivateKey.from_private_bytes(secret))
        except ValueError as error:
            raise InvalidInput("W3B-9120", f"a sealing key has 32 bytes, not {len(secret)}", field="secret") from error

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """What was sealed for this key and `info`. Raises Refused (W3B-9121) for anything else."""
        if not OVERHEAD <= len(sealed) <= MAX_SEALED:
            raise Refused("W3B-9121", f"sealed bytes are {OVERHEAD} to {MAX_SEALED}, not {len(sealed)}", field="sealed")
        try:
            return _SUITE.decrypt(sealed, self._private, info)
        except (InvalidTag, ValueError) as error:  # ValueError: an encapsulated key of low order
            why = "the sealed bytes are not for this key and purpose, or were changed"
            raise Refused("W3B-9121", why, field="sealed") from error

    def __repr__(self) -> str:
        return f"SealingKey(public={self.public.hex()})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a sealing key stays in its process")


def reading_info(project_id: int, device: bytes, sequence: int) -> bytes:
    """The purpose of one reading's payload. Parameters: `device` is its id, 20 bytes; `sequence` is below 2^64."""
    return b"w3bstream/sealed-reading/v1" + project_id.to_bytes(8, "big") + device + sequence.to_bytes(8, "big")
