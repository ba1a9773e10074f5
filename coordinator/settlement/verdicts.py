"""What a contract's refusal of a transaction means, as one table; pure."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What to do with a refused transaction."""

    DONE = "DONE"
    """What it would do is done already; the chain is asked who did it."""
    RETRY = "RETRY"
    """The reason passes; the transaction waits and is tried again."""
    REFUSE = "REFUSE"
    """It will never be accepted as it is."""


_DONE: frozenset[tuple[str, str]] = frozenset(
    {
        ("settle", "AlreadyVerified"),
        ("register_prover", "ProverExists"),
        ("register_session_key", "NonceUsed"),
        ("store_collateral", "CollateralRefused"),
        ("create_project", "ProjectIdUnavailable"),
        ("publish_version", "VersionNotIncreasing"),
        ("pause", "AlreadySo"),
        ("resume", "AlreadySo"),
        ("retry_dapp", "NothingToRetry"),
    }
)
"""(purpose, custom error) that say the effect is there; those that could also mean something else are checked against
the chain's state before they count (`probe.already_done`)."""

_RETRY = frozenset({"ProjectInactive", "InsufficientGas"})
"""Custom errors that pass by themselves: the project is resumed, the gas is estimated anew."""

LONGEST_WAIT_SECONDS = 60
"""A waiting transaction is looked at again after so long at the latest."""


def judge(purpose: str, error: str) -> Verdict:
    """The verdict on custom error `error` (its name; empty when the revert had no data)."""
    if (purpose, error) in _DONE:
        return Verdict.DONE
    return Verdict.RETRY if error in _RETRY else Verdict.REFUSE


def retry_delay(tries: int) -> float:
    """Seconds until a waiting transaction is looked at again: 1, 2, 4, … up to 60."""
    return float(min(LONGEST_WAIT_SECONDS, 2 ** min(tries, 6)))
