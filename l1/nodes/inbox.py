"""What peers sent and the delegate has not looked at yet: bounded for each peer, in the order in which it came."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Final, NamedTuple

from l1.consensus.messages import Certificate, Proposal, Vote
from l1.nodes.peers import Peer
from l1.nodes.wire import Decided, Kind

SMALL_WAITING: Final = 256
"""Votes and certificates of one peer that may wait; while there are more, nothing is read from it."""

Content = Vote | Certificate | Proposal | bytes | list[Decided]
"""A message, a block that was asked for, or blocks with their footers."""


class Item(NamedTuple):
    """One message on its way in."""

    peer: Peer | None
    """Who sent it; None where it is looked at a second time."""
    kind: Kind
    raw: bytes
    """The frame's body: what is sent on."""
    content: Content


class Inbox:
    """Messages of all peers."""

    def __init__(self) -> None:
        self._items: deque[tuple[Item, asyncio.Event]] = deque()
        self._waiting: Counter[Peer] = Counter()
        self.filled = asyncio.Event()
        """Set when there is something to do."""

    def __len__(self) -> int:
        return len(self._items)

    async def put(self, item: Item) -> None:
        """Hand in a message. Large ones are waited for, so that each peer takes up one at most."""
        taken = asyncio.Event()
        self._items.append((item, taken))
        self.filled.set()
        if item.peer is None:
            return
        self._waiting[item.peer] += 1
        if item.kind is not Kind.VOTE or self._waiting[item.peer] >= SMALL_WAITING:
            await taken.wait()

    def again(self, item: Item) -> None:
        """Hand in a message that was taken before, to be looked at once more."""
        self._items.append((item._replace(peer=None), asyncio.Event()))
        self.filled.set()

    def take_votes(self, most: int) -> list[Item]:
        """The votes at the front, so many at most: they are checked together."""
        found: list[Item] = []
        while self._items and len(found) < most and isinstance(self._items[0][0].content, Vote):
            found.append(self.take())
        return found

    def take(self) -> Item:
        """The first message. Raises IndexError when there is none."""
        item, taken = self._items.popleft()
        if item.peer is not None:
            self._waiting[item.peer] -= 1
            if not self._waiting[item.peer]:
                del self._waiting[item.peer]
        taken.set()
        return item
