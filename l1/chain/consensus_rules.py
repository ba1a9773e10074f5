"""The consensus rules that a genesis names, and that block 0 commits to: times, length of an epoch, staking.

The keccak256 of their canonical form is block 0's `mixHash`, which nothing else uses there. So whoever knows the genesis'
hash knows the rules too, a light client among them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, Final

from eth_hash.auto import keccak

from l1.consensus.parameters import DEVNET, IIP_51, Parameters
from l1.staking import parameters as staking_parameters

LEAST_BLOCKS_PER_EPOCH: Final = 4
"""So that the poll in the middle of an epoch is in the state before its last block, which names the next delegates."""
ERAS: Final = {each.name: each for each in (IIP_51, DEVNET)}
"""Eras that a chain of ours may have: quorums by power, deadlines that grow. The older ones are for the simulator."""
MAX_ENCODED: Final = 8_192
"""Bytes of the canonical form: some 1,500, and 46 for each candidate who gets no epoch reward."""
_MAX_MS: Final = 3_600_000
_KEYS = ("era", "interval", "idle", "blocksPerEpoch", "staking")
_ENUMS: Final[dict[str, type[Enum]]] = {
    "selection": staking_parameters.Selection,
    "seed": staking_parameters.Seed,
    "rotation": staking_parameters.Rotation,
    "exit_order": staking_parameters.ExitOrder,
}


class RulesInvalid(ValueError):
    """Rules that no chain can have; the message names the key and the value."""


@dataclass(frozen=True)
class ConsensusRules:
    """What every node of one chain must agree on besides the first state."""

    era: str = IIP_51.name
    """Name of the parameter set, one of `ERAS`."""
    interval: int = IIP_51.timing.interval
    """Milliseconds between the starts of two blocks at least."""
    idle: int = IIP_51.timing.idle
    """Milliseconds more that the first proposer of a height may wait for transactions."""
    blocks_per_epoch: int = IIP_51.blocks_per_epoch
    """Heights that one delegate set decides."""
    staking: staking_parameters.Parameters | None = None
    """Rules of staking, elections and rewards; the genesis has the contract then. None: the delegates never change."""

    def __post_init__(self) -> None:
        """Raises RulesInvalid."""
        if self.era not in ERAS:
            raise RulesInvalid(f"consensus.era: {self.era!r} is none of {', '.join(ERAS)}")
        if not LEAST_BLOCKS_PER_EPOCH <= self.blocks_per_epoch < 1 << 32:
            raise RulesInvalid(f"consensus.blocksPerEpoch: {self.blocks_per_epoch} is below {LEAST_BLOCKS_PER_EPOCH}")
        if not 1 <= self.interval <= _MAX_MS or not 0 <= self.idle <= _MAX_MS:
            raise RulesInvalid(f"consensus: interval is 1 to {_MAX_MS} ms, idle 0 to {_MAX_MS}")
        if self.staking is not None and self.staking.blocks_per_epoch != self.blocks_per_epoch:
            # One number: staking takes it from here, whatever its own default is.
            object.__setattr__(self, "staking", replace(self.staking, blocks_per_epoch=self.blocks_per_epoch))
        if len(self.encoded()) > MAX_ENCODED:
            raise RulesInvalid(f"consensus: more than {MAX_ENCODED} bytes; is epochRewardExempt so long?")
        try:
            self.parameters()
        except ValueError as error:
            raise RulesInvalid(f"consensus: {error}") from error

    def parameters(self) -> Parameters:
        """The parameters of the consensus."""
        era = ERAS[self.era]
        timing = replace(era.timing, interval=self.interval, idle=self.idle)
        return replace(era, timing=timing, blocks_per_epoch=self.blocks_per_epoch)

    def document(self) -> dict[str, Any]:
        """The form that a genesis file has; `parse_rules` gives the same value back."""
        staking = self.staking
        return {
            "era": self.era,
            "interval": self.interval,
            "idle": self.idle,
            "blocksPerEpoch": self.blocks_per_epoch,
            **({} if staking is None else {"staking": _staking_document(staking)}),
        }

    def encoded(self) -> bytes:
        """Canonical form: JSON with sorted keys, without spaces, ASCII; every number of staking stands in it."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":")).encode("ascii")

    def commitment(self) -> bytes:
        """keccak256 of `encoded`, 32 bytes: block 0's `mixHash`."""
        return bytes(keccak(self.encoded()))


