"""Delegates as processes of their own on loopback, and what a test asks of them."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
from l1_wallet import CHAIN_ID, RICH, key
from web3 import Web3

from l1.chain.genesis import Genesis, GenesisAccount
from l1.nodes.keys import DEVNET_POWER, DelegateKeys, derive, save_keys
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent.parent.parent
FAST = ("--interval", "0.15", "--idle", "0.15")


class NodeProcess:
    """`python -m l1 node` in a folder of its own."""

    def __init__(self, data_dir: Path, genesis: Path, key_file: Path | None, options: Sequence[str] = FAST) -> None:
        self.data_dir = data_dir
        self._fixed = ["--genesis", str(genesis), *options] + ([] if key_file is None else ["--key", str(key_file)])
        self.listen = f"127.0.0.1:{free_port()}"
        self.ready: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, peers: Sequence[str] = (), more: Sequence[str] = ()) -> None:
        self.launch(peers, more)
        self.answers()

    def launch(self, peers: Sequence[str] = (), more: Sequence[str] = ()) -> None:
        """Start without waiting for it."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "l1", "node", "--data-dir", str(self.data_dir), "--listen", self.listen]
        for peer in peers:
            command += ["--peer", peer]
        with (self.data_dir / "stderr.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._fixed, *more], stdout=subprocess.PIPE, stderr=log, cwd=ROOT
            )

    def answers(self, timeout: float = 60) -> None:
        """Wait until it answers."""
        assert self._process is not None
        self.ready = json.loads(_first_line(self._process, timeout, self.stderr))
        assert self.ready["listen"] == self.listen

    def stderr(self) -> str:
        return (self.data_dir / "stderr.log").read_text(errors="replace")[-3000:]

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def _end(self, how: int) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        status = self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return status

    def cpu_seconds(self) -> float:
        assert self._process is not None
        used = psutil.Process(self._process.pid).cpu_times()
        return used.user + used.system

    @property
    def web3(self) -> Web3:
        return _client(self.ready["rpc"])

    def ask(self, method: str, *parameters: object) -> Any:
        answer = self.web3.provider.make_request(method, list(parameters))  # type: ignore[arg-type]
        return answer["result"]

    def head(self) -> int:
        return int(self.ask("eth_blockNumber"), 16)

    def status(self) -> dict[str, Any]:
        return dict(self.ask("w3b_nodeStatus"))

    def hash_of(self, number: int) -> str | None:
        block = self.ask("eth_getBlockByNumber", hex(number), False)
        return None if block is None else str(block["hash"])


class Cluster:
    """Delegates that have one genesis, each in its process."""

    def __init__(
        self, folder: Path, count: int = 4, options: Sequence[str] = FAST, genesis: Genesis | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.keys = cluster_keys(count)
        self.genesis = genesis or make_genesis(self.keys)
        self.genesis_path = folder / "genesis.json"
        self.genesis_path.write_text(self.genesis.to_json())
        self.nodes: list[NodeProcess] = []
        for index, each in enumerate(self.keys):
            path = folder / f"{index}.key"
            save_keys(each, path)
            self.nodes.append(NodeProcess(folder / f"node{index}", self.genesis_path, path, options))
        self.options = options

    def __enter__(self) -> Cluster:
        return self

    def start(self) -> None:
        for node in self.nodes:
            node.launch(self.peers_of(node))
        for node in self.nodes:
            node.answers()

    def peers_of(self, node: NodeProcess) -> list[str]:
        return [each.listen for each in self.nodes if each is not node]

    def start_one(self, index: int, more: Sequence[str] = ()) -> None:
        self.nodes[index].start(self.peers_of(self.nodes[index]), more)

    def observer(self, name: str, keys: DelegateKeys | None = None) -> NodeProcess:
        """One more node, with keys of somebody who may be elected, or without."""
        path = None if keys is None else self.folder / f"{name}.key"
        if keys is not None and path is not None:
            save_keys(keys, path)
        node = NodeProcess(self.folder / name, self.genesis_path, path, self.options)
        node.start([each.listen for each in self.nodes])
        self.nodes.append(node)
        return node

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()

    def assert_one_chain(self, nodes: Sequence[NodeProcess] | None = None) -> int:
        """Every block up to the lowest head is the same on all; that height."""
        chosen = [each for each in self.nodes if each.running] if nodes is None else nodes
        lowest = min(each.head() for each in chosen)
        for number in range(lowest + 1):
            assert len({each.hash_of(number) for each in chosen}) == 1, f"two blocks {number}"
        return lowest


@lru_cache
def _client(url: str) -> Web3:
    return Web3(Web3.HTTPProvider(url))


def cluster_keys(count: int) -> tuple[DelegateKeys, ...]:
    return derive(b"separate nodes of these tests..!", count)


def make_genesis(keys: Sequence[DelegateKeys]) -> Genesis:
    alloc = {bytes.fromhex(key(number).address[2:]): GenesisAccount(balance=RICH) for number in range(1, 11)}
    plain = Genesis(chain_id=CHAIN_ID, alloc=alloc)
    return replace(plain, delegates=tuple(each.registration(DEVNET_POWER) for each in keys))


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], seconds: float = 40, what: str = "it") -> None:
    ends = time.monotonic() + seconds * PATIENCE
    while not true():
        assert time.monotonic() < ends, f"{what} did not come within {seconds} s"
        # Between two looks: most ask a node over HTTP, which shares the processors with whoever asks.
        time.sleep(0.05)


def wait_for_head(nodes: Sequence[NodeProcess], number: int, seconds: float = 40) -> None:
    for node in nodes:
        wait_until(lambda node=node: node.head() >= number, seconds, f"block {number} at {node.data_dir.name}")


def _first_line(process: subprocess.Popen[bytes], timeout: float, said: Callable[[], str]) -> bytes:
    assert process.stdout is not None
    collected = b""
    ends = time.monotonic() + timeout * PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not collected.endswith(b"\n"):
            if not selector.select(max(0.0, ends - time.monotonic())):
                raise AssertionError(f"the node did not answer: {said()}")
            chunk = os.read(process.stdout.fileno(), 4096)
            if not chunk:
                raise AssertionError(f"the node ended with {process.wait()}: {said()}")
            collected += chunk
    return collected
