"""How much a project may use: durable counters by period, and token buckets for what is only a rate.

A counter grows in the transaction of what it counts, so a crash can neither count what was not accepted nor forget what
was. A bucket is one coordinator's memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Table, insert, update
from sqlalchemy import select as sql_select
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.control_tables import QuotaRow, QuotaUseRow
from coordinator.ledger.one_hop import in_one_hop
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import TaskRow
from coordinator.ledger.transitions import TaskState
from verifier.errors import Unavailable

REQUESTS, JOBS, READINGS, OPEN_TASKS = "requests", "jobs", "readings", "open_tasks"
PERIODS = {REQUESTS: 60, JOBS: 60, READINGS: 86_400, OPEN_TASKS: 0}
"""Every resource and the seconds of its period; open tasks are a level, not a flow."""
_USE: Table = QuotaUseRow.__table__  # type: ignore[attr-defined]
_TASK: Table = TaskRow.__table__  # type: ignore[attr-defined]
_OPEN = (TaskState.RECEIVED.value, TaskState.OPEN.value, TaskState.SATISFIED.value)


class OverQuota(Unavailable):
    """A quota or rate is used up (W3B-7028, W3B-7029).

    Parameters: `retry_after` is in how many seconds it may go on; 0 when no time alone will do.
    """

    def __init__(self, code: str, message: str, *, field: str = "", retry_after: float = 0.0) -> None:
        super().__init__(code, message, field=field)
        self.retry_after = retry_after
        """Seconds."""


@dataclass(frozen=True)
class Limit:
    """What holds for one project and resource."""

    allowance: int
    """How much in a period; 0: no limit."""
    period_seconds: int
    own: bool
    """A row of the project; otherwise the installation's default."""


async def limits(
    session: AsyncSession, defaults: Mapping[str, int], project_ids: Collection[int]
) -> dict[tuple[int, str], Limit]:
    """The limits in force, by project and resource."""
    rows = await session.exec(select(QuotaRow).where(col(QuotaRow.project_id).in_(project_ids)))
    own = {(row.project_id, row.resource): Limit(row.allowance, row.period_seconds, own=True) for row in rows}
    return with_defaults(own, defaults, project_ids)


def with_defaults(
    own: Mapping[tuple[int, str], Limit], defaults: Mapping[str, int], project_ids: Collection[int]
) -> dict[tuple[int, str], Limit]:
    """The projects' own limits, and the installation's where they have none."""
    return {
        (project_id, resource): own.get((project_id, resource)) or Limit(defaults.get(resource, 0), period, own=False)
        for project_id in project_ids
        for resource, period in PERIODS.items()
    }


async def used(session: AsyncSession, now: int, project_id: int, resource: str, period: int) -> tuple[int, int]:
    """(used in the period under way, when it ends in milliseconds); (0, 0) when none runs."""
    row = await session.get(QuotaUseRow, (project_id, resource), populate_existing=True)
    if row is None or now >= row.period_start + period * 1000:
        return 0, 0
    return row.used, row.period_start + period * 1000


async def open_tasks(session: AsyncSession, project_id: int) -> int:
    """Tasks of the project that still need provers."""
    query = select(func.count()).where(TaskRow.project_id == project_id, col(TaskRow.state).in_(_OPEN))
    return int((await session.exec(query)).one())


class Counter:
    """One project's counter of one resource within one transaction: take as often as you like, then store."""

    def __init__(self, project_id: int, resource: str, held: Limit, now: int, found: tuple[int, int] | None) -> None:
        self._project_id = project_id
        self._resource = resource
        self._limit = held
        self._now = now
        # Periods begin at multiples of their length: coordinators agree on them without asking.
        length = max(1, held.period_seconds) * 1000
        self._new = found is None
        self._start, self._used = now - now % length, 0
        if found is not None and now < found[0] + length:
            self._start, self._used = found
        self._taken = False

    def require(self, amount: int) -> None:
        """Raises OverQuota (W3B-7028) unless `amount` more may be counted."""
        if self._limit.allowance and amount and self._used + amount > self._limit.allowance:
            ends = self._start + self._limit.period_seconds * 1000
            raise OverQuota(
                "W3B-7028",
                f"project {self._project_id} may use {self._limit.allowance} {self._resource} in "
                f"{self._limit.period_seconds} s; {self._used} are used, {amount} more were asked for",
                field=self._resource,
                retry_after=(ends - self._now) / 1000,
            )

    def take(self, amount: int) -> None:
        """Count `amount`, or raise OverQuota (W3B-7028) and count nothing."""
        self.require(amount)
        if self._limit.allowance and amount:
            self._used += amount
            self._taken = True

    def store(self, connection: Connection) -> None:
        """Write what was taken."""
        if not self._taken:
            return
        values = {"period_start": self._start, "used": self._used}
        key = {"project_id": self._project_id, "resource": self._resource}
        if self._new:
            connection.execute(insert(_USE).values(**key, **values))
        else:
            mine = (_USE.c.project_id == self._project_id, _USE.c.resource == self._resource)
            connection.execute(update(_USE).where(*mine).values(**values))


def counter(connection: Connection, held: Limit, now: int, project_id: int, resource: str) -> Counter:
    """The counter under a limit. (Writers of the ledger take turns, so nobody else counts meanwhile.)"""
    found = None
    if held.allowance:
        query = sql_select(_USE.c.period_start, _USE.c.used)
        row = connection.execute(query.where(_USE.c.project_id == project_id, _USE.c.resource == resource)).first()
        found = (int(row[0]), int(row[1])) if row else None
    return Counter(project_id, resource, held, now, found)


def count_open_tasks(connection: Connection, project_id: int) -> int:
    """As `open_tasks`."""
    query = sql_select(func.count()).where(_TASK.c.project_id == project_id, _TASK.c.state.in_(_OPEN))
    return int(connection.execute(query).scalar_one())


async def charge(ledger: Ledger, defaults: Mapping[str, int], project_id: int, resource: str, amount: int) -> None:
    """Count `amount` in a transaction of its own, where a limit holds. Raises OverQuota (W3B-7028)."""
    async with ledger.reading() as session:
        held = (await limits(session, defaults, [project_id]))[project_id, resource]
    if not held.allowance:
        return

    def count(connection: Connection) -> None:
        counting = counter(connection, held, ledger.clock(), project_id, resource)
        counting.take(amount)
        counting.store(connection)

    async with ledger.transaction() as session:
        await in_one_hop(session, count)


class Buckets:
    """Token buckets by name, for rates that one coordinator keeps.

    Each fills evenly to its allowance a period and holds at most that; the least used names are forgotten first, at the
    cost of a full bucket. Parameters: `clock` gives seconds.
    """

    def __init__(self, most: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def _level(self, name: str, allowance: int, period: float) -> float:
        now = self._clock()
        level, at = self._levels.get(name, (float(allowance), now))
        level = min(float(allowance), level + (now - at) * allowance / period)
        self._levels[name] = (level, now)
        self._levels.move_to_end(name)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return level

    def wait(self, name: str, allowance: int, period: float, amount: float = 1.0) -> float:
        """Take `amount` and return 0.0, or take nothing and return the seconds after which it will be there."""
        level = self._level(name, allowance, period)
        if level < amount:
            return (amount - level) * period / allowance
        self._levels[name] = (level - amount, self._levels[name][1])
        return 0.0

    def empty_for(self, name: str, allowance: int, period: float) -> float:
        """Seconds until there is a whole token; 0.0 when there is one. Takes nothing."""
        level = self._level(name, allowance, period)
        return max(0.0, (1.0 - level) * period / allowance)
