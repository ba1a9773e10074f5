"""Who may be elected, with how many votes, in which rank."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from l1.staking.address import io_address
from l1.staking.exits import serves
from l1.staking.parameters import Parameters
from l1.staking.state import Candidate, StakingState


def qualifies(parameters: Parameters, candidate: Candidate, epoch: int) -> bool:
    """Whether the candidate may be elected for `epoch`, a poll of which is being taken."""
    if candidate.self_stake_bucket is None or candidate.self_stake < parameters.active_self_stake:
        return False
    if parameters.recovery_hysteresis and candidate.disqualified:
        return False
    if candidate.votes < parameters.active_votes or not serves(parameters, candidate, epoch):
        return False
    return bool(candidate.bls_key) or not parameters.require_bls_key


def on_probation(parameters: Parameters, candidate: Candidate, epoch: int) -> bool:
    """Whether the candidate was unproductive in one of the epochs that count in the poll for `epoch`.

    The poll is taken in the middle of `epoch` - 1, so the `probation_epochs` before that one count.
    """
    taken_in = epoch - 1
    return candidate.last_unproductive > 0 and taken_in - parameters.probation_epochs <= candidate.last_unproductive


def votes_after_probation(parameters: Parameters, candidate: Candidate, epoch: int) -> int:
    """The candidate's votes in the poll for `epoch`."""
    if not on_probation(parameters, candidate, epoch):
        return candidate.votes
    return candidate.votes * (100 - parameters.probation_intensity) // 100


def rank(parameters: Parameters, state: StakingState, epoch: int) -> tuple[tuple[Candidate, int], ...]:
    """Qualified candidates with their votes after probation, most votes first; those left with none are dropped.

    Equal votes: iotex-election's rule (util.go `Sort`) with the operator's address as the name and the epoch's first
    height as the seed, as iotex-core ranks after probation (poll/slasher.go).
    """
    seed = parameters.first_height(epoch)
    voted = [
        (candidate, votes_after_probation(parameters, candidate, epoch))
        for candidate in state.candidates.values()
        if qualifies(parameters, candidate, epoch)
    ]
    kept = [(candidate, votes) for candidate, votes in voted if votes > 0]
    order = sort_by_score([(io_address(candidate.operator), votes) for candidate, votes in kept], seed)
    return tuple(kept[at] for at in order)


def sort_by_score(scores: Sequence[tuple[str, int]], seed: int) -> list[int]:
    """Positions of (name, score) by score, then by priority, then by name, each descending.

    The priority is the first 8 bytes, little-endian, of blake2b-256(name ‖ LE64(seed)).
    """

    def key(at: int) -> tuple[int, int, str]:
        name, score = scores[at]
        digest = hashlib.blake2b(name.encode() + seed.to_bytes(8, "little"), digest_size=32).digest()
        return (score, int.from_bytes(digest[:8], "little"), name)

    return sorted(range(len(scores)), key=key, reverse=True)
