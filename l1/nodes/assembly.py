"""A separate node: chain, mempool, gossip, consensus and JSON-RPC in one process, run until a signal."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from l1.chain.blockchain import Blockchain
from l1.chain.genesis import Genesis, GenesisInvalid
from l1.chain.genesis_delegates import GenesisDelegate
from l1.chain.mempool import Mempool, MempoolLimits
from l1.consensus.parameters import IIP_51, Parameters
from l1.nodes.bootstrap import Bootstrap
from l1.nodes.delegate import Delegate, DelegateSettings
from l1.nodes.handshake import Identity
from l1.nodes.keys import DelegateKeys, KeysError, node_secret
from l1.nodes.network import Network, NetworkSettings
from l1.rpc.backend import Backend
from l1.rpc.encoding import Params, quantity
from l1.rpc.server import Method, RpcLimits, RpcServer, methods_of
from l1.serving import Work, run_until_stopped, until_stopped

RESEND_MS = 1_000
"""How often a delegate sends again what may have been lost. It bounds how often any message goes round."""

log = logging.getLogger(__name__)


def parameters_of(interval: float, idle: float) -> Parameters:
    """IIP_51 with this time between two blocks, and this longer wait for transactions, both in seconds.

    Raises ValueError for an interval of less than a millisecond, or a negative wait.
    """
    timing = replace(IIP_51.timing, interval=round(interval * 1000), idle=round(idle * 1000))
    return with_resend(replace(IIP_51, timing=timing))


def with_resend(parameters: Parameters) -> Parameters:
    """The parameters for nodes whose messages may be lost."""
    return replace(parameters, timing=replace(parameters.timing, resend=RESEND_MS))


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
    parameters: Parameters | None = None
    """Times of the consensus, the same on every node; only for a genesis that does not say them. None: 2.5 s."""
    vote_from: int | None = None
    """See `DelegateSettings`."""
    checkpoint: bytes | None = None
    """Hash of a recent block that the operator trusts: a new folder begins at a snapshot from there (`bootstrap`)."""
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
            raise _no_delegates()
        if keys is not None and self.chain.staking is None:
            _check_named(keys, delegates)
        self.mempool = Mempool(MempoolLimits())
        parameters = _parameters(settings, self.chain.genesis)
        own = DelegateSettings(parameters, settings.data_dir, settings.vote_from)
        self.delegate = Delegate(self.chain, self.mempool, keys, own)
        secret = node_secret(settings.data_dir) if keys is None else keys.operator
        identity = Identity(secret, self.delegate.domain)
        self.address = identity.address
        self.network = Network(identity, [each.address for each in delegates], self.delegate.intake, settings.network)
        self.delegate.gossip.network = self.network
        self.rpc_url = ""
        self._work = Work()

    async def __aenter__(self) -> SeparateNode:
        settings = self._settings
        backend = Backend(self.chain, self.mempool, beneficiary=self.address, on_transaction=self.delegate.wake)
        hosts = frozenset({"127.0.0.1", "localhost", "[::1]", settings.rpc_host, *settings.allowed_hosts})
        methods = methods_of(backend, settings.rpc) | self._methods()
        server = RpcServer(methods, settings.rpc, hosts)
        try:
            self.rpc_url = await self._work.serve(server.application(), settings.rpc_host, settings.rpc_port)
            await self.network.start()
        except BaseException:
            await self.network.close()
            await self._work.end()
            self.chain.close()
            raise
        self._work.begin(self.delegate.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.network.close()
            await self._work.end()
        finally:
            self.chain.close()

    async def wait(self) -> None:
        """Wait for the consensus to fail; it never ends by itself. Raises what stopped it."""
        await self._work.wait()

    def announcement(self) -> dict[str, Any]:
        """Where the node answers and listens, who it is, and which chain it follows."""
        return {
            "rpc": self.rpc_url,
            "listen": f"{self._settings.network.host}:{self.network.port}",
            "address": "0x" + self.address.hex(),
            "chain_id": self.chain.chain_id,
            "genesis_hash": "0x" + _genesis_hash(self.chain).hex(),
            "head": self.chain.head_number,
            "pid": os.getpid(),
            "finality_source": self.chain.finality.source,
        }

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
    CheckpointRefused
        When the checkpoint is too old.
    Halted
        When two thirds decided what this program holds for invalid.
    """
    if settings.checkpoint is None or await until_stopped(_begin(settings, settings.checkpoint)):
        await run_until_stopped(SeparateNode(settings), settings.data_dir)


async def _begin(settings: SeparateSettings, checkpoint: bytes) -> None:
    """Begin a new chain at a snapshot; one that has begun goes on from where it is."""
    chain = Blockchain(settings.data_dir, settings.genesis)
    try:
        if chain.head_number:
            log.warning("the chain is at block %d already: --checkpoint is for a new folder", chain.head_number)
            return
        if not chain.genesis.delegates:
            raise _no_delegates()
        secret = node_secret(settings.data_dir) if settings.keys is None else settings.keys.operator
        await Bootstrap(chain, secret, settings.network, _parameters(settings, chain.genesis)).run(checkpoint)
    finally:
        chain.close()


def _parameters(settings: SeparateSettings, genesis: Genesis) -> Parameters:
    """Those of the genesis, where it has some. Raises GenesisInvalid when the settings have others."""
    asked, rules = settings.parameters, genesis.consensus
    if rules is None:
        return asked or parameters_of(2.5, 0)
    parameters = with_resend(rules.parameters())
    if asked is not None and asked.timing != parameters.timing:
        raise GenesisInvalid(
            f"consensus: this genesis has blocks every {rules.interval} ms, and {rules.idle} ms of waiting for "
            "transactions: leave out --interval and --idle"
        )
    return parameters


def _no_delegates() -> KeysError:
    return KeysError("the genesis names no delegates: make one with `python -m l1 genesis --delegates ...`")


def _genesis_hash(chain: Blockchain) -> bytes:
    first = chain.block(0)
    assert first is not None, "a chain has a block 0"
    return first.block.hash


def _check_named(keys: DelegateKeys, delegates: Sequence[GenesisDelegate]) -> None:
    """On a chain whose delegates never change, a key that the genesis does not name never votes. Raises KeysError."""
    named = {each.address: each.key for each in delegates}
    if keys.address not in named:
        raise KeysError(
            f"the genesis does not name 0x{keys.address.hex()}, the delegate of this key: use the key that was "
            "registered in it, or leave out --key to run a node that watches"
        )
    if named[keys.address] != keys.voting.public_key().to_bytes():
        raise KeysError(f"the genesis names 0x{keys.address.hex()} with another voting key than this file's")
