"""An HTTP client that can only reach what the URL policy allows (`ssrf.py`).

1. A name is resolved once for a connection; every address must be allowed, and the connection goes to one of these
   addresses and no other, so a second DNS answer cannot lead elsewhere (DNS rebinding).
2. A connection is used again for a while and then made anew, so a name that moved is followed.
3. No redirect is followed, no proxy setting of the environment is read, nothing is decompressed; an answer counts by its
   status, and at most `max_answer` bytes of its body are taken for at most `drain_seconds` (`connection.py`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache

from aiohappyeyeballs import AddrInfoType, start_connection
from aiohttp.client_proto import ResponseHandler

from coordinator.webhooks.connection import Connection, Drain
from coordinator.webhooks.ssrf import (
    LOOPBACK_NAME,
    Resolve,
    UrlPolicy,
    check_address,
    check_url,
    literal_address,
    system_resolve,
)
from verifier.errors import InvalidInput, Refused

IDLE_SECONDS = 1.0
"""A connection that rests longer is closed: shorter than any usual server's own limit, so that a POST never meets one
that the server is just closing."""
_NEXT_ADDRESS_SECONDS = 0.25
"""Another address of a name is tried too when the first has not answered by then (RFC 8305 §5)."""
_GOODBYE_SECONDS = 1.0
"""Longest wait for the other side to end TLS."""
_KNOWN_URLS = 4096

Origin = tuple[str, str, int]
"""Scheme, host, port: what a connection leads to."""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    """HTTP status."""
    retry_after: float | None
    """Seconds of a `Retry-After` header (RFC 9110 §10.2.3), 0 or more; None for a 2xx."""


@dataclass(frozen=True)
class _Route:
    """What a URL says, made once for all the POSTs to it."""

    origin: Origin
    head: str
    """The request line and the header fields that are always the same."""


@cache
def _system_tls() -> ssl.SSLContext:
    """Trusts whom the system trusts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


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
        self._drain = Drain(policy.max_answer, policy.drain_seconds)
        self._resting: defaultdict[Origin, list[Connection]] = defaultdict(list)
        """By origin, the last used at the end."""
        self._look: asyncio.TimerHandle | None = None
        self._closed = False
        self._route = lru_cache(_KNOWN_URLS)(self._make_route)

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
        """POST `body`. Raises InvalidInput, Refused, aiohttp.ClientError, OSError, TimeoutError, or ValueError for
        headers that are none."""
        route = self._route(text)
        request = _request(route.head, headers, body)
        deadline = asyncio.get_running_loop().time() + self.policy.total_seconds
        connection = self._rested(route.origin) or await self._connect(route.origin, deadline)
        try:
            message = await connection.post(request, deadline)
        except BaseException:  # also a cancellation: the answer that may still come belongs to nobody
            connection.abort()
            raise
        self._put_by(route.origin, connection)
        status = message.code
        return Answer(status, None if 200 <= status < 300 else _retry_after(message.headers.get("Retry-After", "")))

    async def close(self) -> None:
        """Close the connections; one that a POST uses is closed when that has ended."""
        self._closed = True
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for connections in self._resting.values():
            for connection in connections:
                connection.close()
        self._resting.clear()

    def _make_route(self, text: str) -> _Route:
        url = check_url(text, self.policy)
        assert url.raw_host is not None, "check_url requires a host"
        assert url.port is not None, "check_url requires a port"
        lines = [f"POST {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
        lines += ["Accept: */*", "Accept-Encoding: identity"]
        if not self.policy.reuse_seconds:
            lines.append("Connection: close")
        return _Route((url.scheme, url.raw_host, url.port), "\r\n".join(lines))

    def _rested(self, origin: Origin) -> Connection | None:
        """A connection that may be used again."""
        resting = self._resting.get(origin)
        now = asyncio.get_running_loop().time()
        while resting:
            connection = resting.pop()
            rested, age = now - connection.rests_since, now - connection.opened
            if connection.is_usable and rested < IDLE_SECONDS and age < self.policy.reuse_seconds:
                return connection
            connection.close()
        return None

    def _put_by(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection for the next POST, or close it."""
        if self._closed or not self.policy.reuse_seconds or not connection.is_usable:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.rests_since = loop.time()
        self._resting[origin].append(connection)
        if self._look is None:
            self._look = loop.call_later(IDLE_SECONDS, self._close_rested)

    def _close_rested(self) -> None:
        """Close what has rested for too long; look again as long as there is anything."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for origin, connections in list(self._resting.items()):
            fresh = [each for each in connections if each.is_usable and now - each.rests_since < IDLE_SECONDS]
            for each in set(connections).difference(fresh):
                each.close()
            if fresh:
                self._resting[origin] = fresh
            else:
                del self._resting[origin]
        self._look = loop.call_later(IDLE_SECONDS, self._close_rested) if self._resting else None

    async def _connect(self, origin: Origin, deadline: float) -> Connection:
        """A new connection, to a checked address. Raises as `post`."""
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(min(deadline, loop.time() + self.policy.connect_seconds)):
            made = await start_connection(
                await self._addresses(host, port),
                happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
                socket_factory=self._socket,
            )
            # From here on the transport closes the socket, also when the handshake fails.
            if scheme == "https":
                _, protocol = await loop.create_connection(
                    lambda: ResponseHandler(loop),
                    sock=made,
                    ssl=self._tls or _system_tls(),
                    server_hostname=host,
                    ssl_shutdown_timeout=_GOODBYE_SECONDS,
                )
            else:
                _, protocol = await loop.create_connection(lambda: ResponseHandler(loop), sock=made)
        return Connection(protocol, self._drain)

    async def _addresses(self, host: str, port: int) -> list[AddrInfoType]:
        """Where the host is, every address checked. Raises Refused (W3B-6002), OSError, UnicodeError."""
        texts = [host] if literal_address(host) is not None else await self._resolve(host, port)
        found = [check_address(text, self.policy) for text in texts]
        if not found:
            raise OSError(f"{host} has no address")
        if host == LOOPBACK_NAME and not all(address.is_loopback for address in found):
            raise Refused("W3B-6002", f"{host} resolves to an address that is not loopback", field="url")
        return [
            (
                socket.AF_INET if address.version == 4 else socket.AF_INET6,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (str(address), port),
            )
            for address in found
        ]

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """The last gate: the address that is really connected to is checked once more."""
        family, kind, proto, _, target = info
        check_address(str(target[0]), self.policy)
        made = socket.socket(family=family, type=kind, proto=proto)
        made.setblocking(False)
        return made


def _request(head: str, headers: dict[str, str], body: bytes) -> bytes:
    """The request's bytes. Raises ValueError when a header is not one line of ASCII."""
    lines = [head]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    text = "\r\n".join(lines)
    breaks = head.count("\n") + len(headers) + 3
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise ValueError("a header holds a line break")
    return text.encode("ascii") + body


def _retry_after(text: str) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return None
    moment = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
