"""JSON-RPC 2.0 over HTTP POST: dispatch, batches and limits."""

from __future__ import annotations

import inspect
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from eth_hash.auto import keccak

from l1.rpc.backend import Backend
from l1.rpc.block_methods import BlockMethods
from l1.rpc.consensus_methods import ConsensusMethods
from l1.rpc.encoding import Params, data, quantity, read_data
from l1.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_ERROR,
    RpcError,
)
from l1.rpc.filters import FilterMethods
from l1.rpc.state_methods import StateMethods
from native import _native

CLIENT_VERSION = "w3bstream-l1/0.1.0/revm-43/python"

Method = Callable[[list[Any]], Any | Awaitable[Any]]

# json.dumps makes an encoder for every call that names separators.
_COMPACT = json.JSONEncoder(separators=(",", ":"))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RpcLimits:
    """Bounds on what one request can cost."""

    body_bytes: int = 5 * 1024 * 1024
    """HTTP body."""
    batch_items: int = 1_000
    """Requests in one batch."""
    response_bytes: int = 25_000_000
    """All results of one batch together."""
    batch_seconds: float = 10.0
    """Time for one batch; what is not begun by then is answered -32005."""
    call_gas: int = 50_000_000
    """Gas of an eth_call."""


def methods_of(backend: Backend, limits: RpcLimits) -> dict[str, Method]:
    """Every method by name; other names answer -32601."""
    blocks, state, filters = BlockMethods(backend), StateMethods(backend, limits.call_gas), FilterMethods(backend)
    consensus, chain = ConsensusMethods(backend), backend.chain

    def constant(value: Callable[[], Any]) -> Method:
        def answer(values: list[Any]) -> Any:
            Params(values, 0)
            return value()

        return answer

    def status() -> dict[str, str]:
        pending, queued = backend.mempool.status()
        return {"pending": quantity(pending), "queued": quantity(queued)}

    return {
        "web3_clientVersion": constant(lambda: CLIENT_VERSION),
        "web3_sha3": _keccak,
        "net_version": constant(lambda: str(chain.chain_id)),
        "net_listening": constant(lambda: True),
        "net_peerCount": constant(lambda: "0x0"),
        "eth_chainId": constant(lambda: quantity(chain.chain_id)),
        "eth_syncing": constant(lambda: False),
        "eth_accounts": constant(lambda: []),
        "eth_blockNumber": blocks.block_number,
        "eth_getBalance": state.get_balance,
        "eth_getCode": state.get_code,
        "eth_getStorageAt": state.get_storage_at,
        "eth_getTransactionCount": state.get_transaction_count,
        "eth_getProof": state.get_proof,
        "eth_call": state.call,
        "eth_estimateGas": state.estimate_gas,
        "eth_sendRawTransaction": blocks.send_raw_transaction,
        "eth_gasPrice": blocks.gas_price,
        "eth_maxPriorityFeePerGas": blocks.max_priority_fee,
        "eth_feeHistory": blocks.fee_history,
        "eth_getBlockByNumber": blocks.get_block,
        "eth_getBlockByHash": blocks.get_block,
        "eth_getBlockTransactionCountByNumber": blocks.get_transaction_count,
        "eth_getBlockTransactionCountByHash": blocks.get_transaction_count,
        "eth_getUncleCountByBlockNumber": blocks.get_uncle_count,
        "eth_getUncleCountByBlockHash": blocks.get_uncle_count,
        "eth_getBlockReceipts": blocks.get_block_receipts,
        "eth_getTransactionByHash": blocks.get_transaction,
        "eth_getTransactionByBlockNumberAndIndex": blocks.get_transaction_in_block,
        "eth_getTransactionByBlockHashAndIndex": blocks.get_transaction_in_block,
        "eth_getTransactionReceipt": blocks.get_receipt,
        "eth_getLogs": filters.get_logs,
        "eth_newFilter": filters.new_filter,
        "eth_newBlockFilter": filters.new_block_filter,
        "eth_newPendingTransactionFilter": filters.new_pending_transaction_filter,
        "eth_getFilterChanges": filters.get_changes,
        "eth_getFilterLogs": filters.get_filter_logs,
        "eth_uninstallFilter": filters.uninstall,
        "txpool_status": constant(status),
        "w3b_finality": constant(consensus.finality),
        "w3b_getRules": constant(consensus.get_rules),
        "w3b_getHeader": consensus.get_header,
        "w3b_getCertificate": consensus.get_certificate,
        "w3b_getDelegates": consensus.get_delegates,
    }


def _keccak(values: list[Any]) -> str:
    return data(keccak(read_data(Params(values, 1).required(0), "0")))


