"""Test only: an explorer over a seeded ledger, with a chain that stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.api.surroundings import ComponentStatus
from coordinator.explorer.chain_view import ChainView
from coordinator.explorer.server import ExplorerServer
from coordinator.ledger.store import Ledger
from coordinator.settings import Settings
from coordinator.settlement.chain import Block
from coordinator.settlement.finality import Finality
from tests.explorer_basics import FINAL_BLOCK, HEAD, Seed, digest
from tests.explorer_seed import busy_hour, write
from verifier.bindings import Deployment
from verifier.errors import Unavailable

OUTPUTS = ("uint32 count", "int64 sum", "int32 minimum", "int32 maximum")


class StillChain:
    """Answers for blocks up to `HEAD`; `silent` makes it refuse to."""

    def __init__(self) -> None:
        self.silent = False
        self.asked = 0

    async def block(self, which: int | str) -> Block | None:
        """The block of a number or tag."""
        self.asked += 1
        if self.silent:
            raise Unavailable("W3B-5001", "eth_getBlockByNumber: ConnectionRefusedError")
        number = {"latest": HEAD, "finalized": FINAL_BLOCK}.get(str(which), which)
        if not isinstance(number, int) or number > HEAD:
            return None
        return Block(number, digest("block", number), 1_760_000_000 + number * 4, 10**9)


@dataclass
class World:
    """An explorer and what is behind it."""

    ledger: Ledger
    server: ExplorerServer
    chain: StillChain
    seed: Seed
    home: Path
    parts: list[ComponentStatus] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    async def stop(self) -> None:
        """End it."""
        await self.server.stop()
        await self.ledger.close()


async def seeded(url: str, tasks: int = 40) -> Seed:
    """Write the busy hour into an empty ledger."""
    ledger = Ledger(url)
    seed = busy_hour(ledger.clock(), tasks)
    await write(ledger, seed)
    await ledger.close()
    return seed


async def start(home: Path, ledger_url: str, seed: Seed, *, settings: dict[str, object] | None = None) -> World:
    """Serve a seeded ledger on a free port."""
    ledger = Ledger(ledger_url)
    chain = StillChain()
    parts = [
        ComponentStatus("ledger", True, ledger.engine.dialect.name),
        ComponentStatus("nats", True, "embedded, on loopback"),
        ComponentStatus("chain", True, "", "http://127.0.0.1:8545"),
        ComponentStatus("ray", False, "4 of 5 workers ready"),
        ComponentStatus("intake", True),
        ComponentStatus("dispatch", True),
        ComponentStatus("settlement", True),
        ComponentStatus("webhooks", True),
    ]

    async def components() -> Sequence[ComponentStatus]:
        return parts

    server = ExplorerServer(
        ledger,
        Settings(home=home, **(settings or {})),  # type: ignore[arg-type]
        chain=ChainView(chain, Finality("single-producer")),  # type: ignore[arg-type]
        components=components,
        deployment=Deployment(4690, 1, *(f"0x{number:040x}" for number in range(1, 6))),
        outputs_of=lambda name: OUTPUTS if name == "temperature_window" else None,
    )
    await server.start()
    return World(ledger, server, chain, seed, home, parts)
