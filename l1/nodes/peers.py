"""One connection to another node: bounded both ways, and scored by what comes out of it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from l1.nodes.wire import Kind, WireError, frame, read_frame

PENALTIES: Final = {
    "malformed": 50,
    "oversized": 100,
    "signature": 25,
    "body": 50,
    "certificate": 100,
    "snapshot": 100,
    "transaction": 10,
    "unasked": 25,
    "unanswered": 40,
    "flood": 5,
}
"""What each kind of misbehaviour costs; what is not here is counted and costs nothing."""


@dataclass(frozen=True)
class PeerLimits:
    """Bounds on what one peer can take up."""

    queued_frames: int = 4_096
    """Frames that wait to be sent; a peer that reads more slowly is dropped."""
    queued_bytes: int = 32 << 20
    """Bytes of them."""
    frames_per_second: float = 1_000
    """Frames that are taken in the long run; those beyond are dropped unread."""
    frames_at_once: float = 4_000
    """Frames that may come at once."""
    bytes_per_second: float = 16 << 20
    """Bytes likewise."""
    bytes_at_once: float = 64 << 20
    """Bytes that may come at once."""
    silence_seconds: float = 20.0
    """A peer from which nothing comes for so long is gone: each sends its status every few seconds."""
    ban_at: float = 100.0
    """The sum of penalties that ends the connection; one point is forgotten each second."""
    ban_seconds: float = 60.0
    """How long the address is kept out then."""


class Allowance:
    """A token bucket: so many at once, and so many a second after that."""

    def __init__(self, at_once: float, per_second: float) -> None:
        self._most = self._left = at_once
        self._rate = per_second
        self._at = time.monotonic()

    def take(self, count: float) -> bool:
        """Whether so many are left; they are not then."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < count:
            return False
        self._left -= count
        return True


class SeenCache:
    """What went through here within the last moments, by its hash. Not a memory of everything: a message that its
    author sends again is to go round again, for some may have missed it."""

    def __init__(self, window_seconds: float, size: int = 1 << 15) -> None:
        self._window = window_seconds
        self._size = size
        self._at: OrderedDict[bytes, float] = OrderedDict()

    def recent(self, body: bytes) -> bool:
        """Whether it went through here within the window."""
        at = self._at.get(_digest(body))
        return at is not None and time.monotonic() - at < self._window

    def mark(self, body: bytes) -> None:
        """It goes through now."""
        digest = _digest(body)
        self._at[digest] = time.monotonic()
        self._at.move_to_end(digest)
        while len(self._at) > self._size:
            self._at.popitem(last=False)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


class Peer:
    """Another node, known by its address, on one connection."""

    def __init__(
        self,
        address: bytes,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        limits: PeerLimits,
        *,
        dialed: bool,
    ) -> None:
        self.address = address
        """20 bytes, proven in the handshake."""
        self.dialed = dialed
        """Whether this side opened the connection."""
        self.refused: Counter[str] = Counter()
        """What came from it and was not taken, by reason."""
        self.head = 0
        """The newest block that it says it has."""
        self.first = 1
        """The first block that it says it can be asked for."""
        self.closed = asyncio.Event()
        """Set when the connection is over."""
        self.why_closed = ""
        """The reason, where this side ended it."""
        self._reader, self._writer = streams
        self._limits = limits
        self._frames = Allowance(limits.frames_at_once, limits.frames_per_second)
        self._bytes = Allowance(limits.bytes_at_once, limits.bytes_per_second)
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._more = asyncio.Event()
        self._score = 0.0
        self._scored_at = time.monotonic()

    def __repr__(self) -> str:
        return f"0x{self.address.hex()[:8]}"

    def send(self, kind: Kind, body: bytes) -> None:
        """Queue a frame. A peer that lets too much pile up is dropped: what it misses it can ask for later."""
        if self.closed.is_set():
            return
        raw = frame(kind, body)
        self._queue.append(raw)
        self._queued_bytes += len(raw)
        if len(self._queue) > self._limits.queued_frames or self._queued_bytes > self._limits.queued_bytes:
            self.close("slow")
        self._more.set()

    def close(self, why: str) -> None:
        """End the connection."""
        if not self.closed.is_set():
            self.why_closed = self.why_closed or why
            self.closed.set()
        self._more.set()

    def punish(self, reason: str) -> bool:
        """Count what was not taken; whether the peer has gone too far with it."""
        self.refused[reason] += 1
        now = time.monotonic()
        self._score = max(0.0, self._score - (now - self._scored_at)) + PENALTIES.get(reason, 0)
        self._scored_at = now
        return self._score >= self._limits.ban_at

    async def run(self, take: Callable[[Kind, bytes], Awaitable[None]], refuse: Callable[[str, str], None]) -> None:
        """Read and write until the connection is over.

        Parameters
        ----------
        take
            Gets each frame; the next is read when it is done.
        refuse
            Gets the reason and the text of what is not taken.
        """
        tasks = [asyncio.create_task(self._read(take, refuse)), asyncio.create_task(self._write())]
        waiting = asyncio.create_task(self.closed.wait())
        try:
            done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                task.result()
        finally:
            self.close("done")
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.gather(*tasks, waiting, return_exceptions=True)
            self._writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(self._writer.wait_closed(), 1)
            self._queue.clear()

    async def _read(self, take: Callable[[Kind, bytes], Awaitable[None]], refuse: Callable[[str, str], None]) -> None:
        while True:
            try:
                async with asyncio.timeout(self._limits.silence_seconds):
                    kind, body = await read_frame(self._reader)
            except WireError as error:
                # Where the next frame begins is not known any more.
                refuse(error.reason, str(error.args[1]))
                self.close(error.reason)
                return
            except TimeoutError:
                self.close("silent")
                return
            except (asyncio.IncompleteReadError, OSError):
                self.close("gone")
                return
            if not (self._frames.take(1) and self._bytes.take(len(body))):
                refuse("flood", f"more than {self._limits.frames_per_second:g} frames a second")
                continue
            await take(kind, body)

    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._queue:
                raw = self._queue.popleft()
                self._queued_bytes -= len(raw)
                self._writer.write(raw)
                try:
                    await self._writer.drain()
                except OSError:
                    self.close("gone")
                    return
