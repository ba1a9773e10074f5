"""Clients that connect and say nothing, half a sentence, or never listen: the others are served, and memory stays."""

from __future__ import annotations

import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from api_live import Live, project_rows, task_row
from test_api_tls import server, write_pair

from coordinator.api.client import Client
from coordinator.ledger.tables import TaskEventRow

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
WANTED = 10_000
HOLDERS = 4
"""Processes that hold the clients' ends, so that the limit on open files bounds the server's end alone."""
SPARE_FILES = 1500
"""What the server and the test have open besides."""
HOLD = """
import socket, sys
host, port, count, said = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), bytes.fromhex(sys.argv[4])
held = []
for _ in range(count):
    held.append(socket.create_connection((host, port), timeout=60))
    held[-1].sendall(said)
print(len(held), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def files() -> Iterator[int]:
    """How many connections: as many as are wanted, unless the hard limit on open files (`ulimit -Hn`) bounds them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = WANTED + SPARE_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED + SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    yield min(WANTED, max(soft, allowed) - SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def connections(target: str, count: int) -> Iterator[list[socket.socket]]:
    """Open sockets to the API."""
    host, _, port = target.rpartition(":")
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((host, int(port)), timeout=30)) for _ in range(count)]


@contextmanager
def held_elsewhere(target: str, count: int, said: bytes) -> Iterator[None]:
    """As many connections on which that was said, held by other processes."""
    host, _, port = target.rpartition(":")
    shares = [str(count // HOLDERS + (number < count % HOLDERS)) for number in range(HOLDERS)]
    with ExitStack() as stack:
        holders = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLD, host, port, share, said.hex()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for share in shares
        ]
        for holder, share in zip(holders, shares, strict=True):
            assert holder.stdout is not None
            assert holder.stdout.readline().strip() == share
        yield


def served(live: Live) -> None:
    with live.client(timeout=60) as client:
        assert client.get_status().chain_id == 4690


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"PRI * HT",
        PREFACE,
        PREFACE + SETTINGS[:5],
        PREFACE + SETTINGS,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01" * 99,
    ],
)
def test_those_who_stop_midway_hold_nobody_up(live: Live, said: bytes) -> None:
    with connections(live.target, 200) as sockets:
        for each in sockets:
            each.sendall(said)
        served(live)
    served(live)


def test_ten_thousand_idle_connections(live: Live, files: int) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    with held_elsewhere(live.target, files, PREFACE + SETTINGS):
        ends = time.monotonic() + 60
        while sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp")) < files:
            assert time.monotonic() < ends, "some are not accepted"  # they wait in the listener's queue meanwhile
        served(live)
        grown = process.memory_info().rss - before
        print(f"{files} connections took {grown >> 20} MiB")
        assert grown < files * 128 * 1024, f"{files} connections took {grown >> 20} MiB"
    served(live)


def test_one_who_never_reads_a_watch(live: Live) -> None:
    """The rows of a watch that nobody reads wait in the ledger, not in memory."""
    rows = [
        TaskEventRow(
            task_id=task_row(1).id, project_id=1, subject="task", source="a", target="b", reason="r" * 1000, at=1
        )
        for _ in range(20_000)
    ]
    live.add(*project_rows(1, "weather"), task_row(1))
    live.add(*rows)
    process = psutil.Process()
    before = process.memory_info().rss
    metadata = (("authorization", f"Bearer {live.admin_key}"),)
    with grpc.insecure_channel(live.target) as channel:
        watches = [
            channel.unary_stream("/w3bstream.v1.TaskService/WatchTasks")(b"\x10\x01", metadata=metadata)
            for _ in range(20)
        ]
        for watch in watches:
            assert next(watch)
        served(live)
        assert process.memory_info().rss - before < 300 << 20
        for watch in watches:
            watch.cancel()


def test_half_a_handshake_holds_nobody_up(live: Live, tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "api")
    live.run(live.server.stop(0))
    secure = server(live, api_tls_cert=certificate, api_tls_key=key)
    _, port = live.run(secure.start())
    try:
        with connections(f"127.0.0.1:{port}", 100) as sockets:
            for number, each in enumerate(sockets):
                each.sendall(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
            with Client(f"https://127.0.0.1:{port}", live.admin_key, ca=certificate.read_bytes()) as client:
                assert client.get_status().chain_id == 4690
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("127.0.0.1", port), timeout=30) as raw, context.wrap_socket(raw) as old:
            assert old.version() == "TLSv1.2"
    finally:
        live.run(secure.stop(0))
