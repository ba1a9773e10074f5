"""What the pool's events do to the ledger: a report counts only under its attempt's fence and while it is PROVING.

Proofs are verified first, each by itself. Then reports that wait for the ledger together are committed together: while
one transaction is under way the next one fills.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import structlog
from eth_hash.auto import keccak
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.dispatch import attempts, conclusions
from coordinator.dispatch.confirming import TaskEnded
from coordinator.dispatch.pool import Died, Failed, Proved
from coordinator.dispatch.proving_task import Wanted, load_proving_tasks, to_hex
from coordinator.dispatch.results import check_proof, clean_seconds
from coordinator.dispatch.snapshot import INTERRUPTED, LeasedAttempt
from coordinator.dispatch.version_terms import VersionBook
from coordinator.ledger.bulk import (
    ATTEMPTS,
    TASKS,
    AttemptMove,
    Event,
    MovedAttempt,
    Refusal,
    add_events,
    move_attempts,
)
from coordinator.ledger.one_hop import in_one_hop
from coordinator.ledger.session_keys import NewSessionKey, add_session_keys
from coordinator.ledger.store import Ledger
from coordinator.ledger.transitions import AttemptState
from coordinator.scheduling.values import Limits
from provers.protocol import Prepared, Prover, ProvingTask
from provers.worker import Work
from verifier.errors import Conflict, NotFound, Unavailable, W3bstreamError
from verifier.statement import Domain
from verifier.tee import key_address

log = structlog.get_logger(__name__)

Report = Proved | Failed | Died
AWAY_SECONDS = 1.0
"""Pause while the ledger takes nothing."""
VERIFIERS = 2
"""Threads that verify."""
VERIFIED_TOGETHER = 16
"""Proofs that one thread takes at once: handing one over costs as much as verifying a tiny one."""


@dataclass(frozen=True)
class _Known:
    """An attempt as the ledger has it."""

    id: int
    task_id: str
    project_id: int
    kind: str
    program_id: str
    prover_address: str
    fence: int
    state: str
    task: ProvingTask | None = None
    """What its worker was given; None for one that is not remembered here."""


@dataclass
class _Entry:
    """A report with the move that it asks for; `is_done` once a transaction has taken it in."""

    report: Report
    move: AttemptMove
    key: NewSessionKey | None = None
    """The session key that signed the proof, to record with it."""
    is_done: bool = False


class _CloserLookError(Exception):
    """A batch holds proofs of two outputs, or of a task without attempts left."""


class Recorder:
    """Takes reports, verifies proofs off chain in threads of its own, and records the outcome.

    Parameters: `provers` and `prepared` are the coordinator's own, by kind and by (kind, program id); `clock` gives the
    time; `book` holds the versions' terms.
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
        clock: Callable[[], int],
        book: VersionBook,
    ) -> None:
        self._ledger = ledger
        self._domain = domain
        self._limits = limits
        self._provers = provers
        self._prepared = prepared
        self._ended = ended
        self._clock = clock
        self._book = book
        self._threads = ThreadPoolExecutor(max_workers=VERIFIERS, thread_name_prefix="verify")
        self._expected: dict[int, _Known] = {}
        self._waiting: list[_Entry] = []
        self._committing = asyncio.Lock()

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def expect(self, attempt: LeasedAttempt, work: Work) -> None:
        """Remember what a worker was given, so that it need not be read again when the report comes. The ledger has the
        last word all the same: a report is refused there if the attempt has moved."""
        prover_address = "0x" + work.task.prover.hex()
        self._expected[attempt.id] = _Known(
            id=attempt.id,
            task_id=attempt.task_id,
            project_id=attempt.project_id,
            kind=attempt.kind,
            program_id=attempt.program_id,
            prover_address=prover_address,
            fence=attempt.fence,
            state=AttemptState.PROVING.value,
            task=work.task,
        )

    def expect_only(self, attempts_: Collection[int]) -> None:
        """Forget all other attempts."""
        for each in [each for each in self._expected if each not in attempts_]:
            del self._expected[each]

    async def record(self, reports: Sequence[Report]) -> None:
        """Record reports about attempts, one a report. Proofs are verified first."""
        known = await self._known(reports)
        current: list[tuple[Report, _Known]] = []
        for report in reports:
            attempt = known.get(report.attempt_id or 0)
            if attempt is not None and (attempt.fence, attempt.state) == (report.fence, AttemptState.PROVING.value):
                current.append((report, attempt))
            else:
                await self._late([report])
        moves = await self._moves(current)
        entries = []
        for (report, _), move in zip(current, moves, strict=True):
            key = self._session_key(report) if move.target is AttemptState.PROVED else None
            values = {**move.values, "session_key": key.digest} if key is not None else move.values
            entries.append(_Entry(report, replace(move, values=values), key))
        await self._commit(entries)

    async def _known(self, reports: Sequence[Report]) -> dict[int, _Known]:
        found = {
            each: known for report in reports if (each := report.attempt_id) and (known := self._expected.get(each))
        }
        ids = sorted({each for report in reports if (each := report.attempt_id) and each not in found})
        if not ids:
            return found

        def work(connection: Connection) -> dict[int, _Known]:
            names = ("id", "task_id", "kind", "program_id", "prover_address", "fence", "state")
            rows = connection.execute(
                select(*(ATTEMPTS.c[name] for name in names), TASKS.c.project_id)
                .join(TASKS, TASKS.c.id == ATTEMPTS.c.task_id)
                .where(ATTEMPTS.c.id.in_(ids))
            )
            return {row.id: _Known(**row._asdict()) for row in rows}

        return found | await self._ledger.read(work)

    # --- verification ---

    async def _moves(self, current: Sequence[tuple[Report, _Known]]) -> list[AttemptMove]:
        """The move that each report asks for."""
        proofs = [(report, attempt) for report, attempt in current if isinstance(report, Proved)]
        tasks = await self._tasks([attempt for _, attempt in proofs])
        loop = asyncio.get_running_loop()
        jobs = [(report, attempt, task) for (report, attempt), task in zip(proofs, tasks, strict=True)]
        parts = [jobs[at : at + VERIFIED_TOGETHER] for at in range(0, len(jobs), VERIFIED_TOGETHER)]
        checked = await asyncio.gather(*(loop.run_in_executor(self._threads, self._verify_all, part) for part in parts))
        found = (error for part in checked for error in part)
        refusals = {id(report): error for (report, _, _), error in zip(jobs, found, strict=True)}
        return [self._move(report, refusals.get(id(report))) for report, _ in current]

    async def _tasks(self, proven: Sequence[_Known]) -> list[ProvingTask | W3bstreamError]:
        unknown = [each for each in proven if each.task is None]
        loaded: dict[int, ProvingTask | W3bstreamError] = {
            each.id: each.task for each in proven if each.task is not None
        }
        if unknown:
            wanted = [Wanted(each.task_id, each.program_id, each.prover_address) for each in unknown]
            made = await self._ledger.read(
                lambda connection: load_proving_tasks(connection, self._domain, self._book, wanted)
            )
            loaded |= {each.id: task for each, task in zip(unknown, made, strict=True)}
        return [loaded[each.id] for each in proven]

    def _verify_all(
        self, jobs: Sequence[tuple[Proved, _Known, ProvingTask | W3bstreamError]]
    ) -> list[W3bstreamError | None]:
        return [self._verify(report, attempt, task) for report, attempt, task in jobs]

    def _verify(self, report: Proved, attempt: _Known, task: ProvingTask | W3bstreamError) -> W3bstreamError | None:
        """Why the proof is refused. Blocks while it computes."""
        if isinstance(task, W3bstreamError):
            return task
        prover = self._provers.get(attempt.kind)
        prepared = self._prepared.get((attempt.kind, task.program_id))
        if prover is None or prepared is None:
            return NotFound("W3B-2005", f"no {attempt.kind} program {attempt.program_id} is installed here")
        try:
            check_proof(prover, prepared, task, report.proof)
        except W3bstreamError as error:
            return error
        return None

    def _move(self, report: Report, refusal: W3bstreamError | None) -> AttemptMove:
        assert report.attempt_id is not None
        assert report.fence is not None
        wanted, source = (report.attempt_id, report.fence), AttemptState.PROVING
        if isinstance(report, Died):
            if report.is_suspect:
                return AttemptMove(
                    *wanted, AttemptState.LOST, f"worker died: {report.reason}", "W3B-4082", source=source
                )
            reason = f"lost with its worker, not for its own sake: {report.reason}"
            return AttemptMove(*wanted, AttemptState.LOST, reason, INTERRUPTED, source=source)
        error = report.error if isinstance(report, Failed) else refusal
        if error is not None:
            return AttemptMove(*wanted, AttemptState.REJECTED, error.message, error.code, source=source)
        assert isinstance(report, Proved)
        values = {
            "output": to_hex(report.proof.statement.output),  # as `check_proof` found it
            "public_output": report.proof.public_output,
            "proof": report.proof.proof,
            "seconds": clean_seconds(report.proof.seconds),
            "session_key": "",
            "stage": "",
            "progress": 1.0,
            "proved_at": self._clock(),
        }
        return AttemptMove(*wanted, AttemptState.PROVED, values=values, source=source)

    def _session_key(self, report: Report) -> NewSessionKey | None:
        """The key of an accepted proof, whose registration was admitted with it."""
        registration = report.proof.registration if isinstance(report, Proved) else None
        if registration is None:
            return None
        key = registration.key
        return NewSessionKey(
            digest=to_hex(key.digest(self._domain)),
            kind=registration.kind,
            program_id=to_hex(key.program_id),
            prover_address=to_hex(key.prover),
            address=to_hex(key_address(key.public_key)),
            expiry=key.expiry,
            document=registration.to_json(),
        )

    # --- the ledger ---

    async def _commit(self, entries: list[_Entry]) -> None:
        """Take the entries in, with whatever else waits; returns when they are committed."""
        self._waiting += entries
        async with self._committing:
            if all(entry.is_done for entry in entries):
                return
            batch, self._waiting = self._waiting, []
            try:
                await self._take_in_once_it_can_be(batch)
            except BaseException:
                # Whoever brought the others waits here too, and takes them in next.
                mine = {id(entry) for entry in entries}
                left = [entry for entry in batch if not entry.is_done and id(entry) not in mine]
                self._waiting = left + self._waiting
                raise

    async def _take_in_once_it_can_be(self, batch: list[_Entry]) -> None:
        """Commit a batch, be the ledger away or full for a while: what is proven is not lost for that, and its lease is
        renewed until it is recorded."""
        while True:
            try:
                return await self._take_in(batch)
            except Conflict:  # PostgreSQL lets another room move a task meanwhile: one by one, all others pass
                for entry in batch:
                    await self._take_in([entry])
                return
            except (Unavailable, OperationalError) as error:
                log.warning("reports wait for the ledger", count=len(batch), error=str(error)[:300])
                await asyncio.sleep(AWAY_SECONDS)

    async def _take_in(self, batch: list[_Entry]) -> None:
        """Commit a batch. A refused entry is a late report; it is recorded, and changes nothing else.

        A batch of proofs that leaves no task in need of a closer look is one step; any other is made anew as a
        transaction in which rooms that must hear of ended tasks can take part.
        """
        now = self._clock()
        if all(entry.move.target is AttemptState.PROVED for entry in batch):
            try:
                await self._ledger.write(lambda connection: self._take_proofs(connection, now, batch))
            except _CloserLookError:
                log.info("proofs need a closer look", count=len(batch))
            else:
                for entry in batch:
                    entry.is_done = True
                return
        async with self._ledger.transaction() as session:
            moved, refused = await in_one_hop(
                session, lambda connection: move_attempts(connection, now, [entry.move for entry in batch])
            )
            await self._conclude(session, now, moved)
            late = set(_refused_at(batch, moved, refused))
            await in_one_hop(session, lambda connection: _write_rest(connection, now, batch, late))
        for entry in batch:
            entry.is_done = True

    def _take_proofs(self, connection: Connection, now: int, batch: Sequence[_Entry]) -> None:
        """Take in proofs, all at once. Raises _CloserLookError, and nothing is written."""
        moved, refused = move_attempts(connection, now, [entry.move for entry in batch])
        left = conclusions.conclude(connection, now, moved, self._limits, self._book)
        if left.conflicting or left.exhausted:
            raise _CloserLookError
        _write_rest(connection, now, batch, set(_refused_at(batch, moved, refused)))

    async def _conclude(self, session: AsyncSession, now: int, moved: Sequence[MovedAttempt]) -> None:
        """What the moves mean for their tasks."""
        proven = [each for each in moved if each.target is AttemptState.PROVED]
        if proven:
            left = await in_one_hop(
                session, lambda connection: conclusions.conclude(connection, now, proven, self._limits, self._book)
            )
            for task_id in left.conflicting:
                await attempts.reach(session, now, task_id, self._ended)
            for task_id in left.exhausted:
                await attempts.recount(session, now, task_id, self._limits, self._ended)
        for task_id in dict.fromkeys(each.task_id for each in moved if each.target is not AttemptState.PROVED):
            await attempts.recount(session, now, task_id, self._limits, self._ended)

    async def _late(self, reports: Sequence[Report]) -> None:
        now = self._clock()
        await self._ledger.write(lambda connection: _write_late(connection, now, reports))


