"""The ledger's tables of what goes out: the chain's contracts, nonces and transactions, and webhooks. Same conventions as
`tables.py`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from coordinator.ledger.tables import RowId


class DeploymentRow(SQLModel, table=True):
    """The contracts on one chain."""

    __tablename__ = "deployment"
    chain_id: int = Field(primary_key=True, sa_type=BigInteger)
    genesis_hash: str = Field(primary_key=True)
    addresses: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    account: str = ""
    """The account that owns them and that every coordinator signs with; empty until the first one has joined."""
    created_at: int = Field(sa_type=BigInteger)


class NonceRow(SQLModel, table=True):
    """The next nonce of a sender on a chain."""

    __tablename__ = "nonce"
    chain_id: int = Field(primary_key=True, sa_type=BigInteger)
    sender: str = Field(primary_key=True)
    next_nonce: int = Field(sa_type=BigInteger)


class OutboxTxRow(SQLModel, table=True):
    """A transaction to send exactly once in effect."""

    __tablename__ = "outbox_tx"
    __table_args__ = (
        Index("ix_outbox_tx_state", "state"),
        Index("ix_outbox_tx_hash", "tx_hash"),
        Index("ix_outbox_tx_block", "block_number"),
        Index("ix_outbox_tx_block_hash", "block_hash"),
        Index("ix_outbox_tx_purpose", "purpose", "id"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    dedupe_key: str = Field(unique=True)
    """Such as `settle:<attempt id>`: enqueueing the same key again changes nothing."""
    chain_id: int = Field(default=0, sa_type=BigInteger)
    """The chain it is for; 0 in rows older than this column: the installation's only chain."""
    fence: int | None = Field(default=None, sa_type=BigInteger)
    """The attempt's fencing token for `settle`: looked at again before the first byte is sent."""
    purpose: str
    """create_project, publish_version, pause, resume, register_prover, register_key, store_collateral,
    register_session_key, apply_batch, settle or retry_dapp."""
    ref: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """What it is about: ids of tasks, attempts, provers, versions."""
    after_tx: int | None = Field(default=None, sa_type=RowId)
    """Must be mined before this one is sent."""
    to: str
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    state: str = "QUEUED"
    """The finality ladder: QUEUED, SENT, MINED, SAFE, FINAL; or REFUSED (simulation or receipt failed; never retried
    as is). A reorg takes MINED and SAFE back to SENT."""
    reorgs: int = 0
    """How often a reorg took its block away."""
    sender: str = ""
    nonce: int | None = Field(default=None, sa_type=BigInteger)
    raw: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    """Signed transaction, stored before it is sent."""
    tx_hash: str = ""
    block_number: int | None = Field(default=None, sa_type=BigInteger)
    block_hash: str = ""
    gas_used: int | None = Field(default=None, sa_type=BigInteger)
    tries: int = 0
    next_at: int = Field(default=0, sa_type=BigInteger)
    code: str = ""
    reason: str = ""
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class SessionKeyRow(SQLModel, table=True):
    """A TEE prover's session key: its verifier must have it registered before a proof that it signed is accepted."""

    __tablename__ = "session_key"
    __table_args__ = (Index("ix_session_key_register_tx", "register_tx"),)
    digest: str = Field(primary_key=True)
    """EIP-712 digest of the SessionKey in the installation's domain, 0x hex."""
    kind: str
    program_id: str
    prover_address: str
    """Who is paid for what it signs."""
    address: str
    """What its signatures recover to."""
    expiry: int = Field(sa_type=BigInteger)
    """Unix seconds from which on it does not count."""
    document: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """The registration with its evidence, as `verifier.attestation.registration.Registration.to_json` has it."""
    register_tx: int | None = Field(default=None, sa_type=RowId)
    """Outbox transaction that registers it."""
    code: str = ""
    """Why it will never be registered; empty while it may be."""
    reason: str = ""
    created_at: int = Field(sa_type=BigInteger)


class WebhookEndpointRow(SQLModel, table=True):
    """Where a project wants to hear of results."""

    __tablename__ = "webhook_endpoint"
    id: str = Field(primary_key=True)
    """`ep_` and 16 hex digits."""
    project_id: int = Field(index=True)
    url: str
    secret: str
    """`whsec_…`, Standard Webhooks `v1` (HMAC-SHA256), needed in clear to sign; empty when it takes `v1a` only."""
    signing_key: str = ""
    """`whsk_…`, Standard Webhooks `v1a` (ed25519 private key, base64); empty when the endpoint takes `v1` only."""
    previous_secret: str = ""
    """Secrets before the last rotations, newest first, one space between; they sign beside the new one until
    `previous_until`."""
    previous_signing_key: str = ""
    """Private keys before the last rotations, likewise."""
    previous_until: int = Field(default=0, sa_type=BigInteger)
    events: list[str] = Field(sa_column=Column(JSON, nullable=False))
    disabled: bool = False
    disabled_reason: str = ""
    """Such as `410 Gone`; empty when a person did it."""
    failing_since: int = Field(default=0, sa_type=BigInteger)
    """When the first failed try after the last 2xx was; 0 while it works."""
    created_at: int = Field(sa_type=BigInteger)


class WebhookMessageRow(SQLModel, table=True):
    """An event for an endpoint. `id` is the webhook-id, stable across retries."""

    __tablename__ = "webhook_message"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_type", "subject", "generation", name="uq_webhook_message_once"),
        Index("ix_webhook_message_newest", "created_at", "id"),
        Index("ix_webhook_message_project_newest", "project_id", "created_at", "id"),
        Index("ix_webhook_message_endpoint_newest", "endpoint_id", "created_at", "id"),
        Index("ix_webhook_message_due", "endpoint_id", "state", "next_at", "id"),
    )
    id: str = Field(primary_key=True)
    """`msg_` and 24 hex digits."""
    endpoint_id: str = Field(index=True, foreign_key="webhook_endpoint.id")
    project_id: int = Field(index=True)
    event_type: str
    """Such as `w3bstream.task.final`."""
    subject: str
    """The task's id."""
    generation: int = 0
    """How often the task had been put back by then: one that ends badly again is told again."""
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """The CloudEvents JSON that is signed and sent, byte for byte."""
    state: str = Field(default="PENDING", index=True)
    """PENDING, DELIVERED, DEAD."""
    tries: int = 0
    next_at: int = Field(default=0, sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    delivered_at: int | None = Field(default=None, sa_type=BigInteger)


class WebhookDeliveryRow(SQLModel, table=True):
    """One try to deliver a message."""

    __tablename__ = "webhook_delivery"
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    message_id: str = Field(index=True, foreign_key="webhook_message.id")
    at: int = Field(sa_type=BigInteger)
    status_code: int | None = None
    error: str = ""
    duration_ms: int = 0
