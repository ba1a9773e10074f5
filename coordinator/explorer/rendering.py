"""From a page's data to HTML, with what every page has around it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment

from coordinator.explorer.access import Viewer
from coordinator.explorer.page import VIEWER, Page, surroundings

TEMPLATES = web.AppKey("templates", Environment)
SECTIONS = (
    ("overview", "Overview", "/", ""),
    ("tasks", "Tasks", "/tasks", "tasks:read"),
    ("projects", "Projects", "/projects", "projects:read"),
    ("windows", "Windows", "/windows", "tasks:read"),
    ("provers", "Provers", "/provers", "provers:read"),
    ("blocks", "Blocks", "/blocks", "tasks:read"),
    ("webhooks", "Webhooks", "/webhooks", "webhooks:read"),
    ("health", "Health", "/health", ""),
)
"""(name, text, address, scope) of the navigation."""


def json_href(request: web.Request) -> str:
    """The address of this page's JSON form, with its query."""
    path = "/index.json" if request.path == "/" else request.path + ".json"
    return path + (f"?{request.query_string}" if request.query_string else "")


def curl_line(request: web.Request) -> str:
    """The command that fetches this page's JSON form."""
    address = surroundings(request).base_url + json_href(request)
    return f'curl -H "authorization: Bearer $W3BSTREAM_API_KEY" {shlex.quote(address)}'


def render(
    request: web.Request,
    template: str,
    title: str,
    data: Mapping[str, Any],
    *,
    page: Page | None = None,
    after: int | None = None,
    status: int = 200,
) -> web.Response:
    """The HTML of a page; `after` is the newest event that it knows of, for the live updates."""
    viewer: Viewer | None = request.get(VIEWER)
    sections = [each for each in SECTIONS if viewer is not None and (not each[3] or viewer.can(each[3]))]

    def address(**changes: Any) -> str:
        """This page's address with some query parameters changed; an empty value takes one out."""
        kept = [(key, value) for key, value in request.query.items() if key not in changes]
        kept += [(key, str(value)) for key, value in changes.items() if value not in ("", None)]
        return request.path + (f"?{urlencode(kept)}" if kept else "")

    text = (
        request.config_dict[TEMPLATES]
        .get_template(template)
        .render(
            d=data,
            title=title,
            page=page,
            viewer=viewer,
            sections=sections,
            section=page.section if page else "",
            now=surroundings(request).ledger.clock(),
            address=address,
            after=after,
            cli=page.cli if page else "",
            curl=curl_line(request) if page else "",
            json_href=json_href(request) if page else "",
            path=request.path_qs,
        )
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")
