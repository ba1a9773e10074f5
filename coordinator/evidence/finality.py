"""The delegates' signatures on a file's blocks, asked of the chain that they decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coordinator.evidence.blocks import Rpc
from l1.consensus.schedule import epoch_of
from l1.light.client import NotFinal, parameters_of
from verifier.errors import Unavailable
from verifier.evidence.blocks import Header
from verifier.evidence.document import DelegatePart, EpochPart, FinalityPart
from verifier.evidence.trust import runs


class FinalityReader:
    """Certificates of one chain; the epochs' are asked for once."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._epochs: list[EpochPart] = []

    async def of(self, headers: Sequence[Header]) -> FinalityPart:
        """What shows that these blocks, by number, are final.

        Raises Unavailable (W3B-5001; W3B-9007 where the server has no certificates).
        """
        genesis = _data(await self._ask("w3b_getHeader", 0))
        rules = _data(await self._rpc.request("w3b_getRules"))
        try:
            parameters = parameters_of(genesis, rules)
        except NotFinal as error:
            raise _unusable(str(error.args[1])) from error
        ends = [run[-1].number for run in runs(headers)]
        before = epoch_of(ends[-1], parameters) - 1
        while len(self._epochs) < before:
            self._epochs.append(await self._epoch((len(self._epochs) + 1) * parameters.blocks_per_epoch))
        return FinalityPart(
            genesis=genesis,
            delegates=await self._delegates(0),
            epochs=tuple(self._epochs[:before]),
            footers=tuple([(await self.certificate(number))[1] for number in ends]),
            rules=rules,
        )

    async def _epoch(self, last: int) -> EpochPart:
        """The epoch whose last block this is."""
        header, footer = await self.certificate(last)
        following = await self._delegates(last)
        return EpochPart(header, footer, () if following == await self._delegates(last - 1) else following)

    async def certificate(self, number: int) -> tuple[bytes, bytes]:
        """Header (RLP) and footer of a block. Raises Unavailable (W3B-5001, W3B-9007)."""
        found = await self._ask("w3b_getCertificate", number)
        if not isinstance(found, dict):
            raise _unusable(f"the chain has no certificate of block {number}")
        return _data(found.get("header")), _data(found.get("footer"))

    async def _delegates(self, number: int) -> tuple[DelegatePart, ...]:
        found = await self._ask("w3b_getDelegates", number)
        try:
            return tuple(
                DelegatePart(_data(each["address"]), int(each["power"], 16), _data(each["blsKey"])) for each in found
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _unusable(f"the delegates after block {number} have another form: {error!r}") from error

    async def _ask(self, method: str, number: int) -> Any:
        return await self._rpc.request(method, hex(number))


def _unusable(why: str) -> Unavailable:
    return Unavailable("W3B-9007", why)


def _data(value: Any) -> bytes:
    try:
        return bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError as error:
        raise _unusable(f"{str(value)[:40]!r} is no hex") from error
