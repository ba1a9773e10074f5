"""The contract's rules as one pure function: `apply(register, context, operation) -> register`.

No clock, no chain and no randomness: time, block and stake come in with the context, and so do the effects of calls on
other contracts. `Governance.sol` is tested against this, refusals and their arguments included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from l1.governance.contract import CONTRACT, decode_calls, decode_draft, decode_set_parameters
from l1.governance.parameters import ONE, Parameters, share
from l1.governance.proposals import Call, Draft, Kind, ProposalRecord, calls_hash, proposal_id
from l1.governance.states import BY_ID, WINDOWS, State, Step, StepRefused, transition

MAX_WEIGHT = 2**128 - 1
"""The largest weight that the contract counts."""


class StakeWeight(Protocol):
    """`IStakeWeight`: weights at the end of blocks that are over."""

    def weight_at(self, voter: bytes, snapshot: int) -> int:
        """Weight of an account after block `snapshot`."""

    def total_at(self, snapshot: int) -> int:
        """Sum of all weights after block `snapshot`."""


@dataclass(frozen=True)
class Deployment:
    """What never changes."""

    chain_id: int
    """EIP-155 chain id."""
    address: bytes
    """The contract, 20 bytes."""
    period_floor: int
    """Least seconds of every period."""


@dataclass(frozen=True)
class Register:
    """Everything that the contract knows."""

    deployment: Deployment
    """Where it stands."""
    parameters: Parameters
    """The numbers in force."""
    proposals: Mapping[bytes, ProposalRecord] = field(default_factory=dict)
    """By id, in the order of submission."""
    supporters: frozenset[tuple[bytes, bytes]] = frozenset()
    """(id, account) of every support."""
    voters: frozenset[tuple[bytes, bytes]] = frozenset()
    """(id, account) of every vote."""


@dataclass(frozen=True)
class Context:
    """The transaction around an operation."""

    sender: bytes
    """Who sends it, 20 bytes."""
    timestamp: int
    """Of the block, Unix seconds."""
    block: int
    """Number of the block, at least 1."""
    stake: StakeWeight
    """The weights."""
    perform: Callable[[Call], StepRefused | None]
    """Makes a call on another contract, or any payment, and says why it failed: NotAContract for data sent to no code,
    anything else for a failure. What it changes is undone by the caller of `apply` when that raises."""


@dataclass(frozen=True)
class Submit:
    """Take a draft as an idea."""

    draft: Draft
    """The draft."""


@dataclass(frozen=True)
class Vote:
    """Vote once."""

    proposal: bytes
    """Id."""
    yes: bool
    """For or against."""


@dataclass(frozen=True)
class Execute:
    """Make the calls of a queued proposal."""

    proposal: bytes
    """Id."""
    calls: tuple[Call, ...]
    """Those of the draft."""


@dataclass(frozen=True)
class Advance:
    """One of the steps that take nothing but an id. Raises ValueError for the others."""

    step: Step
    """One of `states.BY_ID`."""
    proposal: bytes
    """Id."""

    def __post_init__(self) -> None:
        if self.step not in BY_ID:
            raise ValueError(f"{self.step} takes more than an id")


Operation = Submit | Vote | Execute | Advance


def decode_operation(data: bytes) -> Operation | None:
    """The operation that call data asks for; None for views, `setParameters` and what is no call of the contract."""
    for step in Step:
        arguments = CONTRACT.decode_arguments(step.value, data)
        if arguments is None:
            continue
        match step:
            case Step.SUBMIT:
                return Submit(decode_draft(arguments[0])) if arguments[0][0] in set(Kind) else None
            case Step.VOTE:
                return Vote(*arguments)
            case Step.EXECUTE:
                return Execute(arguments[0], decode_calls(arguments[1]))
            case _:
                return Advance(step, arguments[0])
    return None


def deploy(deployment: Deployment, initial: Parameters) -> Register:
    """A register without proposals. Raises StepRefused (ParameterOutOfBounds)."""
    initial.check(deployment.period_floor)
    return Register(deployment, initial)


def apply(register: Register, context: Context, operation: Operation) -> Register:
    """The register after an operation.

    Raises
    ------
    StepRefused
        With the name and the arguments of the contract's error; nothing has changed.
    """
    match operation:
        case Submit(draft):
            return _submit(register, context, draft)
        case Vote(proposal, yes):
            return _vote(register, context, proposal, yes)
        case Execute(proposal, calls):
            return _execute(register, context, proposal, calls)
        case Advance(step, proposal):
            return _advance(register, context, proposal, step)


def _submit(register: Register, context: Context, draft: Draft) -> Register:
    draft.check()
    snapshot = context.block - 1
    total = _in_range(context.stake.total_at(snapshot))
    needed = max(1, share(total, register.parameters.proposal_threshold_bps))
    weight = context.stake.weight_at(context.sender, snapshot)
    if weight < needed:
        raise StepRefused("BelowThreshold", weight=weight, needed=needed)
    where = register.deployment
    identity = proposal_id(where.chain_id, where.address, context.sender, draft)
    if identity in register.proposals:
        raise StepRefused("ProposalExists", id=identity)
    created = ProposalRecord(
        proposer=context.sender,
        kind=draft.kind,
        support_snapshot=snapshot,
        support_needed=max(1, share(total, register.parameters.support_quorum_bps)),
        document_hash=draft.document_hash,
        artifact_hash=draft.artifact_hash,
        calls_hash=calls_hash(draft.calls),
    )
    row = transition(identity, State.NONE, Step.SUBMIT, context.timestamp, (0, 0))
    return _entered(register, context, identity, created, row.targets[0])


def _advance(register: Register, context: Context, proposal: bytes, step: Step) -> Register:
    if step in _BY_STEP:
        return _BY_STEP[step](register, context, proposal)
    found, targets = _step(register, context, proposal, step)
    return _entered(register, context, proposal, found, targets[0])


def _support(register: Register, context: Context, proposal: bytes) -> Register:
    idea, (below, reached) = _step(register, context, proposal, Step.SUPPORT)
    if (proposal, context.sender) in register.supporters:
        raise StepRefused("AlreadySupported", id=proposal, voter=context.sender)
    weight = _voters_weight(context, proposal, idea.support_snapshot)
    idea = replace(idea, support=idea.support + weight)
    register = replace(register, supporters=register.supporters | {(proposal, context.sender)})
    if idea.support >= idea.support_needed:
        return _entered(register, context, proposal, idea, reached)
    assert idea.state is below, "support below the quorum leaves the state as it is"
    return _kept(register, proposal, idea)


def _cancel(register: Register, context: Context, proposal: bytes) -> Register:
    found, targets = _step(register, context, proposal, Step.CANCEL)
    if found.proposer != context.sender:
        raise StepRefused("NotProposer", id=proposal, caller=context.sender)
    return _entered(register, context, proposal, found, targets[0])


def _open(register: Register, context: Context, proposal: bytes) -> Register:
    ready, targets = _step(register, context, proposal, Step.OPEN)
    snapshot = context.block - 1
    total = _in_range(context.stake.total_at(snapshot))
    opened = replace(
        ready,
        vote_snapshot=snapshot,
        turnout_needed=share(total, register.parameters.turnout_quorum_bps),
        majority_bps=register.parameters.majority_bps,
    )
    return _entered(register, context, proposal, opened, targets[0])


def _vote(register: Register, context: Context, proposal: bytes, yes: bool) -> Register:
    voting, _ = _step(register, context, proposal, Step.VOTE)
    if (proposal, context.sender) in register.voters:
        raise StepRefused("AlreadyVoted", id=proposal, voter=context.sender)
    weight = _voters_weight(context, proposal, voting.vote_snapshot)
    voted = replace(voting, yes=voting.yes + weight) if yes else replace(voting, no=voting.no + weight)
    return _kept(replace(register, voters=register.voters | {(proposal, context.sender)}), proposal, voted)


def _close(register: Register, context: Context, proposal: bytes) -> Register:
    voted, (passed, rejected) = _step(register, context, proposal, Step.CLOSE)
    return _entered(register, context, proposal, voted, passed if confirmed(voted) else rejected)


def confirmed(voted: ProposalRecord) -> bool:
    """Whether turnout is reached and yes exceeds the majority's share of the cast weight."""
    cast = voted.yes + voted.no
    return cast >= voted.turnout_needed and voted.yes * ONE > voted.majority_bps * cast


