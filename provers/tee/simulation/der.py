"""DER encoding (X.690) of the few types that vendors' certificate extensions have."""

from __future__ import annotations

BOOLEAN, INTEGER, OCTET_STRING, OBJECT_IDENTIFIER, ENUMERATED, SEQUENCE = 0x01, 0x02, 0x04, 0x06, 0x0A, 0x30
"""Tags."""


def element(tag: int, content: bytes) -> bytes:
    """Tag, length in the shortest form, content of at most 65,535 bytes."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of encoded parts."""
    return element(SEQUENCE, b"".join(parts))


def integer(value: int) -> bytes:
    """An INTEGER from 0 on."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes) -> bytes:
    """An OCTET STRING."""
    return element(OCTET_STRING, value)


def boolean(value: bool) -> bytes:
    """A BOOLEAN."""
    return element(BOOLEAN, b"\xff" if value else b"\0")


def identifier(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER, such as `1.2.840.113741.1.13.1`."""
    first, second, *rest = (int(each) for each in dotted.split("."))
    content = bytearray()
    for value in (first * 40 + second, *rest):
        groups = [value & 0x7F]
        while value := value >> 7:
            groups.append(value & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return element(OBJECT_IDENTIFIER, bytes(content))
