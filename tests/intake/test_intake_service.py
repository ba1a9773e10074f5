"""The intake end to end, over a real nats-server and a real SQLite ledger: every message ends in exactly one window or
in the dead letters with its reason."""

from __future__ import annotations

import asyncio
from typing import Any

import nats
import pytest
from intake_world import CAPACITY, KEYS, PROGRAMS, add_project, add_version, reading, until
from sqlmodel import col, select

from coordinator.intake import status
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import (
    DeadLetterRow,
    GapRow,
    ProjectRow,
    ProjectVersionRow,
    ReadingRow,
    StreamCursorRow,
    TaskEventRow,
    TaskRow,
)
from verifier.commitment import POSEIDON_BN254_V1
from verifier.completeness import Completeness
from verifier.errors import NotFound, Refused
from verifier.reading import Reading
from verifier.statement import Opening, task_id


async def rows(ledger: Ledger, table: Any) -> list[Any]:
    async with ledger.reading() as session:
        return list(await session.exec(select(table)))


async def taken(ledger: Ledger, next_position: int) -> StreamCursorRow:
    """Wait until the cursor reached `next_position`."""

    async def look() -> StreamCursorRow | None:
        async with ledger.reading() as session:
            row = await session.get(StreamCursorRow, 1)
            return row if row is not None and row.next_position >= next_position else None

    found: StreamCursorRow = await until(look)
    return found


async def ready(ledger: Ledger, intake: Intake) -> None:
    """A project with a published version whose stream is there."""
    await add_project(ledger)
    await add_version(ledger)
    await until(lambda: has_stream(intake))


async def has_stream(intake: Intake) -> bool:
    try:
        await intake.publish(1, [])
    except NotFound:
        return False
    return True


async def publish_raw(server: EmbeddedNats, subject: str, data: bytes) -> int:
    """Publish as somebody with the DA layer's credentials could."""
    client = await nats.connect(server.url)
    position: int = (await client.jetstream().publish(subject, data)).seq
    await client.close()
    return position


async def test_a_full_window_becomes_a_task_with_the_right_inputs(ledger: Ledger, intake: Intake) -> None:
    await ready(ledger, intake)
    sent = [reading(1, device=1), reading(1, device=0), reading(2, device=0), reading(2, device=1), reading(3)]
    published = await intake.publish(1, sent)
    assert [each.position for each in published] == [1, 2, 3, 4, 5]
    cursor = await taken(ledger, 6)
    assert (cursor.window_start, cursor.open_count) == (5, 1)

    (task,) = await rows(ledger, TaskRow)
    devices = [KEYS[0].registration(), KEYS[1].registration()]
    ordered = POSEIDON_BN254_V1.order_readings(sent[:4], devices)
    roots = POSEIDON_BN254_V1.readings_root(ordered, CAPACITY), POSEIDON_BN254_V1.device_set_root(devices)
    opening = Opening(*roots, 1, 5, 4, Completeness())
    assert task.id == "0x" + task_id(1, 1, 1, 5).hex()
    assert task.inputs == "0x" + opening.commitment().hex()
    assert task.readings_root == "0x" + opening.readings_root.hex()
    assert (task.window_start, task.window_end, task.count, task.state) == (1, 5, 4, "RECEIVED")
    assert (task.kinds, task.threshold, task.provenance) == (["zkp.groth16"], 1, "in-proof")
    assert task.deadline_at == task.created_at + 600_000
    (birth,) = await rows(ledger, TaskEventRow)
    assert (birth.task_id, birth.source, birth.target) == (task.id, "", "RECEIVED")
    by_position = {row.position: row for row in await rows(ledger, ReadingRow)}
    assert [by_position[p].task_id for p in range(1, 6)] == [task.id] * 4 + [None]
    assert by_position[2].wire == sent[1].to_wire()


