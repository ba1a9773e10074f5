"""CBOR (RFC 8949) as attestation uses it: integers, strings, arrays, maps, tags, true, false and null.

Deterministic encoding (§4.2.1) only, but for the order of map keys, which signed tokens in the field do not keep:
shortest heads, definite lengths, no key twice. Depth, items and lengths are bounded before anything is allocated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from verifier.attestation.evidence import malformed

MAX_DEPTH = 8
"""Levels of arrays, maps and tags; a CCA platform token has four."""
MAX_ITEMS = 4096
"""Data items in one decoding."""


@dataclass(frozen=True)
class Tagged:
    """A tag and what it stands before."""

    tag: int
    value: Any


def decode(data: bytes, where: str) -> Any:
    """The one data item that `data` encodes: int, bytes, str, list, dict, `Tagged`, bool or None.

    Parameters: `where` names the field in errors. Raises InvalidInput (W3B-9101).
    """
    reader = _Decoder(data, where)
    found = reader.item(0)
    if reader.at != len(data):
        raise malformed(where, f"has {len(data) - reader.at} bytes after its CBOR item")
    return found


class _Decoder:
    def __init__(self, data: bytes, where: str) -> None:
        self._data, self._where = data, where
        self.at, self._items = 0, 0

    def _take(self, length: int) -> bytes:
        if length > len(self._data) - self.at:
            raise malformed(self._where, f"is cut off: CBOR of {length} more bytes at offset {self.at}")
        found = self._data[self.at : self.at + length]
        self.at += length
        return found

    def _argument(self, low: int) -> int:
        """The head's argument; in the shortest form only."""
        if low < 24:
            return low
        if low > 27:
            raise malformed(self._where, f"has CBOR of indefinite length, or a reserved head, at offset {self.at - 1}")
        size = 1 << (low - 24)
        value = int.from_bytes(self._take(size), "big")
        if value < (24 if size == 1 else 1 << (4 * size)):
            raise malformed(self._where, f"has a CBOR head that is longer than needed at offset {self.at - size - 1}")
        return value

    def item(self, depth: int) -> Any:
        """The next item."""
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise malformed(self._where, f"nests deeper than {MAX_DEPTH} levels or has more than {MAX_ITEMS} items")
        head = self._take(1)[0]
        kind, low = head >> 5, head & 0x1F  # major type (§3.1): 0, 1 integers, 2, 3 strings, 4, 5 arrays, 6 tags
        if kind == 7:
            return self._simple(head)
        argument = self._argument(low)
        if kind <= 1:
            return -1 - argument if kind else argument
        if kind <= 3:
            return self._text(argument) if kind == 3 else self._take(argument)
        if kind == 4:
            return [self.item(depth + 1) for _ in range(self._count(argument))]
        return self._map(self._count(argument), depth) if kind == 5 else Tagged(argument, self.item(depth + 1))

    def _simple(self, head: int) -> bool | None:
        if head not in (0xF4, 0xF5, 0xF6):
            raise malformed(self._where, f"has CBOR {head:#x}, no true, false or null, at offset {self.at - 1}")
        return {0xF4: False, 0xF5: True, 0xF6: None}[head]

    def _count(self, argument: int) -> int:
        if argument > MAX_ITEMS - self._items:
            raise malformed(self._where, f"has an array or map of {argument} items; at most {MAX_ITEMS} in all")
        return argument

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise malformed(self._where, f"has text that is no UTF-8 at offset {self.at - length}") from error

    def _map(self, count: int, depth: int) -> dict[int | str, Any]:
        found: dict[int | str, Any] = {}
        for _ in range(count):
            key = self.item(depth + 1)
            if type(key) not in (int, str):
                raise malformed(self._where, f"has a map key that is neither integer nor text at offset {self.at}")
            if key in found:
                raise malformed(self._where, f"has the map key {str(key)[:40]!a} twice")
            found[key] = self.item(depth + 1)
        return found


def bstr(data: bytes) -> bytes:
    """A byte string's encoding."""
    return head(2, len(data)) + data


def head(kind: int, argument: int) -> bytes:
    """The shortest head of a major type, 0 to 7, with its argument. Raises ValueError above 64 bits."""
    if argument < 24:
        return bytes([kind << 5 | argument])
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            return bytes([kind << 5 | low]) + argument.to_bytes(size, "big")
    raise ValueError(f"{argument} is no CBOR argument")
