"""The Statement: the one EIP-712 struct that every kind of proof is checked against (docs/reference/encodings.md §3).

`inputs` opens to the roots, the window, the count and the completeness; `output` is the hash of the program's public
output; the digest binds both to a project version, a task, a program, a prover, a chain and a Router.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from verifier.completeness import Completeness

STATEMENT_TYPE = (
    b"Statement(uint256 projectId,uint32 projectVersion,bytes32 taskId,bytes32 inputs,bytes32 output,"
    b"bytes32 programId,address prover)"
)
DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


@dataclass(frozen=True)
class Domain:
    """EIP-712 domain {name "W3bstream", version "1", chainId, verifyingContract = Router}."""

    chain_id: int
    """EIP-155 chain id."""
    router: bytes
    """Address of the Router, 20 bytes."""

    def separator(self) -> bytes:
        """The domain separator, 32 bytes (EIP-712)."""
        return keccak(
            abi_encode(
                ["bytes32", "bytes32", "bytes32", "uint256", "address"],
                [keccak(DOMAIN_TYPE), keccak(b"W3bstream"), keccak(b"1"), self.chain_id, self.router],
            )
        )


@dataclass(frozen=True)
class Opening:
    """What `inputs` commits to."""

    readings_root: bytes
    """Root of the window's readings, 32 bytes, below the field's order."""
    device_set_root: bytes
    """Root of the project version's device set, 32 bytes."""
    window_start: int
    """First position of the window in the project's DA stream, 1 or more."""
    window_end: int
    """First position after the window."""
    count: int
    """Accepted readings in the window."""
    completeness: Completeness
    """What the window lacks."""

    def commitment(self) -> bytes:
        """`inputs`, 32 bytes. Raises OverflowError or ValueError for a value that its type cannot hold."""
        return _commitment(self)

    def words(self) -> list[bytes | int | tuple[int, int, int, int]]:
        """The tuple in ABI order."""
        bounds = (self.window_start, self.window_end, self.count)
        return [self.readings_root, self.device_set_root, *bounds, self.completeness.words()]


OPENING_TYPES = ["bytes32", "bytes32", "uint64", "uint64", "uint32", "(uint64,uint32,uint32,uint32)"]


def _uint(value: int, bits: int) -> bytes:
    """A uint<bits> in ABI encoding, 32 bytes; the intake makes too many tasks for an encoder that reads type names."""
    return value.to_bytes(bits // 8, "big").rjust(32, b"\0")


def _bytes32(value: bytes) -> bytes:
    if len(value) != 32:
        raise ValueError(f"{len(value)} bytes are no bytes32")
    return value


@lru_cache(maxsize=4096)
def _commitment(opening: Opening) -> bytes:
    """Remembered by value: whoever hands out a task and checks its proof asks for the same one again and again."""
    lacks = opening.completeness
    return keccak(
        _bytes32(opening.readings_root)
        + _bytes32(opening.device_set_root)
        + _uint(opening.window_start, 64)
        + _uint(opening.window_end, 64)
        + _uint(opening.count, 32)
        + _uint(lacks.missing, 64)
        + _uint(lacks.duplicates, 32)
        + _uint(lacks.late, 32)
        + _uint(lacks.reordered, 32)
    )


def task_id(project_id: int, project_version: int, window_start: int, window_end: int) -> bytes:
    """The task's id, 32 bytes: keccak256(abi.encode(projectId, projectVersion, windowStart, windowEnd)).

    Raises OverflowError for a value that its type cannot hold.
    """
    return keccak(_uint(project_id, 256) + _uint(project_version, 32) + _uint(window_start, 64) + _uint(window_end, 64))


def program_id(kind: str, artifact: bytes) -> bytes:
    """The program's id, 32 bytes: keccak256(abi.encode(kind, artifact)); `artifact` is 32 bytes."""
    return keccak(abi_encode(["string", "bytes32"], [kind, artifact]))


@dataclass(frozen=True)
class Statement:
    """What a proof proves, for whom, and where it counts."""

    project_id: int
    project_version: int
    task_id: bytes
    """32 bytes."""
    inputs: bytes
    """32 bytes, `Opening.commitment()`."""
    output: bytes
    """32 bytes, keccak256 of the public output."""
    program_id: bytes
    """32 bytes."""
    prover: bytes
    """Address that is paid, 20 bytes."""

    def words(self) -> tuple[int, int, bytes, bytes, bytes, bytes, bytes]:
        """The struct in ABI order, as a contract call takes it."""
        return (
            self.project_id,
            self.project_version,
            self.task_id,
            self.inputs,
            self.output,
            self.program_id,
            self.prover,
        )

    def digest(self, domain: Domain) -> bytes:
        """EIP-712 digest, 32 bytes."""
        types = ["bytes32", "uint256", "uint32", "bytes32", "bytes32", "bytes32", "bytes32", "address"]
        struct = keccak(abi_encode(types, [keccak(STATEMENT_TYPE), *self.words()]))
        return keccak(b"\x19\x01" + domain.separator() + struct)
