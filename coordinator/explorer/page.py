"""One page, two forms: what a handler found, as HTML for people and as JSON for programs, at the same address."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.explorer.access import Viewer
from coordinator.explorer.surroundings import SURROUNDINGS, Surroundings
from verifier.errors import InvalidInput, NotFound

HASH = r"0x[0-9a-f]{64}"
ADDRESS = r"0x[0-9a-fA-F]{40}"
NUMBER = r"[0-9]{1,15}"
PROJECT = r"[0-9]{1,9}"
"""A project's number, within the column's 31 bits."""
NAME = r"[^/\x00-\x1f]{1,128}"
MAX_QUERY = 200
"""Characters of one query parameter."""
_ORDINARY = re.compile(r"[^\x00-\x1f\x7f]*")


@dataclass(frozen=True)
class Page:
    """What a handler found."""

    template: str
    """File under `templates/`."""
    title: str
    data: dict[str, Any]
    """Plain values: numbers, text, lists and dicts. Times are milliseconds since the Unix epoch in keys that end in
    `_at` or are called `at`. It is the whole JSON form, and all that the template knows."""
    cli: str = ""
    """The command that shows the same."""
    topics: tuple[str, ...] = ()
    """Whose events make the page load its live parts again: `task:<id>`, `project:<id>`, `tasks`, `provers`, `tick`."""
    section: str = ""
    """Which entry of the navigation is lit."""
    crumbs: tuple[tuple[str, str], ...] = field(default=())
    """(text, address) of the pages above."""


Handler = Callable[[web.Request, Viewer], Awaitable[Page]]
VIEWER = web.RequestKey("viewer", Viewer)


def surroundings(request: web.Request) -> Surroundings:
    """What the explorer was given."""
    return request.config_dict[SURROUNDINGS]


def viewer_of(request: web.Request) -> Viewer:
    """Who looks; every handler behind the guard has one."""
    return request[VIEWER]


def peer_of(request: web.Request) -> str:
    """The address that the connection comes from."""
    return request.remote or "?"


def wants_json(request: web.Request) -> bool:
    """Whether the answer is to be JSON: by the suffix, or by the header."""
    if request.path.endswith(".json"):
        return True
    accept = request.headers.get("Accept", "")
    return "application/json" in accept and "text/html" not in accept


def text_parameter(request: web.Request, name: str, allowed: str = r".*") -> str:
    """A query parameter, stripped; empty when it was not given.

    Raises InvalidInput (W3B-7008) when it is long, holds control characters or does not match `allowed`.
    """
    value = request.query.get(name, "").strip()
    if len(value) > MAX_QUERY or not _ORDINARY.fullmatch(value) or (value and not re.fullmatch(allowed, value)):
        raise InvalidInput("W3B-7008", f"{name}={value[:60]!r} is not valid", field=name)
    return value


def project_parameter(request: web.Request) -> int | None:
    """The project's number of the query; None when it was not given. Raises InvalidInput (W3B-7008)."""
    value = text_parameter(request, "project", PROJECT)
    return int(value) if value else None


def number_in_path(request: web.Request, name: str) -> int:
    """A whole number of the path, which the route has checked."""
    return int(request.match_info[name])


def require_found(found: Any, what: str) -> Any:
    """What was found. Raises NotFound (W3B-7501) for None, also for what the viewer may not see."""
    if found is None:
        raise NotFound("W3B-7501", f"there is no {what[:120]}, or this key may not see it")
    return found


async def reading(request: web.Request, look: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
    """What `look(session)` finds in one consistent read."""
    async with surroundings(request).ledger.reading() as session:
        return await look(session)


def as_json(data: Mapping[str, Any], status: int = 200) -> web.Response:
    """The JSON form."""
    text = json.dumps(data, default=str, ensure_ascii=False, separators=(",", ":"))
    return web.Response(text=text + "\n", status=status, content_type="application/json")
