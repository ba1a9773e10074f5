"""Re-runs: a task computed once more by a worker of choice, to compare its public output. It settles nothing, and the
chain does not hear of it.

A re-run is handed to a worker that no task and no hedge wants. Pools number work by attempt; a re-run's number is the
negative of its id, so that the two never meet. Its fence grows with each prover that takes it, and a report counts only
under the present one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from eth_hash.auto import keccak
from sqlalchemy import Connection, Table, select, update

from coordinator.dispatch.pool import Died, Failed, Proved
from coordinator.dispatch.proving_task import Wanted, load_proving_tasks, to_hex
from coordinator.dispatch.results import MAX_OUTPUT_BYTES, check_proof
from coordinator.dispatch.snapshot import INTERRUPTED, PROVERS
from coordinator.dispatch.version_terms import VersionBook
from coordinator.ledger.bulk import TASKS, Event, add_events
from coordinator.ledger.history_tables import RerunRow
from coordinator.ledger.store import Ledger
from coordinator.scheduling.values import Limits
from coordinator.scheduling.values import Prover as PolicyProver
from provers.protocol import Prepared, Proof, Prover, ProvingTask
from provers.worker import Work
from verifier.errors import NotFound, W3bstreamError
from verifier.statement import Domain

log = structlog.get_logger(__name__)

RERUNS: Table = RerunRow.__table__  # type: ignore[attr-defined]
DIFFERENT = "W3B-3082"
MOST_TRIES = 3
"""Provers that may take a re-run one after the other, when they die or are too slow."""
LOOKED_AT = 32
"""Waiting re-runs that a round looks at."""


@dataclass(frozen=True)
class WaitingRerun:
    """A re-run that no prover has taken."""

    id: int
    task_id: str
    kind: str
    prover_id: str
    """The one that was asked for; empty for any."""


@dataclass(frozen=True)
class _Running:
    prover_id: str
    task_id: str
    fence: int
    until: int
    """Its end on the steady clock."""


def number_of(rerun_id: int) -> int:
    """What pools call it."""
    return -rerun_id


def is_rerun(number: int | None) -> bool:
    """Whether a pool's number is a re-run's."""
    return number is not None and number < 0


_WAITING = (
    select(*(RERUNS.c[name] for name in ("id", "task_id", "kind", "prover_id")))
    .where(RERUNS.c.state == "QUEUED")
    .order_by(RERUNS.c.id)
    .limit(LOOKED_AT)
)


def waiting_reruns(connection: Connection) -> list[WaitingRerun]:
    """The oldest re-runs that wait."""
    return [WaitingRerun(*row) for row in connection.execute(_WAITING)]


class Reruns:
    """Gives re-runs to idle workers and records what comes of them.

    Parameters: `provers` and `prepared` are the coordinator's own; `clock` gives the time.
    """

    def __init__(
        self,
        ledger: Ledger,
        domain: Domain,
        limits: Limits,
        *,
        provers: Mapping[str, Prover],
        prepared: Mapping[tuple[str, bytes], Prepared],
        clock: Callable[[], int],
        book: VersionBook,
    ) -> None:
        self._ledger = ledger
        self._domain = domain
        self._limits = limits
        self._provers = provers
        self._prepared = prepared
        self._clock = clock
        self._book = book
        self._running: dict[int, _Running] = {}

    async def recover(self) -> None:
        """Put back what a former process was computing."""
        await self._ledger.write(
            lambda connection: (
                connection.execute(
                    update(RERUNS)
                    .where(RERUNS.c.state == "RUNNING")
                    .values(state="QUEUED", code=INTERRUPTED, reason="the coordinator restarted")
                ).rowcount
            )
        )

    def numbers(self) -> frozenset[int]:
        """What is being computed, as pools number it."""
        return frozenset(number_of(rerun_id) for rerun_id in self._running)

    def busy(self) -> dict[str, str]:
        """What each prover with a re-run works on, in words."""
        return {each.prover_id: f"computes task {each.task_id} again" for each in self._running.values()}

    async def take(
        self, steady: int, waiting: Sequence[WaitingRerun], idle: Iterable[PolicyProver], addresses: Mapping[str, str]
    ) -> list[tuple[str, Work]]:
        """Give waiting re-runs to idle provers; returns (prover, work) for the pool."""
        free = {prover.id: prover for prover in idle}
        given: list[tuple[str, Work]] = []
        for each in waiting:
            fits = [
                prover.id for prover in free.values() if prover.kind == each.kind and each.prover_id in ("", prover.id)
            ]
            if not fits:
                continue
            prover_id = min(fits)
            work = await self._begin(steady, each, prover_id, addresses[prover_id])
            if work is not None:
                del free[prover_id]
                given.append((prover_id, work))
        return given

    async def _begin(self, steady: int, rerun: WaitingRerun, prover_id: str, address: str) -> Work | None:
        now = self._clock()

        def work(connection: Connection) -> tuple[int, ProvingTask | W3bstreamError] | None:
            fence = connection.execute(
                update(RERUNS)
                .where(RERUNS.c.id == rerun.id, RERUNS.c.state == "QUEUED")
                .values(
                    state="RUNNING",
                    prover_id=prover_id,
                    fence=RERUNS.c.fence + 1,
                    lease_expires_at=now + self._limits.attempt_ms,
                    code="",
                    reason="",
                    updated_at=now,
                )
                .returning(RERUNS.c.fence)
            ).scalar()
            if fence is None:
                return None
            task = self._proving_task(connection, rerun.task_id, rerun.kind, address)
            told = {"state": "RUNNING", "reason": f"computed again by {prover_id}", "code": ""}
            _tell(connection, now, rerun.task_id, "QUEUED", told)
            return fence, task

        taken = await self._ledger.write(work)
        if taken is None:
            return None
        fence, task = taken
        self._running[rerun.id] = _Running(prover_id, rerun.task_id, fence, steady + self._limits.attempt_ms)
        if isinstance(task, W3bstreamError):
            await self._end(rerun.id, fence, {"state": "FAILED", "code": task.code, "reason": task.message})
            return None
        return Work(number_of(rerun.id), fence, task, alone=True)

    def _proving_task(
        self, connection: Connection, task_id: str, kind: str, address: str
    ) -> ProvingTask | W3bstreamError:
        row = connection.execute(select(TASKS.c.project_id, TASKS.c.version).where(TASKS.c.id == task_id)).one()
        programs = self._book.terms(connection, row.project_id, row.version).program_ids
        if kind not in programs:
            return NotFound("W3B-2005", f"version {row.version} has no program of kind {kind}", field="kind")
        wanted = Wanted(task_id, programs[kind], address, kind)
        return load_proving_tasks(connection, self._domain, self._book, [wanted])[0]

    async def expire(self, steady: int, gone: Callable[[str], bool]) -> None:
        """End what ran out of time, or whose prover is gone without a word."""
        for rerun_id, each in list(self._running.items()):
            if each.until <= steady or gone(each.prover_id):
                await self._again(
                    rerun_id, each.fence, "W3B-3008", "it took longer than allowed, or its worker is gone"
                )

    async def record(self, report: Proved | Failed | Died) -> None:
        """Record a report about a re-run; one under another fence changes nothing."""
        rerun_id = -(report.attempt_id or 0)
        running = self._running.get(rerun_id)
        if running is None or running.fence != report.fence:
            log.warning("late report of a re-run refused", rerun=rerun_id, fence=report.fence)
        elif isinstance(report, Died):
            await self._again(rerun_id, running.fence, "W3B-4082", f"worker died: {report.reason}")
        elif isinstance(report, Failed):
            values = {"state": "FAILED", "code": report.error.code, "reason": report.error.message}
            await self._end(rerun_id, running.fence, values)
        else:
            await self._end(rerun_id, running.fence, await self._checked(rerun_id, running, report.proof))

    async def _checked(self, rerun_id: int, running: _Running, proof: Proof) -> dict[str, Any]:
        """The row's values after a proof that the coordinator verifies as it verifies any other."""

        def read(connection: Connection) -> tuple[str, ProvingTask | W3bstreamError]:
            row = connection.execute(select(RERUNS.c.kind, RERUNS.c.prover_id).where(RERUNS.c.id == rerun_id)).one()
            address = connection.execute(select(PROVERS.c.address).where(PROVERS.c.id == row.prover_id)).scalar_one()
            return row.kind, self._proving_task(connection, running.task_id, row.kind, address)

        kind, task = await self._ledger.read(read)
        try:
            if isinstance(task, W3bstreamError):
                raise task
            prover, prepared = self._provers.get(kind), self._prepared.get((kind, task.program_id))
            if prover is None or prepared is None:
                raise NotFound("W3B-2005", f"no {kind} program 0x{task.program_id.hex()} is installed here")
            await asyncio.to_thread(check_proof, prover, prepared, task, proof)
        except W3bstreamError as error:
            return {"state": "FAILED", "code": error.code, "reason": error.message, **_output_of(proof)}
        return {"state": "DONE", "code": "", "reason": "", **_output_of(proof)}

    async def _again(self, rerun_id: int, fence: int, code: str, reason: str) -> None:
        """Let another prover take it, unless enough have."""
        state = "QUEUED" if fence < MOST_TRIES else "FAILED"
        await self._end(rerun_id, fence, {"state": state, "code": code, "reason": reason})

    async def _end(self, rerun_id: int, fence: int, values: dict[str, Any]) -> None:
        """Move a RUNNING re-run on, under its fence, compare its output with the task's, and tell the timeline."""
        now = self._clock()

        def work(connection: Connection) -> None:
            task_id = connection.execute(select(RERUNS.c.task_id).where(RERUNS.c.id == rerun_id)).scalar_one()
            output = connection.execute(select(TASKS.c.output).where(TASKS.c.id == task_id)).scalar_one()
            final = {**values, **_verdict(values, output), "updated_at": now}
            done = connection.execute(
                update(RERUNS)
                .where(RERUNS.c.id == rerun_id, RERUNS.c.fence == fence, RERUNS.c.state == "RUNNING")
                .values(**final)
            )
            if done.rowcount:
                _tell(connection, now, task_id, "RUNNING", final)

        await self._ledger.write(work)
        self._running.pop(rerun_id, None)


