"""An HTTP client that can only reach what the URL policy allows (`ssrf.py`).

1. A name is resolved once for a connection; every address must be allowed, and the connection goes to one of these
   addresses and no other, so a second DNS answer cannot lead elsewhere (DNS rebinding).
2. A connection is used again for a while and then made anew, so a name that moved is followed.
3. No redirect is followed, no proxy setting of the environment is read, nothing is decompressed; an answer counts by its
   status, and at most `max_answer` bytes of its body are taken for at most `drain_seconds`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from coordinator.webhooks.ssrf import LOOPBACK_NAME, Resolve, UrlPolicy, check_address, check_url, system_resolve
from verifier.errors import InvalidInput, Refused

IDLE_SECONDS = 1.0
"""A connection that rests longer is closed: shorter than any usual server's own limit, so that a POST never meets one
that the server is just closing."""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    """HTTP status."""
    retry_after: float | None
    """Seconds of a `Retry-After` header (RFC 9110 §10.2.3), 0 or more."""
    seconds: float
    """How long the exchange took."""


class _GuardedResolver(AbstractResolver):
    """Hands aiohttp the checked addresses and nothing else."""

    def __init__(self, policy: UrlPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [check_address(text, self._policy) for text in await self._resolve(host, port)]
        if not found:
            raise OSError(f"{host} has no address")
        if host == LOOPBACK_NAME and not all(address.is_loopback for address in found):
            raise Refused("W3B-6002", f"{host} resolves to an address that is not loopback", field="url")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Connections:
    """The connections of one span of time; closed when the span is over and the last POST over them has ended."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.opened = time.monotonic()
        self._users = 0
        self._over = False

    async def __aenter__(self) -> aiohttp.ClientSession:
        self._users += 1
        return self.session

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._over and not self._users:
            await self.session.close()

    async def end(self) -> None:
        """Let nobody else in."""
        self._over = True
        if not self._users:
            await self.session.close()


class GuardedClient:
    """POSTs to URLs of users.

    Parameters: `resolve` and `tls` are for installations with their own resolver or certificate authorities.
    """

    def __init__(
        self, policy: UrlPolicy, *, resolve: Resolve = system_resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self.policy = policy
        """What may be reached."""
        self._resolve = resolve
        self._tls = tls
        self._connections: _Connections | None = None
        self._timeout = aiohttp.ClientTimeout(total=policy.total_seconds, connect=policy.connect_seconds)

    async def check(self, text: str) -> None:
        """Check the form of a URL and where its name leads now. Raises InvalidInput (W3B-6001), Refused (W3B-6002)."""
        url = check_url(text, self.policy)
        host, port = url.raw_host or "", url.port or 0
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise InvalidInput("W3B-6001", f"host {host} does not resolve: {error}", field="url") from error
        for address in found:
            check_address(address, self.policy)

    async def post(self, text: str, body: bytes, headers: dict[str, str]) -> Answer:
        """POST `body`. Raises InvalidInput, Refused, aiohttp.ClientError, OSError or TimeoutError."""
        url = check_url(text, self.policy)
        started = time.monotonic()
        async with (
            await self._current() as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            await self._drain(answer)
            return Answer(
                status=answer.status,
                retry_after=_retry_after(answer.headers.get("Retry-After", "")),
                seconds=time.monotonic() - started,
            )

    async def close(self) -> None:
        """Close the connections as soon as no POST uses them."""
        ending, self._connections = self._connections, None
        if ending is not None:
            await ending.end()

    async def _current(self) -> _Connections:
        found = self._connections
        # Without reuse each connection carries one POST, so none of them grows old.
        if found is not None and 0 < self.policy.reuse_seconds < time.monotonic() - found.opened:
            await self.close()
        if self._connections is None:
            self._connections = _Connections(self._session())
        return self._connections

    def _session(self) -> aiohttp.ClientSession:
        reuse = self.policy.reuse_seconds > 0
        connector = aiohttp.TCPConnector(
            resolver=_GuardedResolver(self.policy, self._resolve),
            use_dns_cache=False,
            force_close=not reuse,
            limit=0,
            ssl=self._tls or True,
            socket_factory=self._socket,
            keepalive_timeout=IDLE_SECONDS if reuse else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """The last gate: the address that is really connected to is checked once more."""
        family, kind, proto, _, target = info
        check_address(str(target[0]), self.policy)
        made = socket.socket(family=family, type=kind, proto=proto)
        made.setblocking(False)
        return made

    async def _drain(self, answer: aiohttp.ClientResponse) -> None:
        """Take the body, so that the connection can be used again; where there is too much of it or it does not come,
        the connection is closed. The answer's status stands either way."""
        if answer.content.at_eof():
            return
        taken = 0
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(self.policy.drain_seconds):
                async for chunk in answer.content.iter_any():
                    taken += len(chunk)
                    if taken >= self.policy.max_answer:
                        break
        if not answer.content.at_eof():
            answer.close()


def _retry_after(text: str) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
