"""The Rust accelerator: bytes and plain values in, bytes and plain values out. The GIL is released while it works."""

import os
from collections.abc import Callable

# --- EVM (native/evm) ---

STATE_HISTORY: int
"""Blocks whose state is kept in memory: the head and those before it, 256 in all."""

class TransactionRefused(ValueError):
    """A transaction that the chain's rules refuse. The message is geth's, so that wallets recognise it."""

class ExecutionRefused(ValueError):
    """A block, genesis or snapshot that does not hold; the message names the field and both values."""

class StateNotAvailable(LookupError):
    """The state of that block is no longer kept."""

class Transaction:
    """A signed transaction of type 0, 1, 2 or 4 (EIP-2718) whose sender was recovered."""

    @staticmethod
    def decode(raw: bytes) -> Transaction:
        """Decode EIP-2718 bytes. Raises `TransactionRefused` for malformed bytes, blobs or a bad signature."""
    @property
    def hash(self) -> bytes: ...
    @property
    def sender(self) -> bytes: ...
    @property
    def encoded(self) -> bytes: ...
    @property
    def type(self) -> int: ...
    @property
    def chain_id(self) -> int | None: ...
    @property
    def nonce(self) -> int: ...
    @property
    def gas(self) -> int: ...
    @property
    def to(self) -> bytes | None: ...
    @property
    def value(self) -> int: ...
    @property
    def input(self) -> bytes: ...
    @property
    def max_fee_per_gas(self) -> int: ...
    @property
    def max_priority_fee_per_gas(self) -> int:
        """Wei per gas; the gas price itself for types 0 and 1."""
    @property
    def cost(self) -> int:
        """Gas limit × fee cap + value, wei."""
    @property
    def access_list(self) -> list[tuple[bytes, list[bytes]]] | None: ...
    @property
    def authorization_list(self) -> list[tuple[int, bytes, int, int, int, int]] | None:
        """EIP-7702: (chain id, address, nonce, y parity, r, s)."""
    @property
    def y_parity(self) -> int: ...
    @property
    def r(self) -> int: ...
    @property
    def s(self) -> int: ...
    def effective_gas_price(self, base_fee: int) -> int: ...
    def effective_tip(self, base_fee: int) -> int | None:
        """Wei per gas for the producer, or `None` when the fee cap is below the base fee."""
    def check(self, view: StateView) -> None:
        """Every rule but a nonce that is too high. Raises `TransactionRefused`."""

