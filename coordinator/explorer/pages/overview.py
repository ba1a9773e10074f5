"""`/`, `/health` and `/search`."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from aiohttp import web

from coordinator.explorer.access import Viewer
from coordinator.explorer.page import Page, surroundings, text_parameter, wants_json
from coordinator.explorer.queries import overview, provers, search, system, tasks, transactions
from coordinator.explorer.surroundings import Surroundings
from verifier.statement import Domain

FRESH_SECONDS = 0.5
"""The overview's figures are read no sooner again, however many look at them; who asks after a commit waits so long."""
STRIP_MS = 3_600_000
NEWEST = 12
MAX_KEPT = 32


class Overviews:
    """The figures of the overview, read at most twice a second for all who may see the same.

    None are older than the last commit that was heard of: a live page asks once for each, and would keep what it got.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int | None, frozenset[str]], tuple[float, int, dict[str, Any]]] = {}
        self._turns: defaultdict[tuple[int | None, frozenset[str]], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, around: Surroundings, viewer: Viewer) -> dict[str, Any]:
        """The data of the page for a viewer."""
        key = (viewer.project_id, viewer.scopes)
        async with self._turns[key]:
            if key in self._kept:
                read_at, commits, data = self._kept[key]
                left = read_at + FRESH_SECONDS - time.monotonic()
                if left > 0:
                    if commits == around.ledger.commits:
                        return data
                    await asyncio.sleep(left)
            elif len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            commits = around.ledger.commits
            data = await _figures(around, viewer)
            self._kept[key] = (time.monotonic(), commits, data)
            return data


OVERVIEWS = web.AppKey("overviews", Overviews)


async def _figures(around: Surroundings, viewer: Viewer) -> dict[str, Any]:
    now = around.ledger.clock()
    data: dict[str, Any] = {"at": now, "start_at": now - STRIP_MS}
    heads = await around.chain.heads()
    data["chain"] = {
        "head": heads.latest.number if heads.latest else None,
        "head_at": heads.latest.timestamp * 1000 if heads.latest else None,
        "final": heads.final,
        "error": heads.error,
    }
    async with around.ledger.reading() as session:
        if viewer.can("tasks:read"):
            data["counts"] = await tasks.counts_by_state(session, viewer)
            data["throughput"] = await overview.throughput(session, viewer, now)
            data["latency"] = await overview.stage_latencies(session, viewer)
            data["stuck"] = await overview.stuck(session, viewer, now)
            data["newest"] = await tasks.newest(session, viewer, tasks.TaskFilter(), NEWEST)
            data["gas"] = await transactions.gas_of_settlements(session, viewer)
        if viewer.can("provers:read"):
            data["provers_by_status"] = await overview.provers_by_status(session)
            data["provers"] = (await provers.listed(session, viewer, now - STRIP_MS, now))[:16]
    data["parts"] = [asdict(each) for each in await around.components()]
    return data


async def show_overview(request: web.Request, viewer: Viewer) -> Page:
    """What is under way, how fast, and what is stuck."""
    data = await request.config_dict[OVERVIEWS].get(surroundings(request), viewer)
    topics = ("tasks", "provers", "tick")
    return Page("overview.html", "Overview", data, cli="w3bstream status", topics=topics, section="overview")


async def show_health(request: web.Request, viewer: Viewer) -> Page:
    """How each part stands, who leads, and the newest privileged acts."""
    around = surroundings(request)
    heads = await around.chain.heads()
    data: dict[str, Any] = {
        "at": around.ledger.clock(),
        "parts": [asdict(each) for each in await around.components()],
        "chain_id": around.chain_id,
        "contracts": around.contracts,
        "finality": {"source": around.chain.finality.source, "depth": around.chain.finality.depth},
        "head": heads.latest.number if heads.latest else None,
        "final": heads.final,
        "chain_error": heads.error,
        "live_pages": around.live.clients,
    }
    async with around.ledger.reading() as session:
        if viewer.project_id is None:
            data["coordinators"] = await system.coordinators(session)
            data["leadership"] = await system.leadership(session)
            data["outbox"] = await system.outbox_counts(session)
        if viewer.everywhere:
            data["acts"] = await system.acts(session)
    return Page("health.html", "Health", data, cli="w3bstream status", topics=("tick",), section="health")


async def show_search(request: web.Request, viewer: Viewer) -> Page:
    """What an id may mean; with one answer the browser goes straight there."""
    around = surroundings(request)
    text = text_parameter(request, "q")
    domain = Domain(around.chain_id, bytes.fromhex(around.contracts["router"][2:]))
    async with around.ledger.reading() as session:
        hits = await search.search(session, viewer, text, domain)
    if len(hits) == 1 and not wants_json(request):
        raise web.HTTPSeeOther(hits[0]["href"])
    return Page("search.html", f"Search {text}" if text else "Search", {"q": text, "hits": hits})
