"""How a job stands in the ledger: its id, its states, and its readings until they are in the stream."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_LENGTH = 4


class JobState(StrEnum):
    """ACCEPTED becomes WINDOWED, or EXPIRED before anything was done for it; both are the end."""

    ACCEPTED = "ACCEPTED"
    WINDOWED = "WINDOWED"
    EXPIRED = "EXPIRED"


@dataclass(slots=True)
class NewJob:
    """A job that is not in the ledger yet: the columns of `JobRow` without its machinery, which would cost a durable
    submit a tenth of its time."""

    id: str
    project_id: int
    request_hash: str
    key_id: str
    created_at: int
    updated_at: int
    signer: str | None = None
    nonce: str | None = None
    deadline_at: int = 0
    asked_up_to: int = 0
    readings: bytes | None = None
    up_to: int = 0
    window_start: int = 0
    state: str = JobState.ACCEPTED.value
    reason: str = ""

    def columns(self) -> dict[str, object]:
        """The row by column names."""
        return {name: getattr(self, name) for name in COLUMNS}


COLUMNS = tuple(NewJob.__slots__)


def job_id(caller: str, method: str, idempotency_key: str) -> str:
    """The id of an unsigned job, 0x hex: a hash of who asked and under which key."""
    return "0x" + hashlib.sha256("\0".join(("w3bstream job v1", caller, method, idempotency_key)).encode()).hexdigest()


def pack(readings: Sequence[bytes]) -> bytes | None:
    """Readings as one blob, each after its length in 4 bytes big-endian; None for none."""
    return b"".join(len(wire).to_bytes(_LENGTH, "big") + wire for wire in readings) or None


def unpack(blob: bytes | None) -> list[bytes]:
    """The readings of a blob."""
    readings, at = [], 0
    data = blob or b""
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        readings.append(data[at + _LENGTH : end])
        at = end
    return readings