def _execute(register: Register, context: Context, proposal: bytes, calls: tuple[Call, ...]) -> Register:
    queued, targets = _step(register, context, proposal, Step.EXECUTE)
    given = calls_hash(calls)
    if given != queued.calls_hash:
        raise StepRefused("CallsMismatch", id=proposal, submitted=queued.calls_hash, given=given)
    register = _entered(register, context, proposal, queued, targets[0])
    for index, call in enumerate(calls):
        try:
            register = _made(register, context, call)
        except StepRefused as refused:
            if refused.name == "NotAContract":
                raise
            raise StepRefused("CallFailed", index=index) from refused
    return register


def _made(register: Register, context: Context, call: Call) -> Register:
    """The register after one call. A payment to the contract itself is the world's affair, like any other."""
    address = register.deployment.address
    if call.target != address or not call.data:
        failure = context.perform(call)
        if failure is not None:
            raise failure
        return register
    if call.value:
        raise StepRefused("")
    changed = decode_set_parameters(call.data)
    if changed is not None:
        changed.check(register.deployment.period_floor)
        return replace(register, parameters=changed)
    operation = decode_operation(call.data)
    if operation is None:
        raise StepRefused("")
    if isinstance(operation, Execute):
        raise StepRefused("ReentrancyGuardReentrantCall")
    return apply(register, replace(context, sender=address), operation)


_BY_STEP = {Step.SUPPORT: _support, Step.CANCEL: _cancel, Step.OPEN: _open, Step.CLOSE: _close}
# Queue and archive are what the table says and no more.


def _step(
    register: Register, context: Context, proposal: bytes, step: Step
) -> tuple[ProposalRecord, tuple[State, ...]]:
    """The proposal and the states that the step may lead to now."""
    found = register.proposals.get(proposal)
    if found is None:
        raise StepRefused("UnknownProposal", id=proposal)
    return found, transition(proposal, found.state, step, context.timestamp, found.window).targets


def _entered(register: Register, context: Context, proposal: bytes, record: ProposalRecord, state: State) -> Register:
    """The register with a proposal in a new state, whose window the table and the parameters say."""
    wait, length = (0 if name is None else int(getattr(register.parameters, name)) for name in WINDOWS[state])
    start = context.timestamp + wait
    return _kept(register, proposal, replace(record, state=state, window_start=start, window_end=start + length))


def _kept(register: Register, proposal: bytes, record: ProposalRecord) -> Register:
    return replace(register, proposals={**register.proposals, proposal: record})


def _voters_weight(context: Context, proposal: bytes, snapshot: int) -> int:
    weight = context.stake.weight_at(context.sender, snapshot)
    if weight == 0:
        raise StepRefused("NoWeight", id=proposal, voter=context.sender, snapshot=snapshot)
    return _in_range(weight)


def _in_range(weight: int) -> int:
    if weight > MAX_WEIGHT:
        raise StepRefused("WeightOutOfRange", weight=weight)
    return weight
