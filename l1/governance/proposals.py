"""What is proposed and what is kept of it: drafts, their ids, and the record of a proposal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak

from l1.governance.states import State, StepRefused

MAX_TEXT = 4_096
"""Most bytes of a draft's text."""
MAX_URI = 512
"""Most bytes of a draft's URI."""
MAX_CALLS = 32
"""Most calls of a technical proposal."""

_CALLS = "(address,uint256,bytes)[]"
_DRAFT = f"(uint8,string,bytes32,string,bytes32,{_CALLS},bytes32)"


class Kind(IntEnum):
    """What a proposal asks for; the numbers are the contract's."""

    POLICY = 0
    """A rule in words; people carry it out."""
    TECHNICAL = 1
    """Calls, and the hash of the artifact that goes with them."""


@dataclass(frozen=True)
class Call:
    """One call that the contract makes when a technical proposal is executed."""

    target: bytes
    """Address, 20 bytes."""
    data: bytes = b""
    """Call data; without any the call is a payment."""
    value: int = 0
    """Wei out of the contract's own balance."""

    def as_tuple(self) -> tuple[Any, ...]:
        """The values in the contract's order."""
        return self.target, self.value, self.data


@dataclass(frozen=True)
class Draft:
    """What a proposer submits."""

    kind: Kind
    """Policy or technical."""
    text: str
    """Summary, 1 to 4,096 bytes of UTF-8."""
    document_hash: bytes
    """keccak256 of the whole document, 32 bytes, not zero."""
    uri: str
    """Where the document is, 1 to 512 bytes of UTF-8."""
    artifact_hash: bytes = bytes(32)
    """Technical: keccak256 of the artifact, 32 bytes, not zero. Policy: zero."""
    calls: tuple[Call, ...] = ()
    """Technical: 1 to 32. Policy: none."""
    salt: bytes = bytes(32)
    """Makes the same text of the same proposer a second proposal, 32 bytes."""

    def as_tuple(self) -> tuple[Any, ...]:
        """The values in the contract's order."""
        calls = [call.as_tuple() for call in self.calls]
        return self.kind, self.text, self.document_hash, self.uri, self.artifact_hash, calls, self.salt

    def check(self) -> None:
        """Raise StepRefused (InvalidDraft) for the first field that is missing, too long or not of the kind."""
        technical = self.kind is Kind.TECHNICAL
        faults = {
            "text": not 1 <= len(self.text.encode()) <= MAX_TEXT,
            "documentHash": self.document_hash == bytes(32),
            "uri": not 1 <= len(self.uri.encode()) <= MAX_URI,
            "artifactHash": (self.artifact_hash != bytes(32)) != technical,
            "calls": bool(self.calls) != technical or len(self.calls) > MAX_CALLS,
        }
        for field, faulty in faults.items():
            if faulty:
                raise StepRefused("InvalidDraft", field=field)


@dataclass(frozen=True)
class ProposalRecord:
    """What the contract keeps of a proposal; the draft itself is in the log of its submission."""

    proposer: bytes = bytes(20)
    """Address, 20 bytes."""
    kind: Kind = Kind.POLICY
    """Policy or technical."""
    state: State = State.NONE
    """Where it is."""
    window_start: int = 0
    """Unix seconds at which the state's window begins."""
    window_end: int = 0
    """Unix seconds at which it is over."""
    support_snapshot: int = 0
    """Number of the block whose weights count for support."""
    vote_snapshot: int = 0
    """Number of the block whose weights count for the vote; 0 before it."""
    majority_bps: int = 0
    """Share of the cast weight that yes must exceed; 0 before the vote."""
    support_needed: int = 0
    """Weight, below 2^128."""
    support: int = 0
    """Weight so far."""
    turnout_needed: int = 0
    """Weight; 0 before the vote."""
    yes: int = 0
    """Weight so far."""
    no: int = 0
    """Weight so far."""
    document_hash: bytes = bytes(32)
    """keccak256 of the document."""
    artifact_hash: bytes = bytes(32)
    """keccak256 of the artifact; zero for a policy."""
    calls_hash: bytes = bytes(32)
    """`calls_hash` of the draft's calls."""

    @property
    def window(self) -> tuple[int, int]:
        """Start and end of the state's window."""
        return self.window_start, self.window_end


def calls_hash(calls: tuple[Call, ...]) -> bytes:
    """keccak256 of the ABI encoding of `Call[]`: what `execute` is held to."""
    return keccak(encode([_CALLS], [[call.as_tuple() for call in calls]]))


def proposal_id(chain_id: int, governance: bytes, proposer: bytes, draft: Draft) -> bytes:
    """Id of a draft: keccak256(abi.encode(chainid, contract, proposer, draft)), 32 bytes.

    A vote therefore names every byte of what it is on, whatever the order of submissions, on one chain and at one
    contract only. Nobody but the proposer can take the id of a draft seen in a mempool.
    """
    values = [chain_id, governance, proposer, draft.as_tuple()]
    return keccak(encode(["uint256", "address", "address", _DRAFT], values))
