"""Answering who begins at a snapshot: headers, delegate sets, and a state in parts.

A state is encoded at the head when it is asked for, at most every `MAKE_SECONDS`, and the last `HELD` are held, so that
who has begun to fetch one can go on while the chain does. Each answer is bounded by its kind.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final, NamedTuple

from l1.chain.blockchain import Blockchain
from l1.chain.store import StoreError
from l1.consensus.parameters import Parameters
from l1.nodes import snapshot_wire as wire
from l1.nodes.wire import CHUNK_BYTES, MAX_EPOCHS, Kind, WireError
from native import _native

MAKE_SECONDS: Final = 10.0
"""A state is not encoded more often than this."""
HELD: Final = 2
"""Encoded states that are kept."""
REFRESH_BLOCKS: Final = 1_024
"""An encoded state that is older is not offered any more when a new one may be made."""
QUESTIONS: Final = frozenset(
    {Kind.GET_CHECKPOINT, Kind.GET_EPOCHS, Kind.GET_SNAPSHOT, Kind.GET_HEADERS, Kind.GET_CHUNK}
)
"""What `SnapshotServer.answer` answers."""


class _Held(NamedTuple):
    offer: wire.Offer
    state: bytes


class SnapshotServer:
    """Of one node."""

    def __init__(self, chain: Blockchain, parameters: Parameters) -> None:
        self._chain = chain
        self._parameters = parameters
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._making = asyncio.Lock()
        self._made_at = -MAKE_SECONDS

    async def answer(self, kind: Kind, body: bytes) -> tuple[Kind, bytes]:
        """The frame that answers a question. Raises WireError for a malformed one, ValueError for another kind."""
        match kind:
            case Kind.GET_CHECKPOINT:
                named = await asyncio.to_thread(self._checkpoint, wire.decode_hash(body))
                return Kind.CHECKPOINT, wire.encode_checkpoint(named)
            case Kind.GET_EPOCHS:
                ends = await asyncio.to_thread(self._epochs, wire.decode_number(body))
                return Kind.EPOCHS, wire.encode_epochs(ends)
            case Kind.GET_SNAPSHOT:
                return Kind.SNAPSHOT, wire.encode_offer(await self._offer(wire.decode_number(body)))
            case Kind.GET_HEADERS:
                asked = wire.decode_get_headers(body)
                last = min(self._chain.head_number, asked.first + asked.most - 1)
                return Kind.HEADERS, wire.encode_headers(
                    await asyncio.to_thread(self._chain.headers, asked.first, last)
                )
            case Kind.GET_CHUNK:
                return Kind.CHUNK, wire.encode_chunk(self._chunk(wire.decode_get_chunk(body)))
        raise ValueError(f"{kind.name} is no question about a snapshot")

    def _checkpoint(self, block_hash: bytes) -> wire.Named | None:
        number = self._chain.number_of(block_hash)
        if number is None or number > self._chain.head_number:
            return None
        try:
            return wire.Named(self._chain.headers(number, number)[0], self._chain.delegates_at(number + 1))
        except StoreError:
            return None  # of an epoch before the snapshot at which this chain began

    def _epochs(self, first: int) -> list[wire.EpochEnd]:
        found: list[wire.EpochEnd] = []
        for epoch in range(max(1, first), first + MAX_EPOCHS):
            last = epoch * self._parameters.blocks_per_epoch
            decided = self._chain.footer(last) if last <= self._chain.head_number else None
            if decided is None:
                break
            header = self._chain.headers(last, last)[0]
            found.append(wire.EpochEnd(header, decided, self._chain.delegates_at(last + 1)))
        return found

    async def _offer(self, least: int) -> wire.Offer | None:
        async with self._making:
            newest = max(self._held, default=-1)
            old = newest < least or self._chain.head_number - newest >= REFRESH_BLOCKS
            if old and self._chain.head_number >= least and time.monotonic() >= self._made_at + MAKE_SECONDS:
                await self._make()
                newest = max(self._held, default=-1)
        return self._held[newest].offer if newest >= max(least, 1) else None

    async def _make(self) -> None:
        number = self._chain.head_number
        stored, decided = self._chain.block(number), self._chain.footer(number)
        receipts = self._chain.encoded_receipts(number)
        if stored is None or decided is None or receipts is None:
            return  # block 0, which everybody has
        self._made_at = time.monotonic()
        try:
            state = await asyncio.to_thread(self._chain.view(number).snapshot)
        except _native.StateNotAvailable:
            return
        self._held[number] = _Held(wire.Offer(stored.block.encoded, receipts, decided, len(state)), state)
        while len(self._held) > HELD:
            self._held.popitem(last=False)

    def _chunk(self, asked: wire.GetChunk) -> wire.Chunk | None:
        held = self._held.get(asked.number)
        part = b"" if held is None else held.state[asked.place * CHUNK_BYTES : (asked.place + 1) * CHUNK_BYTES]
        return wire.Chunk(asked.number, asked.place, part) if part else None


def unasked(kind: Kind) -> WireError:
    """The error for an answer that nobody waits for."""
    return WireError("unasked", f"{kind.name} that nobody asked for")