def forged(change: str) -> tuple[str, bytes]:
    """(subject, data) of a message that must be refused."""
    good = reading(9)
    wire = good.to_wire()
    other = KEYS[2].sign(1, 1, 1, b"\0\0\0\1")
    messages: dict[str, tuple[str, bytes]] = {
        "empty": (good.subject(), b""),
        "truncated": (good.subject(), wire[:-1]),
        "trailing byte": (good.subject(), wire + b"\0"),
        "unknown version": (good.subject(), b"\x02" + wire[1:]),
        "too large": (good.subject(), wire[:110] + (5000).to_bytes(4, "big") + bytes(5000)),
        "flipped signature bit": (good.subject(), wire[:10] + bytes([wire[10] ^ 1]) + wire[11:]),
        "changed payload": (good.subject(), wire[:-1] + bytes([wire[-1] ^ 1])),
        "another device's key": (
            good.subject(),
            Reading(1, good.device, 9, 9, b"\0\0\0\1", good.key_type, reading(9, device=1).signature).to_wire(),
        ),
        "unknown device": (other.subject(), other.to_wire()),
        "payload of 5 bytes": (good.subject(), KEYS[0].sign(1, 9, 9, b"\0\0\0\0\1").to_wire()),
        "another project's reading": (good.subject(), reading(9, project=2).to_wire()),
        "another device's subject": (f"da.1.{KEYS[1].device.hex()}", wire),
        "subject in capitals": (f"da.1.{KEYS[0].device.hex().upper()}", wire),
        "sequence past the ledger": (good.subject(), KEYS[0].sign(1, 1 << 63, 9, b"\0\0\0\1").to_wire()),
    }
    return messages[change]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("empty", "W3B-1001"),
        ("truncated", "W3B-1001"),
        ("trailing byte", "W3B-1001"),
        ("unknown version", "W3B-1001"),
        ("too large", "W3B-1002"),
        ("flipped signature bit", "W3B-1003"),
        ("changed payload", "W3B-1003"),
        ("another device's key", "W3B-1003"),
        ("unknown device", "W3B-1004"),
        ("payload of 5 bytes", "W3B-1007"),
        ("another project's reading", "W3B-1009"),
        ("another device's subject", "W3B-1009"),
        ("subject in capitals", "W3B-1009"),
        ("sequence past the ledger", "W3B-1001"),
    ],
)
async def test_a_bad_message_is_a_dead_letter_and_stops_nothing(
    ledger: Ledger, intake: Intake, server: EmbeddedNats, change: str, code: str
) -> None:
    await ready(ledger, intake)
    subject, data = forged(change)
    await publish_raw(server, subject, data)
    await intake.publish(1, [reading(1)])
    cursor = await taken(ledger, 3)
    (letter,) = await rows(ledger, DeadLetterRow)
    assert (letter.position, letter.code, letter.wire) == (1, code, data[:8192])
    (kept,) = await rows(ledger, ReadingRow)
    assert (kept.position, kept.sequence, cursor.open_count) == (2, 1, 1)


async def test_repeats_gaps_and_late_readings(ledger: Ledger, intake: Intake, server: EmbeddedNats) -> None:
    await ready(ledger, intake)
    await intake.publish(1, [reading(1), reading(5)])
    await taken(ledger, 3)
    await intake.publish(1, [reading(3)])  # late: fills the gap 2 to 4
    await taken(ledger, 4)
    assert [row.missing for row in await rows(ledger, GapRow)] == [2]
    for again in (reading(3), reading(5), reading(3, value=8)):  # replayed outside the DA layer's own deduplication
        await publish_raw(server, again.subject(), again.to_wire())
    await taken(ledger, 7)
    async with ledger.reading() as session:
        stats = await status.stats(session, 1)
    assert (stats.accepted, stats.refused, stats.duplicates, stats.missing) == (3, {"W3B-1005": 2, "W3B-1050": 1}, 2, 2)
    assert [(gap.first_missing, gap.last_missing, gap.missing) for gap in stats.gaps] == [(2, 4, 2)]
    assert (stats.next_position, stats.window_start, stats.open_readings, stats.paused) == (7, 1, 3, False)


