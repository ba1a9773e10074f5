"""Equivocation: two messages of one delegate that the rules let it sign only one of. Anyone can check the evidence.

The rules are those by which the consensus convicts (l1/consensus/tally.py and driver.py). `Evidence.sol` has the same on
chain; `encode_evidence` makes the call that tells it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eth_hash.auto import keccak

from l1.consensus.machine import Topic
from l1.consensus.messages import MAX_ROUND, Proposal, Vote
from l1.contracts.abi import Artifact
from l1.staking.epoch_end import slash
from l1.staking.parameters import Parameters
from l1.staking.points import key_point, signature_point
from l1.staking.refusal import StakingRefused
from l1.staking.state import StakingState
from native import _native

EVIDENCE_ADDRESS = b"evidence".rjust(20, b"\0")
"""Where the genesis puts the contract, 20 bytes."""

EVIDENCE = Artifact("l1.staking", "Evidence")
"""What `Evidence.sol` compiles to. It has no constructor: `EVIDENCE.deployed_code` is its account's code in a genesis."""

HISTORY_BLOCKS = 8_191
"""Blocks that EIP-2935 tells the hashes of: as long the contract can still keep the genesis block's."""

PROPOSALS = len(Topic)
"""Kind of the offence of two proposals; that of two votes is their topic."""

ANY_ROUND = 2 * MAX_ROUND + 1
"""Round of an offence that is one of the height, not of a round."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two signed messages of one kind in one place, for different blocks. Which comes first does not matter."""

    first: Vote | Proposal
    """One of them."""
    second: Vote | Proposal
    """The other."""
    key: bytes
    """Whose signatures they carry: BLS public key, 48 bytes. The messages' delegate index is not signed and not read."""


def check_evidence(evidence: Evidence, domain: bytes) -> None:
    """Check that the messages contradict each other and are both the key's.

    Two votes of one height, round and topic do, and two COMMIT votes of one height, whatever their rounds; no block
    (NIL) is another block than any. So do two proposals of one height and round.

    Parameters
    ----------
    domain
        `messages.domain_of` the chain. A message of another one is not signed for this.

    Raises
    ------
    StakingRefused
        EvidenceNotOnePlace, EvidenceAgrees (one block), EvidenceUnsigned (a signature does not hold, or is none).
    """
    first, second = evidence.first, evidence.second
    if _place(first) != _place(second):
        raise StakingRefused("EvidenceNotOnePlace", f"{_place(first)} and {_place(second)}")
    if first.block_hash == second.block_hash:
        raise StakingRefused("EvidenceAgrees", f"both are for 0x{first.block_hash.hex()}")
    for message in (first, second):
        try:
            holds = _native.bls_verify(evidence.key, message.digest(domain), message.signature)
        except _native.BlsError as error:
            raise StakingRefused("EvidenceUnsigned", str(error)) from error
        if not holds:
            raise StakingRefused("EvidenceUnsigned", f"not signed by 0x{evidence.key.hex()}")


def offence_id(evidence: Evidence) -> bytes:
    """Name of the offence, 32 bytes: the same for every pair of messages of one key in one place."""
    return bytes(keccak(b"".join(part.to_bytes(32) for part in _place(evidence.first)) + keccak(evidence.key)))


def punish(parameters: Parameters, state: StakingState, evidence: Evidence, domain: bytes) -> StakingState:
    """Record an offence and slash `equivocation_slash_share` of the self-stake into the pool; once for each place.

    Raises
    ------
    StakingRefused
        As `check_evidence`; EvidenceOfStranger when nobody registered the key; EvidenceKnown.
    """
    check_evidence(evidence, domain)
    identity = state.bls_keys.get(evidence.key)
    if identity is None:
        raise StakingRefused("EvidenceOfStranger", f"nobody registered 0x{evidence.key.hex()}")
    offence = offence_id(evidence)
    if offence in state.convictions:
        raise StakingRefused("EvidenceKnown", f"0x{offence.hex()} was punished")
    state = replace(state, convictions=state.convictions | {offence})
    share = state.candidates[identity].self_stake * parameters.equivocation_slash_share // 10_000
    return slash(parameters, state, identity, share) if share else state


def encode_evidence(evidence: Evidence) -> bytes:
    """Call data for `EVIDENCE_ADDRESS`; anybody may send it.

    Raises
    ------
    PointInvalid
        For a key or a signature that is no compressed point.
    ValueError
        For a vote and a proposal.
    """
    key = key_point(evidence.key)
    match evidence.first, evidence.second:
        case Vote(), Vote():
            return EVIDENCE.encode_call("reportEquivocation", key, *map(_vote, (evidence.first, evidence.second)))
        case Proposal(), Proposal():
            return EVIDENCE.encode_call("reportProposals", key, *map(_proposal, (evidence.first, evidence.second)))
    raise ValueError("evidence is two votes or two proposals")


def _place(message: Vote | Proposal) -> tuple[int, int, int]:
    """Kind, height and round."""
    if isinstance(message, Proposal):
        return PROPOSALS, message.height, message.round
    return message.topic, message.height, ANY_ROUND if message.topic == Topic.COMMIT else message.round


def _vote(vote: Vote) -> tuple[object, ...]:
    return vote.height, vote.round, vote.topic, vote.block_hash, signature_point(vote.signature)


def _proposal(proposal: Proposal) -> tuple[object, ...]:
    point = signature_point(proposal.signature)
    return proposal.height, proposal.round, proposal.valid_round + 1, proposal.block_hash, point
