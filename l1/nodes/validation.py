"""Whether a block may follow the head: the same answer on every node, at any time.

What depends on the clock (a block from the future) or on how the block came (who proposed it) is not a property of the
block, and is asked apart: a delegate that had once called a block invalid for such a reason would never vote for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import rlp
from eth_hash.auto import keccak

from l1.chain.blockchain import Blockchain
from l1.chain.duties import DutyUndone, check_done, check_duties, duties
from l1.consensus.delegates import DelegateSet
from native import _native

AHEAD_SECONDS: Final = 5
"""How far a block's time may be ahead of a delegate's clock before it leaves its proposal for later."""


class BlockRefused(ValueError):
    """A block that may not follow. `args` is (reason, text): `body`, the bytes are not what their hash says, so the
    sender is to blame; `rules`, the block itself is wrong, whoever made it."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason


def read_block(raw: bytes, block_hash: bytes | None = None) -> _native.Block:
    """A block in its one encoding, with this hash if one is given. Raises BlockRefused `body`."""
    try:
        block = _native.Block.decode(raw)
    except _native.ExecutionRefused as error:
        raise BlockRefused("body", str(error)) from error
    if block.encoded != raw:
        raise BlockRefused("body", "the block is encoded in another way than ours")
    if block_hash is not None and block.hash != block_hash:
        raise BlockRefused("body", f"the block's hash is 0x{block.hash.hex()}, not 0x{block_hash.hex()}")
    return block


def check_header(block: _native.Block, parent: _native.Block, delegates: DelegateSet) -> None:
    """Check what execution leaves to the producer, but its duties. Raises BlockRefused `rules`.

    Parameters
    ----------
    delegates
        The set that decides this block.
    """
    wanted: dict[str, tuple[object, object]] = {
        "number": (block.number, parent.number + 1),
        "parentHash": (block.parent_hash.hex(), parent.hash.hex()),
        "mixHash": (block.prev_randao.hex(), parent.hash.hex()),
        "parentBeaconBlockRoot": (block.parent_beacon_block_root.hex(), bytes(32).hex()),
    }
    for name, (found, right) in wanted.items():
        if found != right:
            raise BlockRefused("rules", f"{name} is {found}, not {right}")
    if block.timestamp < parent.timestamp:
        raise BlockRefused("rules", f"timestamp {block.timestamp} is before the parent's, {parent.timestamp}")
    if delegates.index_of(block.beneficiary) is None:
        raise BlockRefused("rules", f"beneficiary 0x{block.beneficiary.hex()} is no delegate")


def execute(chain: Blockchain, block: _native.Block, delegates: DelegateSet) -> _native.ExecutedBlock:
    """Check a block against the head and re-execute it; the head does not move. Raises BlockRefused."""
    try:
        check_header(block, chain.head.block, delegates)
        due = duties(chain, block.beneficiary)
        check_duties(block, due)
        executed = chain.import_block(block.encoded)
        check_done(executed, due)
    except (BlockRefused, DutyUndone, _native.ExecutionRefused) as error:
        # Somebody may have put other transactions under an honest header: the header's hash still holds.
        if ordered_root([each.encoded for each in block.transactions]) != block.transactions_root:
            raise BlockRefused("body", "the transactions are not those that the header commits to") from error
        if isinstance(error, BlockRefused):
            raise
        raise BlockRefused("rules", str(error)) from error
    return executed


def ordered_root(items: Sequence[bytes]) -> bytes:
    """Root of the Merkle-Patricia trie from RLP(index) to item, 32 bytes (Yellow Paper, appendix D)."""
    if not items:
        return bytes(keccak(rlp.encode(b"")))
    leaves = [(_nibbles(bytes(rlp.encode(index))), item) for index, item in enumerate(items)]
    return bytes(keccak(rlp.encode(_node(sorted(leaves), 0))))


def _node(leaves: Sequence[tuple[bytes, bytes]], depth: int) -> list[Any]:
    """The node over sorted leaves that share their first `depth` nibbles. No key is the beginning of another."""
    first, last = leaves[0][0], leaves[-1][0]
    if len(leaves) == 1:
        return [_compact(first[depth:], leaf=True), leaves[0][1]]
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    branches: list[Any] = []
    for nibble in range(16):
        below = [each for each in leaves if each[0][shared] == nibble]
        branches.append(_reference(_node(below, shared + 1)) if below else b"")
    branch = [*branches, b""]
    return branch if shared == depth else [_compact(first[depth:shared], leaf=False), _reference(branch)]


def _reference(node: list[Any]) -> Any:
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else bytes(keccak(encoded))


def _nibbles(raw: bytes) -> bytes:
    return bytes(nibble for byte in raw for nibble in (byte >> 4, byte & 15))


def _compact(nibbles: bytes, *, leaf: bool) -> bytes:
    """Hex-prefix encoding (Yellow Paper, appendix C)."""
    flag = 2 * leaf + len(nibbles) % 2
    padded = bytes([flag, *nibbles]) if len(nibbles) % 2 else bytes([flag, 0, *nibbles])
    return bytes(16 * high + low for high, low in zip(padded[::2], padded[1::2], strict=True))
