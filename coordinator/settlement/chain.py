"""The chain as settlement sees it: a small protocol, and its implementation over Ethereum JSON-RPC.

Every failure to get an answer is Unavailable (W3B-5001): the caller knows nothing then and asks again later. An answer
that says no is Reverted (W3B-5002, with the revert data) or RpcRefused (W3B-5003). Where a chain has several servers
(`many_chains.py`), Disagreement (W3B-5012, W3B-5013) is no answer either.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from coordinator.observability.spans import client_span
from coordinator.observability.tally import endpoint_of, rpc_call
from verifier.errors import Refused, Unavailable, W3bstreamError

GWEI = 10**9
_FEE_BLOCKS = 10
_LEAST_TIP = GWEI // 10
"""Tip in wei when the chain has no history to judge by."""
_REVERT_CODE = 3
"""JSON-RPC error code of a revert (geth, anvil)."""


@dataclass(frozen=True)
class Block:
    """What settlement needs of a block."""

    number: int
    hash: str
    """0x hex."""
    timestamp: int
    """Unix seconds."""
    base_fee: int
    """Wei a gas (EIP-1559)."""


@dataclass(frozen=True)
class Log:
    """One event of a receipt."""

    address: str
    """Contract, 0x lower-case hex."""
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Receipt:
    """A mined transaction."""

    tx_hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    gas_used: int
    contract_address: str
    """Created contract, or empty."""
    logs: tuple[Log, ...]


@dataclass(frozen=True)
class Fees:
    """EIP-1559 fees in wei a gas."""

    max_fee: int
    tip: int

    def bumped(self, percent: int) -> Fees:
        """At least `percent` more of both, as nodes ask of a replacement (10 % or more)."""
        return Fees(self.max_fee * (100 + percent) // 100 + 1, self.tip * (100 + percent) // 100 + 1)

    def at_least(self, other: Fees) -> Fees:
        """The larger of each."""
        return Fees(max(self.max_fee, other.max_fee), max(self.tip, other.tip))


class Reverted(Refused):
    """A call or a transaction reverted. `data` is the revert data (custom error)."""

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__("W3B-5002", message)
        self.data = data
        """ABI-encoded custom error, or empty."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by value."""
        return (Reverted, (self.message, self.data))


class RpcRefused(W3bstreamError):
    """The server answered with an error that is no revert."""

    def __init__(self, message: str, rpc_code: int | None = None) -> None:
        super().__init__("W3B-5003", message)
        self.rpc_code = rpc_code
        """The JSON-RPC error's code; None where it had none."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by value."""
        return (RpcRefused, (self.message, self.rpc_code))


class Disagreement(Unavailable):
    """The chain's servers contradict each other about this one thing (W3B-5012), or too few say it (W3B-5013)."""


