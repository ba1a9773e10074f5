"""The contract ABI (Solidity ABI specification) over one compiled artifact: calls, results, events and reverts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from eth_abi.abi import encode
from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import BaseEquals, registry
from eth_hash.auto import keccak

Entry = Mapping[str, Any]
"""One element of an ABI: a function, an event, an error, or a parameter of one."""


@dataclass(frozen=True)
class Decoded:
    """An event or an error."""

    name: str
    """Name, such as `StateChanged`; `Error` and `Panic` are Solidity's own."""
    args: dict[str, Any]
    """Arguments by name: int, bool, str, bytes (addresses too), tuples for structs and arrays."""


BUILT_IN: tuple[dict[str, Any], ...] = (
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)
"""Errors that any contract may revert with."""


def _lenient() -> ABICodec:
    """A codec that shows bytes that are no UTF-8 as U+FFFD: a contract takes any text, and none may hide what it did."""
    strings = registry.copy()  # type: ignore[no-untyped-call]
    strings.unregister_decoder("string")
    text = BaseEquals("string"), StringDecoder("replace")  # type: ignore[no-untyped-call]
    strings.register_decoder(*text, label="string")
    return ABICodec(strings)


_decode = _lenient().decode


class Artifact:
    """What one contract compiles to. Decoded addresses are 20 bytes; no contract of ours overloads a function."""

    def __init__(self, package: str, name: str) -> None:
        """
        Parameters
        ----------
        package
            Room whose `artifacts` folder holds the file.
        name
            Contract. The file is read at the first use; FileNotFoundError when it is not there.
        """
        self._package = package
        self.name = name
        """Contract."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """The file, as the compiler's output was written."""
        text = (files(self._package) / "artifacts" / f"{self.name}.json").read_text(encoding="utf-8")
        loaded: dict[str, Any] = json.loads(text)
        return loaded

    @property
    def deployed_code(self) -> bytes:
        """Runtime code, in which immutables are zero."""
        return bytes.fromhex(self.document["deployedBytecode"][2:])

    # --- calls ---

    def creation_code(self, *arguments: Any) -> bytes:
        """Code that deploys the contract. Raises eth_abi's EncodingError for a value that does not fit its type."""
        constructors = [each["inputs"] for each in self.document["abi"] if each["type"] == "constructor"]
        types = types_of(constructors[0]) if constructors else []
        return bytes.fromhex(self.document["bytecode"][2:]) + encode(types, arguments)

    def encode_call(self, name: str, *arguments: Any) -> bytes:
        """Call data. Raises eth_abi's EncodingError for a value that does not fit its type."""
        selector, entry = self._functions[name]
        return selector + encode(types_of(entry["inputs"]), arguments)

    def decode_result(self, name: str, data: bytes) -> tuple[Any, ...]:
        """What a call returned. Raises eth_abi's DecodingError for data that is no such result."""
        return _values(self._functions[name][1]["outputs"], data)

    def decode_arguments(self, name: str, data: bytes) -> tuple[Any, ...] | None:
        """Arguments of call data for `name`; None when it is a call of something else, or malformed."""
        selector, entry = self._functions[name]
        if data[:4] != selector:
            return None
        try:
            return _values(entry["inputs"], data[4:])
        except DecodingError:
            return None

    # --- events ---

    def event_topic(self, name: str) -> bytes:
        """Topic 0 of an event, 32 bytes."""
        return next(topic for topic, entry in self._events.items() if entry["name"] == name)

    def decode_event(self, topics: Sequence[bytes], data: bytes) -> Decoded | None:
        """A log entry; None when it is no event of the contract. The caller compares the log's address first."""
        entry = self._events.get(bytes(topics[0])) if topics else None
        if entry is None:
            return None
        indexed = [each for each in entry["inputs"] if each["indexed"]]
        plain = [each for each in entry["inputs"] if not each["indexed"]]
        if len(indexed) != len(topics) - 1:
            return None
        try:
            named = [_values([each], bytes(topic))[0] for each, topic in zip(indexed, topics[1:], strict=True)]
            values = _values(plain, bytes(data))
        except DecodingError:
            return None
        found = dict(zip((each["name"] for each in [*indexed, *plain]), [*named, *values], strict=True))
        return Decoded(entry["name"], {each["name"]: found[each["name"]] for each in entry["inputs"]})

    # --- errors ---

    def decode_revert(self, data: bytes) -> Decoded:
        """Why a call reverted; the name is empty for no data and `Unknown` for data that is not the contract's."""
        if not data:
            return Decoded("", {})
        entry = self._errors.get(data[:4])
        if entry is None:
            return Decoded("Unknown", {"data": bytes(data)})
        try:
            values = _values(entry["inputs"], data[4:])
        except DecodingError:
            return Decoded("Unknown", {"data": bytes(data)})
        pairs = zip(entry["inputs"], values, strict=True)
        return Decoded(entry["name"], {each["name"]: value for each, value in pairs})

    def error_name(self, data: bytes) -> str:
        """The error in a revert's data, whatever follows its selector; empty for an unknown one."""
        entry = self._errors.get(data[:4])
        return "" if entry is None else str(entry["name"])

    # --- tables ---

    @cached_property
    def _functions(self) -> dict[str, tuple[bytes, Entry]]:
        return {each["name"]: (digest[:4], each) for digest, each in self._entries("function")}

    @cached_property
    def _events(self) -> dict[bytes, Entry]:
        return dict(self._entries("event"))

    @cached_property
    def _errors(self) -> dict[bytes, Entry]:
        return {digest[:4]: each for digest, each in self._entries("error")}

    def _entries(self, kind: str) -> list[tuple[bytes, Entry]]:
        entries = [each for each in (*self.document["abi"], *BUILT_IN) if each["type"] == kind]
        return [(keccak(signature_of(each)), each) for each in entries]


def signature_of(entry: Entry) -> bytes:
    """What is hashed for the selector of a function or an error, or the topic of an event."""
    return f"{entry['name']}({','.join(types_of(entry['inputs']))})".encode()


def types_of(entries: Sequence[Entry]) -> list[str]:
    """Canonical types of parameters, structs as tuples."""
    return [type_of(each) for each in entries]


def type_of(entry: Entry) -> str:
    """Canonical type of one parameter, structs as tuples."""
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(types_of(entry['components']))}){kind.removeprefix('tuple')}"


def _values(entries: Sequence[Entry], data: bytes) -> tuple[Any, ...]:
    pairs = zip(entries, _decode(types_of(entries), data), strict=True)
    return tuple(_plain(entry, value) for entry, value in pairs)


def _plain(entry: Entry, value: Any) -> Any:
    """`value` with every address as 20 bytes, inside structs and arrays as well."""
    kind: str = entry["type"]
    if kind.endswith("]"):
        inner = {**entry, "type": kind[: kind.rindex("[")]}
        return tuple(_plain(inner, each) for each in value)
    if kind == "tuple":
        return tuple(_plain(part, each) for part, each in zip(entry["components"], value, strict=True))
    return bytes.fromhex(value[2:]) if kind == "address" else value
