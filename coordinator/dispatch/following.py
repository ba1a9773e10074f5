"""Workers that follow an external Ray cluster: as many of each kind as its living nodes have `prover_<kind>` for.

New nodes get workers; workers of nodes that are gone are Offline at once and dropped after `GONE_SECONDS`; surplus ones
are drained first. The cluster's autoscaler is told how many the backlog asks for, so that it adds and removes nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Protocol

import structlog
from sqlalchemy import Connection, Table, func, select

from coordinator.dispatch import snapshot
from coordinator.dispatch.fleet import Fleet
from coordinator.dispatch.identity import load_identity
from coordinator.dispatch.pool import ProverPool, Steady, Worker, WorkerSpec
from coordinator.ledger.bulk import TASKS
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectVersionRow
from coordinator.ledger.transitions import TaskState
from coordinator.scheduling.scale import Bounds, SlowToFall, wanted_workers
from coordinator.settings import Settings
from verifier.errors import Unavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
"""How often the cluster is looked at."""
GONE_SECONDS = 60.0
"""How long the worker of a node that is gone is waited for before it is dropped."""
VERSIONS: Table = ProjectVersionRow.__table__  # type: ignore[attr-defined]


class ClusterPool(ProverPool, Protocol):
    """A pool on a cluster that grows and shrinks."""

    async def room(self, kinds: Sequence[str]) -> Mapping[str, int]:
        """Workers of each kind that the living nodes have resources for, used or not. Raises Unavailable (W3B-8002)."""

    async def ask_for(self, counts: Mapping[str, int]) -> None:
        """Tell the autoscaler, if there is one, to have room for so many workers of each kind; holds until the next
        call. Raises Unavailable (W3B-8002)."""

    async def remove(self, worker_ids: Sequence[str]) -> None:
        """End workers for good; what they held is told as `Died`."""


def backlog_by_kind(connection: Connection) -> dict[str, int]:
    """OPEN tasks by kind that their project version has a program for."""
    waiting = (
        select(TASKS.c.project_id, TASKS.c.version, func.count().label("tasks"))
        .where(TASKS.c.state == TaskState.OPEN.value)
        .group_by(TASKS.c.project_id, TASKS.c.version)
        .subquery()
    )
    rows = connection.execute(
        select(VERSIONS.c.programs, waiting.c.tasks).where(
            VERSIONS.c.project_id == waiting.c.project_id, VERSIONS.c.version == waiting.c.version
        )
    )
    found: dict[str, int] = {}
    for programs, tasks in rows:
        for kind in {program["kind"] for program in programs}:
            found[kind] = found.get(kind, 0) + tasks
    return found


class Follower:
    """Hires and dismisses a dispatcher's workers.

    Parameters: `crew` are the dispatcher's workers by id, which this changes; `models` are the workers number 0 of each
    kind that has a prover and a program; `steady` gives milliseconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        pool: ClusterPool,
        fleet: Fleet,
        settings: Settings,
        *,
        crew: MutableMapping[str, WorkerSpec],
        models: Sequence[WorkerSpec],
        steady: Steady,
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._fleet = fleet
        self._settings = settings
        self._crew = crew
        self._models = {model.kind: model for model in models}
        self._kinds = tuple(self._models)
        self._steady = steady
        self._bounds = Bounds(settings.provers_min, max(settings.provers_min, settings.provers_max))
        self._wanted = {kind: SlowToFall(round(settings.provers_idle_seconds * 1000)) for kind in self._kinds}
        self._room = {kind: SlowToFall(round(GONE_SECONDS * 1000)) for kind in self._kinds}
        self._asked: Mapping[str, int] = {}

    async def run(self, seconds: float = LOOK_SECONDS) -> None:
        """Follow until cancelled. While the cluster does not answer, the workers stay as they are."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.warning("workers do not follow the cluster now", reason=str(error))
            except Exception:  # whatever broke it off (a locked database, say), the next look begins from the ledger
                log.exception("look at the cluster broken off")
            await asyncio.sleep(seconds)

    async def look(self) -> None:
        """Compare once, hire what has room and drain or dismiss what is too many. Raises Unavailable (W3B-8002)."""
        now = self._steady()
        backlog = await self._ledger.read(backlog_by_kind)
        wanted = {
            kind: self._wanted[kind].take(now, wanted_workers(backlog.get(kind, 0), self._bounds))
            for kind in self._kinds
        }
        if wanted != self._asked:
            await self._pool.ask_for(wanted)
            self._asked = wanted
        room = await self._pool.room(self._kinds)
        hired: list[WorkerSpec] = []
        surplus: list[Worker] = []
        workers = {worker.id: worker for worker in self._pool.workers()}
        for kind in self._kinds:
            mine = [workers[name] for name, spec in self._crew.items() if spec.kind == kind and name in workers]
            kept = min(wanted[kind], self._room[kind].take(now, room[kind]))
            hired += self._missing(kind, min(wanted[kind], room[kind]) - len(mine))
            surplus += sorted(mine, key=_least_use_first)[: max(0, len(mine) - kept)]
        told_before = self._fleet.leaving
        self._fleet.leaving = frozenset(worker.id for worker in surplus)
        await self._hire(hired)
        # A round that is under way may still lease one that is told only now.
        await self._dismiss([worker for worker in surplus if worker.id in told_before or not worker.ready])

    def _missing(self, kind: str, count: int) -> list[WorkerSpec]:
        """`count` workers of the kind under the lowest free numbers, so that keys and registrations are used again."""
        found: list[WorkerSpec] = []
        number = 0
        while len(found) < count:
            model = self._models[kind]
            # Nobody here knows the cores of the node that it comes to: 0 lets the native code look there.
            spec = replace(model, id=f"{model.id[:-1]}{number}", threads=self._settings.prover_threads)
            if spec.id not in self._crew:
                found.append(spec)
            number += 1
        return found

    async def _hire(self, specs: Sequence[WorkerSpec]) -> None:
        """Into the ledger first: a round takes no worker that has no row."""
        if not specs:
            return
        for spec in specs:
            self._fleet.admit(await asyncio.to_thread(load_identity, self._settings.home, spec.id))
        await self._fleet.hire(specs)
        self._crew.update((spec.id, spec) for spec in specs)
        await self._pool.add(tuple(specs))
        log.info("workers hired", workers=[spec.id for spec in specs])

    async def _dismiss(self, surplus: Sequence[Worker]) -> None:
        """End those that hold nothing; the others finish first, for nobody gives them more."""
        if not surplus:
            return
        leased = {attempt.prover_id for attempt in await self._ledger.read(snapshot.leased_attempts)}
        free = [worker.id for worker in surplus if not worker.ready or not (worker.held or worker.id in leased)]
        if not free:
            return
        await self._pool.remove(free)
        for name in free:
            self._crew.pop(name, None)
        await self._fleet.dismiss(free, "the cluster has no room for it, or there is no work")
        log.info("workers dismissed", workers=free)


def _least_use_first(worker: Worker) -> tuple[bool, int, int, str]:
    """Order of dismissal: those that are not up, then idle ones, the highest numbers first."""
    number = int(worker.id.rsplit("-", 1)[1])
    return (worker.ready, len(worker.held), -number, worker.id)