class Block:
    """A header with its hash, and its transactions. Hashes have 32 bytes, addresses 20."""

    @staticmethod
    def decode(raw: bytes) -> Block:
        """Read block RLP; header rules are not checked. Raises `ExecutionRefused`."""
    @property
    def hash(self) -> bytes: ...
    @property
    def parent_hash(self) -> bytes: ...
    @property
    def beneficiary(self) -> bytes: ...
    @property
    def state_root(self) -> bytes: ...
    @property
    def transactions_root(self) -> bytes: ...
    @property
    def receipts_root(self) -> bytes: ...
    @property
    def logs_bloom(self) -> bytes: ...
    @property
    def prev_randao(self) -> bytes: ...
    @property
    def number(self) -> int: ...
    @property
    def gas_limit(self) -> int: ...
    @property
    def gas_used(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def base_fee_per_gas(self) -> int: ...
    @property
    def extra_data(self) -> bytes: ...
    @property
    def parent_beacon_block_root(self) -> bytes: ...
    @property
    def ommers_hash(self) -> bytes: ...
    @property
    def withdrawals_root(self) -> bytes: ...
    @property
    def requests_hash(self) -> bytes: ...
    @property
    def header(self) -> bytes:
        """RLP of the header; its keccak256 is the block hash."""
    @property
    def encoded(self) -> bytes:
        """RLP of the block."""
    @property
    def transactions(self) -> list[Transaction]: ...

class Receipt:
    """A receipt as the receipt trie commits to it."""

    @property
    def type(self) -> int: ...
    @property
    def status(self) -> bool: ...
    @property
    def cumulative_gas_used(self) -> int: ...
    @property
    def logs_bloom(self) -> bytes: ...
    @property
    def logs(self) -> list[tuple[bytes, list[bytes], bytes]]:
        """(address, topics, data)."""

def decode_receipts(raw: bytes) -> list[Receipt]:
    """Read `ExecutedBlock.encoded_receipts`. Raises `ExecutionRefused`."""

class ExecutedBlock:
    """A block with its receipts and the state after it."""

    @property
    def block(self) -> Block: ...
    @property
    def receipts(self) -> list[Receipt]: ...
    @property
    def encoded_receipts(self) -> bytes: ...
    @property
    def outcomes(self) -> list[str | None]:
        """For each transaction offered: `None` included, "" deferred to a later block, else why it can never run."""

class CallResult:
    """How a call ended."""

    @property
    def status(self) -> str:
        """ "success", "revert" or "halt"."""
    @property
    def halt_reason(self) -> str: ...
    @property
    def gas_used(self) -> int: ...
    @property
    def output(self) -> bytes: ...

class AccountProof:
    """An account with its proof and those of some slots (EIP-1186)."""

    @property
    def nonce(self) -> int: ...
    @property
    def balance(self) -> int: ...
    @property
    def code_hash(self) -> bytes: ...
    @property
    def storage_root(self) -> bytes: ...
    @property
    def account_proof(self) -> list[bytes]: ...
    @property
    def storage_proofs(self) -> list[tuple[int, int, list[bytes]]]:
        """(slot, value, nodes)."""

class StateView:
    """The state after one block; stays valid when the chain moves on."""

    @property
    def number(self) -> int: ...
    @property
    def state_root(self) -> bytes: ...
    def balance(self, account: bytes) -> int: ...
    def nonce(self, account: bytes) -> int: ...
    def code(self, account: bytes) -> bytes: ...
    def storage(self, account: bytes, slot: int) -> int: ...
    def proof(self, account: bytes, slots: list[int]) -> AccountProof: ...
    def call(
        self,
        *,
        sender: bytes,
        to: bytes | None,
        data: bytes,
        value: int,
        gas: int | None,
        gas_price: int,
        tip: int | None,
        access_list: list[tuple[bytes, list[bytes]]],
        gas_cap: int,
    ) -> CallResult:
        """Execute and throw the writes away. Raises `TransactionRefused` when the message cannot start."""
    def estimate_gas(
        self,
        *,
        sender: bytes,
        to: bytes | None,
        data: bytes,
        value: int,
        gas: int | None,
        gas_price: int,
        tip: int | None,
        access_list: list[tuple[bytes, list[bytes]]],
        gas_cap: int,
    ) -> tuple[int | None, CallResult | None]:
        """The smallest gas limit that succeeds, or how the message fails with all the gas allowed."""
    def snapshot(self) -> bytes:
        """The whole state as bytes, for `Chain.restore`."""

class Chain:
    """The executor: head, recent states, build, import, append, roll back. Thread-safe; keeps nothing on disk."""

    @staticmethod
    def genesis(
        *,
        chain_id: int,
        gas_limit: int,
        base_fee_per_gas: int,
        timestamp: int,
        extra_data: bytes,
        alloc: dict[bytes, tuple[int, int, bytes, list[tuple[int, int]]]],
    ) -> tuple[Chain, Block]:
        """Block 0. `alloc`: address → (balance, nonce, code, slots). Raises `ExecutionRefused`."""
    @staticmethod
    def restore(chain_id: int, headers: list[bytes], state: bytes) -> Chain:
        """The chain at a snapshot. `headers`: RLP, consecutive, the last one is the snapshot's block, 256 or all."""
    @property
    def chain_id(self) -> int: ...
    @property
    def head_number(self) -> int: ...
    @property
    def head_hash(self) -> bytes: ...
    @property
    def next_base_fee(self) -> int: ...
    def build(
        self,
        transactions: list[Transaction],
        *,
        beneficiary: bytes,
        timestamp: int,
        prev_randao: bytes,
        parent_beacon_block_root: bytes,
        extra_data: bytes,
    ) -> ExecutedBlock:
        """Execute on the head without moving it. Raises `ExecutionRefused` for attributes that the rules forbid."""
    def import_block(self, raw: bytes) -> ExecutedBlock:
        """Re-execute a block on the head, compare every root, and leave the head. Raises `ExecutionRefused`."""
    def append(self, executed: ExecutedBlock) -> None:
        """Make an executed child of the head the head. Raises `ExecutionRefused` when the head moved since."""
    def rollback(self, number: int) -> None:
        """Drop every block above `number`. Raises `StateNotAvailable`."""
    def view(self, number: int) -> StateView:
        """The state after a recent block. Raises `StateNotAvailable`."""
    def view_of(self, executed: ExecutedBlock) -> StateView:
        """The state after a block that was executed on the head and not appended."""

# --- Groth16 over BN254 (native/groth16) ---

class Groth16Error(Exception):
    """Set-up, proving or verification failed. `args` is (kind, message); kind is `malformed`, `unsatisfied`,
    `no-contribution`, `checksum`, `chain`, `io`, `random`, `resources` or `cancelled`."""

    args: tuple[str, str]

class Groth16Key:
    """A proving key with its constraint system and contribution log; immutable, safe to share between threads.

    `threads` is the number of worker threads of one call, 0 for one a core. `progress` is called with a stage and the
    fraction done; an exception that it raises stops the work and comes out.
    """

    @staticmethod
    def setup(
        r1cs: bytes,
        label: str = ...,
        threads: int = 0,
        progress: Callable[[str, float], object] | None = None,
    ) -> Groth16Key:
        """Phase 1 for an iden3 `.r1cs` file with fresh secrets, wiped after use. The key cannot prove before
        `contribute`. Raises Groth16Error."""
    def contribute(
        self, name: str, threads: int = 0, progress: Callable[[str, float], object] | None = None
    ) -> Groth16Key:
        """Phase 2: a new key, contributed to again (eprint 2017/1050). `name`: 1 to 200 bytes. Raises Groth16Error."""
    @staticmethod
    def load(path: str | os.PathLike[str], threads: int = 0) -> Groth16Key:
        """Load a key file: every value checked. Raises Groth16Error (`io`, `malformed`, `checksum`, `chain`)."""
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the key file and sync it to disk. Raises Groth16Error (`io`)."""
    def verify_contributions(self, initial: Groth16Key, threads: int = 0) -> None:
        """Audit this key against the initial key it came from. Raises Groth16Error (`chain`, `no-contribution`)."""
    def matches_r1cs(self, r1cs: bytes) -> bool:
        """Whether the key's constraints are this file's. Raises Groth16Error (`malformed`)."""
    def prove(
        self, witness: bytes, threads: int = 0, progress: Callable[[str, float], object] | None = None
    ) -> tuple[bytes, list[tuple[str, float]]]:
        """A proof (256 bytes: a, b, c, big-endian, G2 in EIP-197 order) and the seconds of each stage.

        `witness` holds every wire, 32 bytes little-endian each, below r. Raises Groth16Error: `unsatisfied` names the
        first broken constraint; `malformed`, `no-contribution`, `random`."""
    def verifying_key_abi(self) -> bytes:
        """The verifying key's ABI encoding, docs/reference/encodings.md §4."""
    def zkey(self) -> bytes:
        """The key as a snarkjs `.zkey` file, without contributions. Raises Groth16Error (`no-contribution`)."""
    def log_json(self) -> str:
        """The contribution log as JSON."""
    @property
    def label(self) -> str:
        """Who made the key and how far it may be trusted."""
    @property
    def hash(self) -> bytes:
        """SHA-256 of the key's body, 32 bytes: what the contribution log chains."""
    @property
    def r1cs_sha256(self) -> bytes:
        """SHA-256 of the `.r1cs` file, 32 bytes."""
    @property
    def constraints(self) -> int:
        """Number of constraints."""
    @property
    def wires(self) -> int:
        """Number of wires, the constant one included."""
    @property
    def signals(self) -> int:
        """Number of public signals."""
    @property
    def contributions(self) -> int:
        """Number of phase-2 contributions."""

def groth16_verify(verifying_key: bytes, signals: bytes, proof: bytes) -> bool:
    """Whether a 256-byte proof proves `signals` (32 bytes big-endian each) under an ABI-encoded verifying key.

    Raises Groth16Error (`malformed`) for a wrong length or count, a value that is not below its modulus, a point off the
    curve, outside the subgroup or at infinity, and a key whose delta equals gamma.
    """

# --- Readings (native/babyjubjub) ---

def babyjubjub_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes, canonical) signs `message` (a field element, 32 bytes big-endian) for the key.

    The same as `verifier.babyjubjub.verify`: False for a key that is no point of prime order (64 bytes x, y), for a
    message of r or more, and for what is not canonical.
    """

def babyjubjub_signed_messages(signed: list[tuple[bytes, bytes]]) -> list[bytes | None]:
    """For each (public key, reading in wire form) the field element that was signed, 32 bytes; None where the Baby
    Jubjub key did not sign the reading. On every core."""

def reading_message(wire: bytes) -> bytes:
    """The field element that a reading's device signs, 32 bytes. Raises ValueError for bytes that are no reading."""

def poseidon_roots(trees: list[list[bytes]], capacity: int) -> list[bytes]:
    """Roots, 32 bytes each, of binary trees of Poseidon over these leaves (32 bytes each), the rest 0.

    Raises ValueError when a leaf is not below r, a tree has more than `capacity` leaves, or that is no power of two.
    """
