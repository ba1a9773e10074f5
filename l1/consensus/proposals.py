"""Proposals of one height, and the blocks that they and quorums are for: which are held, and for how long.

Blocks are large, and a byzantine proposer may send as many as it likes for every round that is its turn. So whole blocks
are held only of the present round and the next, the first one of each round that is over, and those that a quorum is
for. Of other rounds what was signed is kept without its block: whoever gets there, or sees a quorum, asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from l1.consensus.delegates import DelegateSet
from l1.consensus.log import Entry, Held, Proposed
from l1.consensus.machine import NIL, NO_ROUND, Topic
from l1.consensus.messages import Certificate, Proposal
from l1.consensus.parameters import Parameters
from l1.consensus.schedule import proposer_index

MAX_PROPOSALS: Final = 4
"""Proposals of one round that are kept: the first counts, the others are evidence and blocks that quorums may be for."""
BLOCKS_AHEAD: Final = 1
"""Rounds after the present one whose blocks are held: a delegate may be so much behind the others when links are good."""


class Block(NamedTuple):
    """A block that is held."""

    body: bytes
    """Encoded."""
    valid: bool
    """Whether it may follow the head."""


class Proposals:
    """What was proposed at a height."""

    def __init__(self, height: int, entries: Iterable[Entry]) -> None:
        """`entries` are the write-ahead log's: the blocks of the height that it kept are held."""
        kept = (each for each in entries if isinstance(each, Held | Proposed) and each.height == height)
        self._blocks = {each.block_hash: Block(each.block, valid=True) for each in kept}
        self._rounds: dict[int, list[Proposal]] = {}

    def of(self, round_: int) -> list[Proposal]:
        """A round's proposals without their blocks, in the order that they came in."""
        return self._rounds.get(round_, [])

    def knows(self, proposal: Proposal) -> bool:
        """Whether it is kept already."""
        place = (proposal.block_hash, proposal.valid_round)
        return any((each.block_hash, each.valid_round) == place for each in self.of(proposal.round))

    def wants_block(self, proposal: Proposal, present: int) -> bool:
        """Whether its block is one that is held, of the present round, the next, or the first of one that is over."""
        if proposal.round >= present:
            return proposal.round <= present + BLOCKS_AHEAD
        held = self.of(proposal.round)
        return not held or held[0].block_hash == proposal.block_hash

    def add(self, proposal: Proposal, present: int, *, valid: bool) -> bool:
        """Keep a proposal; its block only if it is of a round whose blocks are held.

        Parameters
        ----------
        present
            The round that the delegate is in.

        Returns
        -------
        False when its round has enough of them.
        """
        held = self._rounds.setdefault(proposal.round, [])
        known = self.knows(proposal)
        if not known and len(held) >= MAX_PROPOSALS:
            return False
        if self.wants_block(proposal, present):
            self.hold(proposal.block_hash, proposal.block, valid=valid)
        if not known:
            held.append(proposal._replace(block=b""))
        return True

    def hold(self, block_hash: bytes, body: bytes, *, valid: bool) -> None:
        """Hold a block until its round is over; the first word on whether it is valid counts."""
        self._blocks.setdefault(block_hash, Block(body, valid))

    def block(self, block_hash: bytes) -> Block | None:
        """A block, if it is held."""
        return self._blocks.get(block_hash)

    def whole(self, proposal: Proposal) -> Proposal | None:
        """A kept proposal as it was sent, if its block is held."""
        block = self._blocks.get(proposal.block_hash)
        return None if block is None else proposal._replace(block=block.body)

    def forget(self, before: int, present: int, wanted: Iterable[bytes]) -> None:
        """Let go of the rounds before `before`, and of blocks that nothing speaks for any more.

        Parameters
        ----------
        wanted
            Hashes of blocks that are needed whatever their rounds: the lock's, and those that quorums are for.
        """
        kept = set(wanted)
        for round_, held in list(self._rounds.items()):
            if round_ < before:
                del self._rounds[round_]
            elif round_ <= present + BLOCKS_AHEAD:
                last = 1 if round_ < present else len(held)
                kept.update(each.block_hash for each in held[:last])
        for block_hash in self._blocks.keys() - kept:
            del self._blocks[block_hash]


def reason_against(proposal: Proposal, height: int, delegates: DelegateSet, parameters: Parameters) -> str | None:
    """What is wrong with a proposal's place, `height`, `proposer`, `hash` or `proof`, but for its proof's signers."""
    if proposal.height != height:
        return "height"
    if proposal.delegate != proposer_index(height, proposal.round, len(delegates), parameters):
        return "proposer"
    if proposal.block_hash == NIL:
        return "hash"
    if proposal.proof is None:
        return None if proposal.valid_round == NO_ROUND else "proof"
    return None if _is_of(proposal.proof, proposal) else "proof"


def _is_of(proof: Certificate, proposal: Proposal) -> bool:
    """Whether a certificate is of the round and the block that the proposal says, and a round before it."""
    place = (proof.height, proof.round, proof.block_hash)
    wanted = (proposal.height, proposal.valid_round, proposal.block_hash)
    return place == wanted and proof.topic != Topic.COMMIT and proof.round < proposal.round
