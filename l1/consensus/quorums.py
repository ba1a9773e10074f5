"""Quorums of one height: those of the votes that came in here, and those that others have shown by a certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from l1.consensus.certificate import CertificateError, require_signers
from l1.consensus.delegates import DelegateSet
from l1.consensus.log import Entry, Held
from l1.consensus.machine import NIL, NO_ROUND, State, Topic
from l1.consensus.messages import Certificate, Vote
from l1.consensus.tally import Tally

ROUND_WINDOW: Final = 64
"""Rounds before and after the present one whose votes are kept; bounds what a faulty delegate can make others hold."""

Certify = Callable[[Iterable[Vote], DelegateSet], Certificate]


class Quorums:
    """What more than two thirds of the power said at a height."""

    def __init__(self, height: int, delegates: DelegateSet, certify: Certify, entries: Iterable[Entry]) -> None:
        """`entries` are the write-ahead log's: the proofs of the height that it kept are shown."""
        self._height = height
        self._delegates = delegates
        self._certify = certify
        self.tally = Tally(delegates)
        """The votes that came in."""
        self._shown: tuple[dict[int, Certificate], ...] = tuple({} for _ in Topic)
        for entry in entries:
            if isinstance(entry, Held) and entry.height == height:
                self.keep(entry.proof)

    def reason_against(self, certificate: Certificate) -> str | None:
        """What is wrong with a certificate but for its signature: `height`, `bitmap` or `power`."""
        if certificate.height != self._height:
            return "height"
        try:
            require_signers(certificate, self._delegates)
        except CertificateError as error:
            return error.reason
        return None

    def show(self, certificate: Certificate, present: int) -> None:
        """Take a certificate that nothing speaks against, if its round is near the present one.

        What is decided counts from any round: a delegate that was cut off may have run far ahead of it alone.
        """
        near = abs(certificate.round - present) <= ROUND_WINDOW or certificate.topic == Topic.COMMIT
        if certificate.block_hash != NIL and near:
            self._shown[certificate.topic].setdefault(certificate.round, certificate)

    def keep(self, certificate: Certificate) -> None:
        """Have this certificate for its place, whatever else there is: the log has it."""
        self._shown[certificate.topic][certificate.round] = certificate

    def at(self, round_: int, topic: Topic) -> bytes | None:
        """What a quorum voted for, NIL included; None for no quorum."""
        counted = self.tally.quorum(round_, topic)
        if counted is None and (shown := self._shown[topic].get(round_)):
            return shown.block_hash
        return counted

    def on(self, topic: Topic) -> list[tuple[int, bytes]]:
        """(round, block hash) of the quorums for blocks on a topic, the newest first."""
        found, shown = self.tally.blocks[topic], self._shown[topic]
        if shown:
            found = {round_: each.block_hash for round_, each in shown.items()} | found
        return sorted(found.items(), reverse=True) if found else []

    def certificate(self, round_: int, topic: Topic, block_hash: bytes) -> Certificate:
        """The certificate of a quorum that there is."""
        shown = self._shown[topic].get(round_)
        if shown is not None and shown.block_hash == block_hash:
            return shown
        return self._certify(self.tally.votes_for(round_, topic, block_hash), self._delegates)

    def proof(self, round_: int, block_hash: bytes) -> Certificate | None:
        """What shows that a quorum endorsed the block in that round: its PROPOSAL votes, or its LOCK votes."""
        for topic in (Topic.PROPOSAL, Topic.LOCK):
            if self.at(round_, topic) == block_hash:
                return self.certificate(round_, topic, block_hash)
        return None

    def forget(self, before: int, state: State) -> None:
        """Let go of rounds before this one, but for what a lock, the newest proof or a decision rests on."""
        if state.valid_round != NO_ROUND and (proof := self.proof(state.valid_round, state.valid_hash)):
            self.keep(proof)
        self.tally.forget(before)
        for topic in (Topic.PROPOSAL, Topic.LOCK):
            shown = self._shown[topic]
            for round_ in [each for each in shown if each < before]:
                if round_ not in (state.valid_round, state.locked_round):
                    del shown[round_]
