"""Whether a delegate may vote at a height: only where its log of votes says everything that it ever voted there.

A delegate without a log (a new folder, or one whose log was set aside) has perhaps voted before and does not know where.
It watches until it has caught up with its peers, and votes from the height after the one that is open then. On a chain
that nobody has begun, that is the first.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from l1.consensus.delegates import DelegateSet
from l1.consensus.log import Entry
from l1.nodes.wal import NAME, Head, WriteAheadLog

log = logging.getLogger(__name__)


class VotingRight:
    """One node's right to vote, and the log that it rests on. One thread at a time."""

    def __init__(self, folder: Path, domain: bytes, address: bytes | None) -> None:
        """Open the log of votes in the folder, if there is one. Raises WalError.

        Parameters
        ----------
        address
            The operator address of a delegate, or of one who may be elected; None for a node that only watches.
        """
        self._path = folder / NAME
        self._domain = domain
        self._address = address
        self._wal: WriteAheadLog | None = None
        self._first = 0
        if address is not None and self._path.exists():
            self._open()

    def at(self, height: int) -> bool:
        """Whether it may vote at a height."""
        return self._wal is not None and height >= self._first

    @property
    def undecided(self) -> bool:
        """Whether somebody is here who may vote, and does not know yet from where on."""
        return self._wal is None and self._address is not None

    def entries(self, height: int) -> list[Entry]:
        """What the log says of a height."""
        return [] if self._wal is None else self._wal.entries(height)

    def first_vote(self, head: int, peers: Collection[int], delegates: DelegateSet) -> int | None:
        """From which height on a delegate without a log may vote; None while that is not known.

        Parameters
        ----------
        head
            The newest block here.
        peers
            The newest block of each peer that has said so.
        delegates
            The set that decides the next block.
        """
        index = None if self._address is None else delegates.index_of(self._address)
        alone = index is not None and delegates.powers[index] >= delegates.quorum
        if not (peers or alone) or any(each > head for each in peers):
            return None
        return 1 if head == 0 else head + 2

    def begin(self, first: int) -> None:
        """Start a log: the delegate votes from this height on. Raises FileExistsError, OSError."""
        assert self._address is not None, "only delegates vote"
        WriteAheadLog.create(self._path, Head(self._domain, self._address, first))
        self._open()
        log.warning("a new log of votes: this delegate votes from height %d on", first)

    def append(self, entry: Entry) -> None:
        """Write an entry; on return it is on disk. Raises OSError."""
        assert self._wal is not None, "who has no log casts nothing"
        self._wal.append(entry)

    def decided(self, height: int) -> None:
        """A height is over."""
        if self._wal is not None:
            self._wal.decided(height)

    def close(self) -> None:
        """Close the log."""
        if self._wal is not None:
            self._wal.close()

    def _open(self) -> None:
        assert self._address is not None, "only delegates vote"
        self._wal = WriteAheadLog(self._path, self._domain, self._address)
        self._first = self._wal.first_height
