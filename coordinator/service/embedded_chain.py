"""The chain of the embedded profile: our own node as a child process, in whose genesis the coordinator has funds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from coordinator.intake.nats_server import port_is_free
from l1.chain.genesis import DEFAULT_CHAIN_ID, Genesis, GenesisAccount
from l1.nodes.devnet_genesis import with_devnet
from l1.process import ChainProcess, ChainProcessError
from verifier.errors import Unavailable

log = structlog.get_logger(__name__)

FUNDS_WEI = 10**24
"""What the coordinator's account starts with: a million coins, for fees only."""
LOOK_SECONDS = 0.5
PORT_FILE = "port"
FORKS = ("verifiers", "attestation")
"""Native verifiers that a new chain has from its first block on (docs/reference/precompiles.md)."""


def write_genesis(folder: Path, funded: bytes, delegates: int) -> Path:
    """The genesis file of the chain in `folder`, made with the folder unless it is there: `funded` has all the money,
    and so many delegates of this process decide, or one producer where there are none.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    genesis = folder / "genesis.json"
    if not genesis.exists():
        alloc = {funded: GenesisAccount(balance=FUNDS_WEI)}
        made = Genesis(chain_id=DEFAULT_CHAIN_ID, alloc=alloc, forks=dict.fromkeys(FORKS, 0))
        if delegates:
            made = with_devnet(made, folder, delegates)
        draft = genesis.with_suffix(".new")
        draft.write_text(made.to_json())
        draft.replace(genesis)
    return genesis


class EmbeddedChain:
    """Runs `python -m l1` in `<home>/chain` and starts it again, on the same port, when it dies.

    The next service in this home takes that port too, where it is free: wallets and scripts have the URL.
    """

    def __init__(self, home: Path, funded: str, finality_depth: int, delegates: int) -> None:
        self._folder = home / "chain"
        self._funded = bytes.fromhex(funded.removeprefix("0x"))
        self._delegates = delegates
        self._options = ("--finality-depth", str(finality_depth))
        self._process: ChainProcess | None = None
        self._stopping = asyncio.Event()
        self.rpc_url = ""
        """Where JSON-RPC answers; the same after a restart."""
        self.finality_source = ""
        """What makes its blocks final, once started: `bls`, or `single-producer` on a chain without delegates."""

    @property
    def running(self) -> bool:
        """Whether the node runs."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the node and wait until it answers. Raises Unavailable (W3B-8002).

        Blocks for about a second, in the caller's thread: the child dies with the thread that started it.
        """
        genesis = write_genesis(self._folder, self._funded, self._delegates)
        port = _port_of(self.rpc_url) if self.rpc_url else self._last_port()
        try:
            self._process = ChainProcess(self._folder, genesis, port=port, options=self._options)
        except ChainProcessError as error:
            raise Unavailable("W3B-8002", f"the chain did not start: {error}") from error
        self.rpc_url, self.finality_source = self._process.rpc_url, self._process.finality_source
        (self._folder / PORT_FILE).write_text(f"{_port_of(self.rpc_url)}\n")

    def _last_port(self) -> int:
        """That of the service before; 0, any, where there was none or somebody else has it."""
        try:
            port = int((self._folder / PORT_FILE).read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return port if 0 < port < 65536 and port_is_free(port) else 0

    async def run(self) -> None:
        """Keep it alive until `stop`. Raises Unavailable (W3B-8002) when it cannot be started again."""
        while not self._stopping.is_set():
            if not self.running:
                log.error("chain_died", code="W3B-8002", folder=str(self._folder))
                self.start()
                log.info("chain_restarted", rpc_url=self.rpc_url)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Make `run` end; the node itself goes on until `end`."""
        self._stopping.set()

    async def end(self) -> None:
        """SIGTERM to the node, and wait."""
        if self._process is not None:
            await asyncio.to_thread(self._process.stop)


def _port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])
