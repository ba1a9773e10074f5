"""Test only: a chain of three delegate sets, made by hand, whose blocks hold the receipts that a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from eth_abi.abi import encode
from eth_hash.auto import keccak

from l1.consensus.certificate import bitmap_of, footer
from l1.consensus.delegates import Delegate, DelegateSet
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Vote, domain_of
from l1.consensus.parameters import IIP_51
from l1.light.client import Checkpoint, LightClient
from l1.nodes.keys import DelegateKeys, derive
from native import _native
from verifier.bindings import event_topic
from verifier.evidence import rlp
from verifier.evidence.trie import Trie, position_key
from verifier.finality_proof import FinalityProof

EPOCH = IIP_51.blocks_per_epoch
SETS = [derive(bytes([number]) * 32, 4) for number in range(3)]
QUORUM = range(3)


def delegates(keys: Sequence[DelegateKeys]) -> DelegateSet:
    return DelegateSet(tuple(Delegate(each.address, 1, each.voting.public_key().to_bytes()) for each in keys))


def header(
    number: int, following: DelegateSet, receipts_root: bytes = bytes(32), timestamp: int = 1_800_000_000
) -> bytes:
    fields: list[rlp.Item] = [bytes(32)] * 21
    fields[5], fields[12] = receipts_root, following.root()
    fields[8], fields[11] = rlp.encode_int(number), rlp.encode_int(timestamp)
    return rlp.encode(fields)


@dataclass(frozen=True)
class Settlement:
    """The Router's event, and the receipt that holds it."""

    router: bytes
    task_id: bytes
    project_id: int = 1
    version: int = 1
    public_output: bytes = b"\x01" * 32
    output: bytes = b""
    """Empty: the hash of the public output."""
    prover: bytes = b"\x77" * 20
    succeeded: bool = True
    times: int = 1
    """How often the receipt has the event."""

    def log(self) -> list[rlp.Item]:
        words = (self.project_id.to_bytes(32, "big"), self.version.to_bytes(32, "big"))
        topics: list[rlp.Item] = [event_topic("Router", "TaskSettled"), self.task_id, *words]
        output = self.output or keccak(self.public_output)
        return [self.router, topics, encode(["bytes32", "address", "bytes"], [output, self.prover, self.public_output])]

    def receipt(self, *others: Settlement) -> bytes:
        """A receipt of type 2 with this event, after those of other tasks, another one about
        this task, and a stranger's."""
        status = b"\x01" if self.succeeded else b""
        own = [self.log() for _ in range(self.times)]
        accepted: rlp.Item = [self.router, [event_topic("Router", "ProofVerified"), self.task_id], b""]
        logs: list[rlp.Item] = [[b"\x99" * 20, [], b""], accepted, *(each.log() for each in others), *own]
        return b"\x02" + rlp.encode([status, b"\x52\x08", bytes(256), logs])


EMPTY_RECEIPT = b"\x02" + rlp.encode([b"\x01", b"\x52\x08", bytes(256), []])


@dataclass
class SignedChain:
    """Parameters: `chain_id` is that of the certificates; `seed` tells apart chains with the same delegates."""

    chain_id: int = 4690
    seed: int = 0
    sets: list[DelegateSet] = field(default_factory=lambda: [delegates(keys) for keys in SETS])

    def __post_init__(self) -> None:
        self.genesis = header(0, self.sets[0], timestamp=1 + self.seed)
        self.domain = domain_of(self.chain_id, keccak(self.genesis))

    def sign(self, encoded: bytes, number: int, keys: Sequence[DelegateKeys], signers: Sequence[int] = QUORUM) -> bytes:
        """The footer of a header."""
        vote = Vote(number, 0, Topic.COMMIT, keccak(encoded), 0)
        signatures = [keys[at].voting.sign(vote.digest(self.domain)) for at in signers]
        return footer(Certificate(*vote[:4], bitmap_of(signers, len(keys)), _native.bls_aggregate(signatures)))

    def client(self, epoch: int = 1) -> LightClient:
        """A client that has followed the sets up to an epoch."""
        client = LightClient(Checkpoint(self.chain_id, keccak(self.genesis), self.genesis, self.sets[0]), IIP_51, now=0)
        for number in range(1, epoch):
            last = header(number * EPOCH, self.sets[number])
            client.advance(last, self.sign(last, number * EPOCH, SETS[number - 1]), self.sets[number])
        return client

    def proof(
        self,
        receipt: bytes,
        number: int = 7,
        position: int = 0,
        *,
        receipts: int = 1,
        signed_by: int | None = None,
        signers: Sequence[int] = QUORUM,
    ) -> FinalityProof:
        """The receipt in a block of so many, signed by the set of the block's epoch unless another is named."""
        items = {position_key(at): EMPTY_RECEIPT for at in range(receipts)} | {position_key(position): receipt}
        trie, epoch = Trie(items), (number - 1) // EPOCH
        encoded = header(number, self.sets[epoch], trie.root)
        keys = SETS[epoch if signed_by is None else signed_by]
        return FinalityProof(
            encoded, self.sign(encoded, number, keys, signers), position, tuple(trie.prove(position_key(position)))
        )
