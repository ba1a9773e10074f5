"""The Rust accelerator: bytes and plain values in, bytes and plain values out. The GIL is released while it works."""

import os
from collections.abc import Callable, Sequence

from typing_extensions import Buffer

# --- EVM (native/evm) ---

STATE_HISTORY: int
"""Blocks whose state is kept in memory: the head and those before it, 256 in all."""

MAX_WITHDRAWALS: int
"""Withdrawals in one block at most: 16."""

FORKS: tuple[str, ...]
"""Hard forks of ours on top of Osaka, in the order in which they were written."""

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
    """A header with its hash, and its body. Hashes have 32 bytes, addresses 20."""

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
    @property
    def transaction_count(self) -> int: ...
    def transaction(self, position: int) -> Transaction:
        """One transaction without a list of all. Raises `IndexError`."""
    @property
    def withdrawals(self) -> list[tuple[int, int, bytes, int]]:
        """EIP-4895: (index, validator index, address, gwei), in block order."""

class Receipt:
    """A receipt as the receipt trie commits to it."""

    @property
    def type(self) -> int: ...
    @property
    def status(self) -> bool: ...
    @property
    def cumulative_gas_used(self) -> int: ...
    @property
    def gas_used(self) -> int:
        """Of this transaction alone."""
    @property
    def first_log_index(self) -> int:
        """Logs of the block before this receipt's."""
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
    def storage_of(self, account: bytes) -> list[tuple[int, int]]:
        """Every non-zero (slot, value) of an account, by slot; walks the account's whole storage."""
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
        forks: dict[str, int] = ...,
        prev_randao: bytes = ...,
    ) -> tuple[Chain, Block]:
        """Block 0. `alloc`: address → (balance, nonce, code, slots); `forks`: name out of `FORKS` → its first block,
        none by default; `prev_randao`: 32 bytes, zeros by default. Raises `ExecutionRefused`."""
    def restore(self, headers: list[bytes], state: bytes) -> Chain:
        """Another chain with this one's id and forks, at a snapshot. `headers`: RLP, consecutive, the last one is the
        snapshot's block, 256 or all. Raises `ExecutionRefused`."""
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
        withdrawals: Sequence[tuple[int, int, bytes, int]] = ...,
    ) -> ExecutedBlock:
        """Execute on the head without moving it. `withdrawals`: as `Block.withdrawals`, none by default, credited after
        the transactions without running code. Raises `ExecutionRefused` for attributes that the rules forbid."""
    def import_block(self, raw: bytes) -> ExecutedBlock:
        """Re-execute a block and its withdrawals on the head, compare every root, and leave the head. Raises
        `ExecutionRefused`."""
    def append(self, executed: ExecutedBlock) -> None:
        """Make an executed child of the head the head. Raises `ExecutionRefused` when the head moved since."""
    def rollback(self, number: int) -> None:
        """Drop every block above `number`. Raises `StateNotAvailable`."""
    def view(self, number: int) -> StateView:
        """The state after a recent block. Raises `StateNotAvailable`."""
    def view_of(self, executed: ExecutedBlock) -> StateView:
        """The state after a block that was executed on the head and not appended."""

# --- Groth16 over BN254 and BLS12-381 (native/groth16) ---

class Groth16Error(Exception):
    """Set-up, proving or verification failed. `args` is (kind, message); kind is `malformed`, `unsatisfied`,
    `no-contribution`, `checksum`, `chain`, `io`, `random`, `resources` or `cancelled`."""

    args: tuple[str, str]

