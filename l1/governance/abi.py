"""The contract ABI (Solidity ABI specification) over this room's artifact: calls, results, events and reverts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import encode
from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import BaseEquals, registry
from eth_hash.auto import keccak


@dataclass(frozen=True)
class Decoded:
    """An event or an error."""

    name: str
    """Name, such as `StateChanged`; `Error` and `Panic` are Solidity's own."""
    args: dict[str, Any]
    """Arguments by name: int, bool, str, bytes (addresses too), tuples for structs and arrays."""


_BUILT_IN: list[dict[str, Any]] = [
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
]


def _lenient() -> ABICodec:
    """A codec that shows bytes that are no UTF-8 as U+FFFD: the contract takes any text, and none may hide a proposal."""
    strings = registry.copy()  # type: ignore[no-untyped-call]
    strings.unregister_decoder("string")
    text = BaseEquals("string"), StringDecoder("replace")  # type: ignore[no-untyped-call]
    strings.register_decoder(*text, label="string")
    return ABICodec(strings)


_decode = _lenient().decode


@cache
def artifact() -> dict[str, Any]:
    """What `Governance.sol` compiles to, as the compiler wrote it."""
    text = (files("l1.governance") / "artifacts" / "Governance.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def _by_id(kind: str) -> dict[bytes, dict[str, Any]]:
    """Entries of one kind by selector (functions, errors) or topic (events)."""
    size = 32 if kind == "event" else 4
    entries = artifact()["abi"] + _BUILT_IN
    return {keccak(_signature(each))[:size]: each for each in entries if each["type"] == kind}


@cache
def _function(name: str) -> tuple[bytes, list[str], list[str]]:
    selector, entry = next(item for item in _by_id("function").items() if item[1]["name"] == name)
    return selector, _types(entry["inputs"]), _types(entry["outputs"])


def encode_call(name: str, *arguments: Any) -> bytes:
    """Call data. Raises eth_abi's EncodingError for a value that does not fit its type."""
    selector, types, _ = _function(name)
    return selector + encode(types, arguments)


def decode_result(name: str, data: bytes) -> tuple[Any, ...]:
    """What a call returned. Raises eth_abi's DecodingError for data that is no such result."""
    return tuple(_decode(_function(name)[2], data))


def decode_arguments(name: str, data: bytes) -> tuple[Any, ...] | None:
    """Arguments of call data for `name`; None when it is a call of something else, or malformed."""
    selector, types, _ = _function(name)
    if data[:4] != selector:
        return None
    try:
        return tuple(_decode(types, data[4:]))
    except DecodingError:
        return None


def event_topic(name: str) -> bytes:
    """Topic 0 of an event, 32 bytes."""
    return next(topic for topic, entry in _by_id("event").items() if entry["name"] == name)


def decode_event(topics: Sequence[bytes], data: bytes) -> Decoded | None:
    """A log entry; None when it is no event of the contract. The caller compares the log's address first."""
    entry = _by_id("event").get(bytes(topics[0])) if topics else None
    if entry is None:
        return None
    indexed = [each for each in entry["inputs"] if each["indexed"]]
    plain = [each for each in entry["inputs"] if not each["indexed"]]
    if len(indexed) != len(topics) - 1:
        return None
    try:
        named = [_decode([each["type"]], bytes(topic))[0] for each, topic in zip(indexed, topics[1:], strict=True)]
        values = _decode(_types(plain), bytes(data))
    except DecodingError:
        return None
    found = dict(zip((each["name"] for each in [*indexed, *plain]), [*named, *values], strict=True))
    return Decoded(entry["name"], {each["name"]: _plain(each, found[each["name"]]) for each in entry["inputs"]})


def decode_revert(data: bytes) -> Decoded:
    """Why a call reverted; the name is empty for no data and `Unknown` for data that is not the contract's."""
    if not data:
        return Decoded("", {})
    entry = _by_id("error").get(data[:4])
    if entry is None:
        return Decoded("Unknown", {"data": bytes(data)})
    try:
        values = _decode(_types(entry["inputs"]), data[4:])
    except DecodingError:
        return Decoded("Unknown", {"data": bytes(data)})
    pairs = zip(entry["inputs"], values, strict=True)
    return Decoded(entry["name"], {each["name"]: _plain(each, value) for each, value in pairs})


def _plain(entry: dict[str, Any], value: Any) -> Any:
    """`value` with every address as 20 bytes, inside structs and arrays as well."""
    kind: str = entry["type"]
    if kind.endswith("[]"):
        inner = entry | {"type": kind[:-2]}
        return tuple(_plain(inner, each) for each in value)
    if kind == "tuple":
        return tuple(_plain(part, each) for part, each in zip(entry["components"], value, strict=True))
    return bytes.fromhex(value[2:]) if kind == "address" else value


def _signature(entry: dict[str, Any]) -> bytes:
    return f"{entry['name']}({','.join(_types(entry['inputs']))})".encode() if "name" in entry else b""


def _types(entries: Sequence[dict[str, Any]]) -> list[str]:
    return [_type(each) for each in entries]


def _type(entry: dict[str, Any]) -> str:
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(entry['components']))}){kind[len('tuple') :]}"
