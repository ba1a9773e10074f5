"""`/provers` and `/provers/{id}`."""

from __future__ import annotations

import shlex

from aiohttp import web

from coordinator.explorer.access import Viewer
from coordinator.explorer.page import Page, require_found, surroundings, text_parameter
from coordinator.explorer.queries import provers
from coordinator.ledger.tables import ProverRow
from verifier.errors import InvalidInput

HOUR = 3_600_000
SPANS = {"1h": HOUR, "6h": 6 * HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR}
"""How far back a strip may go."""


def _span(request: web.Request) -> str:
    """Raises InvalidInput (W3B-7008)."""
    chosen = text_parameter(request, "span") or "1h"
    if chosen not in SPANS:
        raise InvalidInput("W3B-7008", f"span {chosen!r} is not one of {list(SPANS)}", field="span")
    return chosen


async def list_provers(request: web.Request, viewer: Viewer) -> Page:
    """Every prover with its status over time."""
    viewer.require("provers:read")
    ledger, span = surroundings(request).ledger, _span(request)
    now = ledger.clock()
    async with ledger.reading() as session:
        found = await provers.listed(session, viewer, now - SPANS[span], now)
    data = {"at": now, "start_at": now - SPANS[span], "span": span, "spans": list(SPANS), "provers": found}
    topics = ("provers", "tick")
    return Page("provers.html", "Provers", data, cli="w3bstream prover list", topics=topics, section="provers")


async def show_prover(request: web.Request, viewer: Viewer) -> Page:
    """One prover: its status over time, how well and how fast it proves, its attempts."""
    viewer.require("provers:read")
    ledger, span, name = surroundings(request).ledger, _span(request), request.match_info["id"]
    now = ledger.clock()
    async with ledger.reading() as session:
        row = require_found(await session.get(ProverRow, name), f"prover {name}")
        data = {
            "at": now,
            "start_at": now - SPANS[span],
            "span": span,
            "spans": list(SPANS),
            "prover": provers.line(row),
            "strip": await provers.strip(session, row, now - SPANS[span], now),
            "figures": await provers.figures(session, name),
            "events": await provers.events_of(session, name),
            "attempts": [],
            "next_page": "",
        }
        if viewer.can("tasks:read"):
            data.update(await provers.attempt_page(session, viewer, name, text_parameter(request, "page")))
    return Page(
        "prover.html",
        f"Prover {name}",
        data,
        cli=f"w3bstream prover list --kind {shlex.quote(row.kind)}",
        topics=("provers", "tick"),
        section="provers",
        crumbs=(("Provers", "/provers"),),
    )
