"""Beginning a chain at a snapshot that peers give, from a checkpoint that the operator trusts (weak subjectivity).

What is believed: the checkpoint's hash, and nothing else. The header with this hash names the delegates that decide the
next block. From there `light.client` follows the sets of the epochs by their certificates to the snapshot's block, which
must be decided by the last of them. Its header commits to the parent's hash, so to the headers before it, to its
transactions and receipts, and to the state, which is compared as a whole when its last part has come.

A checkpoint as old as stake takes to leave shows nothing: its delegates may have left, and lose nothing by signing
another history. A chain that has begun in this folder is never touched: what is fetched is written at the end, whole.

One peer is asked, one question at a time. A peer whose answers do not hold is scored and the next one asked, from the
start; one that does not have what is asked is not to blame, and asked again later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import rlp
from eth_hash.auto import keccak

from l1.chain.blockchain import Blockchain
from l1.chain.snapshot import Snapshot, first_header
from l1.chain.store import StoreError
from l1.consensus.messages import domain_of
from l1.consensus.parameters import Parameters
from l1.consensus.schedule import epoch_of
from l1.light.client import Checkpoint, HeaderView, LightClient, NotFinal
from l1.nodes import snapshot_wire as wire
from l1.nodes.handshake import Identity
from l1.nodes.network import Network, NetworkSettings
from l1.nodes.peers import Peer
from l1.nodes.snapshots import unasked
from l1.nodes.validation import BlockRefused, ordered_root, read_block
from l1.nodes.wire import CHUNK_BYTES, MAX_HEADERS, Kind, WireError
from native import _native

ANSWER_SECONDS: Final = 30.0
"""An answer takes no longer; to encode a large state may take seconds."""
AGAIN_SECONDS: Final = 3.0
"""A peer that could not answer is asked again after this."""
PACE_SECONDS: Final = 1 / 12
"""Between two questions: a node answers one peer no more often (`intake.QUESTIONS_PER_SECOND`)."""
_PARENT_HASH: Final = 0

log = logging.getLogger(__name__)
T = TypeVar("T")


class CheckpointRefused(RuntimeError):
    """The checkpoint cannot be begun at, whoever is asked; the message says why and what to do."""


class _Wrong(Exception):
    """What a peer said does not hold. `args` is (reason, text); the reasons are `peers.PENALTIES`'s."""


class _Lacking(Exception):
    """A peer does not have what was asked for; the message says what."""


class _Question:
    """What is asked of one peer; any other answer is not taken."""

    def __init__(self, peer: Peer, wanted: Kind) -> None:
        self.peer = peer
        self.wanted = wanted
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()