def _refused_at(batch: Sequence[_Entry], moved: Sequence[MovedAttempt], refused: Sequence[Refusal]) -> list[int]:
    """Places in the batch whose moves were refused: for an attempt that two reports name, the later one."""
    if not refused:
        return []
    taken = {each.id for each in moved}
    places = []
    for at, entry in enumerate(batch):
        if entry.move.id in taken:
            taken.discard(entry.move.id)
        else:
            places.append(at)
    return places


def _write_rest(connection: Connection, now: int, batch: Sequence[_Entry], late: Collection[int]) -> None:
    """Record what moved nothing (its places are `late`), and the session keys of what did."""
    _write_late(connection, now, [batch[at].report for at in sorted(late)])
    taken = (entry.key for at, entry in enumerate(batch) if at not in late)
    add_session_keys(connection, now, [key for key in taken if key is not None])


def _write_late(connection: Connection, now: int, reports: Sequence[Report]) -> None:
    """Record, without any effect, reports that came under an old fence or after their attempts ended."""
    for report in reports:
        row = connection.execute(
            select(
                ATTEMPTS.c.fence,
                ATTEMPTS.c.state,
                ATTEMPTS.c.task_id,
                TASKS.c.project_id,
                TASKS.c.output,
            )
            .join(TASKS, TASKS.c.id == ATTEMPTS.c.task_id)
            .where(ATTEMPTS.c.id == report.attempt_id)
        ).first()
        log.warning("late report refused", attempt=report.attempt_id, worker=report.worker_id, fence=report.fence)
        if row is None:
            continue
        what = f"{type(report).__name__} by {report.worker_id} under fence {report.fence}"
        told = f"late report refused: {what}; attempt {report.attempt_id} has fence {row.fence} and is {row.state}"
        told += _other_output(report, row.output)
        event = Event(row.task_id, row.project_id, "attempt", row.state, row.state, told, "W3B-3002", report.attempt_id)
        add_events(connection, now, [event])


def _other_output(report: Report, output: str) -> str:
    """What to add when a late proof, which nobody verifies, has another output than the task's."""
    proof = report.proof if isinstance(report, Proved) else None
    claimed = getattr(proof, "public_output", None)
    if not output or not isinstance(claimed, bytes) or to_hex(keccak(claimed)) == output:
        return ""
    return "; its output, not verified, is another than the task's"