class RpcServer:
    """The HTTP application of one node."""

    def __init__(
        self,
        methods: dict[str, Method],
        limits: RpcLimits,
        hosts: frozenset[str],
        origins: frozenset[str] = frozenset(),
    ) -> None:
        """`hosts` are the HTTP Host names that are answered, `origins` the web origins whose pages may call."""
        self._methods = methods
        self._limits = limits
        self._hosts = hosts
        self._origins = origins

    def application(self) -> web.Application:
        """POST / answers JSON-RPC; OPTIONS / answers a browser's preflight for an allowed origin."""
        application = web.Application(client_max_size=self._limits.body_bytes)
        application.router.add_post("/", self._post)
        application.router.add_options("/", self._preflight)
        return application

    async def _post(self, request: web.Request) -> web.Response:
        headers = self._admitted(request)
        # Any page may post text/plain or a form without asking first (a CORS "simple request"), but not JSON.
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="the Content-Type must be application/json\n")
        answer = await self.answer(await request.read())
        if answer is None:
            return web.Response(status=204, headers=headers)
        return web.Response(body=answer, content_type="application/json", headers=headers)

    async def _preflight(self, request: web.Request) -> web.Response:
        headers = self._admitted(request)
        if headers:
            headers |= {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Content-Type"}
        return web.Response(status=204, headers=headers)

    def _admitted(self, request: web.Request) -> dict[str, str]:
        """Refuse foreign hosts and origins (403); returns the CORS headers (Fetch standard, §3.2) of the answer."""
        # A page in a browser can reach loopback under a name of its own (DNS rebinding): only known names pass.
        host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
        if host not in self._hosts:
            raise web.HTTPForbidden(text="invalid host specified\n")
        origin = request.headers.get("Origin")
        if origin is None:
            return {}
        if origin not in self._origins:
            raise web.HTTPForbidden(text="origin not allowed\n")
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    async def answer(self, body: bytes) -> bytes | None:
        """The response to one HTTP body, or `None` when it held only notifications."""
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            return _encode(_failed(None, RpcError(PARSE_ERROR, "parse error: the body is not JSON")))
        if not isinstance(request, list):
            response = await self._one(request)
            return None if response is None else _encode(response)
        if not request:
            return _encode(_failed(None, RpcError(INVALID_REQUEST, "empty batch")))
        if len(request) > self._limits.batch_items:
            error = RpcError(INVALID_REQUEST, f"batch too large: at most {self._limits.batch_items} requests")
            return _encode(_failed(None, error))
        return await self._batch(request)

    async def _batch(self, request: list[Any]) -> bytes | None:
        """The responses in order, as long as size and time last."""
        parts: list[bytes] = []
        size, ends = 0, time.monotonic() + self._limits.batch_seconds
        for item in request:
            if size > self._limits.response_bytes:
                answered = _spent(item, "batch response too large")
            elif time.monotonic() >= ends:
                answered = _spent(item, f"batch took longer than {self._limits.batch_seconds:g} s: send fewer calls")
            else:
                answered = await self._one(item)
            if answered is None:
                continue
            parts.append(_encode(answered))
            size += len(parts[-1])
        return b"[" + b",".join(parts) + b"]" if parts else None

    async def _one(self, request: Any) -> dict[str, Any] | None:
        """The response to one request, or `None` for a notification."""
        if not isinstance(request, dict):
            return _failed(None, RpcError(INVALID_REQUEST, "invalid request: expected an object"))
        identifier = request.get("id")
        if not isinstance(identifier, str | int | float | None) or isinstance(identifier, bool):
            return _failed(None, RpcError(INVALID_REQUEST, "invalid request: id is a string, a number or null"))
        name, values = request.get("method"), request.get("params", [])
        if request.get("jsonrpc") != "2.0" or not isinstance(name, str):
            return _failed(identifier, RpcError(INVALID_REQUEST, "invalid request: want jsonrpc 2.0 and a method"))
        try:
            result = await self._call(name, [] if values is None else values)
        except RpcError as error:
            response = _failed(identifier, error)
        except Exception:
            log.exception("method failed", extra={"method": name})
            response = _failed(identifier, RpcError(INTERNAL_ERROR, "internal error"))
        else:
            response = {"jsonrpc": "2.0", "id": identifier, "result": result}
        return response if "id" in request else None

    async def _call(self, name: str, values: Any) -> Any:
        method = self._methods.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {name[:80]} does not exist/is not available")
        if not isinstance(values, list):
            raise RpcError(INVALID_PARAMS, "non-array args: parameters are positional")
        try:
            result = method(values)
            return await result if inspect.isawaitable(result) else result
        except _native.StateNotAvailable as error:
            raise RpcError(SERVER_ERROR, str(error)) from error


def _failed(identifier: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "error": error.to_json()}


def _spent(item: Any, message: str) -> dict[str, Any] | None:
    """The refusal of a call of a batch that has used up its share; `None` for a notification."""
    if isinstance(item, dict) and "id" not in item:
        return None
    return _failed(item["id"] if isinstance(item, dict) else None, RpcError(LIMIT_EXCEEDED, message))


def _encode(response: dict[str, Any]) -> bytes:
    return _COMPACT.encode(response).encode()
