"""Log queries and polling filters."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eth_hash.auto import keccak

from l1.chain.blockchain import StoredBlock
from l1.rpc.backend import PENDING, Backend
from l1.rpc.encoding import Params, data, quantity, read_address, read_data, read_hash, read_object, read_quantity
from l1.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, RpcError, invalid_params
from l1.rpc.objects import Json, log_objects
from native import _native

MAX_BLOCK_RANGE = 10_000
MAX_LOGS = 10_000
MAX_FILTERS = 1_000
MAX_FILTER_ITEMS = 10_000
MAX_ALTERNATIVES = 1_000
FILTER_LIFETIME = 300.0
"""Seconds after its last poll at which a filter is dropped (geth's default)."""


@dataclass(frozen=True)
class LogCriteria:
    """Which logs are wanted."""

    addresses: frozenset[bytes]
    """Any of these, or every address when empty."""
    topics: tuple[frozenset[bytes], ...]
    """For each position any of these, or anything when empty."""

    def may_match(self, bloom: bytes) -> bool:
        """Whether a block with this logs bloom can hold a wanted log (Yellow Paper §4.3.1)."""
        bits = int.from_bytes(bloom, "big")
        groups = (self.addresses, *self.topics)
        return all(not group or any(bits & (m := _bloom_mask(item)) == m for item in group) for group in groups)

    def matches(self, log: Json) -> bool:
        """Whether a log object is wanted."""
        if self.addresses and bytes.fromhex(log["address"][2:]) not in self.addresses:
            return False
        if len(log["topics"]) < len(self.topics):
            return False
        pairs = zip(self.topics, log["topics"], strict=False)
        return all(not wanted or bytes.fromhex(topic[2:]) in wanted for wanted, topic in pairs)


@dataclass
class _Filter:
    kind: str
    criteria: LogCriteria | None = None
    first: int = 0
    last: int | None = None
    next_block: int = 0
    items: list[str] = field(default_factory=list)
    polled: float = 0.0


class FilterMethods:
    """eth_getLogs and the filters that clients poll."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._filters: dict[str, _Filter] = {}
        backend.chain.subscribe(self._on_block)
        backend.mempool.subscribe(self._on_transaction)

    def get_logs(self, values: list[Any]) -> list[Json]:
        """eth_getLogs"""
        query = read_object(Params(values, 1).required(0), "0")
        criteria = read_criteria(query)
        if query.get("blockHash") is not None:
            if query.get("fromBlock") is not None or query.get("toBlock") is not None:
                raise invalid_params("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
            number = self._backend.chain.number_of(read_hash(query["blockHash"], "blockHash"))
            if number is None:
                raise RpcError(SERVER_ERROR, "unknown block")
            return self._collect(criteria, number, number)
        first, last = self._range(query)
        return self._collect(criteria, first, last)

    def new_filter(self, values: list[Any]) -> str:
        """eth_newFilter"""
        query = read_object(Params(values, 1).optional(0, {}), "0")
        head = self._backend.chain.head_number
        first = self._number(query.get("fromBlock"), head + 1)
        last = None if query.get("toBlock") in {None, "latest", "pending"} else self._number(query["toBlock"], head)
        if query.get("fromBlock") == "latest":
            first = head + 1
        return self._add(_Filter("logs", read_criteria(query), first, last, next_block=first))

    def new_block_filter(self, values: list[Any]) -> str:
        """eth_newBlockFilter"""
        Params(values, 0)
        return self._add(_Filter("blocks"))

    def new_pending_transaction_filter(self, values: list[Any]) -> str:
        """eth_newPendingTransactionFilter"""
        Params(values, 1)
        return self._add(_Filter("transactions"))

    def get_changes(self, values: list[Any]) -> list[Any]:
        """eth_getFilterChanges"""
        found = self._find(values)
        if found.criteria is None:
            items, found.items = found.items, []
            return items
        head = self._backend.chain.head_number
        # After a rollback the blocks that took the place of the old ones are new to the client.
        first = min(found.next_block, head + 1) if found.next_block > found.first else found.first
        last = head if found.last is None else min(found.last, head)
        logs = self._collect(found.criteria, first, last) if first <= last else []
        found.next_block = max(first, last + 1)
        return logs

    def get_filter_logs(self, values: list[Any]) -> list[Json]:
        """eth_getFilterLogs"""
        found = self._find(values)
        if found.criteria is None:
            raise RpcError(SERVER_ERROR, "filter not found")
        head = self._backend.chain.head_number
        last = head if found.last is None else min(found.last, head)
        return self._collect(found.criteria, found.first, last) if found.first <= last else []

    def uninstall(self, values: list[Any]) -> bool:
        """eth_uninstallFilter"""
        return self._filters.pop(str(Params(values, 1).required(0)), None) is not None

    def _collect(self, criteria: LogCriteria, first: int, last: int) -> list[Json]:
        if last - first >= MAX_BLOCK_RANGE:
            raise RpcError(LIMIT_EXCEEDED, f"query exceeds max block range {MAX_BLOCK_RANGE}")
        logs: list[Json] = []
        for number, bloom in self._backend.chain.blooms(first, last):
            stored = self._backend.chain.block(number) if criteria.may_match(bloom) else None
            if stored is not None:
                logs += [log for log in log_objects(stored) if criteria.matches(log)]
            if len(logs) > MAX_LOGS:
                raise RpcError(LIMIT_EXCEEDED, f"query returned more than {MAX_LOGS} results")
        return logs

    def _range(self, query: Json) -> tuple[int, int]:
        head = self._backend.chain.head_number
        first, last = self._number(query.get("fromBlock"), head), self._number(query.get("toBlock"), head)
        if first > last:
            raise RpcError(SERVER_ERROR, "invalid block range params")
        return first, min(last, head)

    def _number(self, block: Any, default: int) -> int:
        if block is None:
            return default
        if isinstance(block, str) and block.startswith("0x"):
            return read_quantity(block, "block number", 64)
        number = self._backend.resolve(block)
        return self._backend.chain.head_number if number in {None, PENDING} else int(number or 0)

    def _add(self, added: _Filter) -> str:
        now = self._clock()
        for name in [n for n, old in self._filters.items() if now - old.polled > FILTER_LIFETIME]:
            del self._filters[name]
        if len(self._filters) >= MAX_FILTERS:
            raise RpcError(LIMIT_EXCEEDED, f"more than {MAX_FILTERS} filters: uninstall some")
        added.polled = now
        name = quantity(secrets.randbits(127) | 1 << 127)
        self._filters[name] = added
        return name

    def _find(self, values: list[Any]) -> _Filter:
        found = self._filters.get(str(Params(values, 1).required(0)))
        if found is None or self._clock() - found.polled > FILTER_LIFETIME:
            raise RpcError(SERVER_ERROR, "filter not found")
        found.polled = self._clock()
        return found

    def _on_block(self, stored: StoredBlock) -> None:
        self._push("blocks", data(stored.block.hash))

    def _on_transaction(self, transaction: _native.Transaction) -> None:
        self._push("transactions", data(transaction.hash))

    def _push(self, kind: str, item: str) -> None:
        for known in self._filters.values():
            if known.kind == kind:
                known.items.append(item)
                del known.items[:-MAX_FILTER_ITEMS]


def read_criteria(query: Json) -> LogCriteria:
    """Read `address` and `topics` of a query. Raises `RpcError` -32602."""
    address, topics = query.get("address"), query.get("topics") or []
    if address is None:
        address = []
    if not isinstance(address, list):
        address = [address]
    if not isinstance(topics, list) or len(topics) > 4:
        raise invalid_params("invalid argument topics: expected a list of at most 4 positions")
    positions = [[] if topic is None else topic if isinstance(topic, list) else [topic] for topic in topics]
    if any(len(group) > MAX_ALTERNATIVES for group in (address, *positions)):
        raise invalid_params(f"more than {MAX_ALTERNATIVES} addresses or topics in one position")
    return LogCriteria(
        frozenset(read_address(item) for item in address),
        # A null among alternatives matches anything, as in geth.
        tuple(
            frozenset() if None in group else frozenset(read_data(item, "topics", 32) for item in group)
            for group in positions
        ),
    )


def _bloom_mask(item: bytes) -> int:
    digest = keccak(item)
    return sum({1 << (int.from_bytes(digest[i : i + 2], "big") & 2047) for i in (0, 2, 4)})
