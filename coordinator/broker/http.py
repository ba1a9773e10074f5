"""The broker over HTTP: a challenge, then a release. Answers are encrypted to the enclave, so that TLS adds privacy only.

POST /v1/challenge → {"nonce": "0x…", "expires_in": 300}
POST /v1/release {"request": {…}, "registration": {…}} or {"request": {…}, "passport": "…"} → {"sealed": "0x…"}
An error is {"error": {"code", "message", "field", "next_step"}} with status 400 (malformed), 403 (refused) or 503.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import structlog
from aiohttp import web

from coordinator.broker.broker import Broker
from coordinator.broker.journal import CHALLENGE_SECONDS
from l1.serving import Work
from verifier.attestation.evidence import read_json
from verifier.attestation.registration import Registration
from verifier.attestation.secret_request import SecretRequest
from verifier.errors import InvalidInput, Unavailable, W3bstreamError

MAX_BODY = 4 << 20
"""Bytes of a request: evidence and endorsements of a CPU and a few devices in hex."""
MAX_AT_ONCE = 8
"""Requests that are appraised at once; others wait."""
log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(broker: Broker, clock: Callable[[], float] = time.time) -> web.Application:
    """The application of one broker. Parameters: `clock` gives Unix seconds."""
    room = asyncio.Semaphore(MAX_AT_ONCE)

    async def challenge(_request: web.Request) -> web.Response:
        nonce = await asyncio.to_thread(broker.challenge, int(clock()))
        return web.json_response({"nonce": "0x" + nonce.hex(), "expires_in": CHALLENGE_SECONDS})

    async def release(request: web.Request) -> web.Response:
        body = await request.read()
        async with room:
            sealed = await asyncio.to_thread(_release, broker, body, int(clock()))
        return web.json_response({"sealed": "0x" + sealed.hex()})

    made = web.Application(client_max_size=MAX_BODY, middlewares=[_coded])
    made.add_routes([web.post("/v1/challenge", challenge), web.post("/v1/release", release)])
    return made


def _release(broker: Broker, body: bytes, now: int) -> bytes:
    found: Any = _parsed(body)
    if not isinstance(found, dict) or sorted(found) not in (["registration", "request"], ["passport", "request"]):
        raise InvalidInput("W3B-9120", "the body is no object with request and registration or passport", field="body")
    request = SecretRequest.from_json(found["request"])
    if "passport" not in found:
        return broker.release_by_evidence(request, Registration.from_json(found["registration"]), now)
    if not isinstance(found["passport"], str):
        raise InvalidInput("W3B-9120", "passport is no text", field="passport")
    return broker.release_by_passport(request, found["passport"], now)


def _parsed(body: bytes) -> object:
    try:
        return read_json(body, "body")
    except InvalidInput as error:
        raise InvalidInput("W3B-9120", error.message, field="body") from error


@web.middleware
async def _coded(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        refusal = InvalidInput("W3B-9120", f"{request.method} {request.path[:80]}: {error.reason}", field="path")
        return _answer(refusal, error.status)
    except W3bstreamError as error:
        log.info("request_refused", code=error.code, error=error.message)
        status = 400 if isinstance(error, InvalidInput) else 503 if isinstance(error, Unavailable) else 403
        return _answer(error, status)


def _answer(error: W3bstreamError, status: int) -> web.Response:
    fields = {"code": error.code, "message": error.message, "field": error.field, "next_step": error.next_step}
    return web.Response(text=json.dumps({"error": fields}), status=status, content_type="application/json")


class Server:
    """A broker that answers until it is stopped; `l1.serving.run_until_stopped` runs it.

    Parameters: `port` 0 takes a free one.
    """

    def __init__(self, broker: Broker, host: str, port: int) -> None:
        self._broker, self._host, self._port = broker, host, port
        self._work = Work()
        self._failed: asyncio.Future[None] | None = None
        self._url = ""

    async def __aenter__(self) -> Server:
        self._failed = asyncio.get_running_loop().create_future()
        self._url = await self._work.serve(application(self._broker), self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._work.end()

    async def wait(self) -> None:
        """It never fails by itself."""
        if self._failed is not None:
            await self._failed

    def announcement(self) -> dict[str, Any]:
        """Where it answers."""
        return {"url": self._url}
