"""Processes are found and signalled exactly; the receiver writes down before it answers; a home that is somebody's own
is left alone; the wire to the chain loses what it should, and a clock goes wrong for whom it should."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from coordinator.chaos.parts import claim_home
from coordinator.chaos.process_tree import descendants, look
from coordinator.chaos.receiver import RECORD, Delivery, Desk, read_record
from coordinator.chaos.rpc_proxy import DELAY_SECONDS, RpcProxy, Wire
from coordinator.chaos.wall_clock import WallClock
from verifier.errors import Conflict

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0MTIz"
SLEEPER = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"


def test_descendants_are_found_and_signalled() -> None:
    process = subprocess.Popen([sys.executable, "-c", SLEEPER])
    try:
        ends = time.monotonic() + 60
        while not (below := descendants(process.pid)):
            assert time.monotonic() < ends
            time.sleep(0.02)
        (child,) = below
        assert child.parent == process.pid
        assert process.pid in {each.pid for each in descendants(os.getpid())}
        assert child.running
        assert child.send(signal.SIGKILL)
        process.wait(60)
        assert not child.running
        assert not child.send(signal.SIGKILL), "a process that is gone is not signalled, whoever has its id now"
        assert look(process.pid) is None
    finally:
        process.kill()
        process.wait()


# --- the receiver ---


def receiver(folder: Path, mode: str = "ok") -> Desk:
    (folder / "mode").write_text(mode)
    (folder / "secrets.json").write_text(json.dumps({"7": SECRET}))
    return Desk(folder, seed=5)


def message(secret: str = SECRET, task: str = "0xa") -> tuple[dict[str, str], bytes]:
    body = json.dumps({"id": "msg_1", "subject": task, "type": "w3bstream.task.final"}).encode()
    now = datetime.now(UTC).replace(microsecond=0)
    signature = Webhook(secret).sign("msg_1", now, body.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    return headers, body


def test_the_receiver_writes_down_what_it_answers(tmp_path: Path) -> None:
    desk = receiver(tmp_path)
    answered = [desk.take("7", *message()) for _ in range(60)]
    assert set(answered) == {204, 503}, "it fails now and then"
    assert [each.status for each in read_record(tmp_path)] == answered
    assert set(read_record(tmp_path)) <= {Delivery("msg_1", "0xa", "w3bstream.task.final", s) for s in (204, 503)}


def test_the_receiver_refuses_what_does_not_verify(tmp_path: Path) -> None:
    desk = receiver(tmp_path)
    other = "whsec_" + "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXIx"
    headers, body = message()
    tries = [
        ("7", *message(other)),
        ("8", headers, body),
        ("7", headers, body.replace(b"0xa", b"0xb")),
        ("7", {}, body),
    ]
    assert [desk.take(*each) for each in tries] == [401] * len(tries)


def test_the_receiver_fails_when_it_is_told_to(tmp_path: Path) -> None:
    desk = receiver(tmp_path, "failing")
    assert {desk.take("7", *message()) for _ in range(5)} == {500}


def test_the_receiver_takes_a_message_of_a_clock_that_is_set_wrong(tmp_path: Path) -> None:
    body = json.dumps({"id": "msg_1", "subject": "0xa", "type": "w3bstream.task.final"}).encode()
    then = datetime(2020, 1, 1, tzinfo=UTC)
    signature = Webhook(SECRET).sign("msg_1", then, body.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": f"{then.timestamp():.0f}", "webhook-signature": signature}
    desk = receiver(tmp_path)
    assert {desk.take("7", headers, body) for _ in range(60)} == {204, 503}
    assert desk.take("7", {**headers, "webhook-timestamp": "soon"}, body) == 401


def test_a_line_that_was_cut_short_does_not_count(tmp_path: Path) -> None:
    desk = receiver(tmp_path)
    desk.take("7", *message())
    with (tmp_path / RECORD).open("ab") as record:
        record.write(b'{"id": "msg_2", "subj')
    assert len(read_record(tmp_path)) == 1
    receiver(tmp_path).take("7", *message())
    assert [each.id for each in read_record(tmp_path)] == ["msg_1", "msg_1"]


@pytest.mark.parametrize("name", ["admin.key", "ledger.db", "api.json", "service.lock"])
def test_a_home_of_somebody_s_own_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(Conflict, match="W3B-8101"):
        claim_home(tmp_path)
    assert not (tmp_path / "chaos").exists()


def test_a_home_of_an_earlier_run_is_taken_again(tmp_path: Path) -> None:
    claim_home(tmp_path / "new")
    (tmp_path / "new" / "ledger.db").touch()
    claim_home(tmp_path / "new")


# --- the wire ---


@pytest.fixture
def node() -> Iterator[ThreadingHTTPServer]:
    """A server that says how many requests it had, this one included."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"]))
            server.heard.append(asked)  # type: ignore[attr-defined]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"%d" % len(server.heard))  # type: ignore[attr-defined]

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.heard = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str, seconds: float = 0.5) -> bytes | None:
    """What came back; None when nothing did."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=seconds)
    try:
        connection.request("POST", "/", b"{}")
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def test_the_wire_loses_requests_or_answers_and_is_whole_again(node: ThreadingHTTPServer) -> None:
    heard: list[bytes] = node.heard  # type: ignore[attr-defined]
    proxy = RpcProxy(node.server_address[1], seed=1)
    try:
        assert ask(proxy.url) == b"1"
        proxy.wire = Wire.DROPPING
        answers = [ask(proxy.url) for _ in range(20)]
        assert 0 < answers.count(None) < 20
        assert len(heard) == 21 - answers.count(None), "what is lost does not arrive"
        before, proxy.wire = len(heard), Wire.DEAF
        answers = [ask(proxy.url) for _ in range(8)]
        assert 0 < answers.count(None) < 8
        assert len(heard) == before + 8, "everything arrives"
        proxy.wire = Wire.SLOW
        began = time.monotonic()
        assert ask(proxy.url, 30) is not None
        assert time.monotonic() - began >= DELAY_SECONDS
        proxy.wire = Wire.WHOLE
        assert ask(proxy.url) is not None
    finally:
        proxy.close()


def test_behind_the_wire_a_node_that_is_away_gives_no_answer() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = RpcProxy(nobody.getsockname()[1], seed=1)
        try:
            assert ask(proxy.url, 30) is None
        finally:
            proxy.close()


# --- the clock ---


def test_a_clock_is_set_for_its_processes_and_their_children_alone(tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "clock")
    asked = "import time\nwhile input(): print(time.time(), time.time_ns(), time.monotonic(), flush=True)"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {asked!r}])"
    command = [sys.executable, "-c", nested]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clock.environment(os.environ), text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for offset in (0, 7200, -7200, 0):
            clock.set(offset)
            process.stdin.write("tell\n")
            process.stdin.flush()
            seconds, nanoseconds, steady = process.stdout.readline().split()
            assert float(seconds) == pytest.approx(time.time() + offset, abs=60)
            assert int(nanoseconds) / 1e9 == pytest.approx(time.time() + offset, abs=60)
            assert float(steady) == pytest.approx(time.monotonic(), abs=60)
        process.stdin.close()
