"""One RPC server among several: a time-out on every call, a circuit breaker, and a quarantine for those that lie.

Rules:
1. A call that was not answered is left to run out by itself, and the server is asked nothing meanwhile: one that hangs
   costs the others nothing after the first call.
2. After `failures` calls without an answer in a row the server is left alone for a pause that doubles up to a minute;
   then one call tries it again. Its chain id and genesis are compared anew whenever it comes back.
3. A server that was in the minority `strikes` times in a row is believed nothing for `quarantine_seconds`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from coordinator.settlement.chain import Chain, Reverted, RpcRefused
from verifier.errors import Unavailable

logger = structlog.get_logger(__name__)
Found = TypeVar("Found")
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class EndpointLimits:
    """How patient we are with a server."""

    seconds: float = 10.0
    """Longest wait for one answer."""
    hedge_seconds: float = 1.0
    """How long the others are waited for once enough servers have said the same."""
    failures: int = 3
    """Calls without an answer in a row after which a server is left alone."""
    strikes: int = 3
    """Times in a row in the minority after which a server is believed nothing."""
    quarantine_seconds: float = 300.0


def shown_name(number: int, url: str) -> str:
    """How a server is named to people: its number in the setting and its host; a URL may hold an access token."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    return f"rpc {number} ({host or 'no host'})"


def public_url(url: str) -> str:
    """A server's URL for people to read: without user, path and query, any of which may be an access token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


@dataclass(eq=False)
class Endpoint:
    """One server, and what we think of it.

    Parameters: `clock` gives monotonic seconds.
    """

    name: str
    """As people read it; never holds a credential."""
    chain: Chain
    limits: EndpointLimits = field(default_factory=EndpointLimits)
    clock: Callable[[], float] = time.monotonic
    problem: str = ""
    """What is wrong with it; empty while all is well."""
    admitted: bool = False
    """Whether its chain id and genesis were compared since it last came back."""
    expelled: bool = False
    """It is of another chain."""
    _failures: int = 0
    _left_alone_until: float = 0.0
    _strikes: int = 0
    _straggler: asyncio.Task[object] | None = None

    @property
    def usable(self) -> bool:
        """Whether to ask it now."""
        busy = self._straggler is not None and not self._straggler.done()
        return not self.expelled and not busy and self.clock() >= self._left_alone_until

    async def ask(self, question: Callable[[Chain], Awaitable[Found]]) -> Found:
        """Its answer. Raises Unavailable (W3B-5001), and what it answers: Reverted, RpcRefused."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                answer = await question(self.chain)
        except TimeoutError as error:
            self._failed(f"no answer within {self.limits.seconds:g} s")
            raise Unavailable("W3B-5001", f"{self.name}: no answer within {self.limits.seconds:g} s") from error
        except Unavailable as error:
            self._failed(error.message)
            raise
        except (Reverted, RpcRefused):
            self._answered()
            raise
        self._answered()
        return answer

    def leave(self, call: asyncio.Task[object]) -> None:
        """Go on without the answer of a call under way; it counts when it ends."""
        self._straggler = call

    def _answered(self) -> None:
        if self._failures and not self._strikes:
            self.problem = ""
        self._failures = 0

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures >= self.limits.failures:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self._failures - self.limits.failures))
            self._left_alone_until = self.clock() + pause
            self.admitted = False
            if self._failures == self.limits.failures:
                logger.warning("rpc server left alone", server=self.name, why=why)
            self.problem = f"does not answer: {why}"

    def agreed(self) -> None:
        """It said what the majority says."""
        if self._strikes:
            self._strikes, self.problem = 0, ""

    def contradicted(self, what: str) -> None:
        """It said something else than the majority."""
        self._strikes += 1
        self.problem = f"contradicts the majority about {what}"
        if self._strikes >= self.limits.strikes:
            self._left_alone_until = self.clock() + self.limits.quarantine_seconds
            self.admitted = False
            self._strikes = 0
            self.problem = f"in quarantine: it contradicts the majority about {what}"
            logger.error("rpc server in quarantine", server=self.name, about=what, code="W3B-5012")

    def expel(self, why: str) -> None:
        """It is of another chain: it is never asked again."""
        self.expelled, self.problem = True, why
        logger.error("rpc server expelled", server=self.name, why=why, code="W3B-5014")
