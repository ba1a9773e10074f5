"""`/projects`, `/windows` and `/projects/{id}` with its readings and windows."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from coordinator.explorer.access import Viewer
from coordinator.explorer.page import (
    ADDRESS,
    Page,
    number_in_path,
    project_parameter,
    require_found,
    surroundings,
    text_parameter,
)
from coordinator.explorer.queries import projects, readings, tasks, webhooks

NEWEST = 10


async def list_projects(request: web.Request, viewer: Viewer) -> Page:
    """A page of projects."""
    viewer.require("projects:read")
    async with surroundings(request).ledger.reading() as session:
        data = await projects.project_page(session, viewer, text_parameter(request, "page"))
    return Page("projects.html", "Projects", data, cli="w3bstream project list", topics=("tasks",), section="projects")


async def show_project(request: web.Request, viewer: Viewer) -> Page:
    """One project."""
    viewer.require("projects:read")
    number = number_in_path(request, "id")
    around = surroundings(request)
    async with around.ledger.reading() as session:
        row = require_found(await projects.visible(session, viewer, number), f"project {number}")
        data = await projects.detail(session, row)
        gaps = await readings.gaps(session, number)
        data["gaps"] = gaps
        data["strips"] = (await readings.strips(session, number, gaps))[:12]
        data["newest"] = []
        if viewer.can("tasks:read"):
            data["newest"] = await tasks.newest(session, viewer, tasks.TaskFilter(project_id=number), NEWEST)
        data["endpoints"] = None
        if viewer.can("webhooks:read"):
            data["endpoints"] = await webhooks.endpoints(session, viewer, number)
    return Page(
        "project.html",
        f"Project {row.name}",
        data,
        cli=f"w3bstream project get {number}",
        topics=(f"project:{number}", "tick"),
        section="projects",
        crumbs=(("Projects", "/projects"),),
    )


async def show_readings(request: web.Request, viewer: Viewer) -> Page:
    """A project's readings by device, its gaps, and what was refused."""
    viewer.require("tasks:read")
    number = number_in_path(request, "id")
    device = text_parameter(request, "device", ADDRESS).lower()
    async with surroundings(request).ledger.reading() as session:
        row = require_found(await projects.visible(session, viewer, number), f"project {number}")
        gaps = await readings.gaps(session, number, device)
        strips = await readings.strips(session, number, gaps)
        data: dict[str, Any] = {
            "project": {"id": number, "name": row.name},
            "device": device,
            "device_count": await readings.device_count(session, number, device) if device else None,
            "strips": [each for each in strips if not device or each["device"] == device],
            "gaps": gaps,
            **await readings.reading_page(session, number, device, text_parameter(request, "page")),
            **await readings.letter_page(session, number, text_parameter(request, "letters")),
        }
    first = not request.query.get("page") and not request.query.get("letters")
    return Page(
        "readings.html",
        f"Readings of {row.name}",
        data,
        cli=f"w3bstream project get {number}",
        topics=(f"project:{number}",) if first else (),
        section="windows",
        crumbs=(("Projects", "/projects"), (row.name, f"/projects/{number}")),
    )


async def list_windows(request: web.Request, viewer: Viewer) -> Page:
    """Closed windows with their completeness."""
    viewer.require("tasks:read")
    project = project_parameter(request)
    async with surroundings(request).ledger.reading() as session:
        data = await readings.window_page(session, viewer, project, text_parameter(request, "page"))
        names = await tasks.project_names(session, (each["project_id"] for each in data["windows"]))
    for each in data["windows"]:
        each["project"] = names.get(each["project_id"], "")
    data["project_id"] = project
    cli = "w3bstream task list" + (f" --project {project}" if project else "")
    return Page("windows.html", "Windows", data, cli=cli, topics=("tasks",), section="windows")


async def show_window(request: web.Request, viewer: Viewer) -> Page:
    """One window: its readings in order, what is missing, what was refused between them."""
    viewer.require("tasks:read")
    number, start = number_in_path(request, "id"), number_in_path(request, "start")
    async with surroundings(request).ledger.reading() as session:
        row = require_found(await projects.visible(session, viewer, number), f"project {number}")
        found = require_found(await readings.window_at(session, number, start), f"window {start} of project {number}")
        data: dict[str, Any] = {
            "project": {"id": number, "name": row.name},
            "task": found.model_dump(
                include={
                    *("id", "version", "window_start", "window_end", "count", "readings_root", "device_set_root"),
                    *(
                        "inputs",
                        "missing",
                        "duplicates",
                        "late",
                        "reordered",
                        "state",
                        "first_reading_at",
                        "created_at",
                    ),
                }
            ),
            **await readings.in_window(session, found, text_parameter(request, "page")),
            "letters": await readings.letters_between(session, number, found.window_start, found.window_end),
        }
    return Page(
        "window.html",
        f"Window {start} of {row.name}",
        data,
        cli=f"w3bstream task get {found.id}",
        topics=(f"task:{found.id}",),
        section="windows",
        crumbs=(("Windows", "/windows"), (row.name, f"/projects/{number}")),
    )
