"""The delegates that a genesis names: they decide the first epochs, until an election follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from l1.consensus.delegates import Delegate, DelegateSet, DelegateSetError
from native import _native

_KEYS = ("address", "power", "blsKey", "blsProof")
_LENGTHS = {"address": 20, "blsKey": 48, "blsProof": 96}


class GenesisDelegatesInvalid(ValueError):
    """Delegates that cannot decide anything; the message says which, and why."""


class GenesisDelegate(NamedTuple):
    """One delegate."""

    address: bytes
    """Operator's address, 20 bytes."""
    power: int
    """Votes, rau."""
    key: bytes
    """BLS12-381 public key, 48 bytes."""
    proof: bytes
    """The key's proof of possession, 96 bytes."""


def delegate_set(delegates: Sequence[GenesisDelegate]) -> DelegateSet:
    """The set, in this order, each key's possession proven.

    Raises
    ------
    GenesisDelegatesInvalid
        For a set that cannot decide, or a key whose possession is not proven.
    """
    try:
        made = DelegateSet(tuple(Delegate(each.address, each.power, each.key) for each in delegates))
        _native.BlsCommittee([each.key for each in delegates], [each.proof for each in delegates])
    except (DelegateSetError, _native.BlsError) as error:
        raise GenesisDelegatesInvalid(f"delegates: {error.args[-1]}") from error
    return made


def delegates_json(delegates: Sequence[GenesisDelegate]) -> list[dict[str, str]]:
    """The file's form."""
    return [
        {
            "address": "0x" + each.address.hex(),
            "power": hex(each.power),
            "blsKey": "0x" + each.key.hex(),
            "blsProof": "0x" + each.proof.hex(),
        }
        for each in delegates
    ]


def parse_delegates(document: Any) -> tuple[GenesisDelegate, ...]:
    """Read the file's form and check it; an empty list is no delegates. Raises GenesisDelegatesInvalid."""
    if not isinstance(document, list):
        raise GenesisDelegatesInvalid("delegates: expected a list")
    delegates = tuple(_delegate(each, f"delegates[{index}]") for index, each in enumerate(document))
    if delegates:
        delegate_set(delegates)
    return delegates


def _delegate(entry: Any, where: str) -> GenesisDelegate:
    if not isinstance(entry, dict) or sorted(entry) != sorted(_KEYS):
        raise GenesisDelegatesInvalid(f"{where}: expected an object with {', '.join(_KEYS)}")
    values = {}
    for key, length in _LENGTHS.items():
        try:
            values[key] = bytes.fromhex(entry[key].removeprefix("0x"))
        except (AttributeError, ValueError, TypeError) as error:
            raise GenesisDelegatesInvalid(f"{where}.{key}: expected a 0x string") from error
        if len(values[key]) != length:
            raise GenesisDelegatesInvalid(f"{where}.{key}: {length} bytes, not {len(values[key])}")
    try:
        power = int(entry["power"], 0) if isinstance(entry["power"], str) else int(entry["power"])
    except (ValueError, TypeError) as error:
        raise GenesisDelegatesInvalid(f"{where}.power: expected an integer") from error
    return GenesisDelegate(values["address"], power, values["blsKey"], values["blsProof"])
