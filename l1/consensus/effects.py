"""What a driver asks its host to do, in the order of the list that it returns.

The host signs, sends, writes and waits; it must have synced a `Record` to its disk before it goes on to what follows.
"""

from __future__ import annotations

from typing import NamedTuple

from l1.consensus.log import Entry
from l1.consensus.machine import RoundStarted, TimedOut
from l1.consensus.messages import Certificate, Message, Proposal, Vote
from l1.consensus.tally import Equivocation


class Record(NamedTuple):
    """Append to the write-ahead log, and sync."""

    entry: Entry


class SignVote(NamedTuple):
    """Sign, hand the signed vote back to the driver (`on_vote`), and send it to all."""

    vote: Vote


class SignProposal(NamedTuple):
    """Sign, hand the signed proposal back (`on_proposal`, valid), and send it to all."""

    proposal: Proposal


class Build(NamedTuple):
    """Build a block on the head and hand it in with `on_built`. It may wait for transactions within `Timing.idle`."""

    height: int
    round: int


class Send(NamedTuple):
    """Send a signed message to all."""

    message: Message


class ResendDue(NamedTuple):
    """The newest votes are to be sent again."""

    round: int


class SetTimer(NamedTuple):
    """Say `on_timer(height, what)` at this time, in ms of the driver's clock. Timers of older heights may be dropped."""

    at: int
    height: int
    what: TimedOut | RoundStarted | ResendDue


class Fetch(NamedTuple):
    """A quorum, or the round's proposal, is for a block that is not here: ask for it, and hand it in with `on_block`."""

    height: int
    block_hash: bytes


class Decided(NamedTuple):
    """The block is final. The host commits it, drops what it has not done yet of this height, and starts the next."""

    height: int
    round: int
    block_hash: bytes
    block: bytes
    certificate: Certificate


class Convict(NamedTuple):
    """Two votes, or two proposals (their blocks left out), of one delegate contradict each other."""

    evidence: Equivocation | tuple[Proposal, Proposal]


class Refused(NamedTuple):
    """A message was not taken: `height`, `round`, `delegate`, `proposer`, `proof`, `power` or `hash`."""

    reason: str
    delegate: int
    """Whose message it was."""


Effect = Record | SignVote | SignProposal | Build | Send | SetTimer | Fetch | Decided | Convict | Refused
