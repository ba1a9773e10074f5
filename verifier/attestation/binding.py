"""What an attester puts into its evidence, so that it speaks for one Statement or one session key and nothing else.

Both digests are EIP-712 in the Statement's own domain (chain and Router), so that a contract computes them with the
code that it has. docs/reference/attestation.md has the encoding and the vectors of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from verifier.attestation.evidence import Platform
from verifier.errors import InvalidInput
from verifier.statement import Domain, Statement

SESSION_KEY_TYPE = b"SessionKey(bytes publicKey,bytes32 programId,address prover,bytes32 nonce,uint64 expiry)"
CallerData = Mapping[str, bytes | None]
"""The fields that the evidence must carry, and exactly so; None is a field that must be absent."""


@dataclass(frozen=True)
class SessionKey:
    """The registration of a key that never leaves the enclave and signs the digests of its Statements.

    Raises InvalidInput (W3B-9101) for a field of another length.
    """

    public_key: bytes
    """secp256k1, x and y, 64 bytes."""
    program_id: bytes
    """32 bytes, as in the Statement."""
    prover: bytes
    """Address that is paid, 20 bytes."""
    nonce: bytes
    """Of whoever registers it, 32 bytes; accepted once."""
    expiry: int
    """Unix seconds from which on its signatures do not count."""

    def __post_init__(self) -> None:
        for name, length in (("public_key", 64), ("program_id", 32), ("prover", 20), ("nonce", 32)):
            if len(getattr(self, name)) != length:
                raise InvalidInput("W3B-9101", f"{name} has {len(getattr(self, name))} bytes, not {length}", field=name)
        if not 0 < self.expiry < 1 << 64:
            raise InvalidInput("W3B-9101", f"expiry is {self.expiry}, not in 1 to 2^64 - 1", field="expiry")

    def digest(self, domain: Domain) -> bytes:
        """EIP-712 digest, 32 bytes."""
        values = [
            keccak(SESSION_KEY_TYPE),
            keccak(self.public_key),
            self.program_id,
            self.prover,
            self.nonce,
            self.expiry,
        ]
        struct = keccak(abi_encode(["bytes32", "bytes32", "bytes32", "address", "bytes32", "uint64"], values))
        return keccak(b"\x19\x01" + domain.separator() + struct)


def register_key(platform: Platform, domain: Domain, key: SessionKey, devices: Sequence[bytes] = ()) -> CallerData:
    """What evidence carries that registers a session key.

    Parameters: `devices` is the evidence of devices (GPUs) whose evidence this one vouches for, in order.
    """
    digest = key.digest(domain)
    if platform is Platform.NITRO:
        return {"user_data": _nitro(digest, devices), "nonce": key.nonce, "public_key": key.public_key}
    if platform in _NONCE_ONLY:
        return _nonce(platform, digest)
    return {"report_data": digest + _second_half(key.public_key, devices)}


def direct(platform: Platform, domain: Domain, statement: Statement, devices: Sequence[bytes] = ()) -> CallerData:
    """What evidence carries that speaks for one Statement itself, on a platform without a session key."""
    digest = statement.digest(domain)
    if platform is Platform.NITRO:
        return {"user_data": _nitro(digest, devices), "nonce": None, "public_key": None}
    if platform in _NONCE_ONLY:
        return _nonce(platform, digest)
    return {"report_data": digest + _second_half(b"", devices)}


_NONCE_ONLY = (Platform.SEV, Platform.NVIDIA_H100)


def _nonce(platform: Platform, digest: bytes) -> CallerData:
    """A GPU's nonce has 32 bytes; the mnonce of SEV has 16, and whoever asks the firmware chooses it, not the guest."""
    return {"mnonce": digest[:16]} if platform is Platform.SEV else {"nonce": digest}


def _second_half(public_key: bytes, devices: Sequence[bytes]) -> bytes:
    """sha256 over the key and the SHA-256 of each device's evidence; 32 zero bytes where there is neither."""
    if not public_key and not devices:
        return bytes(32)
    return hashlib.sha256(public_key + b"".join(hashlib.sha256(each).digest() for each in devices)).digest()


def _nitro(digest: bytes, devices: Sequence[bytes]) -> bytes:
    """Nitro has a field for the key, so `user_data` is the digest alone, or with the devices' half after it."""
    return digest + _second_half(b"", devices) if devices else digest


LENGTHS: Mapping[Platform, tuple[str, int | None]] = {
    Platform.SGX: ("report_data", 64),
    Platform.TDX: ("report_data", 64),
    Platform.SEV: ("mnonce", 16),
    Platform.SEV_SNP: ("report_data", 64),
    Platform.NITRO: ("user_data", None),
    Platform.CCA: ("report_data", 64),
    Platform.NVIDIA_H100: ("nonce", 32),
}
"""The field that a platform's caller data is first of all in, and its length; None: 1 to 512 bytes."""


def expected(platform: Platform, data: bytes) -> CallerData:
    """Caller data given as bytes, for evidence that is not ours.

    Raises InvalidInput (W3B-9101) for another length than the platform's field has.
    """
    name, length = LENGTHS[platform]
    if (length is not None and len(data) != length) or not 0 < len(data) <= 512:
        wanted = length or "1 to 512"
        raise InvalidInput(
            "W3B-9101", f"{platform.value} evidence has {wanted} bytes of {name}, not {len(data)}", field=name
        )
    return {name: data}
