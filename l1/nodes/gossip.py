"""What a node says to its peers: messages that it passes on, how far its chain goes, and what it asks for."""

from __future__ import annotations

from typing import Final

from l1.chain.blockchain import Blockchain
from l1.consensus.messages import Certificate, Message, Proposal, Vote, encode
from l1.nodes.inbox import Item
from l1.nodes.network import Network
from l1.nodes.peers import SeenCache
from l1.nodes.wire import GetBlock, Kind, Status, encode_get_block, encode_status

STATUS_MS: Final = 5_000
"""A node says how far it is after each block, and at least this often: a peer that is silent for long is gone."""
SHELF: Final = 2_048
"""Messages of the present height, the newest, that are kept for peers that come late: fewer than one may send at once."""


class Gossip:
    """One node's side of the conversation."""

    def __init__(self, chain: Blockchain, resend_ms: int) -> None:
        """`network` must be set before anything is sent.

        Parameters
        ----------
        resend_ms
            How often an author sends a message again that did not get through.
        """
        self._chain = chain
        self._first = chain.first_number
        self.network: Network
        """The connections; set once."""
        # What its author sends again is to go round again, but no more often than that: where messages take longer to
        # go round than they are remembered, each node sends each of them on once in this time, until the height is over.
        self.seen = SeenCache(0.9 * resend_ms / 1000)
        """What went round a moment ago."""
        self.shelf: dict[bytes, Item] = {}
        """Messages of the present height that were taken."""
        self.status_due = 0
        """When to say again how far the chain goes, ms."""

    def pass_on(self, item: Item, *, keep: bool = True) -> None:
        """Send a message of the present height to all but its sender, and keep it for those that come late.

        Parameters
        ----------
        keep
            False for what is too large to keep: a proposal of a round that is far away.
        """
        self.seen.mark(item.raw)
        if keep:
            self.shelf[item.raw] = item
        while len(self.shelf) > SHELF:
            del self.shelf[next(iter(self.shelf))]
        self.network.broadcast(item.kind, item.raw, but=item.peer)

    def send(self, message: Message) -> None:
        """Send a message of this node's own."""
        assert isinstance(message, Vote | Proposal | Certificate), "decisions are blocks with footers here"
        kind = Kind.BLOCK_MESSAGE if isinstance(message, Proposal) else Kind.VOTE
        self.pass_on(Item(None, kind, encode(message), message))

    def refuse(self, item: Item, reason: str, text: str) -> None:
        """Hold against its sender what was not taken."""
        if item.peer is not None:
            self.network.refuse(item.peer, reason, text)

    def status(self) -> Status:
        """How far this chain goes."""
        return Status(self._chain.head_number, self._chain.head_hash, self._first)

    def tell(self, now: int) -> None:
        """Tell everybody how far this chain goes."""
        self.status_due = now + STATUS_MS
        self.network.broadcast(Kind.STATUS, encode_status(self.status()))

    def ask_for(self, wanted: GetBlock) -> None:
        """Ask everybody for a block that is being decided."""
        self.network.broadcast(Kind.GET_BLOCK, encode_get_block(wanted))
