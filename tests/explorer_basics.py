"""Test only: names, keys and ids of the busy hour that explorer and browser tests look at."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from coordinator.api.auth import ALL_SCOPES, key_hash
from coordinator.ledger.tables import ApiKeyRow

MINUTE = 60_000
WINDOW = 16
SENDER = f"0x{'5e' * 20}"
ROUTER = f"0x{3:040x}"
LOST = "lease expired or worker died"
HEAD = 4_812
FINAL_BLOCK = 4_806


def secret_of(number: int) -> str:
    """The API key with that number."""
    return f"w3b_{number:012x}_{'k' * 43}"


ADMIN_KEY = secret_of(1)
HARBOUR_KEY = secret_of(2)
"""Works for project 1 only."""
OSLO_KEY = secret_of(3)
"""Works for project 2 only."""
REVOKED_KEY = secret_of(4)
READER_KEY = secret_of(5)
"""Reads tasks of every project, and nothing else."""
EXPIRED_KEY = secret_of(6)


def digest(*parts: object) -> str:
    """32 bytes that look like a hash, the same for the same parts."""
    return f"0x{random.Random(repr(parts)).getrandbits(256):064x}"


def word(value: int) -> bytes:
    """One ABI word."""
    return value.to_bytes(32, "big", signed=value < 0)


@dataclass
class Seed:
    """What was written, by name."""

    now: int
    rows: list[Any] = field(default_factory=list)
    tasks: dict[str, str] = field(default_factory=dict)
    """A task's id by its state; `waiting`, `proving`, `assigned`, `paused` and `retry` are OPEN ones."""
    tx: str = ""
    """Hash of a settlement."""
    replaced: str = ""
    """Hash of a transaction that a higher fee replaced."""
    block: int = 0
    message: str = ""
    dead_message: str = ""
    endpoint: str = ""
    prover: str = "zkp.groth16-0"
    device: str = ""
    _tx: int = 0
    _attempt: int = 0
    _gaps: int = 0

    def add(self, *rows: Any) -> None:
        """Keep rows to be written."""
        self.rows.extend(rows)


def keys(now: int) -> list[ApiKeyRow]:
    """The keys above."""
    bound = [scope for scope in ALL_SCOPES if scope != "admin"]
    made: list[ApiKeyRow] = []
    for number, name, scopes, project, revoked, expires in (
        (1, "first admin key", list(ALL_SCOPES), None, None, None),
        (2, "harbour dashboard", bound, 1, None, None),
        (3, "oslo dashboard", bound, 2, None, None),
        (4, "left the company", list(ALL_SCOPES), None, now - 1, None),
        (5, "task reader", ["tasks:read"], None, None, None),
        (6, "last year's key", list(ALL_SCOPES), None, None, now - 1),
    ):
        made.append(
            ApiKeyRow(
                id=f"key_{number:012x}",
                name=name,
                secret_hash=key_hash(secret_of(number)),
                scopes=scopes,
                project_id=project,
                created_at=now - 90 * MINUTE,
                revoked_at=revoked,
                expires_at=expires,
            )
        )
    return made


def device_of(project: int, position: int) -> str:
    """A device's id."""
    return f"0x{random.Random(f'{project}/{position}').getrandbits(160):040x}"


def prover_address(number: int) -> str:
    """Who is paid."""
    return f"0x{number + 0xA0:040x}"


def raw_transaction(number: int) -> bytes:
    """A type-2 envelope with a maxFeePerGas of 1.2 gwei; nobody checks its signature here."""
    import rlp

    body = [
        b"\x12\x52",
        number.to_bytes(4, "big").lstrip(b"\0"),
        b"\x3b\x9a\xca\x00",
        (1_200_000_000).to_bytes(4, "big"),
    ]
    return b"\x02" + rlp.encode([*body, b"", b"\x00" * 20, b"", b"", []])
