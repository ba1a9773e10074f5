"""The ledger's tables. Hashes, addresses and ids are 0x-prefixed lower-case hex text; times are milliseconds since the
Unix epoch (UTC); proofs, readings and call data are raw bytes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

RowId: Any = BigInteger().with_variant(Integer(), "sqlite")
"""Row numbers of tables that grow for ever: 64 bits; SQLite counts up only what it calls INTEGER, which has 64 too."""


def _json() -> Any:
    return Column(JSON, nullable=False)


def _bytes(*, nullable: bool = False) -> Any:
    return Column(LargeBinary, nullable=nullable)


class ApiKeyRow(SQLModel, table=True):
    """An API key; only its hash is kept."""

    __tablename__ = "api_key"
    id: str = Field(primary_key=True)
    """Public part, `key_` and 12 hex digits."""
    name: str
    secret_hash: str = Field(index=True, unique=True)
    """SHA-256 of the whole key."""
    scopes: list[str] = Field(sa_column=_json())
    project_id: int | None = None
    """When set the key works for this project only."""
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int | None = Field(default=None, sa_type=BigInteger)
    """When it stops to work by itself; unset for never."""
    last_used_at: int | None = Field(default=None, sa_type=BigInteger)
    """When a call last came with it, to about a minute."""
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


class IdempotencyRow(SQLModel, table=True):
    """The answer given to a create or submit, by caller, method and idempotency key."""

    __tablename__ = "idempotency"
    key_id: str = Field(primary_key=True)
    method: str = Field(primary_key=True)
    idempotency_key: str = Field(primary_key=True)
    request_hash: str
    response: bytes = Field(sa_column=_bytes())
    created_at: int = Field(sa_type=BigInteger)


class ProjectRow(SQLModel, table=True):
    """A project."""

    __tablename__ = "project"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True, unique=True)
    owner_key_id: str
    state: str = "ACTIVE"
    """ACTIVE or PAUSED."""
    version: int = 0
    """Newest published version; 0 before the first."""
    create_tx: int | None = Field(default=None, sa_type=RowId)
    """Outbox transaction of `ProjectRegistry.createProject`."""
    created_at: int = Field(sa_type=BigInteger)


class ProjectVersionRow(SQLModel, table=True):
    """One published version of a project: the project file and what follows from it. Never changed but for `state`."""

    __tablename__ = "project_version"
    project_id: int = Field(primary_key=True, foreign_key="project.id")
    version: int = Field(primary_key=True)
    file: str
    """The project file, as it was given."""
    config: dict[str, Any] = Field(sa_column=_json())
    """The validated project file, in canonical form."""
    config_hash: str
    device_set_root: str
    scheme: str
    window_capacity: int
    window_max_age_ms: int
    programs: list[dict[str, Any]] = Field(sa_column=_json())
    """[{kind, name, program_id, verifier}]"""
    threshold: int = 1
    """Distinct kinds that must verify."""
    first_position: int = Field(default=0, sa_type=BigInteger)
    """First stream position that belongs to this version; 0 until the intake reached it."""
    state: str = "PENDING"
    """PENDING until its transaction is mined, then PUBLISHED; FAILED when the chain refused it."""
    publish_tx: int | None = Field(default=None, sa_type=RowId)
    created_at: int = Field(sa_type=BigInteger)


class DeviceRow(SQLModel, table=True):
    """A device of a project version, in the project file's order."""

    __tablename__ = "device"
    project_id: int = Field(primary_key=True)
    version: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    """Leaf index in the device set."""
    device: str = Field(index=True)
    key_type: int
    public_key: str
    label: str = ""


