"""What every request passes: the host, the viewer, the form's origin; and how every error is answered.

| check | against | code |
|---|---|---|
| Host is one of ours | DNS rebinding | W3B-7505 |
| key, token or session, and it is valid now | strangers | W3B-7502, W3B-7002, W3B-7003, W3B-7020, W3B-7021 |
| Origin is ours and the form carries the session's token | forged forms | W3B-7504 |
| scope and project of the key | those who may see other things | W3B-7004, W3B-7501 |
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from coordinator.explorer.access import Viewer, by_header, by_session
from coordinator.explorer.page import VIEWER, as_json, surroundings, wants_json
from coordinator.explorer.slow_clients import read_form
from verifier.errors import Conflict, Denied, InvalidInput, NotFound, Refused, Unavailable, W3bstreamError

log = structlog.get_logger(__name__)

Show = Callable[[web.Request, W3bstreamError, int], Awaitable[web.Response]]
"""Shows an error as a page."""

PUBLIC = ("/sign-in", "/enter", "/static/")
"""Addresses that ask for no viewer; the last one by its beginning."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send `Origin: null` with our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
AGAIN = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0">'
    "<title>W3bstream</title><p>One moment …</p></html>"
)
"""Answered once to a link from another site: the browser withholds the strict cookie there, and sends it with the
reload, which comes from this page."""
_UNKNOWN = (W3bstreamError, 500)
STATUS = (
    (InvalidInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Refused, 422),
    (Unavailable, 503),
    (Denied, 403),
    _UNKNOWN,
)
STATUS_BY_CODE = {
    "W3B-7001": 401,
    "W3B-7002": 401,
    "W3B-7003": 401,
    "W3B-7020": 401,
    "W3B-7021": 401,
    "W3B-7502": 401,
    "W3B-7503": 401,
    "W3B-7506": 429,
}


@dataclass(frozen=True)
class Site:
    """By which names the explorer may be called."""

    hosts: frozenset[str]
    """`host:port` in lower case."""
    any_address: bool
    """It listens beyond loopback: an IP address as host is fine too, for no name server stands behind one."""
    secure: bool
    """Browsers reach it by https."""
    cookie: str
    """Name of the session cookie."""

    def knows(self, host: str) -> bool:
        """Whether a Host header names this explorer."""
        return host.lower() in self.hosts or (self.any_address and _is_address(host))

    def is_own(self, origin: str, host: str) -> bool:
        """Whether an Origin header is this explorer's; `host` is the request's Host, for at any address only one of them
        is ours."""
        scheme, _, name = origin.lower().partition("://")
        return scheme == ("https" if self.secure else "http") and (name in self.hosts or name == host.lower())


SITE = web.AppKey("site", Site)


def _is_address(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def status_of(error: W3bstreamError) -> int:
    """The HTTP status of an error."""
    return STATUS_BY_CODE.get(error.code) or next(status for kind, status in STATUS if isinstance(error, kind))


def safe_next(address: str) -> str:
    """Where to go after a sign-in: an address of this site, else the overview."""
    good = address.startswith("/") and not address.startswith("//") and "\\" not in address and address.isprintable()
    return address[:500] if good else "/"


async def find_viewer(request: web.Request) -> Viewer:
    """Who looks. Raises Denied (W3B-7502, W3B-7002, W3B-7003, W3B-7020, W3B-7021)."""
    around = surroundings(request)
    ledger = around.ledger
    header = request.headers.get("Authorization")
    token = request.cookies.get(request.config_dict[SITE].cookie, "")
    async with ledger.reading() as session:
        if header is not None:
            return await by_header(session, around.tokens, ledger.clock(), header)
        if not token:
            raise Denied("W3B-7502", "nobody is signed in")
        return await by_session(session, ledger.clock(), token)


def require_own_origin(request: web.Request) -> None:
    """Refuse a form of another site. Raises Denied (W3B-7504)."""
    origin = request.headers.get("Origin", "")
    if not request.config_dict[SITE].is_own(origin, request.headers.get("Host", "")):
        raise Denied("W3B-7504", f"the form came from {origin[:100]!r}", field="Origin")


async def require_form_token(request: web.Request, viewer: Viewer) -> None:
    """Refuse a form without the session's token. Raises Denied (W3B-7504)."""
    form = await request.post()
    sent = form.get("csrf", "")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), viewer.csrf.encode()):
        raise Denied("W3B-7504", "the form's token is not the session's", field="csrf")


def _is_public(request: web.Request) -> bool:
    return request.path in PUBLIC[:2] or request.path.startswith(PUBLIC[2])


async def _admit(request: web.Request) -> None:
    """Raises Denied. Notes the viewer."""
    if not request.config_dict[SITE].knows(request.headers.get("Host", "")):
        raise Denied("W3B-7505", f"this is not {request.headers.get('Host', '')[:100]!r}", field="Host")
    acts = request.method not in ("GET", "HEAD")
    if acts and "Authorization" not in request.headers:
        require_own_origin(request)
    if acts:
        await read_form(request)
    if _is_public(request):
        return
    viewer = await find_viewer(request)
    request[VIEWER] = viewer
    if acts and viewer.csrf:
        await require_form_token(request, viewer)


def _to_sign_in(request: web.Request, error: W3bstreamError) -> web.Response:
    """A person without a session is sent to the sign-in, and from there back."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return web.Response(text=AGAIN, content_type="text/html")
    query = {"next": request.path_qs[:500]}
    if error.code != "W3B-7502" or request.config_dict[SITE].cookie in request.cookies:
        query["why"] = error.code
    return web.Response(status=303, headers={"Location": f"/sign-in?{urlencode(query)}"})


def _is_page(request: web.Request) -> bool:
    return request.method in ("GET", "HEAD") and not wants_json(request) and "Authorization" not in request.headers


def guarded(show: Show) -> Middleware:
    """The middleware; `show` makes the page of an error."""

    async def answer(request: web.Request, error: W3bstreamError) -> web.StreamResponse:
        status = status_of(error)
        signed_out = status == 401 and not _is_public(request)
        if signed_out and _is_page(request) and request.path != "/events":
            return _to_sign_in(request, error)
        if not _is_page(request) or request.path == "/events":
            body = {"code": error.code, "message": error.message, "field": error.field, "next_step": error.next_step}
            return as_json({"error": body}, status)
        return await show(request, error, status)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await _admit(request)
            return await handler(request)
        except W3bstreamError as error:
            return await answer(request, error)
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            what = f"{request.method} {request.path[:100]!r}: {error.reason}"
            known = NotFound("W3B-7501", what) if error.status == 404 else InvalidInput("W3B-7008", what)
            return await answer(request, known)
        except ConnectionError:
            raise
        except Exception:
            # A stranger learns nothing of what went wrong; the operator finds it under the number.
            incident = secrets.token_hex(6)
            log.exception("explorer_request_failed", incident=incident, path=request.path[:200])
            return await answer(request, W3bstreamError("W3B-7015", f"incident {incident}"))

    return guard


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every answer; pages are never kept by a browser or a proxy."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.pop("Server", None)
    if request.config_dict[SITE].secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
