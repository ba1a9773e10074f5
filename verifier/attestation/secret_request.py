"""What an enclave asks a key broker: a secret by name, for a sealing key, signed by its session key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from verifier import signatures
from verifier.attestation.binding import SessionKey
from verifier.errors import InvalidInput, Refused
from verifier.statement import Domain
from verifier.tee import key_address

REQUEST_TYPE = b"SecretRequest(string name,bytes32 nonce,bytes32 sealingKey,bytes32 sessionKey)"
"""`sessionKey` is the SessionKey's own EIP-712 digest."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")


def check_name(name: str) -> str:
    """The name of a secret. Raises InvalidInput (W3B-9120)."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            "W3B-9120", f"{name[:80]!r} is no name of a secret: 1 to 64 of a-z, 0-9, '.', '_' and '-'", field="name"
        )
    return name


@dataclass(frozen=True)
class SecretRequest:
    """A request, and the signature under it. Raises InvalidInput (W3B-9120) for a field of another form."""

    name: str
    """Of the secret."""
    nonce: bytes
    """The broker's challenge, 32 bytes."""
    sealing_key: bytes
    """X25519 public key that the answer is encrypted to, 32 bytes."""
    session_key: SessionKey
    signature: bytes = b""
    """65 bytes by the session key over `digest`."""

    def __post_init__(self) -> None:
        check_name(self.name)
        for name in ("nonce", "sealing_key"):
            if len(getattr(self, name)) != 32:
                raise InvalidInput("W3B-9120", f"{name} has {len(getattr(self, name))} bytes, not 32", field=name)

    def digest(self, domain: Domain) -> bytes:
        """EIP-712 digest in the Statement's domain, 32 bytes."""
        values = [
            keccak(REQUEST_TYPE),
            keccak(self.name.encode()),
            self.nonce,
            self.sealing_key,
            self.session_key.digest(domain),
        ]
        return keccak(b"\x19\x01" + domain.separator() + keccak(abi_encode(["bytes32"] * 5, values)))

    def require_signed(self, domain: Domain) -> None:
        """Raises Refused (W3B-9123) unless the session key signed it."""
        signer = signatures.recover(self.digest(domain), self.signature, code="W3B-9123")
        if signer != key_address(self.session_key.public_key):
            raise Refused("W3B-9123", f"0x{signer.hex()} signed the request, not its session key", field="signature")

    def info(self, domain: Domain) -> bytes:
        """The purpose that the answer is sealed for."""
        return b"w3bstream/secret/v1" + self.digest(domain)

    def to_json(self) -> dict[str, Any]:
        """JSON values; byte strings are 0x hex."""
        key = self.session_key
        return {
            "name": self.name,
            "nonce": _shown(self.nonce),
            "sealing_key": _shown(self.sealing_key),
            "session_key": {
                "public_key": _shown(key.public_key),
                "program_id": _shown(key.program_id),
                "prover": _shown(key.prover),
                "nonce": _shown(key.nonce),
                "expiry": key.expiry,
            },
            "signature": _shown(self.signature),
        }

    @classmethod
    def from_json(cls, found: Any) -> SecretRequest:
        """`to_json`'s values. Raises InvalidInput (W3B-9120, W3B-9101)."""
        request = _object(found, "request", ("name", "nonce", "sealing_key", "session_key", "signature"))
        key = _object(request["session_key"], "session_key", ("public_key", "program_id", "prover", "nonce", "expiry"))
        if type(key["expiry"]) is not int:
            raise InvalidInput("W3B-9120", "session_key.expiry is no number", field="session_key.expiry")
        if not isinstance(request["name"], str):
            raise InvalidInput("W3B-9120", "name is no text", field="name")
        fields = {
            name: _bytes(key[name], f"session_key.{name}") for name in ("public_key", "program_id", "prover", "nonce")
        }
        session = SessionKey(**fields, expiry=key["expiry"])
        parts = {name: _bytes(request[name], name) for name in ("nonce", "sealing_key", "signature")}
        return cls(request["name"], parts["nonce"], parts["sealing_key"], session, parts["signature"])


def _shown(data: bytes) -> str:
    return "0x" + data.hex()


def _object(found: Any, where: str, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(found, dict) or sorted(found) != sorted(names):
        raise InvalidInput("W3B-9120", f"{where} is no object with {', '.join(names)}", field=where)
    return found


def _bytes(found: Any, where: str) -> bytes:
    if not isinstance(found, str) or len(found) > 1024 or not _HEX.fullmatch(found):
        raise InvalidInput("W3B-9120", f"{where} is no 0x and hex digits in lower case", field=where)
    return bytes.fromhex(found[2:])
