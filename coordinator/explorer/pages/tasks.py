"""`/tasks`, `/tasks/{id}` and the CSV file."""

from __future__ import annotations

import csv
import io
import shlex
from dataclasses import asdict
from typing import Any

from aiohttp import web

from coordinator.explorer.access import Viewer
from coordinator.explorer.page import (
    Page,
    project_parameter,
    require_found,
    surroundings,
    text_parameter,
    viewer_of,
)
from coordinator.explorer.queries import task as one_task
from coordinator.explorer.queries import tasks
from coordinator.explorer.templating import iso
from coordinator.explorer.waits import explain
from coordinator.ledger.transitions import TERMINAL_TASK_STATES, Confirmation, TaskState
from verifier.errors import InvalidInput
from verifier.statement import Domain

KIND = r"[a-z][a-z0-9]*\.[a-z][a-z0-9_-]*"
CODE = r"W3B-[0-9]{4}"


def _filter(request: web.Request) -> tasks.TaskFilter:
    """The list's filter. Raises InvalidInput (W3B-7008)."""
    states = tuple(sorted({each for each in request.query.getall("state", []) if each}))
    known = {state.value for state in TaskState}
    if len(states) > len(known) or not set(states) <= known:
        raise InvalidInput("W3B-7008", f"states {list(states)[:5]} are not all known", field="state")
    return tasks.TaskFilter(
        states,
        project_parameter(request),
        text_parameter(request, "kind", KIND),
        text_parameter(request, "code", CODE),
    )


def _command(wanted: tasks.TaskFilter) -> str:
    words = ["w3bstream", "task", "list"]
    if wanted.project_id is not None:
        words += ["--project", str(wanted.project_id)]
    for state in wanted.states:
        words += ["--state", state]
    return shlex.join(words)


async def list_tasks(request: web.Request, viewer: Viewer) -> Page:
    """A page of tasks."""
    viewer.require("tasks:read")
    wanted = _filter(request)
    async with surroundings(request).ledger.reading() as session:
        data: dict[str, Any] = await tasks.task_page(session, viewer, wanted, text_parameter(request, "page"))
        data["counts"] = await tasks.counts_by_state(session, viewer)
    data["filter"] = asdict(wanted)
    topics = ("tasks",) if not request.query.get("page") else ()
    return Page("tasks.html", "Tasks", data, cli=_command(wanted), topics=topics, section="tasks")


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


async def tasks_csv(request: web.Request) -> web.StreamResponse:
    """The filter's tasks, at most 10,000, as CSV (RFC 4180) with times in RFC 3339."""
    viewer = viewer_of(request)
    viewer.require("tasks:read")
    wanted = _filter(request)
    answer = web.StreamResponse(
        headers={"Content-Disposition": 'attachment; filename="tasks.csv"', "Content-Type": "text/csv; charset=utf-8"}
    )
    await answer.prepare(request)
    columns = (*tasks.COLUMNS, "project")
    await answer.write((",".join(columns) + "\r\n").encode())
    async for lines in tasks.every(surroundings(request).ledger, viewer, wanted):
        text = io.StringIO()
        rows = csv.writer(text)
        for line in lines:
            rows.writerow([iso(line[name]) if name.endswith("_at") else _cell(line[name]) for name in columns])
        await answer.write(text.getvalue().encode())
    await answer.write_eof()
    return answer


async def show_task(request: web.Request, viewer: Viewer) -> Page:
    """One task: where it is and why, and everything about it."""
    viewer.require("tasks:read")
    around = surroundings(request)
    task_id = request.match_info["id"]
    heads = await around.chain.heads()
    async with around.ledger.reading() as session:
        row = require_found(await one_task.visible(session, viewer, task_id), f"task {task_id}")
        data, situation = await one_task.detail(
            session,
            viewer,
            around.ledger.clock(),
            row,
            outputs_of=around.outputs_of,
            domain=Domain(around.chain_id, bytes.fromhex(around.contracts["router"][2:])),
            heads=heads,
            attempt_cap=around.settings.attempt_cap,
            finality_depth=around.chain.finality.depth,
        )
    data = {"why": asdict(explain(situation)), **data, "share_link": f"{around.base_url}/tasks/{task_id}"}
    ended = row.state in TERMINAL_TASK_STATES and row.confirmation != Confirmation.AWAITED.value
    topics = (f"task:{task_id}",) if ended else (f"task:{task_id}", "tick")
    return Page(
        "task.html",
        f"Task {task_id[:10]}…",
        data,
        cli=f"w3bstream task get {task_id}",
        topics=topics,
        section="tasks",
        crumbs=(("Tasks", "/tasks"), (data["task"]["project"] or "project", f"/projects/{row.project_id}")),
    )
