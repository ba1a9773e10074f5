"""Test only: headers, sets and footers of a small chain, and what is none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import rlp

from l1.consensus.certificate import bitmap_of, footer
from l1.consensus.delegates import Delegate, DelegateSet
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Vote
from l1.consensus.parameters import DEVNET
from l1.light.client import HeaderView
from l1.nodes.keys import DelegateKeys
from native import _native

CHAIN = 4690
PARAMETERS = replace(DEVNET, blocks_per_epoch=10)
NOW = 1_800_000_000


def set_of(keys: tuple[DelegateKeys, ...], powers: tuple[int, ...] = (1, 1, 1, 1, 1)) -> DelegateSet:
    members = zip(keys, powers, strict=False)
    return DelegateSet(
        tuple(Delegate(each.address, power, each.voting.public_key().to_bytes()) for each, power in members)
    )


def header(number: int, root: bytes, timestamp: int = NOW, fields: int = 21) -> bytes:
    values: list[bytes] = [bytes(32)] * fields
    values[8] = _scalar(number)
    values[11] = _scalar(timestamp)
    values[12] = root
    return bytes(rlp.encode(values))


def _scalar(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def signed(
    block: bytes,
    keys: tuple[DelegateKeys, ...],
    voters: tuple[int, ...],
    domain: bytes,
    **changes: Any,
) -> bytes:
    """The footer that these delegates give a header; `changes` to what they sign."""
    seen = HeaderView.decode(block)
    vote = Vote(seen.number, 0, Topic.COMMIT, seen.hash, 0)._replace(**changes)
    signatures = [keys[index].voting.sign(vote.digest(domain)) for index in voters]
    bitmap = bitmap_of(voters, len(keys))
    return footer(Certificate(*vote[:4], bitmap, _native.bls_aggregate(signatures)))


NO_HEADERS = [
    b"",
    b"\x80",
    b"\xc0",
    bytes(rlp.encode([bytes(32)] * 14)),
    bytes(rlp.encode([bytes(32)] * 33)),
    header(1, bytes(31)),
    header(1, b""),
    header(1 << 63, bytes(32)),
    header(1, bytes(32), timestamp=1 << 63),
    header(1, bytes(32))[:-1],
    header(1, bytes(32)) + b"\x00",
    bytes(rlp.encode([[bytes(32)]] * 21)),
    bytes(rlp.encode([bytes(32)] * 20 + [b""] * 10 + [bytes(3_500)])),
    b"\xb9\x10\x01" + bytes(4097),
    b"\xf8\x37" + b"\x80" * 0x37,  # a length of 55 in the long form
    b"\xf9\x00\xff" + b"\x80" * 0xFF,  # a length with a leading zero
    b"\xfa\x00\x01\x00" + b"\x80" * 0x100,  # three bytes of length
]
"""What no client takes for a header."""

CHANGES: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda raw: raw[:-1] + b"\x0f", "signature"),  # one more signer than signed
    (lambda raw: raw[:-1] + b"\x17", "bitmap"),  # a fifth of four
    (lambda raw: raw[:-1] + b"\x00", "power"),
    (lambda raw: raw + b"\x00", "bitmap"),
    (lambda raw: raw + bytes(40), "bitmap"),
    (lambda raw: raw[:-1], "bitmap"),
    (lambda raw: raw[:50], "bitmap"),
    (lambda raw: b"", "bitmap"),
    (lambda raw: b"\0\0\0\1" + raw[4:], "signature"),  # another round
    (lambda raw: raw[:4] + bytes([raw[4] ^ 0x20]) + raw[5:], "signature"),  # the other root of y
    (lambda raw: raw[:4] + b"\xc0" + bytes(95) + raw[100:], "signature"),  # infinity
    (lambda raw: raw[:4] + b"\xff" * 96 + raw[100:], "signature"),
]
"""Changes to the footer of delegates 0, 1 and 2 of four, and why what they make is refused."""
