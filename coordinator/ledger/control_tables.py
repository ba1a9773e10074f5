"""The ledger's tables of who may do what: leadership, identities, quotas, signed jobs and the audit log. Same
conventions as `tables.py`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from coordinator.ledger.tables import RowId


class CoordinatorRow(SQLModel, table=True):
    """A coordinator process that has worked on this ledger."""

    __tablename__ = "coordinator"
    id: str = Field(primary_key=True)
    """`co_` and 12 hex digits, made at start."""
    host: str
    """Host name and process id."""
    home: str = ""
    """Which home folder it works from: 8 hex digits, from `<home>/home.id`."""
    embedded: str = ""
    """Which parts it started for itself, that no other coordinator can use: `nats`, `chain`, or both with a comma."""
    api: str = ""
    """Where its API listens."""
    started_at: int = Field(sa_type=BigInteger)
    heartbeat_at: int = Field(sa_type=BigInteger)
    stopped_at: int | None = Field(default=None, sa_type=BigInteger)


class LeadershipRow(SQLModel, table=True):
    """Who runs the loops now. One row a role; every transaction of a loop is fenced with it."""

    __tablename__ = "leadership"
    role: str = Field(primary_key=True)
    holder: str
    """`CoordinatorRow.id`."""
    fence: int = Field(sa_type=BigInteger)
    """Strictly increasing; one more with each new holder."""
    expires_at: int = Field(sa_type=BigInteger)
    since: int = Field(sa_type=BigInteger)


class IdentityRow(SQLModel, table=True):
    """A DID that may ask for short-lived tokens, or sign jobs."""

    __tablename__ = "identity"
    did: str = Field(primary_key=True)
    """Such as `did:key:z…` or `did:pkh:eip155:1:0x…`."""
    name: str
    scopes: list[str] = Field(sa_column=Column(JSON, nullable=False))
    project_id: int | None = None
    """When set it works for this project only."""
    created_at: int = Field(sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


class SpentTokenRow(SQLModel, table=True):
    """A single-use token or challenge that was used; kept until it would have run out by itself."""

    __tablename__ = "spent_token"
    id: str = Field(primary_key=True)
    """Its `jti`, with the issuer before it."""
    expires_at: int = Field(sa_type=BigInteger, index=True)


class JobRow(SQLModel, table=True):
    """A job somebody asked for: everything in the project's stream up to a position is to be proven at once."""

    __tablename__ = "job"
    __table_args__ = (UniqueConstraint("signer", "nonce"),)
    id: str = Field(primary_key=True)
    """32 bytes, 0x hex: the EIP-712 digest of the intent, or the hash of the caller and its idempotency key."""
    project_id: int = Field(index=True)
    request_hash: str
    """SHA-256 of what was asked; the same id with another request is refused."""
    signer: str | None = None
    """Address that signed the intent; unset for a job under an API key alone."""
    nonce: str | None = None
    """The signer's nonce, decimal: each is used once."""
    key_id: str = ""
    """The API key or DID under which it came."""
    up_to: int = Field(default=0, sa_type=BigInteger)
    """First stream position after the job; 0 until the stream was asked."""
    asked_up_to: int = Field(default=0, sa_type=BigInteger)
    """The `upTo` of its intent, at most 2^63 - 1; 0 for the stream's end."""
    window_start: int = Field(default=0, sa_type=BigInteger)
    """Where the open window began when the readings were published: the job's tasks lie from here to `up_to`."""
    deadline_at: int = Field(default=0, sa_type=BigInteger)
    """The signer does not want it any more after this; 0 for never."""
    state: str = Field(default="ACCEPTED", index=True)
    """ACCEPTED, then WINDOWED when its tasks are in the ledger, or EXPIRED."""
    readings: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    """Readings that came with it and are not in the stream yet."""
    reason: str = ""
    """With a code, why it waits or why it ended; empty when all is well."""
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class QuotaRow(SQLModel, table=True):
    """How much of something a project may use in a period. No row: the installation's default."""

    __tablename__ = "quota"
    project_id: int = Field(primary_key=True)
    resource: str = Field(primary_key=True)
    """Such as `readings`, `jobs`, `requests` or `attempts`."""
    allowance: int = Field(sa_type=BigInteger)
    period_seconds: int
    updated_at: int = Field(sa_type=BigInteger)


class QuotaUseRow(SQLModel, table=True):
    """What a project has used of a resource in its current period."""

    __tablename__ = "quota_use"
    project_id: int = Field(primary_key=True)
    resource: str = Field(primary_key=True)
    period_start: int = Field(sa_type=BigInteger)
    used: int = Field(default=0, sa_type=BigInteger)


class AuditRow(SQLModel, table=True):
    """A privileged act. Each row holds the hash of the one before: a row that is changed or taken out shows."""

    __tablename__ = "audit"
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    at: int = Field(sa_type=BigInteger)
    actor: str = Field(index=True)
    """API key id, DID or `operator` (the command line on the machine itself)."""
    action: str = Field(index=True)
    """Such as `api_key.create`."""
    subject: str
    """What it was done to."""
    project_id: int | None = Field(default=None, index=True)
    outcome: str
    """`ok`, or the error code."""
    peer: str = ""
    """Where the call came from."""
    detail: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """Never holds a secret."""
    previous_hash: str = Field(unique=True)
    """Unique, so that the chain cannot fork."""
    hash: str


class ExplorerTokenRow(SQLModel, table=True):
    """A session of the explorer, or a sign-in link that makes one; it is worth what its API key or identity is worth
    now."""

    __tablename__ = "explorer_token"
    hash: str = Field(primary_key=True)
    """SHA-256 of the token, hex."""
    kind: str
    """`session` or `link`: a link is deleted when it is used."""
    key_id: str
    """API key id, or a DID."""
    granted: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    """What the token of a DID granted: its scopes, its project and when it runs out; empty for an API key."""
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger, index=True)
