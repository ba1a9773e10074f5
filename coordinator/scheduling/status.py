"""A prover's status and a lease's end, from leases and heartbeats alone."""

from __future__ import annotations

from coordinator.scheduling.values import Limits, ProverStatus

MISSED_HEARTBEATS = 3
"""So many missed heartbeats make a prover Offline."""


def is_heard(now: int, heard: int | None, limits: Limits) -> bool:
    """Whether the last heartbeat is young enough; both times on the steady clock, None for never heard."""
    return heard is not None and now - heard < MISSED_HEARTBEATS * limits.heartbeat_ms


def prover_status(
    now: int, *, ready: bool, heard: int | None, draining: bool, leased: bool, limits: Limits
) -> tuple[ProverStatus, str]:
    """The status and the reason for it, in words.

    Parameters: `ready` says that the worker has prepared its programs, `leased` that it holds a lease. A prover that
    is not heard of is Offline even under a lease: the lease runs out by itself. A draining one is Offline once its
    lease is over.
    """
    if not is_heard(now, heard, limits):
        return ProverStatus.OFFLINE, "no heartbeat"
    if not ready:
        return ProverStatus.OFFLINE, "worker is starting"
    if leased:
        return ProverStatus.BUSY, "holds a lease"
    if draining:
        return ProverStatus.OFFLINE, "drained"
    return ProverStatus.IDLE, "takes work"


def renewed_until(now: int, proving_since: int | None, deadline_at: int, limits: Limits) -> int:
    """When a lease that is renewed now runs out; never after the attempt's longest time or its deadline, so that a
    worker which is heard but makes no end loses it too."""
    last = deadline_at if proving_since is None else min(deadline_at, proving_since + limits.attempt_ms)
    return min(now + limits.lease_ms, last)
