"""Looking back through the API: replay, the rebuild check, dead letters put back, and a sender that stands still."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import nats
import pytest
from api_live import DEVICES, Live, project_rows, reading

from coordinator.api import ingest
from verifier.errors import Denied, InvalidInput, Unavailable


def nats_url(live: Live) -> str:
    """Where the API's own server is, with its password."""
    found = json.loads((live.home / "nats" / "endpoint.json").read_text())
    return f"nats://{found['user']}:{found['password']}@127.0.0.1:{found['port']}"


def fill(live: Live) -> None:
    """Three readings and one piece of rubbish, all taken."""

    async def rubbish() -> None:
        client = await nats.connect(nats_url(live))
        await client.jetstream().publish(f"da.1.{DEVICES[0].device.hex()}", b"rubbish")
        await client.close()

    with live.client() as client:
        assert client.ingest([reading(1), reading(2), reading(1, device=1)]).accepted == 3
        live.run(rubbish())
        ends = time.monotonic() + 30
        while client.get_intake(1).next_position < 5:
            assert time.monotonic() < ends
            time.sleep(0.05)


def test_replay_over_the_api(streaming: Live) -> None:
    fill(streaming)
    with streaming.client() as client:
        found = list(client.replay_stream(1))
        assert [(each.position, each.kind) for each in found] == [
            (1, "reading"),
            (2, "reading"),
            (3, "reading"),
            (4, "dead_letter"),
        ]
        assert (found[0].wire, found[0].sequence, found[0].from_stream) == (reading(1), 1, True)
        assert (found[3].code, found[3].wire) == ("W3B-1001", b"rubbish")
        assert [each.position for each in client.replay_stream(1, start=2, end=4)] == [2, 3]
        device = f"0x{DEVICES[1].device.hex()}"
        assert [each.position for each in client.replay_stream(1, device=device)] == [3]
        with pytest.raises(InvalidInput, match="W3B-7008"):
            list(client.replay_stream(1, device="0xabc"))
        verified = client.verify_stream(1)
        assert (verified.positions, verified.readings, verified.dead_letters, verified.different) == (4, 3, 1, 0)


def test_requeue_over_the_api(streaming: Live) -> None:
    fill(streaming)
    with streaming.client() as client:
        (letter,) = client.requeue_dead_letters(1, code="W3B-1001").letters
        assert (letter.position, letter.new_position, letter.code) == (4, 0, "W3B-1001")
        with pytest.raises(InvalidInput, match="W3B-7008"):
            client.requeue_dead_letters(1)
        assert not client.list_dead_letters(1).dead_letters[0].HasField("requeued_at")


def test_looking_back_asks_for_a_scope_and_the_project(streaming: Live) -> None:
    streaming.add(*project_rows(2, "rain"))
    with streaming.client(streaming.key("ingest:write")) as client:
        for call in (lambda: list(client.replay_stream(1)), lambda: client.verify_stream(1)):
            with pytest.raises(Denied, match="W3B-7004"):
                call()
    with streaming.client(streaming.key("tasks:read", "projects:write", project_id=2)) as client:
        for other in (
            lambda: list(client.replay_stream(1)),
            lambda: client.verify_stream(1),
            lambda: client.requeue_dead_letters(1, [4]),
        ):
            with pytest.raises(Denied, match="W3B-7005"):
                other()


def test_a_sender_that_stands_still_loses_its_call(streaming: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "MESSAGE_SECONDS", 0.5)

    def dribbling() -> Iterator[bytes]:
        yield reading(1)
        time.sleep(3)  # the fault itself: nothing comes for longer than the server waits
        yield reading(2)

    with streaming.client() as client, pytest.raises(Unavailable, match="W3B-1055") as caught:
        client.ingest(dribbling(), batch=1)
    assert "1 readings were stored" in caught.value.message
