"""The genesis file: chain constants and the first accounts, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from l1.chain.consensus_rules import ConsensusRules, RulesInvalid, parse_rules
from l1.chain.genesis_delegates import (
    GenesisDelegate,
    GenesisDelegatesInvalid,
    delegate_set,
    delegates_json,
    parse_delegates,
)
from native import _native

DEFAULT_CHAIN_ID = 4690
"""IoTeX testnet's id, ours unless the file or the command line says otherwise."""

_KEYS = {"chainId", "config", "gasLimit", "baseFeePerGas", "timestamp", "extraData", "alloc", "delegates", "consensus"}
_CONFIG_KEYS = {"w3bstream"}
_ACCOUNT_KEYS = {"balance", "nonce", "code", "storage"}


class GenesisInvalid(ValueError):
    """The genesis file breaks its schema; the message names the key and the value."""


@dataclass(frozen=True)
class GenesisAccount:
    """One account of the allocation."""

    balance: int = 0
    """Wei."""
    nonce: int = 0
    """First nonce."""
    code: bytes = b""
    """Runtime code."""
    storage: Mapping[int, int] = field(default_factory=dict)
    """Slot to value."""


@dataclass(frozen=True)
class Genesis:
    """What every node of one chain must agree on."""

    chain_id: int
    """EIP-155 chain id."""
    gas_limit: int = 60_000_000
    """Gas limit of every block."""
    base_fee_per_gas: int = 1_000_000_000
    """Wei per gas of block 0 (EIP-1559)."""
    timestamp: int = 0
    """Unix seconds of block 0."""
    extra_data: bytes = b""
    """At most 32 bytes. With `delegates` it is their set's root, and nothing may stand here."""
    alloc: Mapping[bytes, GenesisAccount] = field(default_factory=dict)
    """Address (20 bytes) to account."""
    delegates: tuple[GenesisDelegate, ...] = ()
    """Who decides the first blocks, in proposer order. None: one producer does, and nothing is final but by its word."""
    consensus: ConsensusRules | None = None
    """Times, length of an epoch, staking: block 0 commits to them. None: the defaults of the program, and no staking."""
    forks: Mapping[str, int] = field(default_factory=dict)
    """Hard fork of ours (`_native.FORKS`) to its first block. One that is not named never comes. No part of block 0."""

    def executor(self) -> tuple[_native.Chain, _native.Block]:
        """The executor at block 0, and block 0.

        Raises
        ------
        GenesisInvalid
            When the executor refuses a value (gas limit, extra data, reserved code, a fork that it does not know).
        """
        alloc = {
            address: (account.balance, account.nonce, account.code, list(account.storage.items()))
            for address, account in self.alloc.items()
        }
        try:
            return _native.Chain.genesis(
                chain_id=self.chain_id,
                gas_limit=self.gas_limit,
                base_fee_per_gas=self.base_fee_per_gas,
                timestamp=self.timestamp,
                extra_data=delegate_set(self.delegates).root() if self.delegates else self.extra_data,
                alloc=alloc,
                forks=dict(self.forks),
                prev_randao=self.consensus.commitment() if self.consensus else bytes(32),
            )
        except (_native.ExecutionRefused, OverflowError) as error:
            raise GenesisInvalid(str(error)) from error

    def same_until(self, other: Genesis, number: int) -> bool:
        """Whether blocks 0 to `number` mean the same under both: they differ at most in forks that begin later."""
        until = [{name: first for name, first in each.forks.items() if first <= number} for each in (self, other)]
        return until[0] == until[1] and replace(self, forks=other.forks) == other

    def to_json(self) -> str:
        """The file's form; `parse_genesis(json.loads(...))` gives the same value back."""
        forks = {f"{name}Block": hex(first) for name, first in sorted(self.forks.items())}
        accounts = {
            "0x" + address.hex(): {
                "balance": hex(account.balance),
                "nonce": hex(account.nonce),
                "code": "0x" + account.code.hex(),
                "storage": {hex(slot): hex(value) for slot, value in account.storage.items()},
            }
            for address, account in sorted(self.alloc.items())
        }
        return json.dumps(
            {
                "chainId": self.chain_id,
                **({"config": {"w3bstream": forks}} if forks else {}),
                "gasLimit": hex(self.gas_limit),
                "baseFeePerGas": hex(self.base_fee_per_gas),
                "timestamp": hex(self.timestamp),
                "extraData": "0x" + self.extra_data.hex(),
                "alloc": accounts,
                **({"delegates": delegates_json(self.delegates)} if self.delegates else {}),
                **({"consensus": self.consensus.document()} if self.consensus else {}),
            },
            indent=1,
        )