async def test_the_da_layer_drops_a_resend(ledger: Ledger, intake: Intake) -> None:
    await ready(ledger, intake)
    first = await intake.publish(1, [reading(1)])
    again = await intake.publish(1, [reading(1)])
    assert (first[0].position, first[0].duplicate) == (again[0].position, not again[0].duplicate)


async def test_a_flush_closes_what_is_there(ledger: Ledger, intake: Intake) -> None:
    await ready(ledger, intake)
    last = (await intake.publish(1, [reading(1), reading(2)]))[-1].position
    async with ledger.transaction() as session:
        await status.request_flush(session, 1, last + 1)
    (task,) = await until(lambda: rows(ledger, TaskRow))
    assert (task.window_start, task.window_end, task.count) == (1, 3, 2)
    (cursor,) = await rows(ledger, StreamCursorRow)
    assert (cursor.flush_to, cursor.window_start, cursor.open_count) == (0, 3, 0)


async def test_a_window_closes_by_time(ledger: Ledger, intake: Intake) -> None:
    await add_project(ledger)
    await add_version(ledger, seconds=0.3)
    await until(lambda: has_stream(intake))
    await intake.publish(1, [reading(1)])
    (task,) = await until(lambda: rows(ledger, TaskRow))
    assert task.count == 1
    assert 300 <= task.created_at - task.first_reading_at < 5000


async def test_no_window_spans_two_versions(ledger: Ledger, intake: Intake) -> None:
    await ready(ledger, intake)
    await intake.publish(1, [reading(1), reading(2)])
    await taken(ledger, 3)
    await add_version(ledger, 2, devices=(1, 2))
    (task,) = await until(lambda: rows(ledger, TaskRow))
    assert (task.version, task.window_start, task.window_end, task.count) == (1, 1, 3, 2)
    versions = {row.version: row.first_position for row in await rows(ledger, ProjectVersionRow)}
    assert versions == {1: 1, 2: 3}
    # Device 0 has left, device 2 has joined.
    await intake.publish(1, [reading(3, device=0), reading(1, device=2)])
    await taken(ledger, 5)
    (letter,) = await rows(ledger, DeadLetterRow)
    assert (letter.position, letter.code) == (3, "W3B-1004")
    assert [(row.version, row.position) for row in await rows(ledger, ReadingRow)][-1] == (2, 4)


async def test_readings_wait_until_a_version_is_published(ledger: Ledger, intake: Intake) -> None:
    await add_project(ledger)
    await add_version(ledger, state="PENDING")
    await asyncio.sleep(0.3)
    with pytest.raises(NotFound, match="W3B-1006"):
        await intake.publish(1, [reading(1)])
    with pytest.raises(NotFound, match="W3B-1006"):
        await intake.admission(1)
    assert await rows(ledger, StreamCursorRow) == []


async def test_a_paused_project_takes_nothing_and_loses_nothing(ledger: Ledger, intake: Intake) -> None:
    await ready(ledger, intake)
    await intake.publish(1, [reading(1)])
    await taken(ledger, 2)
    await set_state(ledger, "PAUSED")
    await asyncio.sleep(0.3)
    with pytest.raises(NotFound, match="W3B-1006"):
        await intake.admission(1)
    await intake.publish(1, [reading(2)])  # somebody publishes all the same
    await asyncio.sleep(0.3)
    assert len(await rows(ledger, ReadingRow)) == 1
    await set_state(ledger, "ACTIVE")
    await taken(ledger, 3)
    assert [row.sequence for row in await rows(ledger, ReadingRow)] == [1, 2]


async def set_state(ledger: Ledger, state: str) -> None:
    async with ledger.transaction() as session:
        project = await session.get(ProjectRow, 1)
        assert project is not None
        project.state = state
        session.add(project)


