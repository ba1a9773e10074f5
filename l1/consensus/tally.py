"""Votes of one height, counted by power: who voted what, which quorums there are, and who contradicts himself."""

from __future__ import annotations

from typing import NamedTuple

from l1.consensus.delegates import DelegateSet
from l1.consensus.machine import NIL, Topic
from l1.consensus.messages import Vote


class Equivocation(NamedTuple):
    """Two votes of one delegate that no honest one casts both: for two blocks in one round and topic, or COMMIT for
    two blocks of one height. The signatures convict it before anybody."""

    first: Vote
    second: Vote


def is_equivocation(first: Vote, second: Vote) -> bool:
    """Whether two verified votes of one chain convict their delegate."""
    if (first.height, first.topic, first.delegate) != (second.height, second.topic, second.delegate):
        return False
    if first.block_hash == second.block_hash:
        return False
    return first.round == second.round or first.topic == Topic.COMMIT


class Ballot:
    """One topic of one round."""

    __slots__ = ("block_hash", "power", "sums", "votes")

    def __init__(self) -> None:
        self.votes: dict[int, Vote] = {}
        """Each delegate's first vote."""
        self.sums: dict[bytes, int] = {}
        """Power of each block hash."""
        self.power = 0
        """Power of all that voted."""
        self.block_hash: bytes | None = None
        """What a quorum voted for."""


class Tally:
    """All votes of a height. Rounds that no honest delegate can be in yet are the caller's to refuse."""

    def __init__(self, delegates: DelegateSet) -> None:
        self._powers = delegates.powers
        self._quorum = delegates.quorum
        self._third = delegates.third
        self._ballots: dict[int, Ballot] = {}
        """By position, 4 * round + topic."""
        self.blocks: tuple[dict[int, bytes], ...] = tuple({} for _ in Topic)
        """Blocks that quorums are for, by topic and round."""
        self._commits: dict[int, Vote] = {}
        self._furthest = [-1] * len(delegates)
        self._head = -1

    def add(self, vote: Vote) -> Equivocation | bool:
        """Count a verified vote.

        Returns True when the vote is new and makes a quorum (for its block, or of any votes in its round and topic),
        False when nothing of interest changed, and the pair of votes when it contradicts an earlier one; then it is
        not counted.
        """
        place = 4 * vote.round + vote.topic
        ballot = self._ballots.get(place)
        if ballot is None:
            ballot = self._ballots[place] = Ballot()
        index = vote.delegate
        earlier = ballot.votes.get(index)
        if earlier is not None:
            return False if earlier.block_hash == vote.block_hash else Equivocation(earlier, vote)
        if vote.topic == Topic.COMMIT:
            committed = self._commits.setdefault(index, vote)
            if committed.block_hash != vote.block_hash:
                return Equivocation(committed, vote)
        ballot.votes[index] = vote
        if place > self._furthest[index]:
            self.reach(vote)
        power = self._powers[index]
        total = ballot.sums.get(vote.block_hash, 0) + power
        ballot.sums[vote.block_hash] = total
        before = ballot.power
        ballot.power = before + power
        if total >= self._quorum > total - power:
            ballot.block_hash = vote.block_hash
            if vote.block_hash != NIL:
                self.blocks[vote.topic][vote.round] = vote.block_hash
            return True
        return ballot.power >= self._quorum > before

    def reach(self, vote: Vote) -> None:
        """Remember that the voter has come this far, without counting the vote."""
        position = 4 * vote.round + vote.topic
        if position > self._furthest[vote.delegate]:
            self._furthest[vote.delegate] = position
            self._head = max(self._head, position)

    def forget(self, before: int) -> None:
        """Let go of the votes of rounds before this one."""
        for place in [each for each in self._ballots if each < 4 * before]:
            del self._ballots[place]
            self.blocks[place % 4].pop(place // 4, None)

    def quorum(self, round_: int, topic: Topic) -> bytes | None:
        """What a quorum voted for in a round, NIL included; None for no quorum yet."""
        ballot = self._ballots.get(4 * round_ + topic)
        return None if ballot is None else ballot.block_hash

    def votes_for(self, round_: int, topic: Topic, block_hash: bytes) -> list[Vote]:
        """The votes for a block."""
        ballot = self._ballots.get(4 * round_ + topic)
        return [] if ballot is None else [each for each in ballot.votes.values() if each.block_hash == block_hash]

    def passed(self, round_: int, topic: Topic) -> bool:
        """Whether a quorum, of any votes, has come as far as this topic of this round, or further (L34, L47).

        A delegate in a later round has left this one: its votes here may have been lost, and none more will come.
        """
        ballot = self._ballots.get(4 * round_ + topic)
        if ballot is not None and ballot.power >= self._quorum:
            return True
        position = 4 * round_ + topic
        pairs = zip(self._furthest, self._powers, strict=True)
        return sum(power for furthest, power in pairs if furthest >= position) >= self._quorum

    def joined_round(self, after: int) -> int | None:
        """The latest round beyond `after` that more than a third of the power has reached or left behind (L55).

        The paper asks for a third in one and the same round; delegates that lost each other's votes may be in
        different ones.
        """
        if self._head // 4 <= after:
            return None
        ahead = sorted(
            ((far // 4, power) for far, power in zip(self._furthest, self._powers, strict=True) if far // 4 > after),
            reverse=True,
        )
        reached = 0
        for round_, power in ahead:
            reached += power
            if reached >= self._third:
                return round_
        return None
