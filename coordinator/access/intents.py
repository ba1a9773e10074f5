"""Job intents: the EIP-712 struct by which a wallet asks for a job (docs/reference/encodings.md §6).

The domain is the Statement's, so a wallet shows the same chain and Router, and an intent is worth nothing on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from verifier import signatures
from verifier.errors import InvalidInput
from verifier.statement import Domain

INTENT_TYPE = b"JobIntent(uint256 projectId,uint64 upTo,bytes32 readingsHash,uint256 nonce,uint64 deadline)"
_TYPES = ["bytes32", "uint256", "uint64", "bytes32", "uint256", "uint64"]
MAX_UINT64 = (1 << 64) - 1
MAX_UINT256 = (1 << 256) - 1


def readings_hash(readings: Sequence[bytes]) -> bytes:
    """keccak256 over the keccak256 of each reading's wire form, in their order: EIP-712's encoding of `bytes[]`."""
    return keccak(b"".join(keccak(wire) for wire in readings))


@dataclass(frozen=True)
class JobIntent:
    """What the signer wants. Construction checks the ranges: InvalidInput (W3B-7008)."""

    project_id: int
    """The project, uint256."""
    up_to: int
    """First stream position that need not be proven, uint64; 0 is the stream's end once the readings are in it."""
    readings_hash: bytes
    """32 bytes, `readings_hash` of what comes with it."""
    nonce: int
    """uint256; each signer uses each once."""
    deadline: int
    """Unix seconds after which nobody may act on it, uint64."""

    def __post_init__(self) -> None:
        ranges = {"project_id": MAX_UINT256, "up_to": MAX_UINT64, "nonce": MAX_UINT256, "deadline": MAX_UINT64}
        for name, largest in ranges.items():
            if not 0 <= getattr(self, name) <= largest:
                raise InvalidInput("W3B-7008", f"intent.{name} is out of range", field=f"intent.{name}")

    def digest(self, domain: Domain) -> bytes:
        """What is signed, 32 bytes (EIP-712)."""
        words = [keccak(INTENT_TYPE), self.project_id, self.up_to, self.readings_hash, self.nonce, self.deadline]
        return keccak(b"\x19\x01" + domain.separator() + keccak(abi_encode(_TYPES, words)))

    def sign(self, domain: Domain, private_key: bytes) -> bytes:
        """The signature of the account with that key, 65 bytes."""
        return signatures.sign(self.digest(domain), private_key)


def signer_of(intent: JobIntent, domain: Domain, signature: bytes) -> bytes:
    """The address that signed the intent, 20 bytes. Raises Refused (W3B-7025)."""
    return signatures.recover(intent.digest(domain), signature, code="W3B-7025")