def load_genesis(path: Path, chain_id: int | None = None) -> Genesis:
    """Read a genesis file.

    Raises
    ------
    GenesisInvalid
        When the file is unreadable, breaks the schema, or names another chain id than `chain_id`.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise GenesisInvalid(f"genesis file {path}: {error}") from error
    return parse_genesis(document, chain_id)


def parse_genesis(document: object, chain_id: int | None = None) -> Genesis:
    """Check a genesis document. Integers are JSON numbers, decimal or 0x strings; bytes are 0x strings.

    Raises
    ------
    GenesisInvalid
        As `load_genesis`.
    """
    if not isinstance(document, dict):
        raise GenesisInvalid("genesis: expected an object")
    _only(document, _KEYS, "genesis")
    named = _integer(document.get("chainId", chain_id or DEFAULT_CHAIN_ID), "chainId", 64)
    if chain_id is not None and named != chain_id:
        raise GenesisInvalid(f"chainId: the file says {named}, the command line {chain_id}")
    alloc = document.get("alloc", {})
    if not isinstance(alloc, dict):
        raise GenesisInvalid("alloc: expected an object from address to account")
    extra_data = _bytes(document.get("extraData", "0x"), "extraData")
    try:
        delegates = parse_delegates(document.get("delegates", []))
        consensus = parse_rules(document["consensus"]) if "consensus" in document else None
    except (GenesisDelegatesInvalid, RulesInvalid) as error:
        raise GenesisInvalid(str(error)) from error
    if consensus and not delegates:
        raise GenesisInvalid("consensus: these are rules for delegates, and the genesis names none")
    if delegates and extra_data:
        raise GenesisInvalid("extraData: with delegates it is their set's root; leave it out")
    return Genesis(
        chain_id=named,
        gas_limit=_integer(document.get("gasLimit", Genesis.gas_limit), "gasLimit", 64),
        base_fee_per_gas=_integer(document.get("baseFeePerGas", Genesis.base_fee_per_gas), "baseFeePerGas", 64),
        timestamp=_integer(document.get("timestamp", 0), "timestamp", 64),
        extra_data=extra_data,
        delegates=delegates,
        consensus=consensus,
        alloc=dict(_account(address, account) for address, account in alloc.items()),
        forks=_forks(document.get("config", {})),
    )


def _forks(config: Any) -> dict[str, int]:
    if not isinstance(config, dict):
        raise GenesisInvalid("config: expected an object")
    _only(config, _CONFIG_KEYS, "config")
    ours = config.get("w3bstream", {})
    if not isinstance(ours, dict):
        raise GenesisInvalid("config.w3bstream: expected an object from fork to block number")
    keys = {f"{name}Block": name for name in _native.FORKS}
    _only(ours, set(keys), "config.w3bstream")
    return {keys[key]: _integer(block, f"config.w3bstream.{key}", 64) for key, block in ours.items()}


def _account(address: str, account: Any) -> tuple[bytes, GenesisAccount]:
    where = f"alloc.{address}"
    raw = _bytes(address if address.startswith("0x") else "0x" + address, where)
    if len(raw) != 20:
        raise GenesisInvalid(f"{where}: an address has 20 bytes, not {len(raw)}")
    if not isinstance(account, dict):
        raise GenesisInvalid(f"{where}: expected an object")
    _only(account, _ACCOUNT_KEYS, where)
    storage = account.get("storage", {})
    if not isinstance(storage, dict):
        raise GenesisInvalid(f"{where}.storage: expected an object from slot to value")
    return raw, GenesisAccount(
        balance=_integer(account.get("balance", 0), f"{where}.balance", 256),
        nonce=_integer(account.get("nonce", 0), f"{where}.nonce", 64),
        code=_bytes(account.get("code", "0x"), f"{where}.code"),
        storage={
            _integer(slot, f"{where}.storage", 256): _integer(value, f"{where}.storage.{slot}", 256)
            for slot, value in storage.items()
        },
    )


def _only(document: dict[str, Any], allowed: set[str], where: str) -> None:
    if unknown := sorted(set(document) - allowed):
        raise GenesisInvalid(f"{where}: unknown key {unknown[0]!r}; allowed are {', '.join(sorted(allowed))}")


def _integer(value: Any, where: str, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise GenesisInvalid(f"{where}: expected an integer, not {value!r}")
    try:
        number = value if isinstance(value, int) else int(value, 16 if value.startswith("0x") else 10)
    except ValueError as error:
        raise GenesisInvalid(f"{where}: expected an integer, not {value!r}") from error
    if not 0 <= number < 1 << bits:
        raise GenesisInvalid(f"{where}: {number} is not in [0, 2^{bits})")
    return number


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise GenesisInvalid(f"{where}: expected a 0x string, not {value!r}")
    try:
        return bytes.fromhex(value[2:])
    except ValueError as error:
        raise GenesisInvalid(f"{where}: {error}") from error
