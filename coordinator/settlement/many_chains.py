"""A chain behind several RPC servers, of which some may hang, lag or lie; it is a `Chain` like one server.

- Receipt, block by number, nonce, call, logs, head: a majority is believed; of two servers the one that answers while
  the other is silent or behind, and only both when both answer.
- The same through `agreed` (SAFE, FINAL, refusals, freezes), and `safe` and `finalized`: a majority, which of two means
  both.
- Fees and gas: the median (of fees the lower, of gas the upper one); a wrong one costs time or fees, never a result.
- Sending: all servers get the bytes, and one that takes them is enough.

"latest" is the highest block that so many servers have; calls about it name its number, so that honest servers that are
not equally far give the same answer. `quorum.py` has the rules of counting, `endpoints.py` those of patience.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from coordinator.settlement.chain import (
    Block,
    Chain,
    Disagreement,
    Fees,
    JsonRpcChain,
    Log,
    Receipt,
    Reverted,
    RpcRefused,
)
from coordinator.settlement.endpoints import Endpoint, EndpointLimits, shown_name
from coordinator.settlement.quorum import Quorum, Said
from verifier.errors import W3bstreamError

_TAGS = ("safe", "finalized")
_MOST_GAS = 1 << 24
"""No transaction may take more since Osaka (EIP-7825); a server that says more is passed over where another says less."""
_BACK = 3
"""Blocks below the head in which servers at the tip of two branches are expected to meet."""


def chain_at(urls: str, seconds: float = 10.0) -> Chain:
    """The chain behind one JSON-RPC URL, or behind several with commas between them. `seconds` bounds each answer."""
    listed = rpc_urls(urls)
    if len(listed) == 1:
        return JsonRpcChain(listed[0], seconds)
    limits = EndpointLimits(seconds=seconds)
    return ManyChains(
        Quorum(
            [
                Endpoint(shown_name(number, url), JsonRpcChain(url, seconds), limits)
                for number, url in enumerate(listed, 1)
            ]
        )
    )


def rpc_urls(urls: str) -> list[str]:
    """The URLs of the setting, each once."""
    return list(dict.fromkeys(url.strip() for url in urls.split(",") if url.strip()))


def agreed(chain: Chain) -> Chain:
    """The same chain, each answer of which a majority of its servers stands behind."""
    return chain.agreed if isinstance(chain, ManyChains) else chain


def problems(chain: Chain) -> list[str]:
    """What is wrong with servers of the chain, by name; nothing for a chain behind one server."""
    return chain.quorum.problems if isinstance(chain, ManyChains) else []


def _by_block(answer: Block | Exception) -> Hashable:
    """The hash alone would let one server put its own number and time beside the true hash."""
    return (answer.hash, answer.number, answer.timestamp) if isinstance(answer, Block) else str(answer)


def _by_receipt(answer: Receipt | Exception | None) -> Hashable:
    if not isinstance(answer, Receipt):
        return None if answer is None else str(answer)
    where = (answer.block_number, answer.block_hash)
    return (answer.tx_hash, *where, answer.succeeded, answer.contract_address, answer.logs)


def _by_outcome(answer: Any) -> Hashable:
    """Two reverts are the same when their data is: the words around it are each server's own."""
    return ("reverted", answer.data) if isinstance(answer, Reverted) else answer


