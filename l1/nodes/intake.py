"""The first look at what peers send: read it, drop what went through here a moment ago, answer what is asked.

Everything that changes the consensus or the chain waits in the inbox; transactions go to the mempool at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from l1.chain.blockchain import Blockchain
from l1.chain.mempool import Mempool, MempoolRefused
from l1.consensus.messages import Certificate, Proposal, Vote, decode
from l1.nodes.gossip import Gossip
from l1.nodes.inbox import Content, Inbox, Item
from l1.nodes.peers import Allowance, Peer
from l1.nodes.snapshots import QUESTIONS, unasked
from l1.nodes.wire import (
    LIMITS,
    RANGE_BYTES,
    Decided,
    GetBlocks,
    Kind,
    WireError,
    decode_blocks,
    decode_get_block,
    decode_get_blocks,
    decode_status,
    encode_blocks,
    encode_status,
)
from native import _native

if TYPE_CHECKING:
    from l1.nodes.delegate import Delegate

OFFERED = 2_000
"""Waiting transactions that a peer is told of when it connects."""
QUESTIONS_AT_ONCE = 64
QUESTIONS_PER_SECOND = 16.0
"""Questions of one peer that are answered: each may cost megabytes."""


class Intake:
    """Takes the network's frames for one delegate."""

    def __init__(self, delegate: Delegate, gossip: Gossip, chain: Blockchain, mempool: Mempool, inbox: Inbox) -> None:
        self._delegate = delegate
        self._gossip = gossip
        self._chain = chain
        self._mempool = mempool
        self._inbox = inbox
        self._questions: dict[Peer, Allowance] = {}
        self._told: set[Peer] = set()
        self._source: Peer | None = None
        mempool.subscribe(self._tell_of)

    @property
    def told(self) -> list[Peer]:
        """Peers that have said how far they are."""
        return list(self._told)

    def joined(self, peer: Peer) -> None:
        """Say how far this node is, and what waits."""
        peer.send(Kind.STATUS, encode_status(self._gossip.status()))
        for waiting in self._mempool.executable(0, OFFERED):
            peer.send(Kind.TRANSACTION, waiting.encoded)

    def left(self, peer: Peer) -> None:
        """Forget it."""
        self._told.discard(peer)
        self._questions.pop(peer, None)
        self._delegate.wake()

    async def received(self, peer: Peer, kind: Kind, body: bytes) -> None:
        """Take a frame. Raises WireError and MessageError."""
        match kind:
            case Kind.VOTE | Kind.BLOCK_MESSAGE:
                if not self._gossip.seen.recent(body):
                    await self._inbox.put(Item(peer, kind, body, _message(kind, body)))
            case Kind.TRANSACTION:
                self._on_transaction(peer, body)
            case Kind.STATUS:
                self._on_status(peer, body)
            case Kind.GET_BLOCKS:
                self._on_get_blocks(peer, decode_get_blocks(body))
            case Kind.BLOCKS:
                await self._inbox.put(Item(peer, kind, body, decode_blocks(body)))
            case Kind.GET_BLOCK:
                found = self._delegate.candidate(decode_get_block(body).hash)
                if found is not None and self._may_ask(peer):
                    peer.send(Kind.BLOCK, found)
            case Kind.BLOCK:
                await self._inbox.put(Item(peer, kind, body, body))
            case _ if kind in QUESTIONS:
                if self._may_ask(peer):
                    peer.send(*await self._delegate.snapshots.answer(kind, body))
            case _:
                raise unasked(kind)

    def _on_transaction(self, peer: Peer, raw: bytes) -> None:
        if self._gossip.seen.recent(raw):
            return
        self._gossip.seen.mark(raw)
        self._source = peer
        try:
            transaction = _native.Transaction.decode(raw)
            self._mempool.add(transaction, self._chain.view(self._chain.head_number))
        except _native.TransactionRefused as error:
            raise WireError("transaction", str(error)) from error
        except MempoolRefused:
            # Known, mined, or one that this node has no room for: the peer could not know.
            self._delegate.refused["mempool"] += 1
        finally:
            self._source = None
        self._delegate.wake()

    def _tell_of(self, transaction: _native.Transaction) -> None:
        """Tell the others of a transaction that the mempool took, from a peer or from this node's users."""
        self._gossip.seen.mark(transaction.encoded)
        self._gossip.network.broadcast(Kind.TRANSACTION, transaction.encoded, but=self._source)

    def _on_status(self, peer: Peer, body: bytes) -> None:
        told = decode_status(body)
        peer.head, peer.first = told.head, told.first
        if peer not in self._told:
            self._told.add(peer)
            # What was said of this height before it came.
            for item in self._gossip.shelf.values():
                peer.send(item.kind, item.raw)
        self._delegate.wake()

    def _on_get_blocks(self, peer: Peer, asked: GetBlocks) -> None:
        if not self._may_ask(peer):
            return
        found: list[Decided] = []
        size = 0
        for number in range(asked.first, asked.first + asked.most):
            decided = self._delegate.decided_block(number)
            if decided is None or size >= RANGE_BYTES:
                break
            found.append(decided)
            size += len(decided.block)
        peer.send(Kind.BLOCKS, encode_blocks(found))

    def _may_ask(self, peer: Peer) -> bool:
        allowance = self._questions.setdefault(peer, Allowance(QUESTIONS_AT_ONCE, QUESTIONS_PER_SECOND))
        if allowance.take(1):
            return True
        self._gossip.network.refuse(peer, "flood", f"more than {QUESTIONS_PER_SECOND:g} questions a second")
        return False


def _message(kind: Kind, body: bytes) -> Content:
    message = decode(body, max_bytes=LIMITS[kind])
    wanted = (Proposal,) if kind is Kind.BLOCK_MESSAGE else (Vote, Certificate)
    if not isinstance(message, wanted):
        raise WireError("malformed", f"a {type(message).__name__} in a frame of kind {kind.name}")
    return message
