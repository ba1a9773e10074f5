"""The poll: in the middle of an epoch the delegates of the next one are frozen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from l1.staking.parameters import Parameters, Selection
from l1.staking.ranking import rank
from l1.staking.refusal import StakingRefused
from l1.staking.sampling import active_set_size, delegate_order, draw_without_replacement, election_seed
from l1.staking.state import Poll, Seat, StakingState, put


@dataclass(frozen=True, slots=True)
class Delegate:
    """A member of the active set as consensus knows it."""

    address: bytes
    """Operator, 20 bytes."""
    power: int
    """Votes after probation, rau."""
    key: bytes
    """BLS key, 48 bytes, compressed."""


@dataclass(frozen=True, slots=True)
class Election:
    """The outcome of a poll."""

    poll: Poll
    """What the state keeps of it."""
    degraded: bool
    """Whether fewer qualified than the least size of the active set."""

    @property
    def delegates(self) -> tuple[Delegate, ...]:
        """The active set in delegate order; empty where consensus must go on with the set it has."""
        return tuple(Delegate(seat.operator, seat.power, seat.bls_key) for seat in self.poll.seats)


def elect(parameters: Parameters, state: StakingState, epoch: int, finalized_hash: bytes) -> Election:
    """Poll for `epoch`, from the state before the block in the middle of the epoch before it.

    Where nobody qualifies it is the current set once more, and without seats before there ever was one (the delegates are
    the genesis file's then). It is told to the contract all the same, so that no producer can tell it something else.

    Parameters
    ----------
    finalized_hash
        Hash of the last block of `epoch` - 2, or of the genesis where there is none.
    """
    ranked = rank(parameters, state, epoch)
    if not ranked:
        current = state.polls.get(epoch - 1, Poll(epoch, (), ()))
        return Election(replace(current, epoch=epoch), degraded=True)
    seed = election_seed(parameters, finalized_hash)
    first_height = parameters.first_height(epoch)
    if parameters.selection is Selection.WEIGHTED:
        size = active_set_size(parameters, len(ranked))
        chosen = draw_without_replacement([votes for _, votes in ranked], size, seed, epoch)
    else:
        top = ranked[: parameters.consensus_candidates]
        keyed = delegate_order([candidate.operator for candidate, _ in top], seed, first_height)
        chosen = keyed[: parameters.active_delegates]
    members = [ranked[at] for at in chosen]
    order = delegate_order([candidate.operator for candidate, _ in members], seed, first_height)
    seats = [
        Seat(candidate.identity, candidate.operator, votes, candidate.bls_key)
        for candidate, votes in (members[at] for at in order)
    ]
    sharing = [
        (candidate.identity, votes)
        for candidate, votes in ranked
        if candidate.identity not in parameters.epoch_reward_exempt
    ]
    poll = Poll(epoch, tuple(seats), tuple(sharing[: parameters.epoch_reward_delegates]))
    return Election(poll, degraded=len(seats) < parameters.active_delegates)


def put_poll(state: StakingState, poll: Poll) -> StakingState:
    """Keep a poll; polls older than the epoch before it are forgotten.

    Raises
    ------
    StakingRefused
        PollExists when the epoch has one.
    """
    if poll.epoch in state.polls:
        raise StakingRefused("PollExists", f"epoch {poll.epoch} was polled")
    kept = {epoch: each for epoch, each in state.polls.items() if epoch >= poll.epoch - 1}
    return replace(state, polls=put(kept, poll.epoch, poll))