class ManyChains:
    """A chain behind a quorum. Parameters: `need` is how many servers must say a thing (default: a majority, but of two
    servers one)."""

    def __init__(self, quorum: Quorum, need: int | None = None) -> None:
        self.quorum = quorum
        """The servers."""
        self.need = need or (1 if len(quorum.endpoints) == 2 else quorum.majority)
        """How many servers must say a thing."""
        self.agreed: ManyChains = self if self.need == quorum.majority else ManyChains(quorum, quorum.majority)
        """The same chain on a majority's word."""

    async def _ask(
        self, question: Callable[[Chain], Any], what: str, key: Callable[[Any], Hashable] = _by_outcome
    ) -> Any:
        said = await self.quorum.ask(question, enough=self.need, key=key)
        return self.quorum.decide(said, need=self.need, key=key, what=what)

    async def chain_id(self) -> int:
        """EIP-155 chain id, the same at all servers. Raises Conflict (W3B-5014)."""
        return (await self.quorum.identity())[0]

    async def block(self, which: int | str) -> Block | None:
        """The block of a number, or of `latest`, `safe`, `finalized`."""
        if isinstance(which, int):
            return await self._numbered(which)
        return await (self._tagged(which) if which in _TAGS else self._latest())

    async def _numbered(self, number: int) -> Block | None:
        said = await self.quorum.ask(lambda chain: chain.block(number), enough=self.need, key=_by_block)
        held = [(each, answer) for each, answer in said if answer is not None]
        if said and not held:
            return None
        found: Block = self.quorum.decide(held, need=self.need, key=_by_block, what=f"block {number}")
        return found

    async def _latest(self) -> Block | None:
        said = await self.quorum.ask(lambda chain: chain.block("latest"), enough=self.need, key=lambda _: 0)
        heads = [answer for _, answer in said if isinstance(answer, Block)]
        if len(heads) < self.need:
            self.quorum.decide(
                [(e, a) for e, a in said if a is not None], need=self.need, key=lambda _: 0, what="a head"
            )
        if len({_by_block(head) for head in heads}) == 1:
            found = heads[0]
        else:
            found = await self._common([head.number for head in heads])
        self.quorum.head = found.number
        return found

    async def _common(self, numbers: Sequence[int]) -> Block:
        """The highest block that enough servers have, a little below where two branches fight for the tip."""
        at = sorted(numbers, reverse=True)[max(self.need, min(self.quorum.majority, len(numbers))) - 1]
        for number in range(at, max(-1, at - _BACK - 1), -1):
            try:
                block = await self._numbered(number)
            except Disagreement as error:
                if error.code == "W3B-5013" or number <= max(0, at - _BACK):
                    raise
                continue
            if block is not None:
                return block
        raise Disagreement("W3B-5012", f"the RPC servers have no common block at {at} and the {_BACK} below")

    async def _tagged(self, tag: str) -> Block | None:
        """The highest block that a majority calls so: one server's claim alone never moves it."""
        majority = self.quorum.majority
        said = await self.quorum.ask(lambda chain: chain.block(tag), enough=len(self.quorum.endpoints), key=_by_block)
        numbers = sorted((answer.number for _, answer in said if isinstance(answer, Block)), reverse=True)
        if len(numbers) >= majority:
            return await self.agreed.block(numbers[majority - 1])
        without = [answer for _, answer in said if not isinstance(answer, Block)]
        if len(without) >= majority:
            refusal = next((each for each in without if isinstance(each, RpcRefused)), None)
            if refusal is not None:
                raise refusal
            return None
        names = "; ".join(self.quorum.problems)
        raise Disagreement(
            "W3B-5013", f"only {len(numbers)} of {len(self.quorum.endpoints)} RPC servers say {tag}; {names}"
        )

    async def _pinned(self, which: int | str) -> int | str:
        if which != "latest":
            return which
        if self.quorum.head is None:
            await self._latest()
        return "latest" if self.quorum.head is None else self.quorum.head

    async def nonce(self, address: str, which: int | str = "latest") -> int:
        """Transactions sent as of a block."""
        at = await self._pinned(which)
        return int(await self._ask(lambda chain: chain.nonce(address, at), f"the nonce of {address} at block {at}"))

    async def code(self, address: str) -> bytes:
        """The account's code."""
        return bytes(await self._ask(lambda chain: chain.code(address), f"the code at {address}"))

    async def call(self, sender: str, to: str, data: bytes, which: int | str = "latest") -> bytes:
        """Simulate at a block."""
        at = await self._pinned(which)
        what = f"call 0x{data[:4].hex()} to {to} at block {at}"
        return bytes(await self._ask(lambda chain: chain.call(sender, to, data, at), what))

    async def estimate_gas(self, sender: str, to: str, data: bytes) -> int:
        """The upper median of what the servers estimate; Reverted only when all that answer say so."""
        said = await self._hints(lambda chain: chain.estimate_gas(sender, to, data))
        found = sorted(answer for _, answer in said if isinstance(answer, int))
        if not found:
            raise _refusal(said)
        possible = [each for each in found if each <= _MOST_GAS] or found
        return possible[len(possible) // 2]

    async def fees(self) -> Fees:
        """The lower median of what the servers name."""
        said = await self._hints(lambda chain: chain.fees())
        found = sorted((answer for _, answer in said if isinstance(answer, Fees)), key=lambda fees: fees.max_fee)
        if not found:
            raise _refusal(said)
        return found[(len(found) - 1) // 2]

    async def _hints(self, question: Callable[[Chain], Any]) -> Said:
        said = await self.quorum.ask(question, enough=1, key=lambda _: 0)
        if not said:
            self.quorum.decide(said, need=1, key=_by_outcome, what="")
        return said

    async def send_raw(self, raw: bytes) -> None:
        """Hand in a signed transaction at every server."""
        await self.quorum.tell_all(raw)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt, when mined; a server whose head is below the receipt's block takes no side."""
        said = await self.quorum.ask(lambda chain: chain.receipt(tx_hash), enough=self.need, key=_by_receipt)
        found = [answer for _, answer in said if isinstance(answer, Receipt)]
        if found:
            lowest = min(each.block_number for each in found)
            said = [(each, answer) for each, answer in said if answer is not None or await has_block(each, lowest)]
        receipt: Receipt | None = self.quorum.decide(
            said, need=self.need, key=_by_receipt, what=f"the receipt of {tx_hash}"
        )
        return receipt

    async def logs(
        self, address: str, topics: Sequence[bytes | None], first: int, last: int | None = None
    ) -> list[tuple[str, Log]]:
        """Events of one block or of several."""
        what = f"events of {address} in blocks {first} to {first if last is None else last}"
        found = await self._ask(lambda chain: chain.logs(address, topics, first, last), what, _by_logs)
        return list(found)

    async def close(self) -> None:
        """Give the connections back."""
        await self.quorum.close()


def _by_logs(answer: Any) -> Hashable:
    return tuple(answer) if isinstance(answer, list) else str(answer)


async def has_block(endpoint: Endpoint, number: int) -> bool:
    """Whether the server is as far as that block; one that does not answer is not."""
    try:
        head = await endpoint.ask(lambda chain: chain.block("latest"))
    except W3bstreamError:
        return False
    return head is not None and head.number >= number


def _refusal(said: Said) -> W3bstreamError:
    return next(answer for _, answer in said if isinstance(answer, W3bstreamError))