class ReadingRow(SQLModel, table=True):
    """An accepted reading; it belongs to exactly one window once `task_id` is set."""

    __tablename__ = "reading"
    __table_args__ = (
        UniqueConstraint("project_id", "device", "sequence"),
        Index("ix_reading_task", "task_id"),
        Index("ix_reading_received", "received_at", "project_id"),
    )
    project_id: int = Field(primary_key=True)
    position: int = Field(primary_key=True, sa_type=BigInteger)
    """Stream position."""
    version: int
    device: str
    sequence: int = Field(sa_type=BigInteger)
    timestamp: int = Field(sa_type=BigInteger)
    wire: bytes = Field(sa_column=_bytes())
    received_at: int = Field(sa_type=BigInteger)
    task_id: str | None = None


class DeadLetterRow(SQLModel, table=True):
    """A message that was refused, with its reason."""

    __tablename__ = "dead_letter"
    project_id: int = Field(primary_key=True)
    position: int = Field(primary_key=True, sa_type=BigInteger)
    code: str = Field(index=True)
    reason: str
    device: str = ""
    sequence: int | None = Field(default=None, sa_type=BigInteger)
    wire: bytes = Field(sa_column=_bytes())
    """At most the first 8 KiB."""
    at: int = Field(sa_type=BigInteger)
    requeued_at: int | None = Field(default=None, sa_type=BigInteger)
    """When an operator published it to the stream again; it stays here, its second life has a position of its own."""


