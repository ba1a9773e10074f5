"""The one guard that outgoing URLs pass.

Rules:
1. https only. http is allowed to a loopback host only, and loopback only where the policy says so.
2. A name is resolved once for a connection; every address it gives must be allowed, and the connection goes to one of
   these addresses and no other (so a second DNS answer cannot lead elsewhere: DNS rebinding).
3. No redirect is followed, no proxy setting of the environment is read, and only the head of an answer is kept.
The ranges are those of the IANA special-purpose address registries (RFC 6890, as of 2025) that are not globally
reachable, plus cloud metadata addresses that lie in public ranges.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from verifier.errors import InvalidInput, Refused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of (host, port) as text."""

_REFUSED_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/9",
        "ff00::/8",
    )
)
_PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
# Metadata servers inside the private ranges (Alibaba, AWS, Google): never the operator's own cluster.
_METADATA = frozenset(ipaddress.ip_address(address) for address in ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MAX_URL = 2048
LOOPBACK_NAME = "localhost"


@dataclass(frozen=True)
class UrlPolicy:
    """What outgoing URLs may reach."""

    allow_loopback: bool = False
    """Loopback addresses and http to them; for the embedded default only."""
    allow_private: bool = False
    """Private networks (RFC 1918, RFC 4193, RFC 6598) too, but no cloud metadata address."""
    connect_seconds: float = 5.0
    """Longest wait for a connection."""
    total_seconds: float = 15.0
    """Longest wait for a whole exchange."""
    max_answer: int = 16 * 1024
    """Bytes of an answer that are read."""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    """HTTP status."""
    body: bytes
    """At most `UrlPolicy.max_answer` bytes."""
    retry_after: float | None
    """Seconds of a `Retry-After` header, when it was given as a number."""
    seconds: float
    """How long the exchange took."""


def check_address(text: str, policy: UrlPolicy) -> Address:
    """The address, when it may be reached. Raises Refused (W3B-6002)."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    for inner in (address, *_embedded(address)):
        if inner.is_loopback and policy.allow_loopback:
            continue
        if policy.allow_private and inner not in _METADATA and _within(inner, _PRIVATE_NETWORKS):
            continue
        if _within(inner, _REFUSED_NETWORKS) or not (inner.is_global or inner.version == 6):
            raise Refused("W3B-6002", f"address {address} is in a range that must not be reached", field="url")
    return address


def _within(address: Address, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _embedded(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address leads to: mapped (RFC 4291), 6to4 (RFC 3056), NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return []


def check_url(text: str, policy: UrlPolicy) -> URL:
    """The parsed URL, when its form is allowed; a literal address is checked too, a name only when it is connected to.

    Raises InvalidInput (W3B-6001) or Refused (W3B-6002).
    """
    try:
        url = URL(text)
        host, port = url.host, url.port
    except ValueError as error:
        raise InvalidInput("W3B-6001", f"{text[:200]!r} is not a URL: {error}", field="url") from error
    if len(text) > _MAX_URL or not host or not port:
        raise InvalidInput("W3B-6001", f"{text[:200]!r} is no URL with a host, or is too long", field="url")
    if url.user or url.password or url.fragment:
        raise InvalidInput("W3B-6001", "the URL must carry no credentials and no fragment", field="url")
    literal = _literal(host)
    if literal is not None:
        check_address(host, policy)
    loopback = host == LOOPBACK_NAME or (literal is not None and literal.is_loopback)
    if loopback and not policy.allow_loopback:
        raise Refused("W3B-6002", f"host {host} is loopback, which is not allowed here", field="url")
    if url.scheme != "https" and not (url.scheme == "http" and loopback):
        raise InvalidInput("W3B-6001", f"scheme {url.scheme!r} is not allowed; use https", field="url")
    return url


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def system_resolve(host: str, port: int) -> list[str]:
    """Addresses of `host` by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


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


class GuardedClient:
    """An HTTP client that can only reach what the policy allows.

    Parameters: `resolve` and `tls` are for installations with their own resolver or certificate authorities.
    """

    def __init__(
        self, policy: UrlPolicy, *, resolve: Resolve = system_resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self.policy = policy
        """What may be reached."""
        self._resolve = resolve
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_GuardedResolver(self.policy, self._resolve),
                use_dns_cache=False,
                force_close=True,
                limit=0,
                ssl=self._tls or True,
                socket_factory=self._socket,
            )
            timeout = aiohttp.ClientTimeout(total=self.policy.total_seconds, connect=self.policy.connect_seconds)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """The last gate: the address that is really connected to is checked once more."""
        family, kind, proto, _, target = info
        check_address(str(target[0]), self.policy)
        made = socket.socket(family=family, type=kind, proto=proto)
        made.setblocking(False)
        return made

    async def check(self, text: str) -> None:
        """Check the form of a URL and where its name leads now. Raises InvalidInput (W3B-6001), Refused (W3B-6002)."""
        url = check_url(text, self.policy)
        host, port = url.host or "", url.port or 0
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            raise InvalidInput("W3B-6001", f"host {host} does not resolve: {error}", field="url") from error
        for address in found:
            check_address(address, self.policy)

    async def post(self, text: str, body: bytes, headers: dict[str, str]) -> Answer:
        """POST `body`. Raises InvalidInput, Refused, aiohttp.ClientError, OSError or TimeoutError."""
        url = check_url(text, self.policy)
        started = time.monotonic()
        async with self._open().post(url, data=body, headers=headers, allow_redirects=False) as answer:
            head = bytearray()
            async for chunk in answer.content.iter_chunked(4096):
                head += chunk
                if len(head) >= self.policy.max_answer:
                    break
            wait = answer.headers.get("Retry-After", "")
            return Answer(
                status=answer.status,
                body=bytes(head[: self.policy.max_answer]),
                retry_after=float(wait) if wait.isascii() and wait.isdigit() else None,
                seconds=time.monotonic() - started,
            )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
