"""Gossip over TCP: who is connected to whom, who is let in, and who is kept out.

A connection begins with `handshake`; its docstring says what that gives, and that the traffic is not encrypted. After
it come frames (`wire`). Not all pairs of nodes need to be connected: what a node takes for the first time it sends on.

A peer that misbehaves is scored (`peers.PENALTIES`), and when it has gone too far it is disconnected and its address
kept out for a while. Everything that is not taken is counted by its reason. Addresses of delegates always have a
place; all others share a few, so that fresh keys, which cost nothing, cannot crowd them out.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Collection, Coroutine, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from l1.consensus.messages import MessageError
from l1.nodes.handshake import HandshakeError, Identity
from l1.nodes.peers import Peer, PeerLimits
from l1.nodes.wire import Kind, WireError

HANDSHAKE_SECONDS: Final = 5.0
HANDSHAKES: Final = 64
"""Connections that may be in their handshake at a time."""
REMEMBERED_BANS: Final = 1_024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkSettings:
    """Where a node listens and whom it dials."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 0
    """TCP port; 0 takes a free one."""
    peers: tuple[tuple[str, int], ...] = ()
    """Nodes to stay connected to: host and port."""
    strangers: int = 32
    """Connections of nodes that are no delegates."""
    backoff_first: float = 0.25
    """Seconds until a peer that could not be reached is dialed again; doubled each time."""
    backoff_most: float = 10.0
    """Seconds at most."""
    limits: PeerLimits = field(default_factory=PeerLimits)
    """Bounds on each peer."""


class Handler(Protocol):
    """Who gets what comes in."""

    def joined(self, peer: Peer) -> None:
        """A peer is connected."""

    def left(self, peer: Peer) -> None:
        """Its connection is over."""

    async def received(self, peer: Peer, kind: Kind, body: bytes) -> None:
        """A frame of a peer; its next is read when this is done. May raise WireError and MessageError."""


