"""What pages ask of the chain, a few times a second at most, and never in a way that makes a page fail or hang."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from coordinator.settlement.chain import Block, Chain
from coordinator.settlement.finality import Finality
from verifier.errors import W3bstreamError

FRESH_SECONDS = 1.0
"""How long a head is shown before the chain is asked again."""
PATIENCE_SECONDS = 3.0
"""How long a page waits for the chain."""


@dataclass(frozen=True)
class Heads:
    """How far the chain is."""

    latest: Block | None
    """None when the chain did not answer."""
    final: int | None
    """Number of the highest final block; None when it is not known."""
    error: str = ""
    """Why it did not answer."""


class ChainView:
    """The chain as pages see it.

    Parameters: `chain` may be None, where the installation has none to ask; `finality` says which block is final.
    """

    def __init__(self, chain: Chain | None, finality: Finality) -> None:
        self._chain = chain
        self.finality = finality
        """How blocks become final."""
        self._heads = Heads(None, None, "the chain was not asked yet")
        self._asked = -FRESH_SECONDS
        self._one = asyncio.Lock()

    async def heads(self) -> Heads:
        """The newest and the newest final block; at most a second old."""
        async with self._one:
            if time.monotonic() - self._asked >= FRESH_SECONDS:
                self._heads = await self._ask()
                self._asked = time.monotonic()
            return self._heads

    async def _ask(self) -> Heads:
        if self._chain is None:
            return Heads(None, None, "this installation has no chain to ask")
        latest = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                latest = await self._chain.block("latest")
                final = await self.finality.number(self._chain, latest) if latest is not None else None
        except W3bstreamError as error:
            return Heads(latest, None, f"{error.code}: {error.message}"[:300])
        except TimeoutError:
            return Heads(latest, None, f"the chain did not answer within {PATIENCE_SECONDS:.0f} s")
        return Heads(latest, final)

    async def block(self, number: int) -> tuple[Block | None, str]:
        """(the block, why it could not be had): (None, "") says that the chain has no such block yet."""
        if self._chain is None:
            return None, "this installation has no chain to ask"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._chain.block(number), ""
        except W3bstreamError as error:
            return None, f"{error.code}: {error.message}"[:300]
        except TimeoutError:
            return None, f"the chain did not answer within {PATIENCE_SECONDS:.0f} s"