class Groth16Key:
    """A proving key of our own making, over BN254, with its constraint system and contribution log; immutable, safe to
    share between threads.

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
    def prove_wtns(
        self, wtns: bytes, threads: int = 0, progress: Callable[[str, float], object] | None = None
    ) -> tuple[bytes, list[tuple[str, float]]]:
        """`prove` for the witness in an iden3 `.wtns` file (version 2). Also `malformed` for another field or count."""
    @staticmethod
    def from_zkey(
        source: bytes | str | os.PathLike[str], r1cs: bytes | None = None, threads: int = 0
    ) -> Groth16ImportedKey:
        """A key that snarkjs made, from a `.zkey` file's bytes or path; the curve is the file's, BN254 or BLS12-381.

        Every length, index, value and point is checked (curve and subgroup) before it is kept; who contributed is not:
        that is for `snarkjs zkey verify`. A `.zkey` holds two of the three matrices, so without its `r1cs` a broken
        constraint cannot be named. Raises Groth16Error: `io`, `malformed` (also for an `r1cs` that is not the key's)."""
    def with_tables(
        self,
        memory: int,
        folder: str | os.PathLike[str] | None = None,
        threads: int = 0,
        progress: Callable[[str, float], object] | None = None,
    ) -> Groth16Key:
        """The same key with stored multiples of its points, at most `memory` bytes of them: proofs are faster.

        With a `folder` they are read from files there where those are this key's, and written there else; processes that
        use one folder share the memory. Raises Groth16Error (`resources`, `io`)."""
    @property
    def tables(self) -> dict[str, str]:
        """What was stored for each list of points, in words; empty without tables."""
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

class Groth16ImportedKey:
    """A proving key that came as a `.zkey`; immutable, safe to share between threads. `Groth16Key.from_zkey` makes it.

    Encodings: a scalar has 32 bytes; a coordinate 32 bytes on BN254, 48 on BLS12-381; big-endian; G2 coordinates with the
    imaginary part first (EIP-197 for BN254, ZCash's uncompressed points for BLS12-381). `threads` and `progress` as in
    `Groth16Key`.
    """

    def prove(
        self, witness: bytes, threads: int = 0, progress: Callable[[str, float], object] | None = None
    ) -> tuple[bytes, list[tuple[str, float]]]:
        """A proof (a, b, c: 256 bytes on BN254, 384 on BLS12-381) and the seconds of each stage.

        `witness` holds every wire, 32 bytes little-endian each, below r. The proof was verified before it is returned.
        Raises Groth16Error: `unsatisfied`, which names the first broken constraint if the key has its r1cs;
        `malformed`, `no-contribution`, `random`."""
    def prove_wtns(
        self, wtns: bytes, threads: int = 0, progress: Callable[[str, float], object] | None = None
    ) -> tuple[bytes, list[tuple[str, float]]]:
        """`prove` for the witness in an iden3 `.wtns` file (version 2). Also `malformed` for another field or count."""
    def verifying_key(self) -> bytes:
        """On BN254 the ABI encoding of docs/reference/encodings.md §4; on BLS12-381 the points alpha, beta, gamma, delta
        and ic, one after the other."""
    @property
    def curve(self) -> str:
        """ "bn254" or "bls12-381"."""
    @property
    def wires(self) -> int:
        """Number of wires, the constant one included."""
    @property
    def signals(self) -> int:
        """Number of public signals."""
    @property
    def domain(self) -> int:
        """Points of the evaluation domain, a power of two: constraints + signals + 1 or more."""
    @property
    def contributions(self) -> int:
        """Number of phase-2 contributions that the file says it has had."""
    @property
    def sha256(self) -> bytes:
        """SHA-256 of the `.zkey` file, 32 bytes."""
    @property
    def names_constraints(self) -> bool:
        """Whether the key has its r1cs, so that a broken constraint is named."""

def groth16_verify(verifying_key: bytes, signals: bytes, proof: bytes, curve: str = "bn254") -> bool:
    """Whether a proof (256 bytes; 384 on "bls12-381") proves `signals` (32 bytes big-endian each) under a verifying key,
    encoded as `Groth16Key.verifying_key_abi` or `Groth16ImportedKey.verifying_key` does.

    Raises Groth16Error (`malformed`) for a wrong length or count, a value that is not below its modulus, a point off the
    curve, outside the subgroup or at infinity, and a key whose delta equals gamma.
    """

def groth16_verify_batch(
    verifying_key: bytes,
    claims: Sequence[tuple[bytes, bytes]],
    threads: int = 0,
    progress: Callable[[str, float], object] | None = None,
    curve: str = "bn254",
) -> dict[int, str]:
    """Verify many (signals, proof) under one key, encoded as for `groth16_verify`. **Returns the refused ones**: their
    position with the reason; an empty dict says that every proof holds.

    One random linear combination with 128-bit weights from the operating system (Bellare, Garay, Rabin, EUROCRYPT 1998):
    n + 3 Miller loops and one final exponentiation for n good proofs; a false one passes with probability 2^-128. When
    the combination fails, halves are searched for the false proofs. A claim that does not decode is refused alone.

    Raises Groth16Error: `malformed` (verifying key or curve), `random`, `resources`; what `progress` raises comes out.
    """

# --- BLS12-381 signatures (native/bls) ---

class BlsError(ValueError):
    """A key, a signature or a list that is refused. `args` is (kind, message); kind is `length`, `encoding` (flags of no
    compressed point, or a coordinate not below the modulus), `curve`, `subgroup`, `infinity`, `scalar`,
    `key-material`, `empty`, `count`, `duplicate`, `unproven`, `no-member` or `random`."""

    args: tuple[str, str]

class BlsSecretKey:
    """A secret key of the ciphersuite BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_ (draft-irtf-cfrg-bls-signature-05).

    Wiped when it is dropped; `repr` shows the public key only; copying and pickling raise TypeError.
    """

    @staticmethod
    def generate() -> BlsSecretKey:
        """A fresh key from the operating system's randomness. Raises BlsError (`random`)."""
    @staticmethod
    def key_gen(material: bytes, key_info: bytes = b"") -> BlsSecretKey:
        """The key of 32 or more bytes of secret, uniform key material (draft §2.3; without `key_info` it is ERC-2333's
        `derive_master_SK`). Raises BlsError (`key-material`)."""
    @staticmethod
    def from_bytes(encoded: bytes) -> BlsSecretKey:
        """32 bytes, big-endian, from 1 to r - 1. Raises BlsError (`length`, `scalar`)."""
    def to_bytes(self) -> bytes:
        """The secret, 32 bytes big-endian, for a key store. Python never wipes these bytes."""
    def public_key(self) -> BlsPublicKey: ...
    def sign(self, message: bytes) -> bytes:
        """The signature, 96 bytes."""
    def prove_possession(self) -> bytes:
        """PopProve: 96 bytes that show to everyone that the public key's owner has the secret."""

class BlsPublicKey:
    """A point of the subgroup of G1 other than infinity: checked and decompressed once, then reused."""

    @staticmethod
    def from_bytes(encoded: bytes) -> BlsPublicKey:
        """KeyValidate on 48 bytes. Raises BlsError (`length`, `encoding`, `curve`, `subgroup`, `infinity`)."""
    def to_bytes(self) -> bytes:
        """48 bytes, compressed."""
    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's on the message. Raises BlsError for bytes that are no signature:
        `length`, `encoding`, `curve`, `subgroup`."""
    def verify_possession(self, proof: bytes) -> bool:
        """PopVerify. Raises BlsError for bytes that are no signature."""

class BlsCommittee:
    """Proven keys in a fixed order, checked once; no key is there twice.

    A bitmap has ceil(members / 8) bytes; member i is bit i % 8, the lowest first, of byte i // 8.
    """

    def __init__(self, keys: Sequence[BlsPublicKey | bytes], proofs: Sequence[bytes]) -> None:
        """Members with their proofs of possession. Raises BlsError: `unproven` names the first key whose proof does not
        hold; `count`, `empty`, `duplicate`, and what is wrong with a key's or proof's bytes."""
    @staticmethod
    def of_proven(keys: Sequence[BlsPublicKey | bytes]) -> BlsCommittee:
        """Keys whose proofs were checked when they were registered. With an unproven key in it, whoever chose that key
        can sign for everybody. Raises BlsError like the constructor."""
    def __len__(self) -> int: ...
    @property
    def public_keys(self) -> list[BlsPublicKey]: ...
    def signers(self, bitmap: bytes) -> list[int]:
        """Members that the bitmap names, ascending. Raises BlsError (`length`; `no-member` for a bit beyond them)."""
    def aggregate_key(self, bitmap: bytes) -> BlsPublicKey:
        """The sum of the signers' keys. Raises BlsError (`length`, `no-member`, `empty`, `infinity`)."""
    def verify(self, bitmap: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature is the sum of every signer's on the message. Raises BlsError (`length`, `no-member`,
        `empty`, and what is wrong with the signature's bytes)."""
    def aggregate(self, votes: Sequence[tuple[int, bytes]]) -> tuple[bytes, bytes]:
        """The bitmap and the sum of (member, signature) on one message. Verify each vote first: one wrong vote spoils
        the sum. Raises BlsError (`empty`, `no-member`, `duplicate`, and what is wrong with a signature's bytes)."""

def bls_verify(key: BlsPublicKey | bytes, message: bytes, signature: bytes) -> bool:
    """Verify. Raises BlsError for bytes that are no key or no signature; so does every function below."""

def bls_verify_possession(key: BlsPublicKey | bytes, proof: bytes) -> bool:
    """PopVerify."""

def bls_aggregate(signatures: Sequence[bytes]) -> bytes:
    """The sum of signatures, 96 bytes. Raises BlsError (`empty`)."""

def bls_aggregate_public_keys(keys: Sequence[BlsPublicKey | bytes]) -> BlsPublicKey:
    """The sum of keys. Raises BlsError (`empty`; `infinity` where the keys cancel)."""

def bls_aggregate_verify(keys: Sequence[BlsPublicKey | bytes], messages: Sequence[bytes], signature: bytes) -> bool:
    """AggregateVerify: each key's own message. The keys must be proven. Raises BlsError (`empty`, `count`)."""

def bls_fast_aggregate_verify(keys: Sequence[BlsPublicKey | bytes], message: bytes, signature: bytes) -> bool:
    """FastAggregateVerify: one message. The keys must be proven. Raises BlsError (`empty`)."""

def bls_batch_verify(signed: Sequence[tuple[BlsPublicKey | bytes, bytes, bytes]]) -> bool:
    """Whether every (key, message, signature) holds: one check of a sum with random 128-bit coefficients, so that wrong
    signatures whose errors cancel do not pass. Raises BlsError (`empty`, `random`)."""

def bls_batch_invalid(signed: Sequence[tuple[BlsPublicKey | bytes, bytes, bytes]]) -> list[int]:
    """The indices of the triples that do not hold, found by halving. Raises BlsError (`random`)."""

# --- Attestation evidence (native/attestation) ---
# Certificates are DER, leaf first, the root last and included. Anchors are SHA-256 fingerprints of root certificates
# (DER), 32 bytes each. Time is in Unix seconds, a signed integer of 64 bits.

SEV_SNP_ROOTS: dict[str, bytes]
"""Fingerprints of AMD's root keys by product: "Milan", "Genoa", "Turin"."""

NITRO_ROOTS: dict[str, bytes]
"""Fingerprint of the AWS Nitro Enclaves root G1."""

NVIDIA_DEVICE_ROOTS: dict[str, bytes]
"""Fingerprint of the NVIDIA Device Identity CA."""

NVIDIA_RIM_ROOTS: dict[str, bytes]
"""Fingerprint of the NVIDIA CoRIM signing Root CA, which reference integrity manifests go back to."""

class AttestationRefused(ValueError):
    """Evidence that is refused: args = (reason, field, text).

    Reasons: length, encoding, version, algorithm, value, missing, unknown, duplicate, signature, anchor, issuer,
    constraint, not-yet-valid, expired, revoked, mismatch. Fields are stable names such as "report.policy" or
    "certificate.validity".
    """

class SnpTcb:
    """Security patch levels of the firmware's parts."""

    @property
    def raw(self) -> int:
        """The eight bytes as a little-endian integer."""
    @property
    def fmc(self) -> int | None:
        """Turin only."""
    @property
    def bootloader(self) -> int: ...
    @property
    def tee(self) -> int: ...
    @property
    def snp(self) -> int: ...
    @property
    def microcode(self) -> int: ...

class SnpReport:
    """A SEV-SNP report whose signature, chain and endorsement hold (AMD document 56860)."""

    @property
    def version(self) -> int:
        """2 to 5."""
    @property
    def guest_svn(self) -> int: ...
    @property
    def policy(self) -> int: ...
    @property
    def policy_abi(self) -> tuple[int, int]:
        """Least ABI version that the guest asks for: major, minor."""
    @property
    def policy_debug(self) -> bool:
        """The host may read the guest's memory."""
    @property
    def policy_smt(self) -> bool: ...
    @property
    def policy_migrate_ma(self) -> bool: ...
    @property
    def policy_single_socket(self) -> bool: ...
    @property
    def family_id(self) -> bytes:
        """16 bytes."""
    @property
    def image_id(self) -> bytes:
        """16 bytes."""
    @property
    def vmpl(self) -> int:
        """Privilege level that asked, 0 to 3."""
    @property
    def platform_info(self) -> int: ...
    @property
    def author_key_enabled(self) -> bool: ...
    @property
    def chip_key_masked(self) -> bool: ...
    @property
    def signing_key(self) -> str:
        """`"vcek"` or `"vlek"`."""
    @property
    def report_data(self) -> bytes:
        """The guest's own 64 bytes."""
    @property
    def measurement(self) -> bytes:
        """Launch digest, 48 bytes."""
    @property
    def host_data(self) -> bytes:
        """32 bytes."""
    @property
    def id_key_digest(self) -> bytes:
        """48 bytes."""
    @property
    def author_key_digest(self) -> bytes:
        """48 bytes."""
    @property
    def report_id(self) -> bytes:
        """32 bytes."""
    @property
    def report_id_ma(self) -> bytes:
        """32 bytes."""
    @property
    def chip_id(self) -> bytes:
        """64 bytes: the VCEK certificate's. Zeros, or any others, only with a VLEK."""
    @property
    def cpuid(self) -> tuple[int, int, int] | None:
        """Family, model, stepping; from version 3."""
    @property
    def current_tcb(self) -> SnpTcb: ...
    @property
    def reported_tcb(self) -> SnpTcb:
        """The TCB of the signing key's certificate."""
    @property
    def committed_tcb(self) -> SnpTcb: ...
    @property
    def launch_tcb(self) -> SnpTcb: ...
    @property
    def current_version(self) -> tuple[int, int, int]:
        """Firmware: major, minor, build."""
    @property
    def committed_version(self) -> tuple[int, int, int]:
        """Firmware: major, minor, build."""
    @property
    def launch_mitigations(self) -> int | None:
        """From version 5."""
    @property
    def current_mitigations(self) -> int | None:
        """From version 5."""
    @property
    def product(self) -> str:
        """`"Milan"`, `"Genoa"` or `"Turin"`."""
    @property
    def product_name(self) -> str:
        """As the certificate has it: "Milan-B0"."""
    @property
    def csp_id(self) -> str | None:
        """The cloud provider of a VLEK."""
    @property
    def root(self) -> bytes:
        """Fingerprint of the anchor that the chain ends in."""

class NitroDocument:
    """A Nitro Enclaves document whose signature and chain hold."""

    @property
    def module_id(self) -> str: ...
    @property
    def timestamp(self) -> int:
        """Unix milliseconds, by the hypervisor."""
    @property
    def digest(self) -> str:
        """Always `"SHA384"`."""
    @property
    def pcrs(self) -> dict[int, bytes]:
        """Registers by number, 0 to 31, 48 bytes each."""
    @property
    def certificate(self) -> bytes: ...
    @property
    def public_key(self) -> bytes | None: ...
    @property
    def user_data(self) -> bytes | None: ...
    @property
    def nonce(self) -> bytes | None: ...
    @property
    def debug(self) -> bool:
        """PCR0 is zeros: an enclave in debug mode."""
    @property
    def root(self) -> bytes:
        """Fingerprint of the anchor that the chain ends in."""

class H100Report:
    """An H100 measurement report whose signature and chain hold (SPDM 1.1, DSP0274)."""

    @property
    def nonce(self) -> bytes:
        """The asker's 32 bytes."""
    @property
    def response_nonce(self) -> bytes:
        """The GPU's 32 bytes."""
    @property
    def slot(self) -> int: ...
    @property
    def measurements(self) -> list[tuple[int, int, bytes]]:
        """(index from 1, DMTF value type, value), ascending."""
    @property
    def opaque(self) -> dict[int, bytes]:
        """Opaque data by type."""
    @property
    def driver_version(self) -> str | None: ...
    @property
    def vbios_version(self) -> str | None:
        """Five parts in hexadecimal: "96.00.9F.00.01"."""
    @property
    def firmware_digest(self) -> bytes | None:
        """48 bytes, the same in the report and in the GPU's certificate; `None` where the report has none."""
    @property
    def root(self) -> bytes:
        """Fingerprint of the anchor that the chain ends in."""

def sev_snp_verify(
    report: bytes,
    certificates: Sequence[bytes],
    anchors: Sequence[bytes],
    time: int,
    revocation_lists: Sequence[bytes] = (),
) -> SnpReport:
    """Verify a report with [VCEK, ASK, ARK] or [VLEK, ASVK, ARK].

    The certificate's security patch levels, and a VCEK's chip, must be the report's. Every revocation list (CRL, DER)
    must be by an issuer of the chain. Raises `AttestationRefused`; `ValueError` for an anchor that is not 32 bytes.
    """

def nitro_verify(document: bytes, anchors: Sequence[bytes], time: int) -> NitroDocument:
    """Verify an attestation document: COSE_Sign1 with ES384, its bundle up to the root.

    A debug enclave is accepted and says so. A timestamp more than 60 s after `time` is refused. Raises
    `AttestationRefused`; `ValueError` for an anchor that is not 32 bytes.
    """

def h100_verify(
    report: bytes,
    certificates: Sequence[bytes],
    anchors: Sequence[bytes],
    time: int,
    revocation_lists: Sequence[bytes] = (),
) -> H100Report:
    """Verify a report: GET_MEASUREMENTS request (37 bytes) and answer with its signature (96 bytes).

    Measurements are not compared with reference manifests. Raises `AttestationRefused`; `ValueError` for an anchor that
    is not 32 bytes.
    """

def x509_verify(
    certificates: Sequence[bytes],
    anchors: Sequence[bytes],
    time: int,
    revocation_lists: Sequence[bytes] = (),
) -> bytes:
    """Verify a chain of 2 to 8 certificates; the leaf's SubjectPublicKeyInfo, DER.

    ECDSA on P-256 with SHA-256 or on P-384 with SHA-384, RSA-4096 PSS with SHA-384. The leaf is no CA and, where its
    key usage is limited, may make digital signatures. Raises `AttestationRefused`; `ValueError` for an anchor that is
    not 32 bytes.
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

# --- Multi-scalar multiplication (native/msm) ---

class MsmError(ValueError):
    """A multiplication or a table that is refused or broke off: args = (kind, message).

    Kinds: "length", "not-canonical", "not-on-curve", "not-in-subgroup", "too-many", "budget", "memory", "plan", "table",
    "io", "cancelled".
    """

class MsmBases:
    """Bases with their stored multiples (Brickell et al. 1992; Luo, Fu and Gong 2023; the planner picks). Immutable.

    Groups: "bn254-g1", "bn254-g2", "bls12-381-g1", "bls12-381-g2". Points are affine, x then y, each coordinate
    canonical little-endian, of the quadratic extension c0 then c1: n × 64, 128, 96 or 192 bytes; infinity is all zero.
    Scalars are n × 32 bytes, canonical little-endian. `bytes` are used where they lie; other buffers (numpy arrays of
    uint8) are copied once. Not constant-time: never for secrets that sign.
    """

    @staticmethod
    def build(
        group: str,
        points: Buffer,
        *,
        memory: int = ...,
        engine: str | None = None,
        window: int | None = None,
        portable: bool = False,
        threads: int = 0,
        progress: Callable[[float], object] | None = None,
    ) -> MsmBases:
        """Check the points and build a table of at most `memory` bytes (default 1 GiB).

        `engine` ("pippenger", "bgmw", "luo-fu-gong", "generalized-buckets", "eisenstein") and `window` (bits) overrule
        the planner; `portable` leaves vectors alone: `mulx` and `adx` where the CPU has them. `threads` 0
        takes every core. `progress` hears the share done, 0 to 1; what it raises stops the work and comes out. Raises
        `MsmError`.
        """
    @staticmethod
    def open(group: str, path: str | os.PathLike[str], digest: bytes, *, portable: bool = False) -> MsmBases:
        """Map a saved table, shared read-only between processes. `digest` names its bases. Raises `MsmError`: "table" for
        a file that is damaged, or of another version, group, layout or bases; "io"."""
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table, whole or not at all. Raises `MsmError`."""
    def msm(self, scalars: Buffer, *, threads: int = 0, progress: Callable[[float], object] | None = None) -> bytes:
        """Σ scalars[i]·bases[i] as an affine point; fewer scalars than bases take the first ones. Raises `MsmError`."""
    @property
    def group(self) -> str: ...
    @property
    def engine(self) -> str: ...
    @property
    def window(self) -> int:
        """c: the engine's radix is 2^c."""
    @property
    def additions(self) -> int:
        """Point additions of one multiplication by uniform scalars."""
    @property
    def table_bytes(self) -> int: ...
    @property
    def digest(self) -> bytes:
        """32 bytes that name the bases: BLAKE3 of the group and the points."""
    def __len__(self) -> int: ...

def msm(
    group: str,
    points: Buffer,
    scalars: Buffer,
    *,
    engine: str | None = None,
    window: int | None = None,
    portable: bool = False,
    threads: int = 0,
    progress: Callable[[float], object] | None = None,
) -> bytes:
    """Σ scalars[i]·points[i] as an affine point, without a table (Pippenger's buckets). Otherwise as `MsmBases`."""
