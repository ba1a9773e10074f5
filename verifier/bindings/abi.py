"""The contract ABI (Solidity ABI specification) over the committed artifacts: calls, results, events and reverts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from l1.contracts.abi import BUILT_IN, Artifact, signature_of, types_of

CONTRACTS = (
    "ProjectRegistry",
    "FleetManagement",
    "Router",
    "Groth16Verifier",
    "TemperatureDapp",
    "TeeVerifier",
    "AttestationLog",
    "CommitteeAttestation",
    "DcapAttestation",
    "DcapCollateral",
    "L1Attestation",
    "NitroAttestation",
    "NvidiaH100Attestation",
    "SevSnpAttestation",
)
"""Contracts whose events and errors are decoded."""


@dataclass(frozen=True)
class Event:
    """One decoded log entry."""

    contract: str
    """Contract that declares it; equal events of two contracts name the first."""
    name: str
    """Name, such as `TaskSettled`."""
    args: dict[str, Any]
    """Arguments by name: int, bool, str (addresses as 0x and 40 lower-case digits), bytes, tuples for arrays."""


@dataclass(frozen=True)
class Revert:
    """Why a call reverted."""

    name: str
    """Custom error, `Error` (a message) or `Panic`; empty for no data, `Unknown` for data that no ABI here explains."""
    args: dict[str, Any]
    """Arguments by name."""

    def __str__(self) -> str:
        """`Name(a=1, b=0x…)`."""
        shown = (f"{key}={_shown(value)}" for key, value in self.args.items())
        return f"{self.name or 'reverted without a reason'}({', '.join(shown)})"


def _shown(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


@cache
def _artifact(contract: str) -> Artifact:
    return Artifact("verifier.contracts", contract)


def abi_of(contract: str) -> list[dict[str, Any]]:
    """The contract's ABI as the compiler gives it. Raises FileNotFoundError for a name without an artifact."""
    abi: list[dict[str, Any]] = _artifact(contract).document["abi"]
    return abi


def bytecode_of(contract: str) -> bytes:
    """The contract's creation code, without constructor arguments."""
    return bytes.fromhex(_artifact(contract).document["bytecode"][2:])


def creation_code(contract: str, *arguments: Any) -> bytes:
    """The contract's creation code with constructor arguments. Raises eth_abi's EncodingError."""
    return _artifact(contract).creation_code(*arguments)


def encode_call(contract: str, function: str, *arguments: Any) -> bytes:
    """Call data of `function`. Raises eth_abi's EncodingError for a value that does not fit its type."""
    return _artifact(contract).encode_call(function, *arguments)


def decode_result(contract: str, function: str, data: bytes) -> tuple[Any, ...]:
    """What a call of `function` returned. Raises eth_abi's DecodingError for data that is no such result."""
    entry = next(each for each in abi_of(contract) if each["type"] == "function" and each["name"] == function)
    return tuple(abi_decode(types_of(entry["outputs"]), data))


@cache
def _events() -> dict[bytes, tuple[str, dict[str, Any]]]:
    found: dict[bytes, tuple[str, dict[str, Any]]] = {}
    for contract in CONTRACTS:
        for entry in abi_of(contract):
            if entry["type"] == "event":
                found.setdefault(keccak(signature_of(entry)), (contract, entry))
    return found


def event_topic(contract: str, name: str) -> bytes:
    """Topic 0 of an event, 32 bytes, for log filters."""
    return _artifact(contract).event_topic(name)


def decode_event(topics: Sequence[bytes], data: bytes) -> Event | None:
    """Decode a log entry; None when it is no event of our contracts.

    Check the log's address first: anyone may emit the same bytes from a contract of their own.
    """
    known = _events().get(bytes(topics[0])) if topics else None
    if known is None:
        return None
    contract, entry = known
    indexed = [each for each in entry["inputs"] if each["indexed"]]
    plain = [each for each in entry["inputs"] if not each["indexed"]]
    if len(indexed) != len(topics) - 1:
        return None
    try:
        args = {
            each["name"]: abi_decode([each["type"]], bytes(topic))[0]
            for each, topic in zip(indexed, topics[1:], strict=True)
        }
        values = abi_decode(types_of(plain), bytes(data))
    except DecodingError:
        return None
    args.update(zip((each["name"] for each in plain), values, strict=True))
    return Event(contract, entry["name"], {each["name"]: args[each["name"]] for each in entry["inputs"]})


@cache
def _errors() -> dict[bytes, tuple[str, list[dict[str, Any]]]]:
    found = {keccak(signature_of(each))[:4]: (each["name"], each["inputs"]) for each in BUILT_IN}
    for contract in CONTRACTS:
        for entry in abi_of(contract):
            if entry["type"] == "error":
                found.setdefault(keccak(signature_of(entry))[:4], (entry["name"], entry["inputs"]))
    return found


def decode_revert(data: bytes) -> Revert:
    """Decode revert data; never raises, whatever the bytes are."""
    if not data:
        return Revert("", {})
    known = _errors().get(data[:4])
    if known is None:
        return Revert("Unknown", {"data": bytes(data)})
    name, inputs = known
    try:
        values = abi_decode(types_of(inputs), data[4:])
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return Revert("Unknown", {"data": bytes(data)})
    return Revert(name, {entry["name"]: value for entry, value in zip(inputs, values, strict=True)})
