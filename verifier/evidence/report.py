"""What a verification found: the checks that held, the anchors that they rest on, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from verifier.errors import Refused, W3bstreamError
from verifier.outputs import DecodedOutput


class Verdict(StrEnum):
    """How far an evidence file can be believed. A file that does not hold has no verdict: it is refused."""

    VALID = "VALID"
    """Every check held, and every anchor is one that the reader pinned."""
    CONSISTENT = "CONSISTENT"
    """Every check held, but anchors were taken from the file itself: whoever made it may have invented them."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked and held."""

    name: str
    """Dotted, such as `settlement.receipt`."""
    detail: str
    """With which value."""


@dataclass(frozen=True)
class Anchor:
    """Something that no check can prove and that the result rests on."""

    name: str
    value: str
    meaning: str
    """What believing it means."""
    origin: str
    """Where the value comes from."""
    pinned: bool
    """Whether the reader vouches for it: by a trust file, a checkpoint or a node of their own."""
    production: bool = True
    """False where the value is a development or simulated one, whoever vouches for it."""


@dataclass(frozen=True)
class Report:
    """The outcome of a verification that found nothing wrong."""

    verdict: Verdict
    subject: str
    """`task`, `commitments` or `reading`."""
    digest: str
    """SHA-256 of the file, 0x hex."""
    summary: str
    """One sentence."""
    task_id: str
    project_id: int
    project_version: int
    window_start: int
    window_end: int
    """First position after the window."""
    count: int
    output: tuple[DecodedOutput, ...]
    """By name, where the program is known here."""
    public_output: str
    kinds: tuple[str, ...]
    """Proof kinds, in the order in which they were accepted."""
    transaction: str
    """Hash of the settlement."""
    block_number: int
    block_hash: str
    settled_at: int
    """Timestamp of that block, Unix seconds."""
    dapp: str
    """What became of the dApp's call in that transaction: `processed`, `failed`, or empty where there was none."""
    config_hash: str
    """keccak256 of the project file's canonical form, as published, 0x hex."""
    checks: tuple[Check, ...]
    anchors: tuple[Anchor, ...]
    notes: tuple[str, ...] = ()
    """What was not checked, and why."""

    @property
    def unpinned(self) -> tuple[Anchor, ...]:
        """Anchors that were taken from the file."""
        return tuple(each for each in self.anchors if not each.pinned)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass
class Checks:
    """Collects checks; the first that does not hold ends the verification."""

    held: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def checking(self, name: str, detail: str = "") -> Iterator[None]:
        """Note the check when the block ends; a refusal inside is raised anew under the check's name.

        Raises Refused with the code of what was refused; its `field` is the check's name.
        """
        try:
            yield
        except W3bstreamError as error:
            raise Refused(error.code, f"{name}: {error.message}", field=name) from error
        self.held.append(Check(name, detail))


def require(holds: bool, code: str, why: str) -> None:
    """Raise Refused when a condition does not hold."""
    if not holds:
        raise Refused(code, why)
