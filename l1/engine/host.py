"""A chain whose delegates, all in this process, decide blocks that geth builds and executes.

One port answers everything: `w3b_` methods (certificates, delegates) from our store, and the others are geth's.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import aiohttp

from l1.chain.genesis import Genesis
from l1.chain.producer import ProducerSettings
from l1.chain.system_contracts import with_request_contracts
from l1.engine.chain import GethChain, GethPool, stored_genesis
from l1.engine.geth import BUILD_SECONDS
from l1.engine.payload import parse_quantity
from l1.engine.process import GethProcess, GethSettings
from l1.engine.rpc import EngineError, JsonRpc
from l1.nodes.devnet import Devnet
from l1.nodes.devnet_genesis import with_devnet
from l1.nodes.keys import devnet_keys
from l1.rpc.backend import Backend
from l1.rpc.errors import SERVER_ERROR, RpcError
from l1.rpc.server import Method, RpcLimits, RpcServer, methods_of
from l1.serving import Work

LEAST_INTERVAL: Final = 1.0
"""Seconds: geth takes no two blocks of one second."""
_POLL_SECONDS: Final = 0.1
_ENDING_SECONDS: Final = 2.0
_OWN: Final = "w3b_"


@dataclass(frozen=True)
class HostSettings:
    """How to run a chain on geth."""

    data_dir: Path
    """Folder of the chain; geth's is `geth` in it."""
    geth: Path
    """geth's executable."""
    genesis: Genesis | None = None
    """Without delegates: they are added. None: the folder's own, or for a new folder one without accounts."""
    delegates: int = 4
    """How many decide the blocks of a new chain."""
    interval: float = LEAST_INTERVAL
    """Seconds from block to block at least."""
    idle: float = 5.0
    """Seconds after which an empty block is made."""
    build_seconds: float = BUILD_SECONDS
    """Seconds that geth may take to fill a block."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 0
    """TCP port; 0 takes a free one."""
    rpc: RpcLimits = field(default_factory=RpcLimits)
    """Bounds on requests."""


class Host:
    """A running chain. `async with Host(settings) as host` starts geth and the delegates, and stops them cleanly."""

    def __init__(self, settings: HostSettings) -> None:
        """Start geth, and bring it to the head of the chain.

        Raises
        ------
        EngineError, StoreError, KeysError, GenesisInvalid
            When geth, the folder, its keys or the genesis cannot be used.
        """
        self._settings = settings
        folder = settings.data_dir
        genesis = _genesis(settings)
        keys = devnet_keys(folder, len(genesis.delegates))
        with ExitStack() as started:
            self.geth = started.enter_context(GethProcess(genesis, GethSettings(settings.geth, folder / "geth")))
            """The process."""
            self.chain = GethChain(folder, genesis, self.geth.engine, build_seconds=settings.build_seconds)
            """Blocks and states."""
            started.callback(self.chain.close)
            self._pool = GethPool()
            producing = ProducerSettings(min_interval=settings.interval, idle_interval=settings.idle)
            self._devnet = Devnet(self.chain, self._pool, keys, producing)
            self._started = started.pop_all()
        self._work = Work()
        self._counting = JsonRpc(self.geth.rpc_url)
        self._session: aiohttp.ClientSession | None = None
        self.rpc_url = ""
        """Where JSON-RPC answers, once started."""

    async def __aenter__(self) -> Host:
        settings = self._settings
        hosts = frozenset({"127.0.0.1", "localhost", "[::1]", settings.host})
        server = RpcServer(self._methods(), settings.rpc, hosts)
        self._session = aiohttp.ClientSession()
        try:
            self.rpc_url = await self._work.serve(server.application(), settings.host, settings.port)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        self._work.begin(_together(self._devnet.run(), self._watch()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._work.end()
        finally:
            if self._session is not None:
                await self._session.close()
            self._counting.close()
            await asyncio.to_thread(self._started.close)

    async def wait(self) -> None:
        """Wait for geth or the consensus to fail; neither ends by itself. Raises what stopped it."""
        try:
            await self._work.wait()
        except EngineError:
            # Its connections break before it is gone.
            await asyncio.to_thread(self.geth.require_running, _ENDING_SECONDS)
            raise

    def announcement(self) -> dict[str, Any]:
        """Where JSON-RPC answers, the chain, and what makes its blocks final."""
        return {
            "rpc": self.rpc_url,
            "geth": self.geth.rpc_url,
            "geth_pid": self.geth.pid,
            "chain_id": self.chain.chain_id,
            "genesis_hash": "0x" + self.chain.hash_of(0).hex(),
            "head": self.chain.head_number,
            "delegates": len(self.chain.genesis.delegates),
            "finality_source": self.chain.finality.source,
            "pid": os.getpid(),
        }

    async def _watch(self) -> None:
        """Count what waits in geth's pool, and tell the delegates when there is work."""
        while True:
            self.geth.require_running()
            status = await asyncio.to_thread(self._counting.call, "txpool_status")
            pending, queued = (parse_quantity(status[key], key) for key in ("pending", "queued"))
            self._pool.counted(pending, queued)
            if pending:
                self._devnet.wake()
            await asyncio.sleep(_POLL_SECONDS)

    def _methods(self) -> dict[str, Method]:
        backend = Backend(self.chain, self._pool, beneficiary=bytes(20), on_transaction=self._devnet.wake)
        ours = methods_of(backend, self._settings.rpc)
        return {name: method if name.startswith(_OWN) else self._forward(name) for name, method in ours.items()}

    def _forward(self, name: str) -> Callable[[list[Any]], Coroutine[Any, Any, Any]]:
        async def answer(values: list[Any]) -> Any:
            assert self._session is not None, "requests come while the host runs"
            request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": values}
            try:
                async with self._session.post(self.geth.rpc_url, json=request) as response:
                    body = await response.json()
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise RpcError(SERVER_ERROR, f"geth does not answer: {error}") from error
            match body:
                case {"error": {"code": int(code), "message": str(message), **more}}:
                    data = more.get("data")
                    raise RpcError(code, message, data if isinstance(data, str) else None)
                case {"result": result}:
                    return result
            raise RpcError(SERVER_ERROR, "geth's answer is no JSON-RPC answer")

        return answer


def _genesis(settings: HostSettings) -> Genesis:
    """The folder's genesis, or a new chain's: the one given, or an empty one, with delegates and what geth calls."""
    known = stored_genesis(settings.data_dir)
    if settings.genesis is None:
        if known is not None:
            return known
        given = Genesis(chain_id=4690, timestamp=int(time.time()))
    else:
        given = settings.genesis
    if not given.delegates:
        given = with_devnet(given, settings.data_dir, settings.delegates)
    return with_request_contracts(given)


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """Run until one fails, then end the others. Raises what failed."""
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, EngineError):
                await task
