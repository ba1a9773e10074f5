"""Keys of delegates: an operator's account, and the BLS key that votes are signed with (IIP-52)."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coincurve import PrivateKey
from eth_hash.auto import keccak

from l1.chain.genesis_delegates import GenesisDelegate
from native import _native

SEED_BYTES = 32
DEVNET_POWER = 2_000_000 * 10**18
"""Self-stake of each delegate of a devnet, rau: its votes are above what IIP-53 asks of a candidate."""


class KeysError(RuntimeError):
    """The key file cannot be used; the message says why."""


@dataclass(frozen=True)
class DelegateKeys:
    """One delegate's secrets."""

    operator: bytes
    """secp256k1 secret of the operator's account, 32 bytes."""
    voting: _native.BlsSecretKey
    """Signs votes and proposals, nothing else."""

    @property
    def address(self) -> bytes:
        """The operator's address, 20 bytes."""
        public = PrivateKey(self.operator).public_key.format(compressed=False)
        return bytes(keccak(public[1:])[12:])

    def registration(self, power: int) -> GenesisDelegate:
        """The delegate as a genesis names it."""
        voting = self.voting
        return GenesisDelegate(self.address, power, voting.public_key().to_bytes(), voting.prove_possession())


def derive(seed: bytes, count: int) -> tuple[DelegateKeys, ...]:
    """So many delegates' keys from one secret seed of 32 bytes: a devnet's, in which one process holds them all."""
    made = []
    for index in range(count):
        operator = keccak(b"w3bstream/l1/operator" + seed + index.to_bytes(4))
        voting = _native.BlsSecretKey.key_gen(bytes(keccak(b"w3bstream/l1/voting" + seed + index.to_bytes(4))))
        made.append(DelegateKeys(bytes(operator), voting))
    return tuple(made)


def generate() -> DelegateKeys:
    """Fresh keys of one delegate, from the operating system's randomness."""
    return DelegateKeys(PrivateKey().secret, _native.BlsSecretKey.generate())


def save_keys(keys: DelegateKeys, path: Path) -> None:
    """Write a delegate's key file, which only its owner can read. Raises FileExistsError: keys are never overwritten."""
    document = {"version": 1, "operator": "0x" + keys.operator.hex(), "voting": "0x" + keys.voting.to_bytes().hex()}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def load_keys(path: Path) -> DelegateKeys:
    """Read a delegate's key file. Raises KeysError: absent, open to others, or not of this form."""
    try:
        mode = path.stat().st_mode & 0o077
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(f"key file {path}: {error}. Make one with: python -m l1 keygen --out {path}") from error
    if mode:
        raise KeysError(f"key file {path} can be read by others: chmod 600 {path}")
    try:
        match json.loads(text):
            case {"version": 1, "operator": str(operator), "voting": str(voting), **others} if not others:
                secret = PrivateKey(_secret(operator)).secret
                return DelegateKeys(secret, _native.BlsSecretKey.from_bytes(_secret(voting)))
    except (ValueError, _native.BlsError) as error:
        raise KeysError(f"key file {path} holds no keys: {error}") from error
    raise KeysError(f"key file {path}: expected an object with version 1, operator and voting")


def _secret(text: str) -> bytes:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != SEED_BYTES:
        raise ValueError(f"a secret has {SEED_BYTES} bytes, not {len(raw)}")
    return raw


def node_secret(folder: Path) -> bytes:
    """The secret that a node without delegate's keys is known by, 32 bytes, from `node.key`, which is made if it is
    not there. Raises KeysError."""
    path = folder / "node.key"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(SEED_BYTES) + "\n")
    try:
        return PrivateKey(_secret(path.read_text().strip())).secret
    except ValueError as error:
        raise KeysError(f"{path} is no node key ({error}): delete it, and another is made") from error


def devnet_keys(folder: Path, count: int) -> tuple[DelegateKeys, ...]:
    """Keys of the devnet in `folder`, from the seed in `delegates.seed` there, which is made if it is not.

    Raises
    ------
    KeysError
        When the file is there and holds something else.
    """
    path = folder / "delegates.seed"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = folder / "delegates.seed.new"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(SEED_BYTES) + "\n")
        draft.replace(path)
    try:
        seed = bytes.fromhex(path.read_text().strip())
    except ValueError as error:
        raise KeysError(f"{path} is no seed: 64 hex digits") from error
    if len(seed) != SEED_BYTES:
        raise KeysError(f"{path} is no seed: 64 hex digits")
    return derive(seed, count)


def held(delegates: Sequence[GenesisDelegate], keys: Sequence[DelegateKeys]) -> None:
    """Check that these are the delegates' keys, in their order. Raises KeysError."""
    named = [(each.address, each.key) for each in delegates]
    mine = [(each.address, each.voting.public_key().to_bytes()) for each in keys]
    if named != mine:
        raise KeysError(
            "the keys in this folder are not those of the genesis' delegates: take the folder's own genesis"
        )
