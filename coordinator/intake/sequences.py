"""Duplicates, gaps and late readings: pure bookkeeping over a device's sequence numbers.

A sequence above the highest one jumps over those between them: a gap. One below it that was never accepted is late: it
is accepted, and fills the gap it was missing from. One that was accepted before is a duplicate when it says the same,
and an equivocation when it says something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Gap:
    """Sequence numbers of a device that were jumped over, both ends included."""

    device: bytes
    first: int
    last: int
    missing: int
    """How many of them are still missing."""


@dataclass
class SequenceBook:
    """What a batch does to the devices' sequences; the caller writes `last`, `gaps` and `late` to the ledger."""

    last: dict[bytes, int]
    """Highest accepted sequence by device; a device that never sent is absent."""
    known: dict[tuple[bytes, int], bytes]
    """What each accepted (device, sequence) says: at least every one that the batch could repeat."""
    gaps: list[Gap] = field(default_factory=list)
    """Gaps that the batch opened."""
    late: list[tuple[bytes, int]] = field(default_factory=list)
    """Late readings that fill no gap of this batch; they may fill an earlier one."""
    moved: set[bytes] = field(default_factory=set)
    """Devices whose highest sequence rose."""

    def accept(self, device: bytes, sequence: int, content: bytes) -> bytes | None:
        """Book an authentic reading that says `content`; what the accepted one says when it repeats its number."""
        if (device, sequence) in self.known:
            return self.known[device, sequence]
        self.known[device, sequence] = content
        last = self.last.get(device)
        if last is None or sequence > last:
            if last is not None and sequence > last + 1:
                self.gaps.append(Gap(device, last + 1, sequence - 1, sequence - last - 1))
            self.last[device] = sequence
            self.moved.add(device)
            return None
        for gap in self.gaps:
            if gap.device == device and gap.first <= sequence <= gap.last:
                gap.missing -= 1
                return None
        self.late.append((device, sequence))
        return None


def could_repeat(last: Mapping[bytes, int], device: bytes, sequence: int) -> bool:
    """Whether the ledger may hold this reading already, so that it must be looked up."""
    return sequence <= last.get(device, -1)
