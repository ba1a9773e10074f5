"""Transactions through JSON-RPC, the mempool and a block to their receipts: our nodes against anvil, in turns.

A node gets a round's transactions in batches of 50 over one connection, is asked every 50 ms what the counter says until
all are mined, and then for each receipt, in batches of 50. CPU seconds are the server process', of all its threads.
Each receipt must say success and the counter must have counted every call, or there are no figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from benchmarks.l1.workload import CHAIN_ID, COUNTER, FUNDS, GAS_LIMIT, SENDERS, Workload
from l1.process import ChainProcess
from verifier.contracts.compile import NODE_MODULES

ANVIL = NODE_MODULES / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"
"""Where `npm ci` puts it."""
BATCH = 50
CALLS_AT_ONCE = 20
_READ_CALLS = 500
_PATIENCE = 60.0


class BenchmarkBroke(RuntimeError):
    """A transaction was refused, failed or was lost: figures would mean nothing."""


@dataclass(frozen=True)
class Server:
    """A node that answers JSON-RPC."""

    name: str
    url: str
    pid: int


@dataclass(frozen=True)
class Rates:
    """One server; medians over the rounds."""

    name: str
    per_cpu_second: float
    """Transactions a CPU second, from raw bytes to receipts."""
    mined_per_cpu_second: float
    """The same without asking for receipts."""
    per_second: float
    """Transactions a second until all were mined; anvil makes one block a second, ours four."""
    calls_per_cpu_second: float
    """`eth_call` of the counter, 20 in flight."""
    vs_anvil: float
    """Median of the rounds' ratios of `per_cpu_second` to anvil's, whose receipts cost more the larger a block is."""
    mined_vs_anvil: float
    """The same of `mined_per_cpu_second`."""


@contextmanager
def ours(name: str, delegates: int) -> Iterator[Server]:
    """Our node with its default settings; without delegates one producer makes the blocks."""
    with tempfile.TemporaryDirectory() as folder:
        genesis = Path(folder) / "genesis.json"
        alloc = {sender.address: {"balance": str(FUNDS)} for sender in SENDERS}
        genesis.write_text(json.dumps({"chainId": CHAIN_ID, "gasLimit": GAS_LIMIT, "alloc": alloc}))
        options = ["--delegates", str(delegates)] if delegates else []
        with ChainProcess(Path(folder) / "chain", genesis, options=options, timeout=120) as node:
            yield Server(name, node.rpc_url, node.pid)


@contextmanager
def anvil(binary: Path) -> Iterator[Server]:
    """anvil with a block a second, and the same chain id, rules and gas limit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--hardfork", "osaka", "--chain-id", str(CHAIN_ID), "--block-time", "1", "--silent"]
    process = subprocess.Popen([str(binary), *options, "--gas-limit", str(GAS_LIMIT), "--port", str(port)])
    try:
        url = f"http://127.0.0.1:{port}"
        asyncio.run(_fund(url))
        yield Server("anvil", url, process.pid)
    finally:
        process.terminate()
        process.wait()


async def _fund(url: str) -> None:
    ends = time.monotonic() + _PATIENCE
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                for sender in SENDERS:
                    await _one(session, url, "anvil_setBalance", sender.address, hex(FUNDS))
            except aiohttp.ClientConnectionError:
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(0.1)
            else:
                return


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Round:
    mined: float
    """CPU seconds a transaction until it is mined."""
    receipts: float
    """CPU seconds of one receipt."""
    seconds: float
    """Wall seconds a transaction until all are mined."""
    calls: float
    """CPU seconds of one `eth_call`."""

    @property
    def whole(self) -> float:
        return self.mined + self.receipts


def measure(workload: Workload, binary: Path, delegates: int) -> list[Rates]:
    """Our single producer, our chain of `delegates` and anvil, each with the same transactions, in turns; the first
    round warms up. Raises `BenchmarkBroke`."""
    with ExitStack() as stack:
        servers = [stack.enter_context(ours("ours, one producer", 0))]
        if delegates:
            servers.append(stack.enter_context(ours(f"ours, {delegates} delegates", delegates)))
        servers.append(stack.enter_context(anvil(binary)))
        for server in servers:
            asyncio.run(_deploy(server, workload))
        rounds: dict[str, list[_Round]] = {server.name: [] for server in servers}
        for number, calls in enumerate(workload.of_rounds):
            for server in servers:
                rounds[server.name].append(asyncio.run(_round(server, calls, number * workload.calls)))
    kept = {name: each[1:] for name, each in rounds.items()}
    return [_rates(name, each, kept["anvil"]) for name, each in kept.items()]