class Network:
    """A node's connections, on one event loop."""

    def __init__(
        self, identity: Identity, delegates: Collection[bytes], handler: Handler, settings: NetworkSettings
    ) -> None:
        """`delegates` are the addresses that always have a place, at first."""
        self._identity = identity
        self.delegates = frozenset(delegates)
        """Addresses that always have a place."""
        self._handler = handler
        self._settings = settings
        self._peers: dict[bytes, Peer] = {}
        self._banned: dict[bytes, float] = {}
        self._shaking = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = settings.port
        """The TCP port, once it listens."""
        self.refused: Counter[str] = Counter()
        """What was not taken, by reason: of frames, of handshakes (`handshake-...`), and of connections."""
        self.bans = 0
        """How many times an address was banned."""

    @property
    def peers(self) -> list[Peer]:
        """Who is connected."""
        return list(self._peers.values())

    async def start(self) -> None:
        """Listen, and dial. Raises OSError when the port cannot be opened."""
        settings = self._settings
        # Tasks of its own: asyncio (3.11) reports those that it makes itself as errors when they are cancelled.
        self._server = await asyncio.start_server(
            lambda reader, writer: self._spawn(self._accept(reader, writer)),
            settings.host,
            settings.port,
            limit=1 << 20,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        for host, port in settings.peers:
            self._spawn(self._keep_dialing(host, port))

    async def close(self) -> None:
        """Hang up everywhere."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def broadcast(self, kind: Kind, body: bytes, *, but: Peer | None = None) -> None:
        """Send to every peer, except the one that it came from."""
        for peer in self.peers:
            if peer is not but:
                peer.send(kind, body)

    def refuse(self, peer: Peer, reason: str, text: str) -> None:
        """Count what a peer sent and was not taken; ban the peer when it has gone too far."""
        self.refused[reason] += 1
        log.info("%r: %s: %s", peer, reason, text)
        if not peer.punish(reason) or peer.why_closed == "banned":
            return
        self.bans += 1
        seconds = self._settings.limits.ban_seconds
        self._banned[peer.address] = time.monotonic() + seconds
        while len(self._banned) > REMEMBERED_BANS:
            del self._banned[min(self._banned, key=self._banned.__getitem__)]
        log.warning("%r is banned for %g s: %s", peer, seconds, dict(peer.refused))
        peer.close("banned")
        peer.why_closed = "banned"

    def is_banned(self, address: bytes) -> bool:
        """Whether an address is kept out now."""
        return self._banned.get(address, 0.0) > time.monotonic()

    # --- connections ---

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._shaking >= HANDSHAKES:
                self.refused["crowded"] += 1
                return
            address = await self._shake(reader, writer, dialed=False)
            await self._serve(address, reader, writer, dialed=False)
        except (OSError, TimeoutError, HandshakeError) as error:
            log.info("a connection was refused: %s", error)
        finally:
            writer.close()

    async def _shake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, dialed: bool) -> bytes:
        self._shaking += 1
        try:
            return await asyncio.wait_for(self._identity.shake(reader, writer, dialed=dialed), HANDSHAKE_SECONDS)
        except HandshakeError as error:
            self.refused[f"handshake-{error.reason}"] += 1
            if error.reason == "twin":
                log.critical("another node runs with this node's key: stop one of them, or the delegate is slashed")
            raise
        except TimeoutError:
            self.refused["handshake-slow"] += 1
            raise
        finally:
            self._shaking -= 1

    async def _keep_dialing(self, host: str, port: int) -> None:
        settings = self._settings
        pause, address = settings.backoff_first, b""
        while True:
            known = self._peers.get(address)
            if known is not None:
                await known.closed.wait()
            wait = max(pause * random.uniform(0.5, 1.0), self._banned.get(address, 0.0) - time.monotonic())
            try:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
                with closing(writer):
                    address = await self._shake(reader, writer, dialed=True)
                    pause = settings.backoff_first
                    await self._serve(address, reader, writer, dialed=True)
            except HandshakeError as error:
                log.warning("%s:%d: %s", host, port, error.args[1])
                if error.reason == "self":
                    return
            except (OSError, TimeoutError) as error:
                log.debug("%s:%d: %s", host, port, error)
            await asyncio.sleep(wait)
            pause = min(2 * pause, settings.backoff_most)

    async def _serve(
        self, address: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, dialed: bool
    ) -> None:
        """Read from a peer whose handshake held until the connection is over."""
        if reason := self._reason_against(address, dialed=dialed):
            self.refused[reason] += 1
            log.info("0x%s was not let in: %s", address.hex()[:8], reason)
            return
        peer = Peer(address, (reader, writer), self._settings.limits, dialed=dialed)
        before = self._peers.get(address)
        self._peers[address] = peer
        if before is not None:
            before.close("replaced")
        self._handler.joined(peer)
        try:
            await peer.run(
                lambda kind, body: self._take(peer, kind, body), lambda reason, text: self.refuse(peer, reason, text)
            )
        finally:
            if self._peers.get(address) is peer:
                del self._peers[address]
            self._handler.left(peer)

    def _reason_against(self, address: bytes, *, dialed: bool) -> str | None:
        if self.is_banned(address):
            return "banned"
        known = self._peers.get(address)
        if known is not None:
            # When two dial each other at once, both keep the connection that the lower address has dialed.
            mine = min(self._identity.address, address) == self._identity.address
            return "duplicate" if known.dialed is mine and dialed is not mine else None
        strangers = sum(each not in self.delegates for each in self._peers)
        if address not in self.delegates and strangers >= self._settings.strangers:
            return "crowded"
        return None

    async def _take(self, peer: Peer, kind: Kind, body: bytes) -> None:
        try:
            await self._handler.received(peer, kind, body)
        except WireError as error:
            self.refuse(peer, error.reason, str(error.args[1]))
        except MessageError as error:
            self.refuse(peer, "malformed", f"{error.reason}: {error.args[1]}")


def parse_endpoint(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; an IPv6 host is in brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def endpoints(texts: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Each of them. Raises ValueError."""
    return tuple(parse_endpoint(each) for each in texts)
