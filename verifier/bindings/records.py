"""The contracts' structs as values (verifier/contracts/Types.sol)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from verifier.statement import Opening

ZERO_ADDRESS = bytes(20)
"""The zero address: none."""


@dataclass(frozen=True)
class Program:
    """One way to prove a project version's tasks."""

    kind: str
    """Proof kind in words, such as `zkp.groth16`; 1 to 64 bytes."""
    program_id: bytes
    """32 bytes."""
    verifier: bytes
    """Address of the IVerifier, 20 bytes."""


@dataclass(frozen=True)
class Version:
    """A project version as its owner publishes it."""

    version: int
    """Number, larger than every earlier one; 1 to 2^32 - 1."""
    config_hash: bytes
    """keccak256 of the project file, 32 bytes."""
    config_uri: str
    """Where the file can be fetched; at most 512 bytes, may be empty."""
    device_set_root: bytes
    """32 bytes, not zero."""
    scheme: bytes
    """`scheme_id` of the commitment scheme's name, 32 bytes."""
    dapp: bytes
    """Address of the IDapp, or ZERO_ADDRESS for none."""
    window_capacity: int
    """Most readings in a window; a power of two."""
    threshold: int
    """Distinct kinds that must verify, 1 to the number of programs without the one that confirms."""
    programs: tuple[Program, ...]
    """1 to 16, one a kind."""

    def words(self) -> tuple[Any, ...]:
        """The struct in ABI order."""
        programs = [(each.kind, each.program_id, each.verifier) for each in self.programs]
        return (
            self.version,
            self.config_hash,
            self.config_uri,
            self.device_set_root,
            self.scheme,
            self.dapp,
            self.window_capacity,
            self.threshold,
            programs,
        )


@dataclass(frozen=True)
class Policy:
    """What a version's assurance asks for beyond its threshold."""

    independent: bool = False
    """Whether accepted proofs need different provers, owners and operators."""
    confirm_within: int = 0
    """Seconds after its settlement in which a task is to be confirmed, 1 to 30 days; 0 without a second stage."""
    confirm_kind: bytes = bytes(32)
    """`kind_hash` of the kind that confirms, 32 bytes; zero without a second stage."""

    def words(self) -> tuple[Any, ...]:
        """The struct in ABI order."""
        return (self.independent, self.confirm_within, self.confirm_kind)


@dataclass(frozen=True)
class TaskRecord:
    """A task to record."""

    project_id: int
    project_version: int
    opening: Opening

    def words(self) -> tuple[Any, ...]:
        """The struct in ABI order."""
        return (self.project_id, self.project_version, tuple(self.opening.words()))


@dataclass(frozen=True)
class Assignment:
    """An attempt to record."""

    task_id: bytes
    """32 bytes."""
    prover: bytes
    """Address, 20 bytes."""
    kind: bytes
    """`kind_hash` of the proof kind, 32 bytes."""
    deadline: int
    """Last moment at which a proof is accepted, Unix seconds."""
    fence: int
    """Fencing token, 1 to 2^64 - 1; higher than that of an earlier attempt of the same prover and kind."""

    def words(self) -> tuple[Any, ...]:
        """The struct in ABI order."""
        return (self.task_id, self.prover, self.kind, self.deadline, self.fence)


class ProverStatus(IntEnum):
    """A prover's availability as of the last block."""

    OFFLINE = 0
    IDLE = 1
    BUSY = 2


@dataclass(frozen=True)
class StatusUpdate:
    """A prover's status to mirror."""

    prover: bytes
    """Address, 20 bytes."""
    status: ProverStatus

    def words(self) -> tuple[Any, ...]:
        """The struct in ABI order."""
        return (self.prover, int(self.status))


@dataclass(frozen=True)
class AssignmentState:
    """A recorded attempt."""

    deadline: int
    """Unix seconds."""
    fence: int
    """0 when there is no such attempt."""
    recalled: bool
    """Whether somebody called out its missed deadline."""


class TaskStatus(IntEnum):
    """Where a task stands at the Router."""

    NONE = 0
    PROVEN = 1
    SETTLED = 2
    FROZEN = 3


class DappStatus(IntEnum):
    """Where the dApp call of a settled task stands."""

    NONE = 0
    PROCESSED = 1
    FAILED = 2
    ABSENT = 3


@dataclass(frozen=True)
class Verification:
    """An accepted proof of one kind."""

    kind: bytes
    """`kind_hash`, 32 bytes."""
    prover: bytes
    """Address, 20 bytes."""
    block_number: int


@dataclass(frozen=True)
class TaskConflict:
    """The two outputs of a frozen task."""

    first: bytes
    """keccak256 of the public output that was proven first, 32 bytes; zero when the task is not frozen."""
    second: bytes
    """The one that contradicts it."""
    kind: bytes
    """`kind_hash` of the second proof's kind, 32 bytes."""
    prover: bytes
    """Prover of the second proof, 20 bytes."""
    block_number: int


class ConfirmationStatus(IntEnum):
    """Where the second stage of a task stands."""

    NONE = 0
    AWAITED = 1
    CONFIRMED = 2
    LATE = 3
    MISSED = 4


@dataclass(frozen=True)
class Confirmation:
    """The second stage of a task."""

    status: ConfirmationStatus
    """As of the block's timestamp."""
    kind: bytes
    """`kind_hash` of the kind that confirms, 32 bytes; zero without a second stage, and before any proof of the task."""
    prover: bytes
    """Prover of the confirming proof, 20 bytes; zero when there is none."""
    confirm_by: int
    """Last moment that is in time, Unix seconds; 0 before the settlement."""
    confirmed_at: int
    """When the confirming proof was accepted, Unix seconds; 0 when none was."""
    reported: bool
    """Whether somebody called out that it is missing."""


@dataclass(frozen=True)
class TaskState:
    """A task as the Router sees it."""

    status: TaskStatus
    dapp: DappStatus
    output: bytes
    """keccak256 of the public output proven first, 32 bytes; zero when none is."""
    settled_block: int
    """Block in which the threshold was reached, or 0."""
    verifications: tuple[Verification, ...]
    """In the order of the version's programs, the confirming one among them."""
