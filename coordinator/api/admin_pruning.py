"""The part of AdminService that forgets what is old."""

from __future__ import annotations

import time

import structlog

from coordinator.api import acts
from coordinator.ledger.pruning import BATCH, LEAST_AGE_SECONDS, count, prune_some, rules
from coordinator.ledger.store import Ledger
from verifier.errors import InvalidInput
from w3bstream.v1 import admin_pb2

CALL_SECONDS = 10.0
"""How long one call goes on; its caller calls again."""
MAX_AGE_SECONDS = 100 * 366 * 86_400
log = structlog.get_logger(__name__)


class PruningMethods:
    """Prunes in small transactions, so that other writers have their turns in between."""

    _ledger: Ledger

    async def PruneLedger(
        self, request: admin_pb2.PruneLedgerRequest, context: object
    ) -> admin_pb2.PruneLedgerResponse:
        """Count what may go, or let it go."""
        age = request.older_than_seconds
        if not LEAST_AGE_SECONDS <= age <= MAX_AGE_SECONDS:
            raise InvalidInput(
                "W3B-7008", f"older_than_seconds {age} is not {LEAST_AGE_SECONDS} or more", field="older_than_seconds"
            )
        before = self._ledger.clock() - age * 1000
        async with self._ledger.reading() as session:
            found = await count(session, before)
        acts.note(older_than_seconds=age, rows=found)
        more = False
        if request.act:
            found, more = await self._prune(before)
            log.info("ledger_pruned", older_than_seconds=age, rows=found, has_more=more)
        pruned = [admin_pb2.PruneLedgerResponse.Pruned(what=what, rows=rows) for what, rows in found.items()]
        return admin_pb2.PruneLedgerResponse(pruned=pruned, acted=request.act, has_more=more)

    async def _prune(self, before: int) -> tuple[dict[str, int], bool]:
        """(rows that went by rule, whether the time was up before all had)."""
        until = time.monotonic() + CALL_SECONDS
        gone: dict[str, int] = {}
        for rule in rules(before):
            gone[rule.what] = 0
            after, rows = None, BATCH
            while rows == BATCH:
                if time.monotonic() > until:
                    return gone, True
                async with self._ledger.transaction() as session:
                    rows, after = await prune_some(session, rule, after)
                gone[rule.what] += rows
        return gone, False
