"""Methods that read or try a state: balances, code, storage, proofs, calls and gas estimates."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from l1.rpc.backend import Backend
from l1.rpc.encoding import (
    Params,
    data,
    quantity,
    read_address,
    read_data,
    read_hash,
    read_object,
    read_quantity,
    read_slot,
)
from l1.rpc.errors import EXECUTION_REVERTED, SERVER_ERROR, RpcError, invalid_params
from native import _native

MAX_PROOF_SLOTS = 1_024
_ERROR_SELECTOR = bytes.fromhex("08c379a0")
_PANIC_SELECTOR = bytes.fromhex("4e487b71")


class Message(TypedDict):
    """What `native.StateView.call` takes."""

    sender: bytes
    to: bytes | None
    data: bytes
    value: int
    gas: int | None
    gas_price: int
    tip: int | None
    access_list: list[tuple[bytes, list[bytes]]]
    gas_cap: int


class StateMethods:
    """eth_call and its kin."""

    def __init__(self, backend: Backend, gas_cap: int) -> None:
        self._backend = backend
        self._gas_cap = gas_cap

    def get_balance(self, values: list[Any]) -> str:
        """eth_getBalance"""
        params = Params(values, 2)
        address = read_address(params.required(0))
        return quantity(self._backend.view(params.optional(1, "latest")).balance(address))

    def get_code(self, values: list[Any]) -> str:
        """eth_getCode"""
        params = Params(values, 2)
        address = read_address(params.required(0))
        return data(self._backend.view(params.optional(1, "latest")).code(address))

    def get_storage_at(self, values: list[Any]) -> str:
        """eth_getStorageAt"""
        params = Params(values, 3)
        address, slot = read_address(params.required(0)), read_slot(params.required(1))
        value = self._backend.view(params.optional(2, "latest")).storage(address, slot)
        return data(value.to_bytes(32, "big"))

    def get_transaction_count(self, values: list[Any]) -> str:
        """eth_getTransactionCount; `pending` counts the mempool's transactions without a gap."""
        params = Params(values, 2)
        address, block = read_address(params.required(0)), params.optional(1, "latest")
        if block == "pending":
            nonce = self._backend.view("latest").nonce(address)
            return quantity(self._backend.mempool.next_nonce(address, nonce))
        return quantity(self._backend.view(block).nonce(address))

    def get_proof(self, values: list[Any]) -> dict[str, Any]:
        """eth_getProof (EIP-1186)"""
        params = Params(values, 3)
        address, slots = read_address(params.required(0)), params.optional(1, [])
        if not isinstance(slots, list) or len(slots) > MAX_PROOF_SLOTS:
            raise invalid_params(f"invalid argument 1: expected a list of at most {MAX_PROOF_SLOTS} slots")
        view = self._backend.view(params.optional(2, "latest"))
        proof = view.proof(address, [read_slot(slot) for slot in slots])
        return {
            "address": data(address),
            "balance": quantity(proof.balance),
            "nonce": quantity(proof.nonce),
            "codeHash": data(proof.code_hash),
            "storageHash": data(proof.storage_root),
            "accountProof": [data(node) for node in proof.account_proof],
            "storageProof": [
                {"key": asked, "value": quantity(value), "proof": [data(node) for node in nodes]}
                for asked, (_, value, nodes) in zip(slots, proof.storage_proofs, strict=True)
            ],
        }

    async def call(self, values: list[Any]) -> str:
        """eth_call"""
        params = Params(values, 4)
        message = self._message(params.required(0))
        _refuse_overrides(params)
        view = self._backend.view(params.optional(1, "latest"))
        try:
            result = await asyncio.to_thread(lambda: view.call(**message))
        except _native.TransactionRefused as error:
            raise RpcError(SERVER_ERROR, f"err: {error}") from error
        if result.status != "success":
            raise _failure(result)
        return data(result.output)

    async def estimate_gas(self, values: list[Any]) -> str:
        """eth_estimateGas"""
        params = Params(values, 4)
        message = self._message(params.required(0))
        _refuse_overrides(params)
        view = self._backend.view(params.optional(1, "latest"))
        try:
            gas, failed = await asyncio.to_thread(lambda: view.estimate_gas(**message))
        except _native.TransactionRefused as error:
            raise RpcError(SERVER_ERROR, str(error)) from error
        if failed is not None and failed.halt_reason == "out of gas":
            raise RpcError(SERVER_ERROR, f"gas required exceeds allowance ({failed.gas_used})")
        if failed is not None:
            raise _failure(failed)
        return quantity(gas or 0)

    def _message(self, value: Any) -> Message:
        call = read_object(value, "0")
        chain_id = self._backend.chain.chain_id
        if "chainId" in call and read_quantity(call["chainId"], "chainId", 64) != chain_id:
            raise RpcError(SERVER_ERROR, f"chainId does not match node's (have={call['chainId']}, want={chain_id})")
        if call.get("gasPrice") is not None and call.get("maxFeePerGas") is not None:
            raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
        if call.get("blobVersionedHashes") or call.get("authorizationList"):
            raise invalid_params("calls with blobs or authorizations are not supported")
        price = call.get("maxFeePerGas") or call.get("gasPrice")
        tip = call.get("maxPriorityFeePerGas") if price is not None else None
        payload = call.get("input") if call.get("input") is not None else call.get("data")
        return {
            "sender": read_address(call.get("from") or data(bytes(20)), "from"),
            "to": None if call.get("to") is None else read_address(call["to"], "to"),
            "data": b"" if payload is None else read_data(payload, "data"),
            "value": _quantity_or(call.get("value"), "value", 0, 256),
            "gas": None if call.get("gas") is None else read_quantity(call["gas"], "gas", 64),
            "gas_price": _quantity_or(price, "gasPrice", 0, 128),
            "tip": None if tip is None else read_quantity(tip, "maxPriorityFeePerGas", 128),
            "access_list": _access_list(call.get("accessList")),
            "gas_cap": self._gas_cap,
        }


def _refuse_overrides(params: Params) -> None:
    if params.optional(2) or params.optional(3):
        raise invalid_params("state and block overrides are not supported")


def _quantity_or(value: Any, name: str, default: int, bits: int) -> int:
    return default if value is None else read_quantity(value, name, bits)


def _access_list(value: Any) -> list[tuple[bytes, list[bytes]]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid_params("invalid argument accessList: expected a list")
    items = [read_object(item, "accessList") for item in value]
    return [
        (read_address(item.get("address")), [read_hash(key, "storageKeys") for key in item.get("storageKeys") or []])
        for item in items
    ]


def _failure(result: _native.CallResult) -> RpcError:
    if result.status == "halt":
        return RpcError(SERVER_ERROR, result.halt_reason)
    reason = revert_reason(result.output)
    message = f"execution reverted: {reason}" if reason else "execution reverted"
    return RpcError(EXECUTION_REVERTED, message, data(result.output))


def revert_reason(output: bytes) -> str | None:
    """The text of Solidity's `Error(string)` or `Panic(uint256)` revert data, or `None` for other data."""
    try:
        if output.startswith(_ERROR_SELECTOR):
            return str(abi_decode(["string"], output[4:])[0])
        if output.startswith(_PANIC_SELECTOR):
            return f"panic code {hex(abi_decode(['uint256'], output[4:])[0])}"
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return None
    return None