def _rates(name: str, rounds: Sequence[_Round], peer: Sequence[_Round]) -> Rates:
    return Rates(
        name,
        1 / median(each.whole for each in rounds),
        1 / median(each.mined for each in rounds),
        1 / median(each.seconds for each in rounds),
        1 / median(each.calls for each in rounds),
        median(theirs.whole / own.whole for own, theirs in zip(rounds, peer, strict=True)),
        median(theirs.mined / own.mined for own, theirs in zip(rounds, peer, strict=True)),
    )


async def _deploy(server: Server, workload: Workload) -> None:
    async with aiohttp.ClientSession() as session:
        await _one(session, server.url, "eth_sendRawTransaction", "0x" + workload.deployment.hex())
        ends = time.monotonic() + _PATIENCE
        while await _one(session, server.url, "eth_getCode", COUNTER, "latest") == "0x":
            if time.monotonic() > ends:
                raise BenchmarkBroke(f"{server.name}: the contract is not there")
            await asyncio.sleep(0.05)


async def _round(server: Server, calls: Sequence[bytes], counted: int) -> _Round:
    raws = ["0x" + raw.hex() for raw in calls]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CALLS_AT_ONCE)) as session:
        began, cpu = time.perf_counter(), cpu_seconds(server.pid)
        hashes = await _all(session, server, "eth_sendRawTransaction", raws)
        await _until_counted(session, server, counted + len(raws))
        mined, cpu_mined = time.perf_counter(), cpu_seconds(server.pid)
        await _fetch_receipts(session, server, hashes)
        cpu_receipts = cpu_seconds(server.pid)
        message = {"to": COUNTER}
        for _ in range(_READ_CALLS // CALLS_AT_ONCE):
            asked = [_one(session, server.url, "eth_call", message, "latest") for _ in range(CALLS_AT_ONCE)]
            if {int(answer, 16) for answer in await asyncio.gather(*asked)} != {counted + len(raws) + 1}:
                raise BenchmarkBroke(f"{server.name}: eth_call does not return the next count")
        cpu_called = cpu_seconds(server.pid)
    return _Round(
        mined=_per(cpu_mined - cpu, len(raws)),
        receipts=_per(cpu_receipts - cpu_mined, len(raws)),
        seconds=_per(mined - began, len(raws)),
        calls=_per(cpu_called - cpu_receipts, _READ_CALLS),
    )


def _per(seconds: float, count: int) -> float:
    # A step of the clock at least: a server that used less than can be seen is not infinitely fast.
    return max(seconds, 1 / os.sysconf("SC_CLK_TCK")) / count


async def _until_counted(session: aiohttp.ClientSession, server: Server, count: int) -> None:
    ends = time.monotonic() + _PATIENCE
    while (found := int(await _one(session, server.url, "eth_getStorageAt", COUNTER, "0x0", "latest"), 16)) != count:
        if time.monotonic() > ends:
            raise BenchmarkBroke(f"{server.name}: the counter says {found}, not {count}")
        await asyncio.sleep(0.05)


async def _fetch_receipts(session: aiohttp.ClientSession, server: Server, hashes: Sequence[str]) -> None:
    ends = time.monotonic() + _PATIENCE
    # anvil shows a block's state a moment before its receipts.
    while missing := await _without_receipt(session, server, hashes):
        if time.monotonic() > ends:
            raise BenchmarkBroke(f"{server.name}: no receipt of {missing[0]}")
        hashes = missing
        await asyncio.sleep(0.05)


async def _without_receipt(session: aiohttp.ClientSession, server: Server, hashes: Sequence[str]) -> list[str]:
    missing = []
    for wanted, receipt in zip(hashes, await _all(session, server, "eth_getTransactionReceipt", hashes), strict=True):
        if receipt is None:
            missing.append(wanted)
        elif receipt["transactionHash"] != wanted or receipt["status"] != "0x1" or len(receipt["logs"]) != 1:
            raise BenchmarkBroke(f"{server.name}: {wanted} failed")
    return missing


async def _all(session: aiohttp.ClientSession, server: Server, method: str, arguments: Sequence[str]) -> list[Any]:
    """One parameter a request, in batches over one connection; the results in order."""
    results: list[Any] = []
    for first in range(0, len(arguments), BATCH):
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": [argument]}
            for number, argument in enumerate(arguments[first : first + BATCH])
        ]
        answers = {answer["id"]: answer for answer in await _post(session, server.url, batch)}
        for number in range(len(batch)):
            if "error" in answers[number]:
                raise BenchmarkBroke(f"{server.name}: {method}: {answers[number]['error']}")
            results.append(answers[number]["result"])
    return results


async def _one(session: aiohttp.ClientSession, url: str, method: str, *params: Any) -> Any:
    answer = await _post(session, url, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    if "error" in answer:
        raise BenchmarkBroke(f"{method}: {answer['error']}")
    return answer["result"]


async def _post(session: aiohttp.ClientSession, url: str, body: Any) -> Any:
    async with session.post(url, json=body) as response:
        return await response.json(content_type=None)
