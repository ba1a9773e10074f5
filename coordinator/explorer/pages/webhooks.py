"""`/webhooks`, one message, and the replay: the explorer's only action."""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web

from coordinator.access.audit import Act, append
from coordinator.explorer.access import Viewer
from coordinator.explorer.page import Page, peer_of, require_found, surroundings, text_parameter, viewer_of, wants_json
from coordinator.explorer.queries import webhooks
from coordinator.ledger.outbox_tables import WebhookMessageRow
from coordinator.webhooks import endpoints
from verifier.errors import InvalidInput

log = structlog.get_logger(__name__)

ENDPOINT = r"ep_[0-9a-f]{16}"
MESSAGE = r"msg_[0-9a-f]{24}"


async def list_webhooks(request: web.Request, viewer: Viewer) -> Page:
    """Endpoints, and a page of messages with every try."""
    viewer.require("webhooks:read")
    endpoint, state = text_parameter(request, "endpoint", ENDPOINT), text_parameter(request, "state")
    if state and state not in webhooks.MESSAGE_STATES:
        raise InvalidInput("W3B-7008", f"state {state!r} is not one of {webhooks.MESSAGE_STATES}", field="state")
    async with surroundings(request).ledger.reading() as session:
        data: dict[str, Any] = await webhooks.message_page(
            session, viewer, endpoint_id=endpoint, state=state, token=text_parameter(request, "page")
        )
        data["endpoints"] = await webhooks.endpoints(session, viewer)
    data["filter"] = {"endpoint": endpoint, "state": state}
    data["may_replay"] = viewer.can("webhooks:write")
    project = data["endpoints"][0]["project_id"] if data["endpoints"] else 1
    cli = f"w3bstream webhook deliveries --project {project}" + (f" --state {state}" if state else "")
    topics = ("tick",) if not request.query.get("page") else ()
    return Page("webhooks.html", "Webhooks", data, cli=cli, topics=topics, section="webhooks")


async def show_message(request: web.Request, viewer: Viewer) -> Page:
    """One message: the event, and every try to deliver it."""
    viewer.require("webhooks:read")
    message_id = request.match_info["id"]
    async with surroundings(request).ledger.reading() as session:
        found = require_found(await webhooks.message(session, viewer, message_id), f"webhook message {message_id}")
    found["may_replay"] = viewer.can("webhooks:write")
    return Page(
        "message.html",
        f"Webhook {message_id[:12]}…",
        found,
        cli=f"w3bstream webhook replay {message_id}",
        topics=("tick",),
        section="webhooks",
        crumbs=(("Webhooks", "/webhooks"),),
    )


async def replay(request: web.Request) -> web.StreamResponse:
    """Send a message again under its webhook-id; the guard has checked where the form came from."""
    viewer = viewer_of(request)
    viewer.require("webhooks:write")
    message_id = request.match_info["id"]
    ledger = surroundings(request).ledger
    async with ledger.transaction() as session:
        row = await session.get(WebhookMessageRow, message_id)
        seen = row if row is not None and viewer.sees(row.project_id) else None
        seen = require_found(seen, f"webhook message {message_id}")
        await endpoints.replay(session, ledger.clock(), message_id)
        act = Act("webhook.replay", viewer.key_id, peer_of(request), message_id, seen.project_id)
        await append(session, ledger.clock(), act)
    log.info("webhook_replayed", message_id=message_id, key_id=viewer.key_id)
    if wants_json(request):
        return web.json_response({"replayed": message_id})
    raise web.HTTPSeeOther(f"/webhooks/messages/{message_id}")
