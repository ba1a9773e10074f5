"""The contract from outside: call data out of values, and values out of `eth_call` results, logs and reverts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth_utils.address import to_canonical_address

from l1.contracts.abi import Artifact
from l1.governance.parameters import Parameters
from l1.governance.proposals import Call, Draft, Kind, ProposalRecord
from l1.governance.states import BY_CLOCK, BY_ID, State, Step

CONTRACT = Artifact("l1.governance", "Governance")
"""What `Governance.sol` compiles to."""

PAGE = 256
"""Ids asked for at once."""


class EthCall(Protocol):
    """Something that can ask a chain: an RPC client, or a state of our own executor."""

    def __call__(self, to: bytes, data: bytes) -> bytes:
        """`eth_call` to an address of 20 bytes; what it returned. Raises when it reverts."""


def creation_code(stake: bytes, period_floor: int, initial: Parameters) -> bytes:
    """Init code of the contract with its constructor's arguments.

    Parameters
    ----------
    stake
        Address of the `IStakeWeight` contract, 20 bytes.
    period_floor
        Least seconds of every period, 1 to 86,400.
    initial
        The numbers to begin with.
    """
    return CONTRACT.creation_code(stake, period_floor, initial.as_tuple())


# --- call data ---


def submit(draft: Draft) -> bytes:
    """Call data of `submit`."""
    return CONTRACT.encode_call("submit", draft.as_tuple())


def advance(step: Step, proposal: bytes) -> bytes:
    """Call data of a step that takes an id only (`states.BY_ID`).

    Raises
    ------
    ValueError
        For submit, vote and execute, which take more.
    """
    if step not in BY_ID:
        raise ValueError(f"{step} takes more than an id")
    return CONTRACT.encode_call(step.value, proposal)


def vote(proposal: bytes, yes: bool) -> bytes:
    """Call data of `vote`."""
    return CONTRACT.encode_call("vote", proposal, yes)


def execute(proposal: bytes, calls: Sequence[Call]) -> bytes:
    """Call data of `execute`; `calls` are those of the draft, none for a policy."""
    return CONTRACT.encode_call("execute", proposal, [call.as_tuple() for call in calls])


def set_parameters(changed: Parameters) -> bytes:
    """Call data of `setParameters`, for a technical proposal that calls the contract itself."""
    return CONTRACT.encode_call("setParameters", changed.as_tuple())


def decode_set_parameters(data: bytes) -> Parameters | None:
    """The numbers in call data of `setParameters`; None when it is another call."""
    arguments = CONTRACT.decode_arguments("setParameters", data)
    return None if arguments is None else Parameters(*arguments[0])


# --- logs ---


@dataclass(frozen=True)
class Submission:
    """`ProposalSubmitted`: where a draft's text and calls are found again."""

    proposal: bytes
    """Id."""
    proposer: bytes
    """Address, 20 bytes."""
    support_snapshot: int
    """Block whose weights count for support."""
    support_needed: int
    """Weight."""
    draft: Draft
    """The whole draft. Where its text or URI is not UTF-8 it shows U+FFFD, and the id cannot be computed from it."""


def decode_submission(topics: Sequence[bytes], data: bytes) -> Submission | None:
    """The submission in a log entry; None when it is another event."""
    event = CONTRACT.decode_event(topics, data)
    if event is None or event.name != "ProposalSubmitted":
        return None
    args = event.args
    return Submission(
        args["id"], args["proposer"], args["supportSnapshot"], args["supportNeeded"], decode_draft(args["draft"])
    )


def decode_draft(values: tuple[Any, ...]) -> Draft:
    """A draft out of the ABI's tuple, addresses as bytes or text."""
    kind, text, document_hash, uri, artifact_hash, calls, salt = values
    return Draft(Kind(kind), text, document_hash, uri, artifact_hash, decode_calls(calls), salt)


def decode_calls(values: Sequence[tuple[Any, ...]]) -> tuple[Call, ...]:
    """Calls out of the ABI's tuples, addresses as bytes or text."""
    return tuple(Call(to_canonical_address(target), data, value) for target, value, data in values)


# --- state ---


@dataclass(frozen=True)
class GovernanceReader:
    """Reads a deployed contract."""

    address: bytes
    """The contract, 20 bytes."""
    eth_call: EthCall
    """The chain."""

    def proposal(self, proposal: bytes) -> ProposalRecord:
        """What is kept of a proposal; state NONE when there is none."""
        (values,) = self._ask("proposalOf", proposal)
        proposer, kind, state, *rest = values
        return ProposalRecord(proposer, Kind(kind), State(state), *rest)

    def parameters(self) -> Parameters:
        """The numbers in force."""
        (values,) = self._ask("parameters")
        return Parameters(*values)

    def due_step(self, proposal: bytes) -> Step | None:
        """The step that anybody may take now, if there is one."""
        (index,) = self._ask("dueStep", proposal)
        return BY_CLOCK[index - 1] if index else None

    def has_supported(self, proposal: bytes, voter: bytes) -> bool:
        """Whether the account supported the idea."""
        (answer,) = self._ask("hasSupported", proposal, voter)
        return bool(answer)

    def has_voted(self, proposal: bytes, voter: bytes) -> bool:
        """Whether the account voted."""
        (answer,) = self._ask("hasVoted", proposal, voter)
        return bool(answer)

    def proposal_id(self, proposer: bytes, draft: Draft) -> bytes:
        """The id that the contract gives a draft; `proposals.proposal_id` computes it without a chain."""
        (answer,) = self._ask("idOf", proposer, draft.as_tuple())
        return bytes(answer)

    def proposal_ids(self) -> list[bytes]:
        """Ids of all proposals in the order of submission."""
        (count,) = self._ask("proposalCount")
        found: list[bytes] = []
        for first in range(0, count, PAGE):
            (page,) = self._ask("proposalIds", first, PAGE)
            found.extend(page)
        return found

    def _ask(self, function: str, *arguments: Any) -> tuple[Any, ...]:
        return CONTRACT.decode_result(function, self.eth_call(self.address, CONTRACT.encode_call(function, *arguments)))


__all__ = [
    "CONTRACT",
    "EthCall",
    "GovernanceReader",
    "Submission",
    "advance",
    "creation_code",
    "decode_calls",
    "decode_draft",
    "decode_set_parameters",
    "decode_submission",
    "execute",
    "set_parameters",
    "submit",
    "vote",
]
