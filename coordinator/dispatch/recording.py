"""What the pool's events do to the ledger: a report counts only under its attempt's fence and while it is PROVING."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog
from eth_hash.auto import keccak

from coordinator.dispatch import attempts
from coordinator.dispatch.attempts import TaskEnded
from coordinator.dispatch.pool import Died, Failed, Proved
from coordinator.dispatch.proving_task import load_proving_task, to_hex
from coordinator.dispatch.results import check_proof, clean_seconds
from coordinator.ledger.store import Ledger, move_attempt, record_late_report
from coordinator.ledger.tables import AttemptRow
from coordinator.ledger.transitions import AttemptState
from coordinator.scheduling.values import Limits
from provers.protocol import Prepared, Prover
from verifier.errors import Conflict, NotFound, W3bstreamError
from verifier.statement import Domain

log = structlog.get_logger(__name__)

Report = Proved | Failed | Died


class Recorder:
    """Takes reports, verifies proofs off chain in threads of its own, and records the outcome.

    Parameters: `provers` and `prepared` are the coordinator's own, by kind and by (kind, program id).
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        limits: Limits,
        *,
        provers: Mapping[str, Prover],
        prepared: Mapping[tuple[str, bytes], Prepared],
        ended: TaskEnded,
    ) -> None:
        self._ledger = ledger
        self._domain = domain
        self._limits = limits
        self._provers = provers
        self._prepared = prepared
        self._ended = ended
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="verify")

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def record(self, report: Report) -> None:
        """Record one report about an attempt. A proof is verified first."""
        attempt = await self._current(report)
        if attempt is None:
            return
        if isinstance(report, Proved):
            await self._proved(attempt, report)
        elif isinstance(report, Failed):
            await self._lost(report, AttemptState.REJECTED, report.error.message, report.error.code)
        else:
            await self._lost(report, AttemptState.LOST, f"worker died: {report.reason}", "W3B-4082")

    async def _current(self, report: Report) -> AttemptRow | None:
        """The attempt if the report is about it as it is now; a late one is written to the timeline and refused."""
        async with self._ledger.reading() as session:
            attempt = await session.get(AttemptRow, report.attempt_id)
        if attempt is None:
            log.warning("report about no attempt", attempt=report.attempt_id, worker=report.worker_id)
            return None
        if attempt.fence == report.fence and attempt.state == AttemptState.PROVING.value:
            return attempt
        await self._late(attempt, report)
        return None

    async def _late(self, attempt: AttemptRow, report: Report) -> None:
        what = f"{type(report).__name__} by {report.worker_id} under fence {report.fence}; attempt {attempt.id}"
        async with self._ledger.transaction() as session:
            told = f"{what} has fence {attempt.fence} and is {attempt.state}"
            await record_late_report(session, self._ledger.clock(), attempt, told)
        log.warning("late report refused", attempt=attempt.id, worker=report.worker_id, fence=report.fence)

    async def _proved(self, attempt: AttemptRow, report: Proved) -> None:
        try:
            await self._verify(attempt, report)
        except W3bstreamError as error:
            await self._lost(report, AttemptState.REJECTED, error.message, error.code)
            return
        proof = report.proof
        output = to_hex(keccak(proof.public_output))
        now = self._ledger.clock()
        try:
            async with self._ledger.transaction() as session:
                await move_attempt(
                    session,
                    now,
                    report.attempt_id,
                    report.fence,
                    AttemptState.PROVED,
                    output=output,
                    public_output=proof.public_output,
                    proof=proof.proof,
                    seconds=clean_seconds(proof.seconds),
                    stage="",
                    progress=1.0,
                )
                await attempts.reach(session, now, attempt.task_id, self._ended)
                await attempts.recount(session, now, attempt.task_id, self._limits, self._ended)
        except Conflict:
            await self._passed_by(report)

    async def _verify(self, attempt: AttemptRow, report: Proved) -> None:
        prover = self._provers.get(attempt.kind)
        async with self._ledger.reading() as session:
            task = await load_proving_task(session, self._domain, attempt)
        prepared = self._prepared.get((attempt.kind, task.program_id))
        if prover is None or prepared is None:
            raise NotFound("W3B-2005", f"no {attempt.kind} program {attempt.program_id} is installed here")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, check_proof, prover, prepared, task, report.proof)

    async def _lost(self, report: Report, target: AttemptState, reason: str, code: str) -> None:
        assert report.attempt_id is not None
        assert report.fence is not None
        try:
            async with self._ledger.transaction() as session:
                await attempts.lose(
                    session,
                    self._ledger.clock(),
                    report.attempt_id,
                    report.fence,
                    target,
                    limits=self._limits,
                    ended=self._ended,
                    reason=reason,
                    code=code,
                )
        except Conflict:
            await self._passed_by(report)

    async def _passed_by(self, report: Report) -> None:
        """The ledger moved while the report was looked at. If the attempt ended, the report is a late one now; if only
        its task moved, as PostgreSQL allows, raise Conflict again: the lease runs out and the task is tried anew."""
        if await self._current(report) is not None:
            raise Conflict("W3B-3001", f"the task of attempt {report.attempt_id} moved meanwhile", field="state")