async def test_admission_refuses_before_publishing_what_the_intake_would_refuse(ledger: Ledger, intake: Intake) -> None:
    await ready(ledger, intake)
    admission = await intake.admission(1)
    assert admission.admit(reading(1).to_wire()) == reading(1)
    wire = reading(1).to_wire()
    with pytest.raises(Refused, match="W3B-1003"):
        admission.admit(wire[:-1] + bytes([wire[-1] ^ 1]))
    with pytest.raises(Refused, match="W3B-1004"):
        admission.admit(reading(1, device=2).to_wire())
    with pytest.raises(Refused, match="W3B-1009"):
        admission.admit(reading(1, project=2).to_wire())
    with pytest.raises(NotFound, match="W3B-1006"):
        await intake.admission(77)


async def test_projects_do_not_disturb_each_other(ledger: Ledger, intake: Intake) -> None:
    await ready(ledger, intake)
    await add_project(ledger, 2)
    await add_version(ledger, project_id=2)
    await until(lambda: has_project_stream(intake, 2))
    for sequence in range(1, CAPACITY + 1):
        await intake.publish(1, [reading(sequence)])
        await intake.publish(2, [reading(sequence, project=2)])
    tasks = await until(lambda: two_tasks(ledger))
    assert {task.project_id for task in tasks} == {1, 2}
    assert len({task.id for task in tasks}) == 2
    assert tasks[0].readings_root != tasks[1].readings_root


async def has_project_stream(intake: Intake, project_id: int) -> bool:
    try:
        await intake.publish(project_id, [])
    except NotFound:
        return False
    return True


async def two_tasks(ledger: Ledger) -> list[Any]:
    tasks = await rows(ledger, TaskRow)
    return tasks if len(tasks) == 2 else []


async def test_dead_letters_are_listed_newest_first(ledger: Ledger, intake: Intake, server: EmbeddedNats) -> None:
    await ready(ledger, intake)
    for index in range(5):
        await publish_raw(server, reading(1).subject(), bytes([index]))
    await taken(ledger, 6)
    async with ledger.reading() as session:
        newest = await status.dead_letters(session, 1, limit=2)
        older = await status.dead_letters(session, 1, before=newest[-1].position, limit=2)
    assert [row.position for row in newest + older] == [5, 4, 3, 2]


async def test_a_batch_through_worker_processes(ledger: Ledger, server: EmbeddedNats, tmp_path: Any) -> None:
    from coordinator.settings import Settings
    from verifier.reading import DeviceKey, KeyType

    await add_project(ledger)
    await add_version(ledger)
    key = DeviceKey.from_private(KeyType.BABYJUBJUB, bytes(31) + b"\x05")
    async with ledger.transaction() as session:
        from coordinator.ledger.tables import DeviceRow

        session.add(
            DeviceRow(
                project_id=1,
                version=1,
                position=2,
                device=f"0x{key.device.hex()}",
                key_type=int(key.key_type),
                public_key=f"0x{key.public_key.hex()}",
            )
        )
    intake = Intake(ledger, Settings(home=tmp_path), server.url, workers=1, programs=PROGRAMS)
    running = asyncio.create_task(intake.run())
    try:
        await until(lambda: has_stream(intake))
        good = [key.sign(1, sequence, sequence, b"\0\0\0\1") for sequence in range(1, 41)]
        bad = Reading(1, key.device, 99, 1, b"\0\0\0\2", key.key_type, good[0].signature)
        await intake.publish(1, [*good, bad])
        await taken(ledger, 42)
        assert len(await rows(ledger, TaskRow)) == 10
        assert [letter.code for letter in await rows(ledger, DeadLetterRow)] == ["W3B-1003"]
    finally:
        await intake.stop()
        await running
    async with ledger.reading() as session:
        unowned = await session.exec(select(ReadingRow).where(col(ReadingRow.task_id).is_(None)))
        assert list(unowned) == []
