"""The one guard that outgoing URLs pass.

Rules:
1. https only, to port 443 or an unprivileged port that no other protocol is known for. http is allowed to a loopback host
   only, and loopback only where the policy says so; there any port does.
2. A host is a name, or an address in its usual spelling: no decimal, octal or hexadecimal form, no trailing dot.
3. An address must be globally reachable, and so must an IPv4 address inside it; whoever connects goes to an address that
   was checked (`guarded_client.py`, `coordinator/intake/da_client.py`).
The ranges are those of the IANA special-purpose address registries (RFC 6890, as of 2025) that are not globally
reachable, plus cloud metadata addresses that lie in public ranges. In IPv6 only 2000::/3 is handed out (RFC 3513 §2.5.4,
IANA IPv6 address space), so nothing else is reached.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

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
        "2002::/16",  # 6to4, deprecated (RFC 7526): its relays are anybody's
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
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_BAD_PORTS = frozenset(
    (1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080)
)
"""Unprivileged ports that browsers refuse too (Fetch Standard, "Port blocking")."""
_HTTPS_PORT, _FIRST_UNPRIVILEGED = 443, 1024
_UNUSUAL = re.compile(r"[\x00-\x20\x7f\\]")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
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
    drain_seconds: float = 2.0
    """Longest wait for the body of an answer whose status has come."""
    reuse_seconds: float = 30.0
    """A connection takes new requests for so long, then the name is resolved anew; 0 makes one for each request."""


def check_address(text: str, policy: UrlPolicy) -> Address:
    """The address, when it may be reached. Raises Refused (W3B-6002)."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    inner = _embedded(address)
    if inner is None and isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        allowed = _exempt(address, policy)
    else:
        allowed = all(_reachable(each, policy) for each in (address, inner) if each is not None)
    if not allowed:
        raise Refused("W3B-6002", f"address {address} is in a range that must not be reached", field="url")
    return address


def _exempt(address: Address, policy: UrlPolicy) -> bool:
    if address.is_loopback:
        return policy.allow_loopback
    return policy.allow_private and address not in _METADATA and _within(address, _PRIVATE_NETWORKS)


def _reachable(address: Address, policy: UrlPolicy) -> bool:
    if _exempt(address, policy):
        return True
    return not _within(address, _REFUSED_NETWORKS) and (address.is_global or address.version == 6)


def _within(address: Address, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped (RFC 4291) or NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


@lru_cache(maxsize=4096)
def check_url(text: str, policy: UrlPolicy) -> URL:
    """The parsed URL, when its form is allowed; a literal address is checked too, a name only when it is connected to.

    Raises InvalidInput (W3B-6001) or Refused (W3B-6002).
    """
    if len(text) > _MAX_URL or _UNUSUAL.search(text):
        raise InvalidInput("W3B-6001", f"{text[:200]!r} is too long, or has blanks or backslashes", field="url")
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError as error:
        raise InvalidInput("W3B-6001", f"{text[:200]!r} is not a URL: {error}", field="url") from error
    if not host or not port:
        raise InvalidInput("W3B-6001", f"{text[:200]!r} is no URL with a host", field="url")
    if "@" in re.split("[/?#]", text.partition("://")[2], maxsplit=1)[0] or url.fragment:
        raise InvalidInput("W3B-6001", "the URL must carry no credentials and no fragment", field="url")
    literal = literal_address(host)
    if literal is not None:
        check_address(host, policy)
    elif host.endswith(".") or _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise InvalidInput("W3B-6001", f"host {host} is neither a name nor an address as usually written", field="url")
    loopback = host == LOOPBACK_NAME or (literal is not None and literal.is_loopback)
    if loopback and not policy.allow_loopback:
        raise Refused("W3B-6002", f"host {host} is loopback, which is not allowed here", field="url")
    if url.scheme != "https" and not (url.scheme == "http" and loopback):
        raise InvalidInput("W3B-6001", f"scheme {url.scheme!r} is not allowed; use https", field="url")
    if not loopback and port != _HTTPS_PORT and (port < _FIRST_UNPRIVILEGED or port in _BAD_PORTS):
        raise InvalidInput("W3B-6001", f"port {port} is not allowed; use 443 or one from 1024", field="url")
    return url


def literal_address(host: str) -> Address | None:
    """The address that a URL's host is; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def system_resolve(host: str, port: int) -> list[str]:
    """Addresses of `host` by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))
