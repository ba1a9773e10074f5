"""The chain's blocks and events as several RPC servers tell them, by settlement's rule: a majority is believed, and of
two servers the one that answers while the other is silent or behind.

Two answers are the same when what an evidence file takes of them is: servers add fields of their own and write hex in
their own way. A server whose answer does not even hash to what it claims says something else than the honest ones.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, cast

from coordinator.evidence.blocks import Rpc, header_of, receipt_bytes, transaction_bytes
from coordinator.settlement.chain import Chain, Disagreement, RpcRefused
from coordinator.settlement.many_chains import ManyChains, has_block
from coordinator.settlement.quorum import Said
from verifier.errors import W3bstreamError


def rpc_of(chain: Chain) -> Rpc:
    """How evidence asks a chain: one server itself, of several all of them."""
    return QuorumRpc(chain) if isinstance(chain, ManyChains) else cast(Rpc, chain)


class QuorumRpc:
    """An `Rpc` behind several servers."""

    def __init__(self, chain: ManyChains) -> None:
        self._quorum = chain.quorum
        self._need = chain.need

    async def request(self, method: str, *params: Any) -> Any:
        """One call, to every server.

        Raises Unavailable (W3B-5001) when none answers, Disagreement (W3B-5012, W3B-5013), and what all that answer
        refuse with: RpcRefused (W3B-5003), Reverted (W3B-5002).
        """

        async def question(chain: Chain) -> Any:
            return await cast(Rpc, chain).request(method, *params)

        key = _key_of(method)
        said = await self._quorum.ask(question, enough=self._need, key=key)
        held = await self._without_those_behind(method, params, said, key)
        if said and not held:
            return said[0][1]
        try:
            return self._quorum.decide(held, need=self._need, key=key, what=f"{method} {str(params)[:80]}")
        except Disagreement as error:
            refusal = next((answer for _, answer in held if isinstance(answer, RpcRefused)), None)
            if error.code == "W3B-5013" and refusal is not None:
                raise refusal from error  # a method that most of them lack: the caller has another way
            raise

    async def _without_those_behind(
        self, method: str, params: tuple[Any, ...], said: Said, key: Callable[[Any], Hashable]
    ) -> Said:
        """A server that has not the block that is asked for takes no side."""
        if len({key(answer) for _, answer in said if not isinstance(answer, RpcRefused)}) < 2:
            return [(each, answer) for each, answer in said if answer is not None]
        last = _last_block(method, params, said)
        return [(each, answer) for each, answer in said if not _is_empty(answer) or await has_block(each, last)]


def _is_empty(answer: Any) -> bool:
    return answer is None or answer == []


def _last_block(method: str, params: tuple[Any, ...], said: Said) -> int:
    """The highest block that a question is about; for a receipt the one that a server names."""
    if method == "eth_getLogs":
        return int(params[0]["toBlock"], 16)
    if method in ("eth_getBlockByNumber", "eth_getBlockReceipts"):
        return int(params[0], 16)
    named = [answer.get("blockNumber") for _, answer in said if isinstance(answer, dict)]
    return min((int(str(number), 16) for number in named if _is_hex(number)), default=0)


def _is_hex(value: Any) -> bool:
    try:
        return int(str(value), 16) >= 0
    except ValueError:
        return False


def _key_of(method: str) -> Callable[[Any], Hashable]:
    read = _READ.get(method, _text)

    def key(answer: Any) -> Hashable:
        if answer is None or isinstance(answer, Exception):
            return None if answer is None else str(answer)
        try:
            return read(answer)
        except (W3bstreamError, KeyError, TypeError, ValueError, AttributeError) as error:
            return f"unusable: {error!r}"[:200]

    return key


def _text(answer: Any) -> Hashable:
    return str(answer).lower()


def _block(answer: Any) -> Hashable:
    whole = [transaction_bytes(tx) for tx in answer["transactions"] if isinstance(tx, dict)]
    return header_of(answer).hash, tuple(whole)


def _receipts(answer: Any) -> Hashable:
    return tuple(receipt_bytes(each) for each in answer)


def _logs(answer: Any) -> Hashable:
    return tuple(sorted(_log(each) for each in answer))


def _log(log: Any) -> tuple[int, int, int, str, tuple[str, ...], str]:
    block, position, index = (int(log[key], 16) for key in ("blockNumber", "transactionIndex", "logIndex"))
    return (
        block,
        position,
        index,
        str(log["address"]).lower(),
        tuple(map(str.lower, log["topics"])),
        log["data"].lower(),
    )


_READ: dict[str, Callable[[Any], Hashable]] = {
    "eth_getBlockByNumber": _block,
    "eth_getBlockReceipts": _receipts,
    "eth_getTransactionReceipt": receipt_bytes,
    "eth_getLogs": _logs,
}
"""What evidence takes of an answer, by method; of others the text."""
