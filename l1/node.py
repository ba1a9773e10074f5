"""One node: chain, mempool, consensus and RPC wired together and run until a signal."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from l1.chain.blockchain import Blockchain
from l1.chain.genesis import Genesis
from l1.chain.mempool import Mempool, MempoolLimits
from l1.chain.producer import Producer, ProducerSettings
from l1.nodes.devnet import Devnet
from l1.nodes.keys import devnet_keys
from l1.rpc.backend import Backend
from l1.rpc.server import RpcLimits, RpcServer, methods_of
from l1.serving import Work, run_until_stopped


@dataclass(frozen=True)
class NodeSettings:
    """Everything that a node needs to start."""

    data_dir: Path
    """Folder of the chain; one node at a time."""
    genesis: Genesis | None = None
    """Needed for a new folder; must agree with an old one."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 0
    """TCP port; 0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ()
    """More values of the HTTP Host header that are answered, besides loopback names and `host`."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins, such as `https://wallet.example`, whose pages may call; none by default."""
    finality_depth: int = 0
    """Blocks behind the head that `safe` and `finalized` stay."""
    producer: ProducerSettings = field(default_factory=ProducerSettings)
    """Block times and the receiver of the tips."""
    mempool: MempoolLimits = field(default_factory=MempoolLimits)
    """Sizes of the mempool."""
    rpc: RpcLimits = field(default_factory=RpcLimits)
    """Bounds on requests."""


class Node:
    """A running node. `async with Node(settings) as node` starts it and stops it cleanly."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self.chain = Blockchain(settings.data_dir, settings.genesis, finality_depth=settings.finality_depth)
        """Blocks and states."""
        self.mempool = Mempool(settings.mempool)
        """Waiting transactions."""
        self._work = Work()
        self.rpc_url = ""
        """Where JSON-RPC answers, once started."""

    async def __aenter__(self) -> Node:
        settings = self._settings
        producer = self._engine()
        beneficiary = settings.producer.beneficiary
        backend = Backend(self.chain, self.mempool, beneficiary=beneficiary, on_transaction=producer.wake)
        hosts = frozenset({"127.0.0.1", "localhost", "[::1]", settings.host, *settings.allowed_hosts})
        origins = frozenset(settings.allowed_origins)
        server = RpcServer(methods_of(backend, settings.rpc), settings.rpc, hosts, origins)
        try:
            self.rpc_url = await self._work.serve(server.application(), settings.host, settings.port)
        except BaseException:
            await self._work.end()
            self.chain.close()
            raise
        self._work.begin(producer.run())
        return self

    def _engine(self) -> Producer | Devnet:
        """Who makes the blocks: the delegates that the genesis names, or one producer where it names none."""
        delegates = self.chain.genesis.delegates
        if not delegates:
            return Producer(self.chain, self.mempool, self._settings.producer)
        keys = devnet_keys(self._settings.data_dir, len(delegates))
        return Devnet(self.chain, self.mempool, keys, self._settings.producer)

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._work.end()
        finally:
            self.chain.close()

    async def wait(self) -> None:
        """Wait for the making of blocks to fail; it never ends by itself. Raises what stopped it."""
        await self._work.wait()

    def announcement(self) -> dict[str, Any]:
        """Where JSON-RPC answers, the chain's id, and what makes its blocks final."""
        return {
            "rpc": self.rpc_url,
            "chain_id": self.chain.chain_id,
            "pid": os.getpid(),
            "finality_source": self.chain.finality.source,
        }


async def run(settings: NodeSettings) -> None:
    """Run a node until SIGTERM or SIGINT. Announces itself on stdout and in `node.json` when it answers.

    Raises
    ------
    l1.chain.store.StoreError
        When the data folder cannot be used.
    OSError
        When the port cannot be opened.
    """
    await run_until_stopped(Node(settings), settings.data_dir)