class Bootstrap:
    """Fetches one snapshot into one new chain."""

    def __init__(
        self,
        chain: Blockchain,
        secret: bytes,
        settings: NetworkSettings,
        parameters: Parameters,
        *,
        patience: float = ANSWER_SECONDS,
    ) -> None:
        """
        Parameters
        ----------
        chain
            New: it has block 0.
        secret
            By which peers know this node, 32 bytes.
        patience
            Seconds that an answer may take.
        """
        self._patience = patience
        self._chain = chain
        self._parameters = parameters
        self._genesis_hash = chain.hash_of(0)
        identity = Identity(secret, domain_of(chain.chain_id, self._genesis_hash))
        delegates = [each.address for each in chain.genesis.delegates]
        self.network = Network(identity, delegates, self, settings)
        """The connections; who is refused is counted there."""
        self._question: _Question | None = None
        self._changed = asyncio.Event()
        self._ask_again: dict[bytes, float] = {}

    async def run(self, checkpoint: bytes) -> int:
        """Fetch a snapshot at or after the block with this hash; the number of the block that the chain is at then.

        Raises
        ------
        CheckpointRefused
            When the checkpoint is too old.
        OSError
            When the port cannot be opened.
        """
        await self.network.start()
        try:
            while True:
                peer = await self._next_peer()
                try:
                    await asyncio.to_thread(self._adopt, await self._fetch(peer, checkpoint))
                except _Wrong as error:
                    reason, text = error.args
                    log.warning("%r gives no snapshot that holds: %s", peer, text)
                    self.network.refuse(peer, reason, text)
                except _Lacking as error:
                    log.warning("%r gives no snapshot: %s", peer, error)
                else:
                    return self._chain.head_number
                self._ask_again[peer.address] = time.monotonic() + AGAIN_SECONDS
        finally:
            await self.network.close()

    # --- the network's handler ---

    def joined(self, peer: Peer) -> None:
        """Somebody to ask."""
        self._changed.set()

    def left(self, peer: Peer) -> None:
        """Its connection is over."""
        self._changed.set()

    async def received(self, peer: Peer, kind: Kind, body: bytes) -> None:
        """Take the answer to the open question; what nodes tell each other is of no use here. Raises WireError."""
        question = self._question
        if question is not None and question.peer is peer and question.wanted is kind:
            self._question = None
            question.answer.set_result(body)
        elif kind >= Kind.GET_CHECKPOINT and kind % 2 == 0:
            raise unasked(kind)

    async def _next_peer(self) -> Peer:
        """Who is to be asked: of those connected, who was not asked a moment ago."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            due = {each: self._ask_again.get(each.address, 0.0) for each in self.network.peers}
            ready = [each for each, at in due.items() if at <= now and not each.closed.is_set()]
            if ready:
                return min(ready, key=due.__getitem__)
            try:
                async with asyncio.timeout(max(0.05, min(due.values(), default=now + AGAIN_SECONDS) - now)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _ask(self, peer: Peer, kind: Kind, body: bytes, read: Callable[[bytes], T]) -> T:
        """One question and its answer. Raises _Wrong, _Lacking."""
        await asyncio.sleep(PACE_SECONDS)
        question = self._question = _Question(peer, Kind(kind + 1))
        peer.send(kind, body)
        closing = asyncio.ensure_future(peer.closed.wait())
        try:
            either: set[asyncio.Future[Any]] = {question.answer, closing}
            done, _ = await asyncio.wait(either, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._question = None
            closing.cancel()
        if question.answer in done:
            try:
                return read(question.answer.result())
            except WireError as error:
                raise _Wrong(error.reason, str(error.args[1])) from error
        if closing in done:
            raise _Lacking(f"the connection ended ({peer.why_closed}) before {question.wanted.name} came")
        raise _Wrong("unanswered", f"no {question.wanted.name} within {self._patience:g} s")

    # --- a snapshot ---

    async def _fetch(self, peer: Peer, checkpoint: bytes) -> Snapshot:
        client = await self._begin(peer, checkpoint)
        offer = await self._ask(
            peer, Kind.GET_SNAPSHOT, wire.encode_number(max(1, client.head.number)), wire.decode_offer
        )
        if offer is None:
            raise _Lacking(f"no state of block {client.head.number} or later can be had now")
        block = self._checked_body(offer)
        await self._follow(peer, client, block, offer.footer)
        log.warning("fetching the state after block %d, %d bytes, from %r", block.number, offer.size, peer)
        headers = await self._headers(peer, block)
        state = await self._state(peer, block.number, offer.size)
        return Snapshot(block, offer.receipts, offer.footer, tuple(headers), state)

    async def _begin(self, peer: Peer, checkpoint: bytes) -> LightClient:
        """A client that trusts the checkpoint. Raises CheckpointRefused when it is too old."""
        named = await self._ask(peer, Kind.GET_CHECKPOINT, wire.encode_hash(checkpoint), wire.decode_checkpoint)
        if named is None:
            raise _Lacking(f"it does not have the checkpoint, block 0x{checkpoint.hex()}")
        if keccak(named.header) != checkpoint:
            raise _Wrong("snapshot", "the header that it gives for the checkpoint has another hash")
        trusted = Checkpoint(self._chain.chain_id, self._genesis_hash, named.header, named.delegates)
        try:
            return LightClient(trusted, self._parameters, int(time.time()))
        except NotFinal as error:
            if error.reason == "set":
                raise _Wrong("snapshot", str(error.args[1])) from error
            raise CheckpointRefused(
                f"--checkpoint 0x{checkpoint.hex()}: {error.args[1]}: take the hash of a newer block from a source that "
                "you trust"
            ) from error

    async def _follow(self, peer: Peer, client: LightClient, block: _native.Block, footer: bytes) -> None:
        """Follow the delegate sets to the block, and check that the last of them decided it. Raises _Wrong."""
        if block.hash == client.head.hash:
            return
        try:
            while (epoch := epoch_of(client.head.number + 1, self._parameters)) < epoch_of(
                block.number, self._parameters
            ):
                ends = await self._ask(peer, Kind.GET_EPOCHS, wire.encode_number(epoch), wire.decode_epochs)
                if not ends:
                    raise _Lacking(f"it does not have the end of epoch {epoch}")
                for each in ends:
                    if epoch_of(client.head.number + 1, self._parameters) == epoch_of(block.number, self._parameters):
                        break
                    await asyncio.to_thread(client.advance, each.header, each.footer, each.delegates)
            await asyncio.to_thread(client.require_final, block.header, footer)
        except NotFinal as error:
            raise _Wrong("snapshot", f"{error.reason}: {error.args[1]}") from error

    async def _headers(self, peer: Peer, block: _native.Block) -> list[bytes]:
        """The headers before the block that the chain needs, linked to it; the last is its own. Raises _Wrong."""
        first = first_header(block.number, self._chain.staking)
        headers: list[bytes] = []
        while len(headers) <= block.number - first:
            begin = first + len(headers)
            asked = wire.GetHeaders(begin, min(MAX_HEADERS, block.number + 1 - begin))
            found = await self._ask(peer, Kind.GET_HEADERS, wire.encode_get_headers(asked), wire.decode_headers)
            if not found:
                raise _Lacking(f"it does not have the header of block {begin}")
            headers += found[: asked.most]
        wanted = block.hash
        for header in reversed(headers):
            if keccak(header) != wanted:
                raise _Wrong("snapshot", "the headers before the snapshot's block do not link to it")
            wanted = rlp.decode(header)[_PARENT_HASH]
        if first == 0 and keccak(headers[0]) != self._genesis_hash:
            raise _Wrong("snapshot", "the headers do not begin at this chain's block 0")
        return headers

    async def _state(self, peer: Peer, number: int, size: int) -> bytes:
        """The state in its parts, none larger or smaller than it must be. Raises _Wrong, _Lacking."""
        state = bytearray()
        for place in range(wire.chunks_of(size)):
            asked = wire.GetChunk(number, place)
            found = await self._ask(peer, Kind.GET_CHUNK, wire.encode_get_chunk(asked), wire.decode_chunk)
            if found is None:
                raise _Lacking(f"it holds the state of block {number} no more")
            if (found.number, found.place) != asked:
                raise _Wrong(
                    "snapshot", f"part {found.place} of block {found.number} where {place} of {number} was asked"
                )
            if len(found.part) != min(CHUNK_BYTES, size - len(state)):
                raise _Wrong("snapshot", f"part {place} has {len(found.part)} bytes of a state of {size}")
            state += found.part
        return bytes(state)

    def _checked_body(self, offer: wire.Offer) -> _native.Block:
        """The offered block, whose header commits to its body and receipts. Raises _Wrong."""
        try:
            block = read_block(offer.block)
            HeaderView.decode(block.header)
            receipts = [each if isinstance(each, bytes) else rlp.encode(each) for each in rlp.decode(offer.receipts)]
            _native.decode_receipts(offer.receipts)
        except (
            BlockRefused,
            NotFinal,
            _native.ExecutionRefused,
            rlp.DecodingError,
            RecursionError,
            TypeError,
        ) as error:
            raise _Wrong("snapshot", f"the block that it offers is none: {error}") from error
        withdrawals = [rlp.encode([index, who, to, gwei]) for index, who, to, gwei in block.withdrawals]
        parts = {
            "transactions": (ordered_root([each.encoded for each in block.transactions]), block.transactions_root),
            "withdrawals": (ordered_root(withdrawals), block.withdrawals_root),
            "receipts": (ordered_root(receipts), block.receipts_root),
        }
        for name, (found, committed) in parts.items():
            if found != committed:
                raise _Wrong("snapshot", f"the block's {name} are not those that its header commits to")
        return block

    def _adopt(self, snapshot: Snapshot) -> None:
        try:
            self._chain.adopt(snapshot)
        except (_native.ExecutionRefused, StoreError) as error:
            raise _Wrong(
                "snapshot", f"the state is not the one that block {snapshot.block.number} has: {error}"
            ) from error
        log.warning("the chain begins at block %d", snapshot.block.number)
