"""When a task is tried again: capped exponential backoff with jitter that is the same for the same task and count."""

from __future__ import annotations

import hashlib

from coordinator.scheduling.values import Limits

JITTER = 0.5
"""Largest part of the delay that the jitter takes off."""


def next_delay_ms(attempts_used: int, task_id: str, limits: Limits) -> int:
    """Milliseconds to wait after the `attempts_used`-th lost attempt (1 or more).

    `first * 2^(n-1)`, at most `backoff_most_ms`, less up to half of it: tasks that failed together do not come back
    together. Raises ValueError below 1.
    """
    if attempts_used < 1:
        raise ValueError(f"attempts_used is {attempts_used}; a delay follows a lost attempt")
    whole = min(limits.backoff_most_ms, limits.backoff_first_ms << min(attempts_used - 1, 32))
    seed = hashlib.sha256(f"{task_id}:{attempts_used}".encode()).digest()
    fraction = int.from_bytes(seed[:8], "big") / 2**64
    return max(1, round(whole * (1 - JITTER * fraction)))


def is_exhausted(attempts_used: int, limits: Limits) -> bool:
    """Whether the task may be tried no more."""
    return attempts_used >= limits.attempt_cap


def counted_losses(lost: int, interrupted: int, limits: Limits) -> int:
    """Lost attempts that count against the cap.

    Parameters: `lost` are those that the attempt itself or its prover is the reason of (every time-out is one);
    `interrupted` those that the coordinator broke off. The first `interruption_cap` of these cost the task nothing;
    later ones do, so that a task which brings its coordinator down every time comes to an end.
    """
    return lost + max(0, interrupted - limits.interruption_cap)