def _output_of(proof: object) -> dict[str, Any]:
    """What was computed, also where the proof of it is refused: it is to be compared."""
    claimed = getattr(proof, "public_output", None)
    if not isinstance(claimed, bytes) or not 0 < len(claimed) <= MAX_OUTPUT_BYTES:
        return {}
    return {"output": to_hex(keccak(claimed)), "public_output": claimed}


def _verdict(values: Mapping[str, Any], output: str) -> dict[str, Any]:
    """Whether a computed output is the task's, with the words for it."""
    computed = values.get("output", "")
    if not computed:
        return {}
    if not output:
        return {"same": None, "reason": values["reason"] or "computed again; the task has no output yet"}
    if computed == output:
        return {"same": True, "reason": values["reason"] or "computed again: the same output"}
    reason = f"computed again: output {computed}, not {output}"
    if values["reason"]:
        reason += f"; and its proof was refused: {values['reason']}"
    return {"same": False, "code": DIFFERENT, "reason": reason}


def _tell(connection: Connection, now: int, task_id: str, source: str, final: Mapping[str, Any]) -> None:
    project_id = connection.execute(select(TASKS.c.project_id).where(TASKS.c.id == task_id)).scalar_one()
    add_events(
        connection,
        now,
        [Event(task_id, project_id, "rerun", source, final["state"], final["reason"], final["code"])],
    )
