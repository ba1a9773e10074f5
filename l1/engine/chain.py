"""The chain of the rest of the node, executed by geth: the same store, duties, elections and certificates.

Blocks and certificates are in our own store; geth's folder is what it made of them. It may be deleted: it is filled again
from the store.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, cast

from l1.chain.blockchain import Blockchain
from l1.chain.genesis import Genesis, parse_genesis
from l1.chain.mempool import Mempool
from l1.chain.store import BlockStore, StoreError
from l1.consensus.certificate import CertificateError, check
from l1.consensus.messages import domain_of
from l1.engine.client import EngineClient
from l1.engine.execution import Executor
from l1.engine.geth import BUILD_SECONDS, GethExecutor
from native import _native

CHECKED_CERTIFICATES: Final = 1_024
"""Newest blocks whose certificates are checked when the chain is opened; a millisecond each."""


class GethChain(Blockchain):
    """Executor and store of one chain, the executor being geth."""

    def __init__(
        self, data_dir: Path, genesis: Genesis | None, engine: EngineClient, *, build_seconds: float = BUILD_SECONDS
    ) -> None:
        """Open the chain in `data_dir`, or start it from `genesis`, and bring geth to its head.

        Raises
        ------
        StoreError
            As `Blockchain`; also when geth holds another chain, or a certificate does not hold.
        EngineError
            When geth cannot be driven.
        """
        self._engine = engine
        self._build_seconds = build_seconds
        super().__init__(data_dir, genesis)
        try:
            self._check_certificates()
        except BaseException:
            self.close()
            raise

    def _open(self) -> _native.Chain:
        _, first = self._genesis.executor()
        head = self._store.head_number()
        if head is None:
            self._store.append(first, b"\xc0")
            head = 0
        if self._store.number_of(first.hash) != 0:
            raise StoreError("block 0 in the data folder is not the genesis block of this program's rules")
        if self._store.first_number() > 1:
            raise StoreError(
                f"the chain in this folder begins at a snapshot, block {self._store.first_number()}: geth needs every "
                "block from the first one"
            )
        executor = GethExecutor(self._engine, build_seconds=self._build_seconds)
        if self._store.number_of(executor.head_hash) != executor.head_number:
            raise StoreError(
                f"geth's head, block {executor.head_number} 0x{executor.head_hash.hex()}, is not in the store: "
                "delete geth's folder, and it is filled from the store"
            )
        for number in range(executor.head_number + 1, head + 1):
            try:
                executor.append(executor.import_block(self._store.block(number) or b""))
            except _native.ExecutionRefused as error:
                raise StoreError(f"stored block {number} is damaged: {error}") from error
        # The chain asks its executor for no more than the protocol has.
        return cast(_native.Chain, cast(Executor, executor))

    def _snapshot(self, number: int) -> None:
        """geth keeps every state itself."""

    def rollback(self, number: int) -> None:
        """Raises StoreError: every block that geth was given is final."""
        raise StoreError(f"block {number + 1} is final in geth: nothing is dropped")

    def _check_certificates(self) -> None:
        if not self._genesis.delegates:
            return
        domain = domain_of(self.chain_id, self.hash_of(0))
        for number in range(max(1, self.head_number - CHECKED_CERTIFICATES + 1), self.head_number + 1):
            try:
                certificate = self.certificate(number)
                if certificate is None:
                    raise StoreError(f"block {number} has no certificate")
                check(certificate, self.delegates_at(number), domain)
            except CertificateError as error:
                raise StoreError(f"the certificate of block {number} does not hold: {error}") from error


class GethPool(Mempool):
    """geth's own pool in the place of ours: geth chooses by itself, and forgets what was mined."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = 0, 0

    def counted(self, pending: int, queued: int) -> None:
        """Say what geth's pool holds."""
        self._counts = pending, queued

    def status(self) -> tuple[int, int]:
        """(pending, queued) transactions, as last counted."""
        return self._counts


def stored_genesis(data_dir: Path) -> Genesis | None:
    """The genesis of the chain in a folder; None for a new one. Raises StoreError when another process holds it."""
    store = BlockStore(data_dir)
    try:
        known = store.meta("genesis")
    finally:
        store.close()
    return None if known is None else parse_genesis(json.loads(known))
