"""The audit log's chain of hashes, which anybody can check (docs/explanation/security.md).

`hash = SHA-256(canonical JSON of all other fields, previous_hash among them)`, as hex; the first row's previous_hash is
64 zeros. It needs no database: the command line checks what the API gave it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from verifier.errors import Refused

GENESIS = "0" * 64


def canonical(detail: dict[str, Any]) -> str:
    """Canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def row_hash(fields: dict[str, Any]) -> str:
    """The hash of a row: of the fields at, actor, action, subject, project_id, outcome, peer, detail, previous_hash."""
    return hashlib.sha256(canonical(fields).encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A row of the log as it was read, here or over the API."""

    id: int
    fields: dict[str, Any]
    """What the hash is over."""
    hash: str


def verify(entries: Iterable[Entry], previous: str = GENESIS) -> tuple[int, str]:
    """Check a chain from its first entry on; returns (entries, the last hash).

    A chain that was cut off at its end is whole in itself: compare the last hash with one noted elsewhere. Raises
    Refused (W3B-7031) with the id at which it breaks.
    """
    count = 0
    for each in entries:
        if each.fields["previous_hash"] != previous:
            raise Refused("W3B-7031", f"entry {each.id} does not follow the one before it", field="previous_hash")
        if row_hash(each.fields) != each.hash:
            raise Refused("W3B-7031", f"entry {each.id} was changed: its hash is not {each.hash[:16]}…", field="hash")
        previous, count = each.hash, count + 1
    return count, previous
