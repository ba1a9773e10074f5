"""The typed client's calls about the chain; `client.Client` has them as its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from coordinator.api.errors import from_rpc
from w3bstream.v1 import chain_pb2, chain_pb2_grpc

RECONCILE_SECONDS = 3600.0
"""For one comparison: it looks at every task and transaction."""


class ChainCalls:
    """What `Client` adds to its channel for transactions and the comparison with the chain."""

    _channel: grpc.Channel
    _metadata: Any
    timeout: float

    def list_transactions(
        self,
        *,
        project_id: int = 0,
        task_id: str = "",
        states: Sequence[str] = (),
        purpose: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> chain_pb2.ListTransactionsResponse:
        """A page of transactions, newest first; `states` are names such as `SAFE`."""
        request = chain_pb2.ListTransactionsRequest(
            project_id=project_id,
            task_id=task_id,
            states=states,
            purpose=purpose,
            page_size=page_size,
            page_token=page_token,
        )
        found: chain_pb2.ListTransactionsResponse = self._ask("ListTransactions", request)
        return found

    def get_transaction(self, tx_id: int = 0, *, tx_hash: str = "") -> chain_pb2.ChainTransaction:
        """A transaction with its steps on the finality ladder. Raises NotFound (W3B-5015)."""
        request = chain_pb2.GetTransactionRequest(id=tx_id, hash=tx_hash)
        found: chain_pb2.ChainTransaction = self._ask("GetTransaction", request)
        return found

    def retry_dapp(self, task_id: str) -> chain_pb2.ChainTransaction:
        """Call a settled task's dApp again. Raises Conflict (W3B-3001) unless its call has failed."""
        found: chain_pb2.ChainTransaction = self._ask("RetryDapp", chain_pb2.RetryDappRequest(task_id=task_id))
        return found

    def reconcile(
        self, project_id: int = 0, *, timeout: float = RECONCILE_SECONDS
    ) -> Iterator[chain_pb2.ReconcileProgress]:
        """Compare ledger, chain and streams: each stage, and in the last message the report."""
        stub = chain_pb2_grpc.ChainServiceStub(self._channel)
        request = chain_pb2.ReconcileRequest(project_id=project_id)
        try:
            yield from stub.Reconcile(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from error

    def _ask(self, method: str, request: Any) -> Any:
        """One call. Repeating any of them has no second effect."""
        stub = chain_pb2_grpc.ChainServiceStub(self._channel)
        try:
            return getattr(stub, method)(request, timeout=self.timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from error
