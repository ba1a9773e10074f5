"""Lists of tasks: by state, project, kind and code, newest first, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, tuple_
from sqlmodel import col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.paging import make_token, read_token
from coordinator.explorer.access import Viewer
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow, ProjectVersionRow, TaskRow
from coordinator.ledger.transitions import TERMINAL_TASK_STATES, TaskState

PAGE_SIZE = 50
CSV_ROWS = 10_000
"""Most lines of one CSV file."""
COUNTED = 10_000
"""A count of tasks that wait stops here: `10,000+` says enough."""
LIVE_STATES = tuple(state.value for state in TaskState if state not in TERMINAL_TASK_STATES)
COLUMNS = (
    "id",
    "project_id",
    "version",
    "window_start",
    "window_end",
    "count",
    "state",
    "code",
    "reason",
    "attempts_used",
    "kinds",
    "threshold",
    "block_number",
    "transaction_hash",
    "dapp_ok",
    "first_reading_at",
    "created_at",
    "updated_at",
    "deadline_at",
)


@dataclass(frozen=True)
class TaskFilter:
    """What a list of tasks is narrowed to; empty and None mean everything."""

    states: tuple[str, ...] = ()
    project_id: int | None = None
    kind: str = ""
    code: str = ""

    def scope(self, viewer: Viewer) -> tuple[object, ...]:
        """What a page token belongs to."""
        return ("explorer tasks", self.states, self.project_id, self.kind, self.code, viewer.project_id)


async def project_names(session: AsyncSession, ids: Iterable[int]) -> dict[int, str]:
    """Names of projects by id."""
    rows = await session.exec(select(ProjectRow.id, ProjectRow.name).where(col(ProjectRow.id).in_(set(ids))))
    return {int(number or 0): name for number, name in rows}


async def _versions_of_kind(session: AsyncSession, kind: str) -> list[tuple[int, int]]:
    """The project versions whose programs include the kind: few, where tasks are many."""
    rows = await session.exec(
        select(ProjectVersionRow.project_id, ProjectVersionRow.version, col(ProjectVersionRow.programs))
    )
    return [(project, version) for project, version, programs in rows if any(p.get("kind") == kind for p in programs)]


async def _conditions(session: AsyncSession, viewer: Viewer, wanted: TaskFilter) -> list[Any]:
    conditions = viewer.only(col(TaskRow.project_id))
    if wanted.project_id is not None:
        conditions.append(col(TaskRow.project_id) == wanted.project_id)
    if wanted.states:
        conditions.append(col(TaskRow.state).in_(wanted.states))
    if wanted.code:
        conditions.append(col(TaskRow.code) == wanted.code)
    if wanted.kind:
        versions = await _versions_of_kind(session, wanted.kind)
        conditions.append(tuple_(col(TaskRow.project_id), col(TaskRow.version)).in_(versions))
    return conditions


def _columns() -> list[Any]:
    return [getattr(TaskRow, name) for name in COLUMNS]


def _before(cursor: tuple[int | str, ...]) -> Any:
    at, task_id = cursor
    return or_(col(TaskRow.created_at) < at, and_(col(TaskRow.created_at) == at, col(TaskRow.id) < task_id))


def _newest_first(conditions: Sequence[Any], limit: int) -> Any:
    query: Any = select(*_columns()).where(*conditions)
    return query.order_by(col(TaskRow.created_at).desc(), col(TaskRow.id).desc()).limit(limit)


async def with_names(session: AsyncSession, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of `COLUMNS` as dicts, each with its project's name."""
    lines = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    names = await project_names(session, (line["project_id"] for line in lines))
    for line in lines:
        line["project"] = names.get(line["project_id"], "")
    return lines


async def newest(session: AsyncSession, viewer: Viewer, wanted: TaskFilter, limit: int) -> list[dict[str, Any]]:
    """The newest tasks of a filter."""
    rows = await session.exec(_newest_first(await _conditions(session, viewer, wanted), limit))
    return await with_names(session, rows.all())


async def task_page(session: AsyncSession, viewer: Viewer, wanted: TaskFilter, token: str) -> dict[str, Any]:
    """{tasks, next_page}: a page of 50. Raises InvalidInput (W3B-7009) for a token of another list."""
    conditions = await _conditions(session, viewer, wanted)
    cursor = read_token(wanted.scope(viewer), token, (int, str))
    if cursor is not None:
        conditions.append(_before(cursor))
    rows = (await session.exec(_newest_first(conditions, PAGE_SIZE + 1))).all()
    lines = await with_names(session, rows[:PAGE_SIZE])
    more = len(rows) > PAGE_SIZE
    last = (lines[-1]["created_at"], lines[-1]["id"]) if more else None
    return {"tasks": lines, "next_page": make_token(wanted.scope(viewer), last) if last else ""}


async def every(ledger: Ledger, viewer: Viewer, wanted: TaskFilter) -> AsyncIterator[list[dict[str, Any]]]:
    """The filter's tasks for a CSV file, at most `CSV_ROWS`, in pages: each in a short read of its own."""
    token = ""
    for _ in range(CSV_ROWS // PAGE_SIZE):
        async with ledger.reading() as session:
            page = await task_page(session, viewer, wanted, token)
        yield page["tasks"]
        token = page["next_page"]
        if not token:
            return


async def counts_by_state(session: AsyncSession, viewer: Viewer) -> dict[str, int]:
    """How many tasks are in each state."""
    query: Any = select(TaskRow.state, func.count()).where(*viewer.only(col(TaskRow.project_id)))
    found = dict((await session.exec(query.group_by(col(TaskRow.state)))).all())
    return {state.value: int(found.get(state.value, 0)) for state in TaskState}


async def live_count(session: AsyncSession, viewer: Viewer) -> int:
    """Tasks under way, counted up to `COUNTED`."""
    inner = (
        select(TaskRow.id)
        .where(col(TaskRow.state).in_(LIVE_STATES), *viewer.only(col(TaskRow.project_id)))
        .limit(COUNTED)
        .subquery()
    )
    return int((await session.exec(select(func.count()).select_from(inner))).one())
