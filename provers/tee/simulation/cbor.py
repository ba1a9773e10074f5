"""CBOR encoding (RFC 8949 §4.2.1) of what `verifier.attestation.cbor` decodes: shortest heads, definite lengths.

Keys of a map stay in the order in which they are given, as the platforms' own firmware writes them.
"""

from __future__ import annotations

from typing import Any

from verifier.attestation.cbor import Tagged, bstr, head

_SIMPLE = {None: b"\xf6", True: b"\xf5", False: b"\xf4"}


def encode(value: Any) -> bytes:
    """The encoding of an int, bytes, str, list, dict, `Tagged`, bool or None.

    Raises TypeError for another type, ValueError for an integer of more than 64 bits.
    """
    if value is None or isinstance(value, bool):
        return _SIMPLE[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return bstr(value)
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    return _composite(value)


def _composite(value: Any) -> bytes:
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(encode(key) + encode(each) for key, each in value.items())
    if isinstance(value, Tagged):
        return head(6, value.tag) + encode(value.value)
    raise TypeError(f"{type(value).__name__} has no CBOR encoding here")
