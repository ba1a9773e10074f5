"""Where a project's own `da.url` may lead: the guard of outgoing URLs (`coordinator/webhooks/ssrf.py`) for NATS."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from coordinator.settings import Settings
from coordinator.webhooks.ssrf import LOOPBACK_NAME, Resolve, UrlPolicy, check_address, system_resolve
from verifier.errors import InvalidInput, Refused

EMBEDDED = "embedded"
"""The `da.url` that names the operator's own DA layer, which no guard concerns."""


def da_policy(settings: Settings) -> UrlPolicy:
    """What DA URLs of project files may reach: loopback on an embedded installation, private where the operator says."""
    return UrlPolicy(allow_loopback=settings.embedded, allow_private=settings.allow_private_da)


def check_da_url(url: str, policy: UrlPolicy) -> None:
    """Check a literal address, or the name `localhost`; another name is checked when it is connected to.

    Raises InvalidInput (W3B-2001) for a URL without a host or with a bad port, and Refused (W3B-1013).
    """
    if url == EMBEDDED:
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput("W3B-2001", f"da.url is {url!r}: {error}", field="da.url") from error
    if not host:
        raise InvalidInput("W3B-2001", f"da.url is {url!r}, which has no host", field="da.url")
    if host.rstrip(".") == LOOPBACK_NAME:
        host = "127.0.0.1"
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    checked_da_address(host, policy)


def checked_da_address(text: str, policy: UrlPolicy) -> str:
    """The address, when a DA URL may lead there. Raises Refused (W3B-1013)."""
    try:
        return str(check_address(text, policy))
    except Refused as error:
        raise Refused("W3B-1013", f"da.url leads to {text}, which must not be reached", field="da.url") from error


async def checked_da_addresses(host: str, port: int, policy: UrlPolicy, resolve: Resolve = system_resolve) -> list[str]:
    """All addresses of `host` now; one that is not allowed refuses them all.

    Raises Refused (W3B-1013), and OSError when the name has no address.
    """
    found = [checked_da_address(text, policy) for text in await resolve(host, port)]
    if not found:
        raise OSError(f"{host} has no address")
    return found
