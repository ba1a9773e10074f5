"""Size and members of the active set, and their order (IIP-53; iotex-core crypto/cryptosort.go)."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from l1.staking.address import io_address
from l1.staking.parameters import Parameters, Seed

CONSTANT_SEED = bytes.fromhex("1234567890abcdef")
"""What iotex-core compiles in as `CryptoSeed`."""


def active_set_size(parameters: Parameters, qualified: int) -> int:
    """C(Q) = min(C_max, max(24, ceil(Q · 2/3 / 12) · 12)), and never more than Q (IIP-53).

    With fewer than 24 the set is all of them, which `Election.degraded` tells; a chain that stopped there could not
    elect anybody any more.
    """
    step = parameters.delegate_step
    stepped = -(-2 * qualified // (3 * step)) * step
    return min(qualified, parameters.max_delegates, max(parameters.active_delegates, stepped))


def election_seed(parameters: Parameters, finalized_hash: bytes) -> bytes:
    """The seed of an epoch's poll. `finalized_hash`: of the last block two epochs before, or of the genesis."""
    return CONSTANT_SEED if parameters.seed is Seed.CONSTANT else finalized_hash


def draw_without_replacement(weights: Sequence[int], count: int, seed: bytes, epoch: int) -> list[int]:
    """Positions of `count` members, each drawn with a chance proportional to its weight among those left.

    Parameters
    ----------
    weights
        Positive integers in ranking order.
    count
        0 to len(weights).
    seed, epoch
        Draw i is keccak256(seed ‖ BE64(epoch) ‖ BE64(i)) as an integer, i counting refused draws too.
    """
    left = list(range(len(weights)))
    total = sum(weights)
    drawn: list[int] = []
    turn = 0
    while len(drawn) < count:
        word = int.from_bytes(keccak(seed + epoch.to_bytes(8, "big") + turn.to_bytes(8, "big")), "big")
        turn += 1
        point = below(word, total)
        if point is None:
            continue
        at = 0
        while point >= weights[left[at]]:
            point -= weights[left[at]]
            at += 1
        drawn.append(left.pop(at))
        total -= weights[drawn[-1]]
    return drawn


def below(word: int, total: int) -> int | None:
    """A 256-bit word as an unbiased number below `total`; None for a word of the incomplete last interval."""
    if word >= 2**256 - 2**256 % total:
        return None
    return word % total


def delegate_order(operators: Sequence[bytes], seed: bytes, first_height: int) -> list[int]:
    """Positions by keccak256(io address ‖ seed ‖ LE64(first height of the epoch)), ascending."""
    keys = [keccak(io_address(each).encode() + seed + first_height.to_bytes(8, "little")) for each in operators]
    return sorted(range(len(operators)), key=lambda at: keys[at])
