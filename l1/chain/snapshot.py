"""A chain that begins at a snapshot: what a node needs instead of the blocks before it."""

from __future__ import annotations

from dataclasses import dataclass

from l1.staking.parameters import Parameters
from native import _native


@dataclass(frozen=True)
class Snapshot:
    """A decided block and the state after it."""

    block: _native.Block
    """The block."""
    receipts: bytes
    """Of its transactions, as `native` encodes them."""
    footer: bytes
    """What decided it (`consensus.certificate.footer`)."""
    headers: tuple[bytes, ...]
    """RLP of consecutive headers from `first_header` on; the last is the block's."""
    state: bytes
    """The state (`StateView.snapshot`)."""


def first_header(number: int, staking: Parameters | None) -> int:
    """The first header that a chain which begins at this block needs: those whose hashes contracts may ask for, and on a
    chain with staking those of the next block's epoch and of the block before it, by which an epoch's end is settled.
    """
    oldest = max(0, number - _native.STATE_HISTORY)
    if staking is None:
        return oldest
    return min(oldest, staking.first_height(staking.epoch_of(number + 1)) - 1)
