"""Transactions and calls per second through JSON-RPC: our node against anvil, in one run on one machine.

`python benchmarks/chain_rpc.py --anvil PATH [--transactions 3000]`. Each node gets the same signed transactions
(counter contract: one SSTORE and one log each, one sender) in batches of 50 over one connection, then 1,000 eth_call at
20 in flight. anvil mines one block a second, ours at most four. One run is one sample: compare ratios, not numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from eth_account import Account

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from l1.process import ChainProcess  # noqa: E402

CHAIN_ID = 4690
SENDER = Account.from_key((7).to_bytes(32, "big"))
# Slot 0 += 1; LOG1 with the new value as topic and data; returns it.
RUNTIME = "5f54600101805f55805f5260205fa160205ff3"
INIT = f"60{len(RUNTIME) // 2:02x}600b5f3960{len(RUNTIME) // 2:02x}5ff300" + RUNTIME


@contextmanager
def ours(folder: Path) -> Iterator[tuple[str, int]]:
    genesis = folder / "genesis.json"
    genesis.write_text(json.dumps({"chainId": CHAIN_ID, "alloc": {SENDER.address: {"balance": str(10**24)}}}))
    with ChainProcess(folder / "chain", genesis) as node:
        yield node.rpc_url, node.pid


@contextmanager
def anvil(binary: str) -> Iterator[tuple[str, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--hardfork", "osaka", "--chain-id", str(CHAIN_ID), "--block-time", "1", "--silent"]
    process = subprocess.Popen([binary, *options, "--gas-limit", "60000000", "--port", str(port)])
    try:
        url = f"http://127.0.0.1:{port}"
        asyncio.run(_fund(url))
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


async def _fund(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            try:
                await _one(session, url, "anvil_setBalance", SENDER.address, hex(10**24))
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
            else:
                return
    raise SystemExit("anvil does not answer")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _post(session: aiohttp.ClientSession, url: str, body: Any) -> Any:
    async with session.post(url, json=body) as response:
        return await response.json(content_type=None)


async def _one(session: aiohttp.ClientSession, url: str, method: str, *params: Any) -> Any:
    answer = await _post(session, url, {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    if "error" in answer:
        raise SystemExit(f"{method}: {answer['error']}")
    return answer["result"]


def signed(count: int) -> list[str]:
    """The deployment and `count` calls, raw."""
    fees = {"maxFeePerGas": 10**12, "maxPriorityFeePerGas": 10**9, "chainId": CHAIN_ID, "value": 0}
    deploy = SENDER.sign_transaction({**fees, "nonce": 0, "gas": 500_000, "data": "0x" + INIT})
    calls = [
        SENDER.sign_transaction({**fees, "nonce": nonce, "gas": 60_000, "to": counter_address()})
        for nonce in range(1, count + 1)
    ]
    return ["0x" + item.raw_transaction.hex().removeprefix("0x") for item in [deploy, *calls]]


def counter_address() -> str:
    """Address of the sender's first contract."""
    import rlp
    from eth_hash.auto import keccak
    from eth_utils.address import to_checksum_address

    return to_checksum_address(keccak(rlp.encode([bytes.fromhex(SENDER.address[2:]), 0]))[12:])


async def measure(url: str, pid: int, raws: list[str]) -> dict[str, float]:
    """Rates of one node. Every call must have counted, or the figures are not printed."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:
        await _one(session, url, "eth_sendRawTransaction", raws[0])
        while await _one(session, url, "eth_getCode", counter_address(), "latest") == "0x":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        started, cpu = time.perf_counter(), cpu_seconds(pid)
        calls = raws[1:]
        for first in range(0, len(calls), 50):
            batch = [
                {"jsonrpc": "2.0", "id": i, "method": "eth_sendRawTransaction", "params": [raw]}
                for i, raw in enumerate(calls[first : first + 50])
            ]
            refused = [answer["error"] for answer in await _post(session, url, batch) if "error" in answer]
            if refused:
                raise SystemExit(f"refused: {refused[0]}")
        accepted = time.perf_counter()
        while int(await _one(session, url, "eth_getTransactionCount", SENDER.address, "latest"), 16) < len(raws):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        mined, cpu_mined = time.perf_counter(), cpu_seconds(pid)
        counted = int(await _one(session, url, "eth_getStorageAt", counter_address(), "0x0", "latest"), 16)
        if counted != len(calls):
            raise SystemExit(f"the counter says {counted}, {len(calls)} calls were mined")
        asked = time.perf_counter()
        message = {"to": counter_address()}
        for _ in range(50):
            await asyncio.gather(*[_one(session, url, "eth_call", message, "latest") for _ in range(20)])
        return {
            "accepted tx/s": len(calls) / (accepted - started),
            "mined tx/s": len(calls) / (mined - started),
            "mined tx per CPU second": len(calls) / max(cpu_mined - cpu, 0.01),
            "eth_call/s": 1000 / (time.perf_counter() - asked),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    parser.add_argument("--anvil", default=str(default), help="anvil binary")
    parser.add_argument("--transactions", type=int, default=3000)
    options = parser.parse_args()
    raws = signed(options.transactions)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        with ours(Path(folder)) as (url, pid):
            results["ours"] = asyncio.run(measure(url, pid, raws))
        with anvil(options.anvil) as (url, pid):
            results["anvil"] = asyncio.run(measure(url, pid, raws))
    print(f"{options.transactions} transactions, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs\n")
    print("| | ours | anvil | ours / anvil |\n|---|---:|---:|---:|")
    for name, value in results["ours"].items():
        peer = results["anvil"][name]
        print(f"| {name} | {value:,.0f} | {peer:,.0f} | {value / peer:.2f} |")


if __name__ == "__main__":
    main()