class GapRow(SQLModel, table=True):
    """A jump in a device's sequence numbers; `missing` falls as late readings arrive."""

    __tablename__ = "gap"
    __table_args__ = (Index("ix_gap_device", "project_id", "device", "first_missing"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    project_id: int = Field(index=True)
    device: str
    first_missing: int = Field(sa_type=BigInteger)
    last_missing: int = Field(sa_type=BigInteger)
    missing: int = Field(sa_type=BigInteger)
    at: int = Field(sa_type=BigInteger)


class DeviceCursorRow(SQLModel, table=True):
    """The highest sequence accepted from a device."""

    __tablename__ = "device_cursor"
    project_id: int = Field(primary_key=True)
    device: str = Field(primary_key=True)
    last_sequence: int = Field(sa_type=BigInteger)


class StreamCursorRow(SQLModel, table=True):
    """How far the intake has read a project's stream, and its open window."""

    __tablename__ = "stream_cursor"
    project_id: int = Field(primary_key=True)
    next_position: int = Field(default=1, sa_type=BigInteger)
    """First position not yet taken."""
    window_start: int = Field(default=1, sa_type=BigInteger)
    """First position of the open window."""
    window_opened_at: int | None = Field(default=None, sa_type=BigInteger)
    """When the first accepted reading of the open window arrived."""
    open_count: int = 0
    """Accepted readings in the open window."""
    flush_to: int = Field(default=0, sa_type=BigInteger)
    """A submit asked that everything below this position be closed at once; 0 when none did."""
    stopped_code: str = ""
    """Error code of why intake stands still; empty when it does not."""
    stopped_reason: str = ""


class IntakeCountRow(SQLModel, table=True):
    """A running figure of a project's intake, moved in the transaction that makes it true."""

    __tablename__ = "intake_count"
    project_id: int = Field(primary_key=True)
    name: str = Field(primary_key=True)
    """`accepted`; `missing`, which stays at 2^63-1 once there; an error code, for the dead letters that ever had it; or
    `dropped`, for the dead letters that are not kept any more."""
    total: int = Field(sa_type=BigInteger)


class TaskRow(SQLModel, table=True):
    """One window to be proven."""

    __tablename__ = "task"
    __table_args__ = (
        UniqueConstraint("project_id", "version", "window_start"),
        Index("ix_task_newest", "created_at", "id"),
        Index("ix_task_project_newest", "project_id", "created_at", "id"),
        Index("ix_task_state_newest", "state", "created_at", "id"),
        Index("ix_task_project_state_newest", "project_id", "state", "created_at", "id"),
        Index("ix_task_code_newest", "code", "created_at", "id"),
        Index("ix_task_readings_root", "readings_root"),
        Index("ix_task_inputs", "inputs"),
        Index("ix_task_block", "block_number"),
        Index("ix_task_queue", "state", "project_id", "version", "deadline_at", "id"),
        Index("ix_task_deadline", "state", "deadline_at"),
        Index(
            "ix_task_awaited",
            *("project_id", "version", "confirm_by", "id"),
            sqlite_where=text("confirmation = 'AWAITED'"),
            postgresql_where=text("confirmation = 'AWAITED'"),
        ),
        Index(
            "ix_task_awaited_until",
            "confirm_by",
            sqlite_where=text("confirmation = 'AWAITED'"),
            postgresql_where=text("confirmation = 'AWAITED'"),
        ),
    )
    id: str = Field(primary_key=True)
    project_id: int = Field(index=True)
    version: int
    window_start: int = Field(sa_type=BigInteger)
    window_end: int = Field(sa_type=BigInteger)
    count: int
    readings_root: str
    device_set_root: str
    inputs: str
    missing: int = Field(default=0, sa_type=BigInteger)
    """Completeness of the window: sequence numbers that its devices skipped between its readings."""
    duplicates: int = 0
    """Completeness: messages in the window's positions that were refused as duplicates."""
    late: int = 0
    """Completeness: readings in the window that arrived after a later reading of the same device was in an earlier
    window."""
    reordered: int = 0
    """Completeness: readings in the window that arrived after a later reading of the same device."""
    trace: str = ""
    """W3C traceparent of the span under which everything about this task is traced; empty when nothing is."""
    state: str = Field(default="RECEIVED", index=True)
    kinds: list[str] = Field(sa_column=_json())
    """Kinds that may prove it."""
    threshold: int = 1
    deadline_at: int = Field(sa_type=BigInteger)
    attempts_used: int = 0
    """Attempts that ended LOST or REJECTED, as far as they count against the cap."""
    counted_from: int = Field(default=0, sa_type=BigInteger)
    """Attempts under an earlier fence do not count any more: an operator put the task back since."""
    requeues: int = 0
    """How often an operator put it back after it failed; each gives a fresh cap."""
    next_attempt_at: int = Field(default=0, sa_type=BigInteger)
    next_fence: int = Field(default=1, sa_type=BigInteger)
    record_tx: int | None = Field(default=None, sa_type=RowId)
    """Outbox transaction that records it in FleetManagement."""
    confirm_kind: str = ""
    """The kind of the policy's second stage, one of `kinds`; empty where there is none."""
    confirm_within: int = 0
    """Seconds that the second stage may take after the first one."""
    confirm_by: int | None = Field(default=None, sa_type=BigInteger)
    """When these are over; unset until the first stage is through. The chain counts them from the settlement, later."""
    confirmation: str = ""
    """Where the second stage is: empty before it began, AWAITED, CONFIRMED, MISSED or CONTRADICTED
    (`ledger.confirmation`)."""
    confirmation_at: int | None = Field(default=None, sa_type=BigInteger)
    """When `confirmation` last moved."""
    confirm_code: str = ""
    """Error code of a confirmation that is MISSED or CONTRADICTED."""
    confirm_reason: str = ""
    confirm_attempts_used: int = 0
    """Attempts of `confirm_kind` that ended LOST or REJECTED, as far as they count against the cap."""
    confirm_next_at: int = Field(default=0, sa_type=BigInteger)
    """No new attempt of `confirm_kind` before."""
    output: str = ""
    public_output: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    code: str = ""
    """Error code of the failure, or empty."""
    reason: str = ""
    provenance: str = ""
    """`in-proof` or `attested`, from the program."""
    finality_source: str = ""
    """`bls`, `rpc-finalized`, `rpc-depth` or `single-producer`, once FINAL."""
    block_number: int | None = Field(default=None, sa_type=BigInteger)
    block_hash: str = ""
    transaction_hash: str = ""
    """The settlement's."""
    dapp_ok: bool | None = None
    """Whether `dApp.process` succeeded; unset before settlement."""
    first_reading_at: int = Field(sa_type=BigInteger)
    """When the window's first reading arrived."""
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class AttemptRow(SQLModel, table=True):
    """One prover's try at a task, under a lease with a fencing token."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("task_id", "fence"),
        Index("ix_attempt_state", "state"),
        Index("ix_attempt_prover_state", "prover_id", "state", "id"),
        Index("ix_attempt_prover_newest", "prover_id", "id"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    task_id: str = Field(index=True, foreign_key="task.id")
    kind: str
    program_id: str
    prover_id: str = Field(index=True)
    prover_address: str
    fence: int = Field(sa_type=BigInteger)
    """Fencing token: strictly increasing per task."""
    hedge: bool = False
    """A second attempt made because the first took longer than p95; one of the two wins, the other is superseded."""
    state: str = "ASSIGNED"
    lease_expires_at: int = Field(sa_type=BigInteger)
    heartbeat_at: int = Field(sa_type=BigInteger)
    deadline_at: int = Field(sa_type=BigInteger)
    """The deadline written on chain (there in seconds)."""
    stage: str = ""
    progress: float = 0.0
    started_at: int | None = Field(default=None, sa_type=BigInteger)
    """When its prover was told to begin; unset before."""
    proved_at: int | None = Field(default=None, sa_type=BigInteger)
    """When its proof was there; unset before."""
    assign_tx: int | None = Field(default=None, sa_type=RowId)
    """Outbox transaction that records the assignment in FleetManagement."""
    settle_tx: int | None = Field(default=None, sa_type=RowId)
    output: str = ""
    public_output: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    proof: bytes | None = Field(default=None, sa_column=_bytes(nullable=True))
    session_key: str = ""
    """Digest of the session key that signed the proof (`SessionKeyRow`); empty for kinds without one."""
    seconds: dict[str, float] = Field(default_factory=dict, sa_column=_json())
    """Time by stage, as the prover reported it."""
    code: str = ""
    reason: str = ""
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class TaskEventRow(SQLModel, table=True):
    """The timeline: every transition, and every refused late report. `id` orders watches."""

    __tablename__ = "task_event"
    __table_args__ = (Index("ix_task_event_target_at", "subject", "target", "at"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    task_id: str = Field(index=True)
    project_id: int = Field(index=True)
    attempt_id: int | None = Field(default=None, sa_type=RowId)
    subject: str
    """`task`, `attempt`, `rerun` or `confirmation`."""
    source: str
    """State before; empty for the first."""
    target: str
    reason: str
    code: str = ""
    at: int = Field(sa_type=BigInteger)


class ProverRow(SQLModel, table=True):
    """A prover worker, its lease-derived status and its on-chain identity."""

    __tablename__ = "prover"
    id: str = Field(primary_key=True)
    kind: str = Field(index=True)
    address: str
    """Who is paid."""
    node: str = ""
    home: str = ""
    """Which home folder its key is in (`CoordinatorRow.home`); empty until its coordinator has led."""
    status: str = "OFFLINE"
    """IDLE, BUSY or OFFLINE."""
    draining: bool = False
    heartbeat_at: int = Field(default=0, sa_type=BigInteger)
    mirrored_status: str = ""
    """Status that FleetManagement was last sent."""
    register_tx: int | None = Field(default=None, sa_type=RowId)
    operator: str = ""
    """Whom its registration named as its operator; empty for nobody."""
    trust: str = ""
    """The kind's trust anchor in words, such as `development key`."""
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class ProverEventRow(SQLModel, table=True):
    """Changes of a prover's status. `id` orders watches."""

    __tablename__ = "prover_event"
    __table_args__ = (Index("ix_prover_event_prover_at", "prover_id", "at"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    prover_id: str = Field(index=True)
    status: str
    reason: str
    at: int = Field(sa_type=BigInteger)
