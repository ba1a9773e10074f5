"""The NATS client of the DA adapter. For a project's own URL it connects to checked addresses only.

It overrides four methods of nats-py 2.x, which has no public hook for them: the one that opens the socket, so that the
address that was checked is the one that is connected to at every reconnection; the one that takes over the server
addresses of an INFO message, so that a server cannot send us elsewhere; the one that parses a message's headers, which
are any publisher's bytes; and the one that takes a message, so that a stream's deliveries reach their consumer without
a queue, a task and an object each. TLS still verifies the URL's host name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from nats.aio.client import Client, Srv
from nats.aio.subscription import Subscription

from coordinator.projects.da_url import checked_da_addresses
from coordinator.webhooks.ssrf import Resolve, UrlPolicy, system_resolve
from verifier.errors import Refused

Delivery = tuple[bytes, bytes, bytes, bytes]
"""A message as it came: subject, reply subject, data and raw headers (none: empty)."""

log = structlog.get_logger(__name__)


class DaClient(Client):
    """A NATS client behind a policy.

    Parameters: `policy` says what may be reached; None is the operator's own URL, which is not guarded and may name
    more servers of its cluster. `resolve` gives the addresses of a name.
    """

    def __init__(self, policy: UrlPolicy | None, resolve: Resolve = system_resolve) -> None:
        super().__init__()
        self._policy = policy
        self._resolve = resolve
        self.refusal: Refused | None = None
        """Why the newest try to connect was refused (W3B-1013); None once one was allowed."""
        self._direct: dict[int, Callable[[Delivery], None]] = {}

    async def require_allowed(self, url: str) -> None:
        """Resolve and check the host of `url` now. Raises Refused (W3B-1013); a name without address is no refusal."""
        if self._policy is None:
            return
        uri = self._parse_server_uri(url)
        try:
            await checked_da_addresses(str(uri.hostname), int(uri.port or 0), self._policy, self._resolve)
        except OSError as error:
            log.debug("da_name_does_not_resolve", error=type(error).__name__)

    async def _connect_to_server(self, s: Srv) -> None:
        if self._policy is None:
            await super()._connect_to_server(s)
            return
        host, port = str(s.uri.hostname), int(s.uri.port or 0)
        try:
            addresses = await checked_da_addresses(host, port, self._policy, self._resolve)
        except Refused as error:
            if self.refusal is None:
                log.warning("da_address_refused", code=error.code, reason=error.message)
            self.refusal = error
            raise
        self.refusal = None
        for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            literal = f"[{address}]" if ":" in address else address
            try:
                # The server's entry in the pool keeps its name, which TLS verifies; only the socket gets the address.
                await super()._connect_to_server(Srv(s.uri._replace(netloc=f"{literal}:{port}")))
            except (OSError, TimeoutError):
                if not left:
                    raise
            else:
                return

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self._policy is not None:
            info = {name: value for name, value in info.items() if name != "connect_urls"}
        await super()._process_info(info, initial_connection)

    async def subscribe_directly(self, subject: str, take: Callable[[Delivery], None]) -> Subscription:
        """Subscribe; `take` gets each message in the turn of the event loop in which it was read, and must not block."""
        subscription = await self.subscribe(subject)
        self._direct[subscription._id] = take
        return subscription

    async def unsubscribe_directly(self, subscription: Subscription) -> None:
        """End it; the server is told where there is a connection."""
        self._direct.pop(subscription._id, None)
        if self.is_connected:
            await subscription.unsubscribe()

    async def headers_of(self, delivery: Delivery) -> dict[str, str]:
        """The delivery's headers; none where they cannot be parsed."""
        return await self._process_headers(delivery[3]) or {}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        take = self._direct.get(sid)
        if take is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            take((subject, reply, data, headers or b""))

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        """No headers where they cannot be parsed: what nats-py raises here would end its reading of the connection, for
        every project on it, and the message would come again with each new one."""
        try:
            return await super()._process_headers(headers)
        except Exception as error:  # whatever a parser says of hostile bytes
            log.warning("da_headers_not_read", bytes=len(headers), error=type(error).__name__)
            return None
