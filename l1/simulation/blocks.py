"""The simulated application: small blocks that follow one another, and what makes one valid."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

GENESIS_HASH = hashlib.sha256(b"the simulation's genesis").digest()
"""What the first block follows."""
NOBODY = 0xFFFF
"""The producer of a block that no member of the height's set has built."""
_BYTES = 8 + 32 + 2 + 8 + 1 + 8


class Block(NamedTuple):
    """A block, encoded in 59 bytes."""

    height: int
    """From 1."""
    parent: bytes
    """Hash of the block before, 32 bytes."""
    producer: int
    """The builder's index in the height's set."""
    time: int
    """When it was built, in ms; CLOCK: the start of its round."""
    sound: bool
    """Whether what is in it may be executed; False stands for every reason that a real block is invalid for."""
    salt: int
    """Makes two blocks of one producer differ."""

    def encode(self) -> bytes:
        """The block as bytes."""
        head = self.height.to_bytes(8) + self.parent + self.producer.to_bytes(2)
        return head + self.time.to_bytes(8) + bytes([self.sound]) + self.salt.to_bytes(8)

    def follows(self, parent: bytes, height: int, after: int) -> bool:
        """Whether it is the valid block of a height, on this parent that was built at `after`."""
        return self.sound and self.height == height and self.parent == parent and self.time > after


class BlockError(ValueError):
    """Bytes that are no block."""


@lru_cache(maxsize=4096)
def decode(raw: bytes) -> Block:
    """The block of these bytes. Raises BlockError."""
    if len(raw) != _BYTES:
        raise BlockError(f"a block has {_BYTES} bytes, not {len(raw)}")
    number = int.from_bytes
    return Block(number(raw[:8]), raw[8:40], number(raw[40:42]), number(raw[42:50]), raw[50] == 1, number(raw[51:]))


@lru_cache(maxsize=4096)
def hash_of(raw: bytes) -> bytes:
    """A block's hash, 32 bytes."""
    return hashlib.sha256(raw).digest()
