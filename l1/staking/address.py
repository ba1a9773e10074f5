"""The `io1…` form of an address (bech32, BIP-173, with the prefix `io`): rankings and delegate order hash this text."""

from __future__ import annotations

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def io_address(address: bytes) -> str:
    """The text of a 20-byte address."""
    return bech32("io", five_bit_groups(address))


def five_bit_groups(data: bytes) -> list[int]:
    """Bytes as groups of five bits, the highest first, the last one filled with zeros (BIP-173, convertbits)."""
    bits = len(data) * 8
    padding = -bits % 5
    number = int.from_bytes(data, "big") << padding
    return [number >> shift & 31 for shift in range(bits + padding - 5, -1, -5)]


def bech32(prefix: str, groups: list[int]) -> str:
    """Prefix, separator, groups and checksum."""
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    checksum = _polymod(expanded + groups + [0] * 6) ^ 1
    tail = [checksum >> 5 * (5 - at) & 31 for at in range(6)]
    return prefix + "1" + "".join(_ALPHABET[group] for group in groups + tail)


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum
