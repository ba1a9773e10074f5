"""What the policy is told and what it answers: frozen values, times in milliseconds since the Unix epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ProverStatus(StrEnum):
    """What a prover is now; the words are those of the ledger and of FleetManagement."""

    IDLE = "IDLE"
    """Heard of, holds no lease, takes work."""
    BUSY = "BUSY"
    """Holds a lease."""
    OFFLINE = "OFFLINE"
    """Not heard of for three heartbeats, not ready yet, or drained."""


@dataclass(frozen=True)
class Limits:
    """The numbers of the policy, in milliseconds where they are times."""

    lease_ms: int = 30_000
    """A lease that is not renewed for so long is lost."""
    heartbeat_ms: int = 2_000
    """How often a worker is heard; three missed ones make it Offline."""
    attempt_ms: int = 600_000
    """Longest time that one attempt may prove."""
    settle_ms: int = 600_000
    """Time that the on-chain deadline leaves for the assignment and the settlement, on top of `attempt_ms`."""
    attempt_cap: int = 5
    """Attempts that a task may lose before it fails."""
    backoff_first_ms: int = 1_000
    """Wait after the first lost attempt."""
    backoff_most_ms: int = 60_000
    """Longest wait between two attempts."""


@dataclass(frozen=True)
class OpenTask:
    """A task that is OPEN in the ledger."""

    id: str
    project_id: int
    kinds: tuple[str, ...]
    """Kinds that may prove it, in the project file's order of preference."""
    threshold: int
    """Distinct kinds that must verify."""
    deadline_at: int
    next_attempt_at: int = 0
    """No new attempt before."""
    attempts_used: int = 0
    """Attempts that ended LOST or REJECTED."""
    live_kinds: frozenset[str] = frozenset()
    """Kinds with an attempt under way or proven: they need none now."""


@dataclass(frozen=True)
class Prover:
    """A prover as the policy sees it."""

    id: str
    kind: str
    status: ProverStatus
    draining: bool = False
    idle_since: int = 0
    """When it last became Idle."""


@dataclass(frozen=True)
class History:
    """What happened before, as far as it matters to the next choice."""

    in_flight: Mapping[int, int] = field(default_factory=dict)
    """Leases now held for a project, by project id."""
    served_at: Mapping[int, int] = field(default_factory=dict)
    """When a project was last given a lease, by project id; absent means never."""
    failed_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Provers that lost or failed an attempt at a task, by task id, the latest last."""


@dataclass(frozen=True)
class Lease:
    """A decision: this prover gets this task as this kind."""

    task_id: str
    project_id: int
    kind: str
    prover_id: str
    expires_at: int
    """The lease is lost then unless it is renewed."""
    deadline_at: int
    """The attempt's deadline, the one that is written on chain."""
