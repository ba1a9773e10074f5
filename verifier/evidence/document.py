"""The evidence file as values, and its one canonical form (docs/reference/evidence-format.md).

JSON with sorted keys, no spaces, ASCII; bytes are 0x and lower-case hex, numbers that may exceed 2^32 are decimal text.
`decoding.py` reads it back.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode as abi_encode

from verifier.statement import OPENING_TYPES, Opening

FORMAT = "w3bstream-evidence-v1"
TASK, COMMITMENTS, READING = "task", "commitments", "reading"
SUBJECTS = (TASK, COMMITMENTS, READING)
"""What a file is about: a task with its readings, a task's commitments only, or one reading."""
MAX_BYTES = 32 << 20
"""Bytes of a file."""
BLS = "bls"
"""The source of finality that a file can show: the delegates' signatures."""
SOURCES = ("", "single-producer", "rpc-finalized", "rpc-depth", BLS)
"""On whose word a block is final; empty: it is not said to be."""


@dataclass(frozen=True)
class ChainPart:
    """Which chain, and which contracts on it."""

    chain_id: int
    genesis: bytes
    """Hash of block 0, 32 bytes."""
    registry: bytes
    """ProjectRegistry, 20 bytes."""
    fleet: bytes
    """FleetManagement, 20 bytes."""
    router: bytes
    """Router, 20 bytes."""


@dataclass(frozen=True)
class TaskPart:
    """The task and its result."""

    id: bytes
    """32 bytes."""
    project_id: int
    version: int
    scheme: str
    """Commitment scheme's name."""
    opening: Opening
    """What `inputs` commits to."""
    public_output: bytes
    """Canonical ABI encoding."""


@dataclass(frozen=True)
class ProofPart:
    """One accepted proof, with its program and where the chain recorded both."""

    kind: str
    """Proof kind, such as `zkp.groth16`."""
    program: str
    """The program's name in the project file: a hint which computation to repeat."""
    program_id: bytes
    """32 bytes."""
    verifying_key: bytes
    """The artifact of which `program_id` is made; empty for a kind that has none offline."""
    prover: bytes
    """Who is paid, 20 bytes."""
    statement_digest: bytes
    """EIP-712 digest, 32 bytes."""
    proof: bytes
    """As the on-chain verifier took it."""
    assignment: int
    """Index among `transactions`."""
    settlement: int
    """Index among `transactions`."""


@dataclass(frozen=True)
class DevicePart:
    """A registered device and its place in the device set."""

    index: int
    device: bytes
    """20 bytes."""
    key_type: int
    public_key: bytes
    """64 bytes."""
    path: tuple[bytes, ...]
    """Siblings from its leaf up, 32 bytes each."""


@dataclass(frozen=True)
class IncludedReading:
    """One reading and its place in the window."""

    wire: bytes
    index: int
    path: tuple[bytes, ...]
    """Siblings from its leaf up, 32 bytes each."""


@dataclass(frozen=True)
class TransactionPart:
    """A transaction and its receipt by their trie proofs; both are the value at the proof's end."""

    header: int
    """Index among `headers`."""
    position: int
    """In the block."""
    transaction: tuple[bytes, ...]
    receipt: tuple[bytes, ...]


@dataclass(frozen=True)
class DelegatePart:
    """A member of a delegate set."""

    address: bytes
    """Operator, 20 bytes."""
    power: int
    """Votes, rau."""
    key: bytes
    """BLS12-381 public key, 48 bytes."""


@dataclass(frozen=True)
class EpochPart:
    """The last block of an epoch, signed by that epoch's delegates, which names those of the next."""

    header: bytes
    """RLP."""
    footer: bytes
    """`l1.consensus.certificate.footer`."""
    delegates: tuple[DelegatePart, ...]
    """The next epoch's; none where they stay."""


@dataclass(frozen=True)
class FinalityPart:
    """What shows that the file's blocks are final: from the genesis' delegates, by their signatures."""

    genesis: bytes
    """Header of block 0, RLP."""
    delegates: tuple[DelegatePart, ...]
    """The set that it names."""
    epochs: tuple[EpochPart, ...]
    """One an epoch that lies between the genesis and the file's last block."""
    footers: tuple[bytes, ...]
    """One a run of consecutive headers, for its last block."""
    rules: bytes = b""
    """The chain's consensus rules, canonical (`l1.chain.consensus_rules`), to which the genesis header commits; empty
    for a chain whose genesis commits to none."""


@dataclass(frozen=True)
class Document:
    """An evidence file."""

    subject: str
    chain: ChainPart
    task: TaskPart
    proofs: tuple[ProofPart, ...]
    """In the order in which the Router accepted them; the last one settled the task."""
    publication: int
    """Index among `transactions` of the project version's publication."""
    record: int
    """Index among `transactions` of the task's record."""
    transactions: tuple[TransactionPart, ...]
    headers: tuple[bytes, ...]
    """RLP, by number."""
    finality_source: str
    """One of `SOURCES`."""
    finality: FinalityPart | None = None
    """The delegates' signatures; None unless the source is `bls`, and where the service had none."""
    devices: tuple[DevicePart, ...] = ()
    """Those whose readings are in the file, by index."""
    readings: tuple[bytes, ...] = ()
    """Wire form, in the commitment's order; only for subject `task`."""
    reading: IncludedReading | None = None
    """Only for subject `reading`."""

    def encode(self) -> bytes:
        """The canonical bytes."""
        fields = {
            "format": FORMAT,
            "subject": self.subject,
            "chain": {**_plain(self.chain), "chain_id": str(self.chain.chain_id)},
            "task": {
                **_plain(self.task),
                "project_id": str(self.task.project_id),
                "opening": _hex(abi_encode(OPENING_TYPES, self.task.opening.words())),
            },
            "proofs": [_plain(each) for each in self.proofs],
            "publication": self.publication,
            "record": self.record,
            "transactions": [_plain(each) for each in self.transactions],
            "headers": [_hex(each) for each in self.headers],
            "finality": {"source": self.finality_source, **_finality(self.finality)},
        }
        if self.subject != COMMITMENTS:
            fields["devices"] = [_plain(each) for each in self.devices]
        if self.subject == TASK:
            fields["readings"] = [_hex(each) for each in self.readings]
        if self.reading is not None:
            fields["reading"] = _plain(self.reading)
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes, 32 bytes: what `sha256sum` says of the file."""
        return hashlib.sha256(self.encode()).digest()


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _finality(part: FinalityPart | None) -> dict[str, Any]:
    if part is None:
        return {}
    return {
        "genesis": _hex(part.genesis),
        "delegates": _delegates(part.delegates),
        "epochs": [
            {"header": _hex(each.header), "footer": _hex(each.footer), "delegates": _delegates(each.delegates)}
            for each in part.epochs
        ],
        "footers": [_hex(each) for each in part.footers],
        **({"rules": _hex(part.rules)} if part.rules else {}),
    }


def _delegates(parts: tuple[DelegatePart, ...]) -> list[dict[str, Any]]:
    return [{**_plain(each), "power": str(each.power)} for each in parts]


def _plain(part: Any) -> dict[str, Any]:
    """A part's fields as JSON has them; those of another form are put over them by the caller."""
    return {
        name: _hex(value)
        if isinstance(value, bytes)
        else [_hex(each) for each in value]
        if isinstance(value, tuple)
        else value
        for name, value in vars(part).items()
        if not isinstance(value, Opening)
    }
