"""The ledger's tables of what happened beside a task's timeline: transactions on the finality ladder, and re-runs. Same
conventions as `tables.py`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel

from coordinator.ledger.tables import RowId


class TxEventRow(SQLModel, table=True):
    """A step of a transaction on the finality ladder. `id` orders watches."""

    __tablename__ = "tx_event"
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    tx_id: int = Field(index=True, sa_type=RowId)
    source: str
    """State before; empty for the first."""
    target: str
    """QUEUED, SENT, RESENT, BUMPED, CANCELLED, MINED, SAFE, FINAL, REORGED or REFUSED. REORGED is the way back to SENT,
    CANCELLED the replacement by an empty transfer under the same nonce, and QUEUED after the first the way back there."""
    tx_hash: str = Field(default="", index=True)
    block_number: int | None = Field(default=None, sa_type=BigInteger)
    block_hash: str = ""
    reason: str = ""
    code: str = ""
    at: int = Field(sa_type=BigInteger)


class RerunRow(SQLModel, table=True):
    """A task computed once more, by a prover of choice, to compare its public output; it settles nothing."""

    __tablename__ = "rerun"
    id: int | None = Field(default=None, primary_key=True, sa_type=RowId)
    task_id: str = Field(index=True)
    kind: str
    prover_id: str = ""
    """Empty until one took it."""
    state: str = Field(default="QUEUED", index=True)
    """QUEUED, RUNNING, DONE or FAILED."""
    lease_expires_at: int = Field(default=0, sa_type=BigInteger)
    fence: int = Field(default=0, sa_type=BigInteger)
    """Fencing token: one more with each prover that takes it."""
    output: str = ""
    public_output: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    same: bool | None = None
    """Whether the output is the task's; unset while one of the two is missing."""
    code: str = ""
    reason: str = ""
    requested_by: str = ""
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
