"""What a window lacks, in four numbers that end every public output (docs/reference/encodings.md §2.1).

`missing` follows from the signed readings, and a proof with provenance `in-proof` proves it. `duplicates`, `late` and
`reordered` are about the order of arrival, which no device signs: the coordinator states them when it commits to the
window, before anything is proven, and every proof repeats them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from verifier.errors import Refused
from verifier.reading import Reading

MOST_MISSING = (1 << 63) - 1
"""`missing` stops here: this many, or more. Two devices can skip more than 2^64 numbers between them."""
MOST_DUPLICATES = (1 << 31) - 1
"""The intake stops counting here, so that the ledger's 32-bit columns hold what anyone can send."""
COMPLETENESS_OUTPUTS = ("uint64 missing", "uint32 duplicates", "uint32 late", "uint32 reordered")
"""The last outputs of every program, as its manifest lists them."""
COMPLETENESS_BYTES = 128
"""Bytes of the ABI encoding."""


def ends_with_completeness(outputs: Sequence[str]) -> bool:
    """Whether a manifest's outputs end as every program's must."""
    return tuple(outputs[-len(COMPLETENESS_OUTPUTS) :]) == COMPLETENESS_OUTPUTS


@dataclass(frozen=True)
class Completeness:
    """The completeness of one window."""

    missing: int = 0
    """Sequence numbers that lie between two of a device's readings in the window and are not in it; at most
    `MOST_MISSING`. Proven."""
    duplicates: int = 0
    """Messages in the window's positions that repeat an accepted reading's device and sequence. Stated."""
    late: int = 0
    """Readings that arrived when a higher sequence of their device was in an earlier window. Stated."""
    reordered: int = 0
    """Readings that arrived when a higher sequence of their device was there, in an earlier window (those are late) or
    in this one. Stated."""

    def words(self) -> tuple[int, int, int, int]:
        """The tuple in ABI order."""
        return self.missing, self.duplicates, self.late, self.reordered

    def encode(self) -> bytes:
        """The ABI encoding, 128 bytes. Raises OverflowError for a number below 0 or of 2^256 or more."""
        return b"".join(word.to_bytes(32, "big") for word in self.words())

    def require_stated(self, public_output: bytes) -> None:
        """Require that a public output ends with these numbers. Raises Refused (W3B-4013)."""
        if public_output[-COMPLETENESS_BYTES:] != self.encode():
            raise Refused(
                "W3B-4013",
                f"the public output does not end with the window's completeness {self.words()}",
                field="completeness",
            )

    def possible(self, count: int, span: int) -> bool:
        """Whether a window of `count` readings over `span` positions can have these numbers."""
        return (
            0 <= self.missing <= MOST_MISSING
            and 0 <= self.duplicates <= min(span - count, (1 << 32) - 1)
            and 0 <= self.late <= self.reordered <= count
        )


def count_missing(readings: Sequence[Reading]) -> int:
    """`missing` of a window's readings in the commitment scheme's order: by device, then by sequence."""
    gaps = (
        after.sequence - before.sequence - 1 for before, after in pairwise(readings) if before.device == after.device
    )
    return min(sum(gaps), MOST_MISSING)
