"""Which peer to ask for decided blocks, and when. One question is open at a time.

Blocks are not believed: each comes with the certificate that decided it, and is executed. A peer that says it has more
than it can show wastes one question, and counts for nothing until it says something else.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final, NamedTuple

from l1.nodes.peers import Peer
from l1.nodes.wire import MAX_RANGE, GetBlocks

PATIENCE_MS: Final = 300
"""A node that is one block behind waits so long first: mostly it decides that block itself in the meantime."""
ANSWER_MS: Final = 8_000
"""An answer takes no longer."""


class Question(NamedTuple):
    """What was asked of whom."""

    peer: Peer
    asked: GetBlocks
    until: int
    """When it counts as unanswered, ms."""


class Sync:
    """What one node asks. Times are ms of its clock."""

    def __init__(self) -> None:
        self._open: Question | None = None
        self._behind_since: int | None = None
        self._stuck_at = -1

    def next_look(self, now: int) -> int | None:
        """When `question` may have another answer than now; None when only a message changes it."""
        if self._open is not None:
            return max(now, self._open.until)
        return None if self._behind_since is None else max(now, self._behind_since + PATIENCE_MS)

    def overdue(self, now: int) -> Peer | None:
        """Who has not answered in time; the question is closed then."""
        if self._open is None or (now < self._open.until and not self._open.peer.closed.is_set()):
            return None
        peer, self._open = self._open.peer, None
        return None if peer.closed.is_set() else peer

    def question(self, peers: Iterable[Peer], head: int, now: int) -> Question | None:
        """What is to be asked now, if anything; it is open from then on."""
        ahead = [each for each in peers if each.first <= head + 1 <= each.head]
        if not ahead:
            self._behind_since = None
            return None
        if self._open is not None:
            return None
        if self._behind_since is None or self._stuck_at != head:
            self._behind_since, self._stuck_at = now, head
        if max(each.head for each in ahead) == head + 1 and now < self._behind_since + PATIENCE_MS:
            return None
        # Any of them: one that says it is furthest of all need not be.
        chosen = random.choice(ahead)
        count = min(MAX_RANGE, chosen.head - head)
        self._open = Question(chosen, GetBlocks(head + 1, count), now + ANSWER_MS)
        return self._open

    def answered(self, peer: Peer) -> GetBlocks | None:
        """Close the question that this peer answers; None when it was not asked."""
        if self._open is None or self._open.peer is not peer:
            return None
        asked, self._open = self._open.asked, None
        return asked
