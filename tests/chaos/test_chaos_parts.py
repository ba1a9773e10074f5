"""Processes are found and signalled exactly; the receiver writes down before it answers; a home that is somebody's own
is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from coordinator.chaos.parts import claim_home
from coordinator.chaos.process_tree import descendants, look
from coordinator.chaos.receiver import RECORD, Delivery, Desk, read_record
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
