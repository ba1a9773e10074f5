"""`SubmitJob`, durable when it answers, against an empty gRPC unary call of the same kind of server.

    python -m benchmarks.spine.submit [--rounds 7] [--seconds 1.5] [--json]

Both servers are grpc.aio, in one process on one event
loop; the client is grpc.aio in another process. Ours does what it does in production: API key, scope, rates, checks,
and a row that is on the disk (SQLite, WAL, synchronous FULL) before the answer leaves. The peer's handler returns an
empty message. Rounds of the two alternate; a ratio is of neighbouring rounds, the figure the median ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from benchmarks.spine.figures import LOAD, load_average, parser, show
from coordinator.api.auth import bootstrap_admin_key
from coordinator.api.server import ApiServer
from coordinator.api.surroundings import ComponentStatus
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.service import Intake
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow, ProjectVersionRow
from coordinator.projects.file import ProjectFile
from coordinator.projects.service import PreparedProgram
from coordinator.service.logs import configure_logs
from coordinator.settings import Settings
from verifier.bindings import Deployment
from w3bstream.v1 import job_pb2

CONCURRENCY = (32, 128)
EMPTY = "/bench.Peer/Empty"
SUBMIT = "/w3bstream.v1.JobService/SubmitJob"

Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


class Site:
    """The installation around the API; no job of the benchmark asks it for anything but its addresses."""

    deployment = Deployment(4690, 1, *(f"0x{number:040x}" for number in range(1, 6)))
    chain_rpc_url = ""
    owner = b"\x07" * 20

    async def prepare(self, file: ProjectFile) -> Mapping[str, PreparedProgram]:
        """Never asked."""
        raise NotImplementedError

    async def components(self) -> Sequence[ComponentStatus]:
        """None."""
        return []


def _rows() -> list[ProjectRow | ProjectVersionRow]:
    version = ProjectVersionRow(
        project_id=1,
        version=1,
        file="",
        config={},
        config_hash="0x01",
        device_set_root=f"0x{2:064x}",
        scheme="poseidon-bn254-v1",
        window_capacity=16,
        window_max_age_ms=600_000,
        programs=[],
        state="PUBLISHED",
        created_at=1,
    )
    return [ProjectRow(id=1, name="bench", owner_key_id="key_0", version=1, created_at=1), version]


async def serve(home: Path) -> None:
    """Run both servers until standard input closes; prints where they are as one JSON line."""
    configure_logs(home, quiet=True)
    ledger = Ledger.at(home / "ledger.db")
    await ledger.migrate()
    key = (await bootstrap_admin_key(ledger, home)).read_text().strip()
    async with ledger.transaction() as session:
        session.add_all(_rows())
    settings = Settings(home=home, api_calls_per_key=4096)
    intake = Intake(ledger, settings, "nats://127.0.0.1:1", workers=0)
    api = ApiServer(ledger, settings, intake=intake, installation=Site(), signatures=CryptoPool(0))
    host, port = await api.start()
    peer = grpc.aio.server()

    async def empty(_request: bytes, _context: object) -> bytes:
        return b""

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Empty": grpc.unary_unary_rpc_method_handler(empty)}
    peer.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Peer", handlers),))
    peer_port = peer.add_insecure_port("127.0.0.1:0")
    await peer.start()
    print(json.dumps({"ours": f"{host}:{port}", "peer": f"127.0.0.1:{peer_port}", "key": key}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await peer.stop(0)
    await api.stop(0)
    await ledger.close()


async def _rate(call: Callable[[], Awaitable[object]], concurrency: int, seconds: float) -> float:
    """Calls a second of so many callers at once, each sending its next when it has its answer."""
    ends, done = time.perf_counter() + seconds, 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < ends:
            await call()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return done / (time.perf_counter() - began)


@asynccontextmanager
async def _servers() -> AsyncIterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.spine.submit",
            "--serve",
            folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(await process.stdout.readline())
        finally:
            process.stdin.close()
            await process.wait()


async def measure(rounds: int = 7, seconds: float = 1.5, concurrency: Sequence[int] = CONCURRENCY) -> dict[str, float]:
    """`submit_vs_grpc`, the lowest of the levels' median ratios, and each level's rates and ratio."""
    figures: dict[str, float] = {LOAD: load_average()}
    async with (
        _servers() as where,
        grpc.aio.insecure_channel(where["ours"]) as ours,
        grpc.aio.insecure_channel(where["peer"]) as peer,
    ):
        submit_call: Call = ours.unary_unary(SUBMIT)
        empty_call: Call = peer.unary_unary(EMPTY)
        metadata = (("authorization", f"Bearer {where['key']}"),)
        number = 0

        async def submit() -> object:
            nonlocal number
            number += 1
            request = job_pb2.SubmitJobRequest(project_id=1, idempotency_key=f"job-{number}")
            return await submit_call(request.SerializeToString(), metadata=metadata)

        async def empty() -> object:
            return await empty_call(b"")

        for level in concurrency:
            await _rate(submit, level, 0.3)
            await _rate(empty, level, 0.3)
            pairs = [(await _rate(submit, level, seconds), await _rate(empty, level, seconds)) for _ in range(rounds)]
            figures[f"submit_per_second_{level}"] = statistics.median(mine for mine, _ in pairs)
            figures[f"grpc_per_second_{level}"] = statistics.median(theirs for _, theirs in pairs)
            figures[f"submit_vs_grpc_{level}"] = statistics.median(mine / theirs for mine, theirs in pairs)
    figures["submit_vs_grpc"] = min(figures[f"submit_vs_grpc_{level}"] for level in concurrency)
    return figures


def main() -> None:
    """Measure and print a table, and JSON where it is asked for."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=7, help="rounds (7)")
    options.add_argument("--seconds", type=float, default=1.5, help="seconds a round (1.5)")
    options.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        asyncio.run(serve(chosen.serve))
        return
    found = asyncio.run(measure(chosen.rounds, chosen.seconds))
    show(f"SubmitJob, medians of {chosen.rounds} rounds", found, as_json=chosen.json)


if __name__ == "__main__":
    main()
