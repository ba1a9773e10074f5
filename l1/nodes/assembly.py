"""A separate node: chain, mempool, gossip, consensus and JSON-RPC in one process, run until a signal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from l1.chain.blockchain import Blockchain
from l1.chain.genesis import Genesis
from l1.chain.mempool import Mempool, MempoolLimits
from l1.consensus.parameters import IIP_51, Parameters
from l1.nodes.delegate import Delegate, DelegateSettings
from l1.nodes.handshake import Identity
from l1.nodes.keys import DelegateKeys, KeysError, node_secret
from l1.nodes.network import Network, NetworkSettings
from l1.rpc.backend import Backend
from l1.rpc.encoding import Params, quantity
from l1.rpc.server import Method, RpcLimits, RpcServer, methods_of

RESEND_MS = 1_000
"""How often a delegate sends again what may have been lost. It bounds how often any message goes round."""


def parameters_of(interval: float, idle: float) -> Parameters:
    """IIP_51 with this time between two blocks, and this longer wait for transactions, both in seconds.

    Raises ValueError for an interval of less than a millisecond, or a negative wait.
    """
    interval_ms = round(interval * 1000)
    timing = replace(IIP_51.timing, interval=interval_ms, idle=round(idle * 1000), resend=RESEND_MS)
    return replace(IIP_51, timing=timing)


@dataclass(frozen=True)
class SeparateSettings:
    """Everything that a separate node needs to start."""

    data_dir: Path
    """Folder of the chain and of the log of votes; one node at a time."""
    genesis: Genesis | None = None
    """Needed for a new folder; must agree with an old one."""
    keys: DelegateKeys | None = None
    """The delegate's; a node without them watches, and serves."""
    network: NetworkSettings = field(default_factory=NetworkSettings)
    """Where to listen for nodes, and whom to dial."""
    parameters: Parameters = field(default_factory=lambda: parameters_of(2.5, 0))
    """Times of the consensus, the same on every node."""
    vote_from: int | None = None
    """See `DelegateSettings`."""
    rpc_host: str = "127.0.0.1"
    """Address that JSON-RPC listens on."""
    rpc_port: int = 0
    """Its TCP port; 0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ()
    """More values of the HTTP Host header that are answered."""
    rpc: RpcLimits = field(default_factory=RpcLimits)
    """Bounds on requests."""


class SeparateNode:
    """A running node. `async with SeparateNode(settings) as node` starts it and stops it cleanly."""

    def __init__(self, settings: SeparateSettings) -> None:
        """Raises StoreError, KeysError or WalError when the folder cannot be used."""
        self._settings = settings
        self.chain = Blockchain(settings.data_dir, settings.genesis)
        """Blocks and states."""
        try:
            self._build()
        except BaseException:
            self.chain.close()
            raise

    def _build(self) -> None:
        settings, keys = self._settings, self._settings.keys
        delegates = self.chain.genesis.delegates
        if not delegates:
            raise KeysError("the genesis names no delegates: make one with `python -m l1 genesis --delegates ...`")
        if keys is not None and keys.address not in {each.address for each in delegates}:
            raise KeysError(
                f"the genesis does not name 0x{keys.address.hex()}, the delegate of this key: use the key that was "
                "registered in it, or leave out --key to run a node that watches"
            )
        named = {(each.address, each.key) for each in delegates}
        if keys is not None and (keys.address, keys.voting.public_key().to_bytes()) not in named:
            raise KeysError(f"the genesis names 0x{keys.address.hex()} with another voting key than this file's")
        self.mempool = Mempool(MempoolLimits())
        own = DelegateSettings(settings.parameters, settings.data_dir, settings.vote_from)
        self.delegate = Delegate(self.chain, self.mempool, keys, own)
        secret = node_secret(settings.data_dir) if keys is None else keys.operator
        identity = Identity(secret, self.delegate.domain)
        self.address = identity.address
        self.network = Network(identity, [each.address for each in delegates], self.delegate.intake, settings.network)
        self.delegate.network = self.network
        self.rpc_url = ""
        self._runner: web.AppRunner | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> SeparateNode:
        settings = self._settings
        backend = Backend(self.chain, self.mempool, beneficiary=self.address, on_transaction=self.delegate.wake)
        hosts = frozenset({"127.0.0.1", "localhost", "[::1]", settings.rpc_host, *settings.allowed_hosts})
        methods = methods_of(backend, settings.rpc) | self._methods()
        server = RpcServer(methods, settings.rpc, hosts)
        self._runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=5)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, settings.rpc_host, settings.rpc_port).start()
            await self.network.start()
        except BaseException:
            await self.network.close()
            await self._runner.cleanup()
            self.chain.close()
            raise
        self.rpc_url = f"http://{settings.rpc_host}:{self._runner.addresses[0][1]}"
        self._running = asyncio.create_task(self.delegate.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.network.close()
            if self._runner is not None:
                await self._runner.cleanup()
            if self._running is not None and not self._running.done():
                self._running.cancel()
                with suppress(asyncio.CancelledError):
                    await self._running
        finally:
            self.chain.close()

    async def wait(self) -> None:
        """Wait for the consensus to fail; it never ends by itself. Raises what stopped it."""
        if self._running is not None:
            await asyncio.shield(self._running)

    def _methods(self) -> dict[str, Method]:
        """Methods that a node with peers answers otherwise, or besides."""

        def constant(value: Callable[[], Any]) -> Method:
            def answer(values: list[Any]) -> Any:
                Params(values, 0)
                return value()

            return answer

        return {
            "net_peerCount": constant(lambda: quantity(len(self.network.peers))),
            "eth_syncing": constant(self._syncing),
            "w3b_nodeStatus": constant(self.status),
        }

    def _syncing(self) -> bool | dict[str, str]:
        head = self.chain.head_number
        furthest = max((peer.head for peer in self.network.peers), default=head)
        if furthest <= head + 1:
            return False
        return {"startingBlock": "0x0", "currentBlock": quantity(head), "highestBlock": quantity(furthest)}

    def status(self) -> dict[str, Any]:
        """`w3b_nodeStatus`: height, round, peers, and what was not taken, by reason."""
        delegate, network = self.delegate, self.network
        return {
            "address": "0x" + self.address.hex(),
            "height": quantity(delegate.height),
            "round": quantity(max(0, delegate.round)),
            "votes": delegate.votes,
            "peers": [
                {"address": "0x" + each.address.hex(), "dialed": each.dialed, "head": quantity(each.head)}
                for each in network.peers
            ],
            "refusedByNetwork": dict(network.refused),
            "refusedByRules": dict(delegate.refused),
            "bans": network.bans,
            "convicted": delegate.convictions.summary(),
        }


async def run(settings: SeparateSettings) -> None:
    """Run a node until SIGTERM or SIGINT. Announces itself on stdout and in `node.json` when it answers.

    Raises
    ------
    StoreError, KeysError, WalError
        When the data folder cannot be used.
    OSError
        When a port cannot be opened, or the log of votes not be written.
    Halted
        When two thirds decided what this program holds for invalid.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    announced = settings.data_dir / "node.json"
    async with SeparateNode(settings) as node:
        ready = json.dumps(
            {
                "rpc": node.rpc_url,
                "listen": f"{settings.network.host}:{node.network.port}",
                "address": "0x" + node.address.hex(),
                "chain_id": node.chain.chain_id,
                "genesis_hash": "0x" + _genesis_hash(node.chain).hex(),
                "head": node.chain.head_number,
                "pid": os.getpid(),
                "finality_source": node.chain.finality.source,
            }
        )
        fresh = announced.with_suffix(".tmp")
        fresh.write_text(ready + "\n", encoding="utf-8")
        fresh.replace(announced)
        sys.stdout.write(ready + "\n")
        sys.stdout.flush()
        stopping, failing = asyncio.create_task(stop.wait()), asyncio.create_task(node.wait())
        done, _ = await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        failing.cancel()
        if failing in done:
            failing.result()
    announced.unlink(missing_ok=True)


def _genesis_hash(chain: Blockchain) -> bytes:
    first = chain.block(0)
    assert first is not None, "a chain has a block 0"
    return first.block.hash
