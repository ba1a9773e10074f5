"""Readings through the API into a real NATS stream: good ones are durable, bad ones are named and stop nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from api_live import DEVICES, Live, project_rows, reading
from sqlmodel import select

from coordinator.ledger.tables import ProjectRow
from tests.patience import PATIENCE
from verifier.errors import InvalidInput, NotFound, Unavailable
from verifier.reading import DeviceKey, KeyType
from w3bstream.v1 import ingest_pb2


def wait_for_intake(live: Live, accepted: int) -> ingest_pb2.IntakeStatus:
    with live.client() as client:
        deadline = time.monotonic() + 20 * PATIENCE
        while (status := client.get_intake(1)).accepted < accepted and time.monotonic() < deadline:
            time.sleep(0.05)
    assert status.accepted == accepted
    return status


def flipped(wire: bytes, at: int) -> bytes:
    return wire[:at] + bytes([wire[at] ^ 1]) + wire[at + 1 :]


def test_bad_readings_are_named_and_stop_nothing(streaming: Live) -> None:
    stranger = DeviceKey.generate(KeyType.BABYJUBJUB)
    foreign = stranger.sign(1, 1, 1, bytes(4)).to_wire()
    as_other_key = DEVICES[1].sign(1, 9, 1, bytes(4), device=DEVICES[0].device).to_wire()
    stream = [
        reading(1),
        b"",
        b"\x01",
        reading(2) + b"\0",
        reading(2)[:-1],
        bytes(5000),
        foreign,
        as_other_key,
        *(flipped(reading(3), at) for at in (0, 1, 10, 66, 73, 90, 100, 108, 117)),
        reading(4, project_id=77),
        reading(5, payload=b"\0" * 5),
        reading(1 << 63),
        reading(6),
        reading(6),
        reading(7, device=1),
    ]
    with streaming.client() as client:
        summary = client.ingest(stream)
    assert (summary.received, summary.accepted, summary.duplicates) == (len(stream), 3, 1)
    assert summary.refused == len(stream) - 4
    codes = {refusal.index: refusal.code for refusal in summary.refusals}
    assert sorted(codes) == [index for index in range(len(stream)) if index not in (0, 20, 21, 22)]
    assert [codes[index] for index in range(1, 8)] == [
        "W3B-1001",
        "W3B-1001",
        "W3B-1001",
        "W3B-1001",
        "W3B-1001",
        "W3B-1004",
        "W3B-1003",
    ]
    assert (codes[17], codes[18], codes[19]) == ("W3B-1006", "W3B-1007", "W3B-1001")
    assert summary.last_position == 3
    status = wait_for_intake(streaming, 3)
    assert not status.refused
    assert (status.open_readings, status.next_position, status.window_start) == (3, 4, 1)


def test_more_than_a_message_may_hold_is_refused_one_by_one(streaming: Live) -> None:
    with streaming.client() as client:
        summary = client.ingest([reading(1)] * 300, batch=300)
        assert (summary.received, summary.accepted, summary.duplicates, summary.refused) == (300, 1, 255, 44)
        assert {refusal.code for refusal in summary.refusals} == {"W3B-7010"}
        summary = client.ingest([b"x"] * 300)
        assert (summary.refused, len(summary.refusals)) == (300, 100)
        assert client.ingest([]).received == 0


def test_a_bound_key_sends_to_its_project_only(streaming: Live) -> None:
    streaming.add(*project_rows(2, "rain"))
    with streaming.client(streaming.key("ingest:write", project_id=2)) as client:
        summary = client.ingest([reading(1), reading(1, project_id=2)])
    assert [(refusal.index, refusal.code) for refusal in summary.refusals] == [(0, "W3B-7005")]
    assert summary.accepted == 1


def test_a_paused_project_takes_nothing(streaming: Live) -> None:
    with streaming.client() as client:
        assert client.ingest([reading(1)]).accepted == 1
        _set_state(streaming, "PAUSED")
        assert [r.code for r in client.ingest([reading(2)]).refusals] == ["W3B-1006"]
        assert client.get_intake(1).stopped == "the project is paused"
        with pytest.raises(NotFound) as caught:
            client.submit_task(1, [reading(2)])
        assert caught.value.code == "W3B-1006"
        _set_state(streaming, "ACTIVE")
        assert client.ingest([reading(2)]).accepted == 1


def _set_state(live: Live, state: str) -> None:
    async def change() -> None:
        async with live.ledger.transaction() as session:
            row = (await session.exec(select(ProjectRow).where(ProjectRow.id == 1))).one()
            row.state = state
            session.add(row)

    live.run(change())


def test_submit_closes_the_window_and_names_its_tasks(streaming: Live) -> None:
    with streaming.client() as client:
        client.ingest([reading(1), reading(2)])
        answer = client.submit_task(1, [reading(3), reading(4, device=1)])
        assert [(task.window_start, task.window_end, task.count) for task in answer.tasks] == [(1, 5, 4)]
        assert answer.up_to == 5
        again = client.submit_task(1, [reading(sequence) for sequence in range(5, 40)])
        assert [task.count for task in again.tasks] == [16, 16, 3]


def test_submit_refuses_everything_when_one_reading_is_bad(streaming: Live) -> None:
    with streaming.client() as client:
        for bad, code in (
            (b"\x01", "W3B-1001"),
            (flipped(reading(2), 117), "W3B-1003"),
            (reading(2, project_id=2), "W3B-1006"),
        ):
            with pytest.raises(InvalidInput) as caught:
                client.submit_task(1, [reading(1), bad])
            assert (caught.value.code, caught.value.field) == (code, "readings[1]")
        with pytest.raises(InvalidInput) as caught:
            client.submit_task(1, [b"x"] * 1025)
        assert caught.value.code == "W3B-7010"
        with pytest.raises(NotFound):
            client.submit_task(9)
        assert client.get_intake(1).next_position == 1


def test_submit_without_readings_closes_what_is_open(streaming: Live) -> None:
    with streaming.client() as client:
        client.ingest([reading(1), reading(2), reading(3)])
        answer = client.submit_task(1)
        assert [(task.window_start, task.window_end, task.count) for task in answer.tasks] == [(1, 4, 3)]
        empty = client.submit_task(1)
        assert (list(empty.tasks), empty.up_to) == ([], 4)


def test_an_intake_that_stands_still_ends_the_wait(streaming: Live) -> None:
    import coordinator.api.submit as submit

    streaming.run(streaming.intake.stop())

    async def still(*_: object) -> list[object]:
        from coordinator.intake.stream import Published

        return [Published(1, False)]

    streaming.intake.publish = still  # type: ignore[assignment,method-assign]
    service = submit.Submit
    original = service.__init__.__defaults__
    service.__init__.__defaults__ = (0.3,)
    try:
        streaming.run(streaming.server.stop(0))
        streaming.server = streaming.new_server()
        host, port = streaming.run(streaming.server.start())
        streaming.target = f"{host}:{port}"
        with streaming.client() as client, pytest.raises(Unavailable) as caught:
            client.submit_task(1, [reading(1)])
        assert caught.value.code == "W3B-7012"
    finally:
        service.__init__.__defaults__ = original


def test_a_dead_da_layer_is_said_and_a_resend_loses_and_doubles_nothing(streaming: Live) -> None:
    original, fail_at = streaming.intake.publish, 2
    calls = 0

    async def sometimes(project_id: int, readings: object) -> object:
        nonlocal calls
        calls += 1
        if calls == fail_at:
            raise Unavailable("W3B-1008", "gone")
        return await original(project_id, readings)  # type: ignore[arg-type]

    with streaming.client() as client:
        assert client.ingest([reading(100, device=1)]).accepted == 1
    streaming.intake.publish = sometimes  # type: ignore[assignment,method-assign]
    stream = [reading(sequence) for sequence in range(1, 9)]
    with streaming.client() as client:
        with pytest.raises(Unavailable) as caught:
            client.ingest(stream, batch=4)
        assert caught.value.code == "W3B-1008"
        assert "4 readings were stored" in caught.value.message
        summary = client.ingest(stream, batch=4)
    assert (summary.accepted, summary.duplicates) == (4, 4)
    status = wait_for_intake(streaming, 9)
    assert not status.refused


def test_many_senders_at_once(streaming: Live) -> None:
    def send(device: int) -> int:
        with streaming.client() as client:
            return client.ingest(reading(n, device=device) for n in range(1, 41)).accepted

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(send, (0, 1))) == [40, 40]
    assert wait_for_intake(streaming, 80).next_position == 81


def test_dead_letters_page_by_page(streaming: Live) -> None:
    async def publish_behind_the_api() -> None:
        """What somebody with the DA layer's credentials can do."""
        stream = await streaming.intake._stream_of(1)
        for number in range(5):
            wire = flipped(reading(number + 1), 117)
            await stream._js.publish(f"da.1.{DEVICES[0].device.hex()}", wire)  # type: ignore[attr-defined]

    with streaming.client() as client:
        client.ingest([reading(100)])
        streaming.run(publish_behind_the_api())
        deadline = time.monotonic() + 20
        while client.get_intake(1).next_position < 7 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get_intake(1).refused == {"W3B-1003": 5}
        positions, token = [], ""
        while True:
            page = client.list_dead_letters(1, page_size=2, page_token=token)
            positions += [letter.position for letter in page.dead_letters]
            token = page.next_page_token
            if not token:
                break
        assert positions == [6, 5, 4, 3, 2]
        assert page.dead_letters[0].reading == flipped(reading(1), 117)
        with pytest.raises(InvalidInput):
            client.list_dead_letters(1, page_token="AAAA")