class Chain(Protocol):
    """An EVM chain. Every method raises Unavailable (W3B-5001) when there is no answer, RpcRefused (W3B-5003) on no."""

    async def chain_id(self) -> int:
        """EIP-155 chain id."""

    async def block(self, which: int | str) -> Block | None:
        """The block of a number, or of `latest`, `safe`, `finalized`; None when there is none."""

    async def nonce(self, address: str, which: int | str = "latest") -> int:
        """Transactions the account had sent as of a block."""

    async def code(self, address: str) -> bytes:
        """The account's code now."""

    async def call(self, sender: str, to: str, data: bytes, which: int | str = "latest") -> bytes:
        """Simulate; an empty `to` creates a contract. Raises Reverted (W3B-5002) with the revert data."""

    async def estimate_gas(self, sender: str, to: str, data: bytes) -> int:
        """Gas it would take now. Raises Reverted (W3B-5002)."""

    async def fees(self) -> Fees:
        """Fees that get a transaction into the next blocks."""

    async def send_raw(self, raw: bytes) -> None:
        """Hand in a signed transaction. An error says nothing about whether it will be mined."""

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt; None while it is not mined."""

    async def logs(
        self, address: str, topics: Sequence[bytes | None], first: int, last: int | None = None
    ) -> list[tuple[str, Log]]:
        """(transaction hash, event) of block `first`, or of `first` to `last`, by address and topics."""

    async def close(self) -> None:
        """Give the connections back."""


class JsonRpcChain:
    """A chain behind an Ethereum JSON-RPC URL; one connection pool, no state.

    Parameters: `timeout` bounds one request, in seconds.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self.url = url
        """RPC URL; it may hold an access token, so it is never logged."""
        self._endpoint = endpoint_of(url)
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)

    async def request(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call. Raises Unavailable, RpcRefused, Reverted."""
        with rpc_call(self._endpoint, method), client_span(method, {"server.address": self._endpoint}):
            return await self._request(method, params)

    async def _request(self, method: str, params: Sequence[Any]) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            async with self._session.post(self.url, json=body) as answer:
                status, text = answer.status, await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable("W3B-5001", f"{method}: {type(error).__name__}: {error}") from error
        try:
            reply = json.loads(text)
        except ValueError as error:
            raise Unavailable("W3B-5001", f"{method}: HTTP {status} with a body that is not JSON") from error
        if not isinstance(reply, dict) or ("result" not in reply and "error" not in reply):
            raise Unavailable("W3B-5001", f"{method}: HTTP {status} without a JSON-RPC answer")
        if reply.get("error") is not None:
            raise _refusal(method, status, reply["error"])
        return reply.get("result")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def chain_id(self) -> int:
        """EIP-155 chain id."""
        with _well_formed("eth_chainId"):
            return _int(await self.request("eth_chainId"))

    async def block(self, which: int | str) -> Block | None:
        """The block of a number or tag."""
        found = await self.request("eth_getBlockByNumber", _tag(which), False)
        if found is None:
            return None
        with _well_formed("eth_getBlockByNumber"):
            block = Block(
                number=_int(found["number"]),
                hash=str(found["hash"]).lower(),
                timestamp=_int(found["timestamp"]),
                base_fee=_int(found.get("baseFeePerGas") or "0x0"),
            )
            if isinstance(which, int) and block.number != which:
                raise ValueError(f"block {block.number} for block {which}")
            return block

    async def nonce(self, address: str, which: int | str = "latest") -> int:
        """Transactions sent as of a block."""
        with _well_formed("eth_getTransactionCount"):
            return _int(await self.request("eth_getTransactionCount", address, _tag(which)))

    async def code(self, address: str) -> bytes:
        """The account's code."""
        with _well_formed("eth_getCode"):
            return _bytes(await self.request("eth_getCode", address, "latest"))

    async def call(self, sender: str, to: str, data: bytes, which: int | str = "latest") -> bytes:
        """Simulate at a block."""
        with _well_formed("eth_call"):
            return _bytes(await self.request("eth_call", _call(sender, to, data), _tag(which)))

    async def estimate_gas(self, sender: str, to: str, data: bytes) -> int:
        """Gas it would take at the latest block."""
        with _well_formed("eth_estimateGas"):
            return _int(await self.request("eth_estimateGas", _call(sender, to, data)))

    async def fees(self) -> Fees:
        """Twice the next block's base fee, so that it holds for six full blocks, and the median tip of late blocks."""
        try:
            history = await self.request("eth_feeHistory", hex(_FEE_BLOCKS), "latest", [50])
            base = _int(history["baseFeePerGas"][-1])
            tips = sorted(_int(row[0]) for row in history.get("reward") or [])
        except (RpcRefused, KeyError, IndexError, TypeError, ValueError):
            head = await self.block("latest")
            base, tips = (head.base_fee if head else GWEI), []
        tip = max(tips[len(tips) // 2] if tips else 0, _LEAST_TIP)
        return Fees(2 * base + tip, tip)

    async def send_raw(self, raw: bytes) -> None:
        """Hand in a signed transaction."""
        await self.request("eth_sendRawTransaction", "0x" + raw.hex())

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt, when mined."""
        found = await self.request("eth_getTransactionReceipt", tx_hash)
        if found is None:
            return None
        with _well_formed("eth_getTransactionReceipt"):
            if found.get("blockNumber") is None:
                return None
            if str(found["transactionHash"]).lower() != tx_hash.lower():
                raise ValueError(f"the receipt of {found['transactionHash']} for {tx_hash}")
            return Receipt(
                tx_hash=str(found["transactionHash"]).lower(),
                block_number=_int(found["blockNumber"]),
                block_hash=str(found["blockHash"]).lower(),
                succeeded=_int(found["status"]) == 1,
                gas_used=_int(found["gasUsed"]),
                contract_address=str(found.get("contractAddress") or "").lower(),
                logs=tuple(_log(log) for log in found["logs"]),
            )

    async def logs(
        self, address: str, topics: Sequence[bytes | None], first: int, last: int | None = None
    ) -> list[tuple[str, Log]]:
        """Events of one block or of several."""
        wanted = [None if topic is None else "0x" + topic.hex() for topic in topics]
        until = first if last is None else last
        span = {"address": address, "topics": wanted, "fromBlock": hex(first), "toBlock": hex(until)}
        found = await self.request("eth_getLogs", span)
        with _well_formed("eth_getLogs"):
            return [(str(log["transactionHash"]).lower(), _log(log)) for log in found]


@contextmanager
def _well_formed(method: str) -> Iterator[None]:
    """An answer that is not what the method gives is no answer: Unavailable (W3B-5001)."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable("W3B-5001", f"{method}: a malformed answer: {type(error).__name__} {error}"[:500]) from error


def _refusal(method: str, status: int, error: Any) -> W3bstreamError:
    """The exception for a JSON-RPC error object."""
    if not isinstance(error, dict):
        return RpcRefused(f"{method}: {error}"[:500])
    message = str(error.get("message", ""))
    data = error.get("data")
    if isinstance(data, dict):  # some servers wrap it
        data = data.get("data") or data.get("result")
    is_hex = isinstance(data, str) and data.startswith("0x")
    if error.get("code") == _REVERT_CODE or "revert" in message.lower():
        return Reverted(f"{method}: {message}"[:500], _bytes(data) if is_hex else b"")
    if status in {429, 502, 503, 504} or error.get("code") == -32005:  # limit exceeded (EIP-1474)
        return Unavailable("W3B-5001", f"{method}: {message}"[:500])
    code = error.get("code")
    return RpcRefused(f"{method}: {message} ({code})"[:500], code if isinstance(code, int) else None)


def _tag(which: int | str) -> str:
    return which if isinstance(which, str) else hex(which)


def _call(sender: str, to: str, data: bytes) -> dict[str, str]:
    call = {"from": sender, "data": "0x" + data.hex()}
    return {**call, "to": to} if to else call


def _int(value: Any) -> int:
    return int(str(value), 16)


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(str(value).removeprefix("0x"))


def _log(log: dict[str, Any]) -> Log:
    return Log(str(log["address"]).lower(), tuple(_bytes(t) for t in log["topics"]), _bytes(log["data"]))