def parse_rules(document: Any) -> ConsensusRules:
    """Read the form of a genesis file; what is left out has its default. Raises RulesInvalid."""
    if not isinstance(document, dict):
        raise RulesInvalid("consensus: expected an object")
    _only(document, _KEYS, "consensus")
    era = document.get("era", IIP_51.name)
    if not isinstance(era, str) or era not in ERAS:
        raise RulesInvalid(f"consensus.era: {era!r} is none of {', '.join(ERAS)}")
    defaults = ERAS[era]
    staking = document.get("staking")
    return ConsensusRules(
        era,
        _integer(document.get("interval", defaults.timing.interval), "consensus.interval"),
        _integer(document.get("idle", defaults.timing.idle), "consensus.idle"),
        _integer(document.get("blocksPerEpoch", defaults.blocks_per_epoch), "consensus.blocksPerEpoch"),
        None if staking is None else _parse_staking(staking),
    )


def decode_rules(encoded: bytes) -> ConsensusRules:
    """Read the canonical form, and no other. Raises RulesInvalid."""
    if len(encoded) > MAX_ENCODED:
        raise RulesInvalid(f"consensus rules of {len(encoded)} bytes; at most {MAX_ENCODED}")
    try:
        rules = parse_rules(json.loads(encoded))
    except (ValueError, RecursionError) as error:
        raise RulesInvalid(f"no consensus rules: {error}") from error
    if rules.encoded() != encoded:
        raise RulesInvalid("the consensus rules are not in their canonical form")
    return rules


def _staking_document(staking: staking_parameters.Parameters) -> dict[str, Any]:
    """Every field but the length of the epoch; amounts are strings, so that no reader of JSON rounds them."""
    document: dict[str, Any] = {}
    for field in fields(staking):
        value = getattr(staking, field.name)
        if isinstance(value, Enum):
            value = value.value
        elif isinstance(value, frozenset):
            value = ["0x" + each.hex() for each in sorted(value)]
        elif not isinstance(value, bool):
            value = str(value)
        document[_camel(field.name)] = value
    del document["blocksPerEpoch"]
    return document


def _parse_staking(document: Any) -> staking_parameters.Parameters:
    if not isinstance(document, dict):
        raise RulesInvalid("consensus.staking: expected an object")
    names = {_camel(each.name): each.name for each in fields(staking_parameters.Parameters)}
    del names["blocksPerEpoch"]
    _only(document, names, "consensus.staking")
    default = staking_parameters.IIP_53
    values: dict[str, Any] = {
        names[key]: _staking_value(names[key], value, getattr(default, names[key]), f"consensus.staking.{key}")
        for key, value in document.items()
    }
    return replace(default, **values)


def _staking_value(name: str, value: Any, default: object, where: str) -> object:
    if name in _ENUMS:
        try:
            return _ENUMS[name](value)
        except ValueError as error:
            raise RulesInvalid(f"{where}: {error}") from error
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise RulesInvalid(f"{where}: expected true or false, not {value!r}")
        return value
    if isinstance(default, frozenset):
        try:
            addresses = frozenset(bytes.fromhex(each.removeprefix("0x")) for each in value)
        except (TypeError, ValueError, AttributeError) as error:
            raise RulesInvalid(f"{where}: expected a list of addresses") from error
        if any(len(each) != 20 for each in addresses):
            raise RulesInvalid(f"{where}: an address has 20 bytes")
        return addresses
    return _integer(value, where)


def _integer(value: Any, where: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 40:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 128:
        raise RulesInvalid(f"{where}: expected a number from 0, not {value!r}")
    return value


def _only(document: dict[str, Any], allowed: Any, where: str) -> None:
    if unknown := sorted(set(document) - set(allowed)):
        raise RulesInvalid(f"{where}: unknown key {unknown[0]!r}; allowed are {', '.join(sorted(allowed))}")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
