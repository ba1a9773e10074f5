"""The staking contract of a chain, read through a node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordinator.cli.l1.chain_node import ChainNode, NodeRefused, Reverted
from coordinator.cli.l1.sending import ContractAt, Sender
from verifier.errors import Unavailable

if TYPE_CHECKING:
    from l1.staking.state import Bucket, Seat, StakingState


def staking_contract() -> ContractAt:
    """The contract, at its place in every genesis that has it."""
    from l1.staking.contract import CONTRACT, STAKING_ADDRESS

    return ContractAt(CONTRACT, STAKING_ADDRESS, "staking")


def sender(rpc: str, key: Path, password: Path | None) -> Sender:
    """Who sends to it. Raises as `Sender`."""
    return Sender(ChainNode.at(rpc), staking_contract(), key, password)


class StakingView:
    """What the contract holds at a node's newest block."""

    def __init__(self, node: ChainNode) -> None:
        """Raises Unavailable (W3B-5001, W3B-5003)."""
        self._contract = staking_contract()
        self._node = node
        node.require_contract(self._contract.address, self._contract.words)
        self._head = node.number("eth_blockNumber")

    @property
    def epoch(self) -> int:
        """The epoch of the newest block, from 1."""
        return (max(1, self._head) - 1) // self.constant("BLOCKS_PER_EPOCH") + 1

    def constants(self) -> dict[str, int]:
        """Everything that the contract was made with, by the name of each getter."""
        names = [
            entry["name"]
            for entry in self._contract.artifact.document["abi"]
            if entry["type"] == "function" and entry["name"].isupper() and entry["outputs"][0]["type"] != "address"
        ]
        return {name: self.constant(name) for name in names}

    def constant(self, name: str) -> int:
        """One of them."""
        return int(self.ask(name)[0])

    def state(self, *, with_buckets: bool = False) -> StakingState:
        """Everything as of now."""
        from l1.staking.contract import read_state

        return read_state(self._call, self.epoch, with_buckets=with_buckets)

    def bucket(self, index: int) -> Bucket | None:
        """One bucket; None where there is none."""
        from l1.staking.contract import read_state

        next_bucket = int(self.ask("overview")[0][1])
        if index >= next_bucket:
            return None
        return read_state(self._call, self.epoch, with_buckets=True).buckets.get(index)

    def withdrawable_at(self, bucket: Bucket) -> int | None:
        """Unix seconds from which an unstaked bucket may be withdrawn."""
        return None if bucket.unstaked_at is None else bucket.unstaked_at + self.constant("WITHDRAW_WAIT")

    def unclaimed(self, account: bytes) -> int:
        """Rewards that the account may claim, rau."""
        return int(self.ask("unclaimed", account)[0])

    def votes(self, account: bytes) -> int:
        """The account's weight in governance at the end of the last block."""
        return int(self.ask("weightAt", account, self._head - 1)[0]) if self._head else 0

    def seats(self, epoch: int) -> Sequence[Seat]:
        """The delegates that the epoch's election froze; none where there was none."""
        from l1.staking.contract import read_state

        poll = read_state(self._call, epoch).polls.get(epoch)
        return poll.seats if poll else ()

    def deciding(self) -> Sequence[Seat]:
        """Who decides the next block, as the node says; none on a chain with one producer."""
        from l1.staking.state import Seat

        try:
            answer = self._node.ask("w3b_getDelegates", "latest")
            return tuple(
                Seat(b"", _raw(each["address"]), int(each["power"], 0), _raw(each["blsKey"])) for each in answer
            )
        except (NodeRefused, Reverted, KeyError, TypeError, ValueError) as error:
            raise Unavailable(
                "W3B-5003",
                f"the node does not say who decides: {error}",
                field="rpc",
                next_step="Name a node of this chain: --rpc URL, or W3BSTREAM_L1_RPC.",
            ) from error

    def ask(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """A view function's result."""
        artifact = self._contract.artifact
        return artifact.decode_result(name, self._call(artifact.encode_call(name, *arguments)))

    def _call(self, data: bytes) -> bytes:
        try:
            return self._node.call(self._contract.address, data)
        except (NodeRefused, Reverted) as error:
            raise Unavailable(
                "W3B-5003",
                f"the node cannot read the staking contract: {error}",
                field="rpc",
                next_step="Name a node of the chain whose contracts are of this release.",
            ) from error


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
