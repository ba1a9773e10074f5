"""The explorer's HTTP server: addresses, templates, live events, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from coordinator.access.audit import OPERATOR, Act
from coordinator.access.token_keys import TokenKeys
from coordinator.access.tokens import Tokens, installation_name
from coordinator.api.auth import KEY_FILE
from coordinator.api.program_outputs import OutputsOf, manifest_outputs
from coordinator.api.surroundings import ComponentStatus
from coordinator.explorer import access, sign_in
from coordinator.explorer.access import SignInLimit
from coordinator.explorer.chain_view import ChainView
from coordinator.explorer.guard import SITE, Site, add_headers, find_viewer, guarded
from coordinator.explorer.live import HEARTBEAT_SECONDS, Client, Live
from coordinator.explorer.page import Handler, as_json, surroundings, viewer_of, wants_json
from coordinator.explorer.pages import tasks, webhooks
from coordinator.explorer.pages.overview import OVERVIEWS, Overviews
from coordinator.explorer.pages.routes import ROUTES, json_address
from coordinator.explorer.rendering import TEMPLATES, render
from coordinator.explorer.slow_clients import FirstRequests
from coordinator.explorer.surroundings import SURROUNDINGS, Surroundings
from coordinator.explorer.templating import STATIC, environment
from coordinator.ledger.store import Ledger
from coordinator.settings import Settings, is_loopback_host
from verifier.bindings import Deployment
from verifier.errors import InvalidInput, W3bstreamError

log = structlog.get_logger(__name__)

ADDRESS_FILE = "explorer.json"
MAX_BODY = 16 * 1024
MAX_CONNECTIONS = 512
"""Open connections; one more is closed at once."""
WRITE_SECONDS = 10.0
"""A live client that takes no bytes for so long is let go."""
_ASSETS = {"explorer.css": "text/css", "explorer.js": "text/javascript", "icon.svg": "image/svg+xml"}


class _Refusing(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class ExplorerServer:
    """The explorer of one installation.

    Parameters: `chain` is the chain as pages see it; `components` says how each part stands; `deployment` is where the
    contracts are; `outputs_of` names a program's outputs. `ledger` is a handle that may write whoever leads: sessions
    and replays are no loop's work.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        *,
        chain: ChainView,
        components: Callable[[], Awaitable[Sequence[ComponentStatus]]],
        deployment: Deployment,
        outputs_of: OutputsOf = manifest_outputs,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._chain = chain
        self._components = components
        self._deployment = deployment
        self._outputs_of = outputs_of
        self._live = Live(ledger)
        self._first = FirstRequests()
        self._tokens: Tokens | None = None
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self.url = ""
        """Where people reach it once it started, without a slash at the end."""

    @property
    def address_file(self) -> Path:
        """`<home>/explorer.json`, which tells the command line on this machine where the explorer is."""
        return self._settings.home / ADDRESS_FILE

    async def start(self) -> str:
        """Listen and serve; returns the URL.

        Raises OSError when the address cannot be had, InvalidInput (W3B-7016, W3B-7019) when its TLS settings or the file
        of token keys are not right or it would be served in clear beyond loopback.
        """
        host, tls = self._settings.explorer_host, _tls(self._settings)
        self._tokens = await asyncio.to_thread(self._read_tokens)
        app = web.Application(middlewares=[self._first.middleware, guarded(_show_error)], client_max_size=MAX_BODY)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=30.0, max_line_size=4096, max_field_size=8190)
        _add_routes(app)
        app.on_response_prepare.append(add_headers)
        sockets_port = await self._listen(app, runner, host, tls)
        log.info("explorer_started", url=self.url, port=sockets_port, tls=tls is not None)
        await asyncio.to_thread(_write_address, self.address_file, self.url)
        return self.url

    def _read_tokens(self) -> Tokens:
        named = installation_name(self._deployment.chain_id, self._deployment.router)
        return Tokens(TokenKeys(self._settings.token_file), named)

    async def _listen(self, app: web.Application, runner: web.AppRunner, host: str, tls: ssl.SSLContext | None) -> int:
        loop = asyncio.get_running_loop()
        assert self._tokens is not None

        def protocol() -> asyncio.Protocol:
            server = runner.server
            full = server is None or len(server.connections) >= MAX_CONNECTIONS
            return _Refusing() if server is None or full else server()

        listener = await loop.create_server(
            protocol, host, self._settings.explorer_port, ssl=tls, backlog=128, start_serving=False
        )
        port = int(listener.sockets[0].getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if tls is not None else "http"
        self.url = self._settings.explorer_url.rstrip("/") or f"{scheme}://{shown}:{port}"
        app[SITE] = self._site(f"{shown}:{port}".lower(), port)
        app[SURROUNDINGS] = Surroundings(
            ledger=self._ledger,
            tokens=self._tokens,
            settings=self._settings,
            chain=self._chain,
            components=self._components,
            contracts={
                name: str(value)
                for name, value in asdict(self._deployment).items()
                if name not in ("chain_id", "block")
            },
            chain_id=self._deployment.chain_id,
            live=self._live,
            base_url=self.url,
            outputs_of=self._outputs_of,
        )
        app[TEMPLATES] = environment()
        app[OVERVIEWS] = Overviews()
        app[sign_in.LIMIT] = SignInLimit()
        await runner.setup()
        assert runner.server is not None
        self._first.start(runner.server)
        await listener.start_serving()
        self._runner, self._listener = runner, listener
        return port

    def _site(self, address: str, port: int) -> Site:
        loopback = is_loopback_host(self._settings.explorer_host)
        hosts = {address}
        if loopback:
            hosts |= {f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"}
        named = self._settings.explorer_url.partition("://")[2].rstrip("/").lower()
        if named:
            hosts.add(named)
        secure = self.url.startswith("https://")
        cookie = "__Host-w3b_explorer" if secure else f"w3b_explorer_{port}"
        return Site(frozenset(hosts), any_address=not loopback, secure=secure, cookie=cookie)

    async def sign_in_link(self) -> str:
        """A single-use sign-in link for the first admin key; the plain address when that key's file is gone."""
        path = self._settings.home / KEY_FILE
        if self._tokens is None:
            return self.url
        try:
            secret = (await asyncio.to_thread(path.read_text)).strip()
            async with self._ledger.reading() as session:
                viewer = await access.by_secret(session, self._tokens, self._ledger.clock(), secret)
        except (OSError, W3bstreamError):
            return self.url
        token, _ = await access.make_token(
            self._ledger, viewer, "link", Act("explorer.link", OPERATOR, "", viewer.key_id)
        )
        return f"{self.url}/enter?token={token}"

    async def stop(self) -> None:
        """Take no new connections, end the live ones, finish the requests under way."""
        runner, listener = self._runner, self._listener
        self._runner = self._listener = None
        if runner is None or listener is None:
            return
        listener.close()
        await self._first.stop()
        await self._live.stop()
        await runner.cleanup()
        await asyncio.to_thread(_remove_address, self.address_file, self.url)
        log.info("explorer_stopped")


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """The API's certificate, for a host other than loopback. Raises InvalidInput (W3B-7016, W3B-7019)."""
    if is_loopback_host(settings.explorer_host):
        return None
    certificate, key = settings.api_tls_cert, settings.api_tls_key
    if certificate is None or key is None:
        if settings.api_insecure:
            log.warning("explorer_without_tls", host=settings.explorer_host, advice="a proxy in front must end TLS")
            return None
        raise InvalidInput(
            "W3B-7019",
            f"explorer_host {settings.explorer_host} is not loopback, and there is no TLS",
            field="explorer_host",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise InvalidInput(
            "W3B-7016", f"{certificate} and {key} are no PEM certificate and its key: {error}", field="api_tls_cert"
        ) from error
    return context


def _address_text(url: str) -> str:
    return json.dumps({"url": url}) + "\n"


def _write_address(path: Path, url: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(_address_text(url))
    draft.replace(path)


def _remove_address(path: Path, url: str) -> None:
    """Remove the file unless it is another explorer's by now."""
    if path.is_file() and path.read_text() == _address_text(url):
        path.unlink()


def _add_routes(app: web.Application) -> None:
    for path, handler in ROUTES:
        # The JSON address first: where an id may hold a dot, the suffix wins.
        app.router.add_get(json_address(path), _answering(handler))
        app.router.add_get(path, _answering(handler))
    app.router.add_get("/tasks.csv", tasks.tasks_csv)
    app.router.add_get("/events", _events)
    app.router.add_get("/static/{name}", _static)
    app.router.add_get("/sign-in", sign_in.show_sign_in)
    app.router.add_post("/sign-in", sign_in.sign_in)
    app.router.add_get("/enter", sign_in.show_link)
    app.router.add_post("/enter", sign_in.use_link)
    app.router.add_post("/sign-out", sign_in.sign_out)
    app.router.add_post("/links", sign_in.make_link)
    app.router.add_post(f"/webhooks/messages/{{id:{webhooks.MESSAGE}}}/replay", webhooks.replay)


def _answering(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        page = await handler(request, viewer_of(request))
        if wants_json(request):
            return as_json(page.data)
        after = await surroundings(request).live.newest() if page.topics else None
        return render(request, page.template, page.title, page.data, page=page, after=after)

    return answer


async def _show_error(request: web.Request, error: W3bstreamError, status: int) -> web.Response:
    data: Mapping[str, Any] = {"code": error.code, "message": error.message, "next_step": error.next_step}
    return render(request, "error.html", error.code, data, status=status)


async def _static(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    if name not in _ASSETS:
        raise web.HTTPNotFound
    headers = {"Content-Type": f"{_ASSETS[name]}; charset=utf-8", "Cache-Control": "no-cache"}
    return web.FileResponse(STATIC / name, headers=headers)


async def _events(request: web.Request) -> web.StreamResponse:
    """The live stream: what was missed since `Last-Event-ID` or `after`, then what happens."""
    viewer, live = viewer_of(request), surroundings(request).live
    given = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    after = int(given) if given.isdecimal() and len(given) <= 18 else await live.newest()
    async with live.client(viewer) as client:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await answer.prepare(request)
        # Whatever ends the stream from here on, its head is sent already: the browser comes back and is told then.
        with contextlib.suppress(W3bstreamError, TimeoutError, ConnectionError):
            await _send(answer, b"retry: 2000\n\n")
            for line in await live.missed(viewer, after) if viewer.can("tasks:read") else ():
                await _send(answer, line)
            await _stream(request, answer, client)
    return answer


async def _stream(request: web.Request, answer: web.StreamResponse, client: Client) -> None:
    loop = asyncio.get_running_loop()
    checked = loop.time()
    while not client.lost:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                line = await client.queue.get()
        except TimeoutError:
            line = b": still here\n\n"
        if client.lost:
            return
        if loop.time() - checked >= HEARTBEAT_SECONDS:
            await find_viewer(request)  # raises when the key was revoked or the session ended meanwhile
            checked = loop.time()
        await _send(answer, line)


async def _send(answer: web.StreamResponse, line: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await answer.write(line)
