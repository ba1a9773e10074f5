"""The share of one core that an embedded chain takes, making a block at every block interval."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.l1.through_rpc import cpu_seconds
from l1.process import ChainProcess

INTERVAL = 0.25
"""Seconds between two blocks at least: what the service's chain has."""


@dataclass(frozen=True)
class EmbeddedCost:
    """One run."""

    delegates: int
    blocks_per_second: float
    cpu_share: float
    """CPU seconds a second."""


def measure(delegates: int, seconds: float) -> EmbeddedCost:
    """Run a chain that makes a block, empty or not, at every interval."""
    with tempfile.TemporaryDirectory() as folder:
        genesis = Path(folder) / "genesis.json"
        genesis.write_text(json.dumps({"chainId": 4690}))
        options = ["--delegates", str(delegates), "--min-interval", str(INTERVAL)]
        options += ["--block-time", str(INTERVAL), "--idle-blocks", "1"]
        with ChainProcess(Path(folder) / "chain", genesis, options=options) as node:
            # The first heights pay for imports and caches, and are not measured.
            time.sleep(2)
            start, height, cpu = time.monotonic(), _height(node.rpc_url), cpu_seconds(node.pid)
            # The measured interval itself.
            time.sleep(seconds)
            passed = time.monotonic() - start
            blocks, used = _height(node.rpc_url) - height, cpu_seconds(node.pid) - cpu
    return EmbeddedCost(delegates, blocks / passed, used / passed)


def _height(url: str) -> int:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}).encode()
    with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=10) as answer:
        return int(json.load(answer)["result"], 16)
