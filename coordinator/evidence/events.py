"""Where on the chain a task's events are: its publication, record, assignments and settlement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.evidence.blocks import Rpc
from verifier.bindings import Deployment, Event, decode_event, event_topic
from verifier.errors import Unavailable

SPAN = 2_000
"""Blocks of one eth_getLogs: what public servers allow."""


@dataclass(frozen=True)
class Place:
    """An event and where it stands."""

    block: int
    position: int
    """Of its transaction in the block."""
    index: int
    """Of the log in the block."""
    event: Event

    @property
    def order(self) -> tuple[int, int]:
        """What came first on the chain."""
        return self.block, self.index


def word(value: int | bytes) -> bytes:
    """An indexed argument as a topic, 32 bytes."""
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


class EventFinder:
    """Finds events of one deployment by their indexed arguments."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self._rpc = rpc
        self._deployment = deployment

    async def find(
        self, contract: str, name: str, topics: Sequence[int | bytes | None], first: int, last: int
    ) -> list[Place]:
        """Every event `name` of a contract (`registry`, `fleet`, `router`) in blocks first to last, in order.

        `topics` are the indexed arguments, None for any. Raises Unavailable (W3B-5001) and RpcRefused (W3B-5003).
        """
        declared = {"registry": "ProjectRegistry", "fleet": "FleetManagement", "router": "Router"}[contract]
        wanted = [event_topic(declared, name), *(None if each is None else word(each) for each in topics)]
        address = str(getattr(self._deployment, contract))
        found: list[Place] = []
        for start in range(first, last + 1, SPAN):
            logs = await self._rpc.request(
                "eth_getLogs",
                {
                    "address": address,
                    "topics": [None if each is None else "0x" + each.hex() for each in wanted],
                    "fromBlock": hex(start),
                    "toBlock": hex(min(start + SPAN - 1, last)),
                },
            )
            found += [place for log in logs if (place := _place(log, name)) is not None]
        return sorted(found, key=lambda place: place.order)

    async def the_one(
        self, contract: str, name: str, topics: Sequence[int | bytes | None], near: int | None, last: int
    ) -> Place:
        """The one event that the contract emits once: in the block where the ledger has it, else anywhere up to `last`.

        Raises Unavailable (W3B-9007) where the chain does not have it.
        """
        found = await self.find(contract, name, topics, near, near) if near is not None else []
        if not found:
            found = await self.find(contract, name, topics, self._deployment.block, last)
        if not found:
            raise Unavailable("W3B-9007", f"the chain shows no {name} of this up to block {last}")
        return found[0]


def _place(log: dict[str, Any], name: str) -> Place | None:
    try:
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        event = decode_event(topics, bytes.fromhex(log["data"][2:]))
        block, position, index = (int(log[key], 16) for key in ("blockNumber", "transactionIndex", "logIndex"))
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("W3B-9007", f"the chain gives a log in another form: {error!r}") from error
    return Place(block, position, index, event) if event is not None and event.name == name else None
