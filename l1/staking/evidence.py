"""Equivocation: two votes of one delegate that the rules let it cast only one of. Anyone can check the evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from eth_hash.auto import keccak

from l1.staking.epoch_end import slash
from l1.staking.parameters import Parameters
from l1.staking.refusal import StakingRefused
from l1.staking.state import StakingState
from native import _native


class SignedVote(Protocol):
    """What evidence needs to know of a vote, whatever its type."""

    @property
    def chain_id(self) -> int:
        """The chain it was cast on."""

    @property
    def height(self) -> int:
        """The height that it is about."""

    @property
    def round(self) -> int:
        """The round."""

    @property
    def topic(self) -> int:
        """PROPOSAL 0, LOCK 1 or COMMIT 2."""

    @property
    def block_hash(self) -> bytes:
        """32 bytes; of a nil vote whatever stands for nil."""

    @property
    def signer(self) -> bytes:
        """BLS public key, 48 bytes."""

    @property
    def signature(self) -> bytes:
        """96 bytes."""

    def signing_bytes(self) -> bytes:
        """The signed message. It must contain all fields above but the last two."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two votes for different blocks in one place. Which comes first does not matter."""

    first: SignedVote
    """One vote."""
    second: SignedVote
    """The other."""


def check_evidence(evidence: Evidence, chain_id: int) -> None:
    """Check that the votes contradict each other and are both the signer's. Nil against a block contradicts too.

    Raises
    ------
    StakingRefused
        EvidenceOtherChain, EvidenceNotOnePlace (height, round, topic or signer differ), EvidenceAgrees (one block),
        EvidenceUnsigned (a signature does not hold, or is none).
    """
    first, second = evidence.first, evidence.second
    if {first.chain_id, second.chain_id} != {chain_id}:
        raise StakingRefused("EvidenceOtherChain", f"chains {first.chain_id} and {second.chain_id}, this is {chain_id}")
    places = [(vote.height, vote.round, vote.topic, vote.signer) for vote in (first, second)]
    if places[0] != places[1]:
        raise StakingRefused("EvidenceNotOnePlace", f"{places[0][:3]} and {places[1][:3]}, or two signers")
    if first.block_hash == second.block_hash:
        raise StakingRefused("EvidenceAgrees", f"both are for 0x{first.block_hash.hex()}")
    for vote in (first, second):
        try:
            holds = _native.bls_verify(vote.signer, vote.signing_bytes(), vote.signature)
        except _native.BlsError as error:
            raise StakingRefused("EvidenceUnsigned", str(error)) from error
        if not holds:
            raise StakingRefused("EvidenceUnsigned", f"not signed by 0x{vote.signer.hex()}")


def offence_id(vote: SignedVote) -> bytes:
    """Name of the offence, 32 bytes: the same for every pair of votes in one place."""
    place = b"".join(value.to_bytes(8, "big") for value in (vote.chain_id, vote.height, vote.round, vote.topic))
    return keccak(place + vote.signer)


def punish(parameters: Parameters, state: StakingState, evidence: Evidence, chain_id: int) -> StakingState:
    """Record an offence and slash `equivocation_slash_share` of the self-stake into the pool; once for each place.

    Raises
    ------
    StakingRefused
        As `check_evidence`; EvidenceOfStranger when nobody registered the key; EvidenceKnown.
    """
    check_evidence(evidence, chain_id)
    identity = state.bls_keys.get(evidence.first.signer)
    if identity is None:
        raise StakingRefused("EvidenceOfStranger", f"nobody registered 0x{evidence.first.signer.hex()}")
    offence = offence_id(evidence.first)
    if offence in state.convictions:
        raise StakingRefused("EvidenceKnown", f"0x{offence.hex()} was punished")
    state = replace(state, convictions=state.convictions | {offence})
    share = state.candidates[identity].self_stake * parameters.equivocation_slash_share // 10_000
    return slash(parameters, state, identity, share) if share else state
