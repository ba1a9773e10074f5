"""Who is to blame for a fork: of two conflicting certificates, those that signed both."""

from __future__ import annotations

from l1.consensus.delegates import DelegateSet
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate


def convicted(first: Certificate, second: Certificate, delegates: DelegateSet) -> set[int]:
    """Delegates that two verified certificates of one chain and height convict of equivocation.

    They conflict when they are of one topic for two blocks, in one round or, of COMMIT, in any two: no honest delegate
    casts both votes. Two quorums are each more than two thirds of the power, so that more than a third signed both.

    Returns
    -------
    Indices in the set; empty when the two do not conflict.
    """
    same_place = (first.height, first.topic) == (second.height, second.topic)
    if not same_place or first.block_hash == second.block_hash:
        return set()
    if first.topic is not Topic.COMMIT and first.round != second.round:
        return set()
    return {index for index in first.signer_indices() if index < len(delegates)} & set(second.signer_indices())
