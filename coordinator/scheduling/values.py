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
    interruption_cap: int = 20
    """Attempts that the coordinator itself may break off (its restarts, a worker killed for another's sake) before such
    ones count against the cap too."""
    backoff_first_ms: int = 1_000
    """Wait after the first lost attempt."""
    backoff_most_ms: int = 60_000
    """Longest wait between two attempts."""
    queue_ms: int = 100
    """So much measured work a worker may hold at once; a program whose tasks take more than half of it gets one task at
    a time."""
    queue_most: int = 128
    """Most leases of one worker, however tiny its tasks are."""
    hedge_share: float = 0.1
    """Part of the running attempts that may be hedges (one is always allowed); 0 turns hedging off."""
    hedge_floor_ms: int = 5_000
    """No attempt is hedged before it ran so long."""
    hedge_samples: int = 20
    """Finished attempts of a kind and program that must be known before p95 means anything."""


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
    """Lost attempts, as far as they count."""
    live_kinds: frozenset[str] = frozenset()
    """Kinds with an attempt under way or proven: they need none now."""
    program_ids: Mapping[str, str] = field(default_factory=dict)
    """The program of each kind, 0x hex."""
    proven_kinds: frozenset[str] = frozenset()
    """Kinds with a proof."""
    fallback: str = ""
    """The one of `kinds` that is started only when the deadline is at risk; empty for none."""
    risk_at: int = 0
    """From then on the deadline is at risk; read only where there is a `fallback`."""
    independent: bool = False
    """Whether nobody may stand behind two of its proofs."""
    live_parties: frozenset[str] = frozenset()
    """Who stands behind its live attempts, where it is `independent`."""
    confirms: bool = False
    """Whether its result stands already and one more proof is to confirm it until `deadline_at`: late is better than
    never, so that an attempt which began before may end after."""


@dataclass(frozen=True)
class Prover:
    """A prover as the policy sees it."""

    id: str
    kind: str
    status: ProverStatus
    draining: bool = False
    idle_since: int = 0
    """When it last became Idle."""
    held: int = 0
    """Leases that it has."""
    depth: int = 1
    """Leases that it may have: more than one where its tasks are tiny."""
    parties: frozenset[str] = frozenset()
    """Who stands behind it: its address, its owner's and its operator's; nobody where it names no operator."""

    @property
    def room(self) -> int:
        """Leases that it may take now."""
        if self.draining or self.status is ProverStatus.OFFLINE:
            return 0
        return self.depth - max(self.held, int(self.status is ProverStatus.BUSY))


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
    program_id: str = ""
    """What is to be proven, 0x hex."""
    is_hedge: bool = False
    """A second attempt beside one that takes long."""
    stands_in: bool = False
    """Of the kind that is started only when the deadline is at risk."""
