"""What a chain needs of whoever executes its blocks: a head, states to read, building on the head, checking, moving on.

`native._native.Chain` (revm, in this process) is one; `geth.GethExecutor` is another. Consensus, the store, duties and
elections are above it and know neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from l1.chain.genesis import Genesis
from native import _native


class Result(Protocol):
    """How a read-only call ended."""

    @property
    def status(self) -> str:
        """`success`, `revert` or `halt`."""

    @property
    def output(self) -> bytes:
        """What it returned, or reverted with."""


class View(Protocol):
    """The state after one block."""

    @property
    def number(self) -> int:
        """Height of the block."""

    def balance(self, account: bytes) -> int:
        """Wei of an account."""

    def nonce(self, account: bytes) -> int:
        """Nonce of an account."""

    def code(self, account: bytes) -> bytes:
        """Code of an account; empty where there is none."""

    def storage(self, account: bytes, slot: int) -> int:
        """A storage slot of an account."""

    def call(
        self,
        *,
        sender: bytes,
        to: bytes | None,
        data: bytes,
        value: int,
        gas: int | None,
        gas_price: int,
        tip: int | None,
        access_list: list[tuple[bytes, list[bytes]]],
        gas_cap: int,
    ) -> Result:
        """Execute and throw the writes away."""


class Executed(Protocol):
    """A block whose state is known, on the head and not yet the head."""

    @property
    def block(self) -> _native.Block:
        """The block."""

    @property
    def receipts(self) -> list[_native.Receipt]:
        """One for each transaction."""

    @property
    def encoded_receipts(self) -> bytes:
        """The receipts as the store keeps them."""

    @property
    def outcomes(self) -> list[str | None]:
        """For each transaction offered: None included, "" left for later, else why it can never run."""


class Executor(Protocol):
    """Head and states of one chain. Reads are safe from any thread; one caller at a time may change the head."""

    @property
    def chain_id(self) -> int:
        """EIP-155 chain id."""

    @property
    def head_number(self) -> int:
        """Number of the newest block."""

    @property
    def head_hash(self) -> bytes:
        """Hash of the newest block, 32 bytes."""

    @property
    def next_base_fee(self) -> int:
        """Base fee of the next block, wei per gas (EIP-1559)."""

    def build(
        self,
        transactions: list[_native.Transaction],
        *,
        beneficiary: bytes,
        timestamp: int,
        prev_randao: bytes,
        parent_beacon_block_root: bytes,
        extra_data: bytes,
        withdrawals: Sequence[tuple[int, int, bytes, int]] = (),
    ) -> Executed:
        """A block on the head, which does not move. Raises ExecutionRefused for what the rules forbid."""

    def import_block(self, raw: bytes) -> Executed:
        """Execute a block on the head and compare every root. Raises ExecutionRefused when one differs."""

    def append(self, executed: Any) -> None:
        """Make a block that this executor executed the head. Raises ExecutionRefused when it is not on the head."""

    def view(self, number: int) -> View:
        """The state after a block. Raises StateNotAvailable where it is no longer kept."""

    def view_of(self, executed: Any) -> View:
        """The state after a block that this executor executed and did not append."""


def native_executor(genesis: Genesis) -> tuple[Executor, _native.Block]:
    """revm at block 0 of a genesis, and block 0. Raises GenesisInvalid."""
    return genesis.executor()
