"""RLP (Ethereum Yellow Paper, appendix B), strict: one encoding a value, bounded depth, nothing left over.

The decoder reads bytes of strangers. It recurses no deeper than `MAX_DEPTH` and copies no byte twice a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, Union

from verifier.errors import Refused

Item: TypeAlias = Union[bytes, "list[Item]"]
"""A byte string, or a list of items."""

MAX_DEPTH = 16
"""Levels of lists: a trie node has at most three, a transaction four."""


def _malformed(why: str) -> Refused:
    return Refused("W3B-9003", f"malformed RLP: {why}", field="rlp")


def _head(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes((offset + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(size),)) + size


def encode(item: bytes | Sequence[Item]) -> bytes:
    """The canonical encoding of a byte string or of a list."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _head(0x80, len(item)) + item
    body = b"".join(encode(each) for each in item)
    return _head(0xC0, len(body)) + body


def encode_int(value: int) -> bytes:
    """An integer as RLP's scalars are: big-endian without leading zeros; 0 is the empty string. Not yet encoded."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def to_int(item: Item, bits: int = 256) -> int:
    """The scalar of an item. Raises Refused (W3B-9003) for a list, a leading zero or more than `bits` bits."""
    if not isinstance(item, bytes) or len(item) * 8 > bits or item[:1] == b"\0":
        raise _malformed(f"not a scalar of at most {bits} bits")
    return int.from_bytes(item, "big")


def to_bytes(item: Item, *lengths: int) -> bytes:
    """The byte string of an item, of one of `lengths` if any is given. Raises Refused (W3B-9003)."""
    if not isinstance(item, bytes) or (lengths and len(item) not in lengths):
        raise _malformed(f"not a byte string of {' or '.join(map(str, lengths)) or 'any'} bytes")
    return item


def to_list(item: Item) -> list[Item]:
    """The items of a list. Raises Refused (W3B-9003) for a byte string."""
    if not isinstance(item, list):
        raise _malformed("not a list")
    return item


def decode(data: bytes) -> Item:
    """Exactly what `encode` writes. Raises Refused (W3B-9003) for any other bytes."""
    item, end = _item(data, 0, len(data), 0)
    if end != len(data):
        raise _malformed(f"{len(data) - end} bytes follow the item")
    return item


def _item(data: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    if at >= end:
        raise _malformed("it ends early")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, length = _span(data, at, end, first - (0xC0 if is_list else 0x80))
    stop = start + length
    if stop > end:
        raise _malformed("it ends early")
    if not is_list:
        if length == 1 and data[start] < 0x80:
            raise _malformed("a small byte with a length before it")
        return data[start:stop], stop
    if depth >= MAX_DEPTH:
        raise _malformed(f"more than {MAX_DEPTH} levels")
    items: list[Item] = []
    while start < stop:
        found, start = _item(data, start, stop, depth + 1)
        items.append(found)
    return items, stop


def _span(data: bytes, at: int, end: int, size: int) -> tuple[int, int]:
    """Where the payload starts, and its length."""
    if size < 56:
        return at + 1, size
    width = size - 55
    written = data[at + 1 : min(end, at + 1 + width)]
    length = int.from_bytes(written, "big")
    if len(written) != width or written[0] == 0 or length < 56:
        raise _malformed("a length that is not the shortest")
    return at + 1 + width, length
