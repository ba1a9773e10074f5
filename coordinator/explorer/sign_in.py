"""Signing in with an API key, a DID's token or a single-use link, and out again; each goes into the audit log."""

from __future__ import annotations

import time
from urllib.parse import urlencode

import structlog
from aiohttp import web

from coordinator.access.audit import Act, append
from coordinator.api.auth import named_key
from coordinator.explorer import access
from coordinator.explorer.access import SignInLimit, Viewer
from coordinator.explorer.guard import SITE, safe_next, status_of
from coordinator.explorer.page import peer_of, surroundings, viewer_of
from coordinator.explorer.rendering import render
from verifier.error_codes import CODES
from verifier.errors import Denied

log = structlog.get_logger(__name__)

LIMIT = web.AppKey("sign_in_limit", SignInLimit)
_TOKEN_LENGTH = 64


def _page(request: web.Request, *, code: str = "", status: int = 200, next_page: str = "/") -> web.Response:
    known = CODES.get(code)
    data = {
        "next_page": next_page,
        "code": code if known else "",
        "message": known.meaning if known else "",
        "next_step": known.next_step if known else "",
    }
    return render(request, "sign_in.html", "Sign in", data, status=status)


async def show_sign_in(request: web.Request) -> web.Response:
    """The form."""
    return _page(request, code=request.query.get("why", ""), next_page=safe_next(request.query.get("next", "/")))


async def sign_in(request: web.Request) -> web.Response:
    """Check the key or token, make a session."""
    form = await request.post()
    given, target = form.get("key", ""), form.get("next", "/")
    secret = given.strip() if isinstance(given, str) else ""
    next_page = safe_next(target if isinstance(target, str) else "/")
    around = surroundings(request)
    how = "token" if access.is_token(secret) else "key"
    try:
        request.config_dict[LIMIT].check(time.monotonic(), peer_of(request))
        async with around.ledger.reading() as session:
            viewer = await access.by_secret(session, around.tokens, around.ledger.clock(), secret)
    except Denied as error:
        await _refused(request, error, how, named_key(secret))
        return _page(request, code=error.code, status=status_of(error), next_page=next_page)
    return await _enter(request, viewer, next_page, how)


async def _refused(request: web.Request, error: Denied, how: str, subject: str = "") -> None:
    """Count the failure and write it into the audit log."""
    limit, now = request.config_dict[LIMIT], time.monotonic()
    act = Act("explorer.sign_in", "", peer_of(request), subject, detail={"with": how})
    log.warning("explorer_sign_in_refused", code=error.code, peer=act.peer)
    if error.code == "W3B-7506":
        if not (count := limit.turned_away(now)):
            return
        act.detail["refused"] = count
    else:
        limit.failed(now, act.peer)
    ledger = surroundings(request).ledger
    async with ledger.transaction() as session:
        await append(session, ledger.clock(), act, error.code)


async def show_link(request: web.Request) -> web.Response:
    """One button that uses the link up: a preview of the link by a mail or chat program does not."""
    token = request.query.get("token", "")[:_TOKEN_LENGTH]
    data = {"token": token, "next_page": safe_next(request.query.get("next", "/"))}
    return render(request, "enter.html", "Sign in", data)


async def use_link(request: web.Request) -> web.Response:
    """Use the link up, make a session."""
    form = await request.post()
    token, target = form.get("token", ""), form.get("next", "/")
    try:
        request.config_dict[LIMIT].check(time.monotonic(), peer_of(request))
        viewer = await access.use_link(surroundings(request).ledger, str(token)[:_TOKEN_LENGTH])
    except Denied as error:
        await _refused(request, error, "link")
        return _page(request, code=error.code, status=status_of(error))
    return await _enter(request, viewer, safe_next(target if isinstance(target, str) else "/"), "link")


async def _enter(request: web.Request, viewer: Viewer, next_page: str, how: str) -> web.Response:
    ledger = surroundings(request).ledger
    act = Act(
        "explorer.sign_in", viewer.key_id, peer_of(request), viewer.key_id, viewer.project_id, detail={"with": how}
    )
    token, expires_at = await access.make_token(ledger, viewer, "session", act)
    site = request.config_dict[SITE]
    answer = web.Response(status=303, headers={"Location": next_page})
    answer.set_cookie(
        site.cookie,
        token,
        max_age=max(1, (expires_at - ledger.clock()) // 1000),
        path="/",
        httponly=True,
        secure=site.secure,
        samesite="Strict",
    )
    log.info("explorer_signed_in", key_id=viewer.key_id, peer=peer_of(request))
    return answer


async def sign_out(request: web.Request) -> web.Response:
    """End the session on both sides."""
    site = request.config_dict[SITE]
    viewer = viewer_of(request)
    act = Act("explorer.sign_out", viewer.key_id, peer_of(request), viewer.key_id, viewer.project_id)
    await access.end_session(surroundings(request).ledger, request.cookies.get(site.cookie, ""), act)
    answer = web.Response(status=303, headers={"Location": "/sign-in"})
    answer.del_cookie(site.cookie, path="/", secure=site.secure, httponly=True, samesite="Strict")
    return answer


async def make_link(request: web.Request) -> web.Response:
    """A single-use sign-in link for the caller's own key or token; only with that itself, never with a session."""
    if "Authorization" not in request.headers:
        raise Denied("W3B-7001", "a link is made with the API key or token", field="authorization")
    around, viewer = surroundings(request), viewer_of(request)
    act = Act("explorer.link", viewer.key_id, peer_of(request), viewer.key_id, viewer.project_id)
    token, expires_at = await access.make_token(around.ledger, viewer, "link", act)
    query = {"token": token}
    target = safe_next(request.query.get("next", "/"))
    if target != "/":
        query["next"] = target
    return web.json_response({"url": f"{around.base_url}/enter?{urlencode(query)}", "expires_at": expires_at})
