"""What must hold: a window's completeness follows from the stream and the window's bounds alone, exactly as
docs/reference/encodings.md §2.1 defines it, however the messages were batched, redelivered, or cut off by a crash."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from intake_world import CAPACITY, PROGRAMS, add_project, add_version, reading
from sqlmodel import col, select

from coordinator.intake import recorder as recorder_module
from coordinator.intake.completeness import Arrivals, WindowRows, count_arrivals
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.recorder import Recorder
from coordinator.intake.windows import CloseReason, Closing
from coordinator.ledger.openings import completeness_of, opening_of
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import TaskRow
from verifier.completeness import MOST_DUPLICATES, Completeness
from verifier.reading import KeyType, Reading

Sent = tuple[int, int, bool]
"""(device, sequence, whether the device signed it)."""
STREAMS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 14), st.sampled_from([True, True, True, False])), max_size=40
)
SHUFFLED: list[Sent] = [
    (0, 1, True),
    (0, 3, True),
    (0, 2, True),
    (0, 3, True),
    (0, 9, True),
    (0, 4, True),
    (0, 4, True),
]
_projects = itertools.count(1)


def expected(stream: Sequence[Sent]) -> list[tuple[int, int, Completeness]]:
    """(start, end, completeness) of every full window, word for word by the definitions. Positions count from 1."""
    taken: dict[tuple[int, int], int] = {}
    repeats: list[int] = []
    windows, start, members = [], 1, list[tuple[int, int]]()
    for position, (device, sequence, signed) in enumerate(stream, 1):
        if not signed:
            continue
        if (device, sequence) in taken:
            repeats.append(position)
            continue
        taken[device, sequence] = position
        members.append((device, sequence))
        if len(members) == CAPACITY:
            windows.append((start, position + 1, _of_window(start, position + 1, members, taken, repeats)))
            start, members = position + 1, []
    return windows


def _of_window(
    start: int, end: int, members: list[tuple[int, int]], taken: dict[tuple[int, int], int], repeats: list[int]
) -> Completeness:
    missing = 0
    for device in {device for device, _ in members}:
        numbers = {sequence for each, sequence in members if each == device}
        missing += len(set(range(min(numbers), max(numbers))) - numbers)

    def above(device: int, sequence: int, before: int) -> bool:
        return any(d == device and s > sequence and at < before for (d, s), at in taken.items())

    reordered = sum(above(device, sequence, taken[device, sequence]) for device, sequence in members)
    late = sum(above(device, sequence, start) for device, sequence in members)
    return Completeness(missing, sum(start <= at < end for at in repeats), late, reordered)


def test_the_definitions_on_an_example() -> None:
    """1 3 2 3' 9 | 4 4' …: 2 is behind 3 in its own window, 4 behind 9 in the one before."""
    stream = [*SHUFFLED, (0, 10, True), (0, 5, True), (0, 11, True)]
    assert expected(stream) == [(1, 6, Completeness(5, 1, 0, 1)), (6, 11, Completeness(4, 1, 2, 2))]


def messages(project: int, stream: Sequence[Sent], now: int) -> list[StreamMessage]:
    made = []
    for position, (device, sequence, signed) in enumerate(stream, 1):
        sent = reading(sequence, device, project)
        wire = sent.to_wire() if signed else sent.to_wire()[:-1] + b"\x08"
        made.append(StreamMessage(position, sent.subject(), wire, now))
    return made


class Cut(Exception):
    """The process died before its transaction was committed."""


@pytest.fixture
def pool() -> Iterator[CryptoPool]:
    made = CryptoPool(0)
    yield made
    made.close()


async def take(
    ledger: Ledger, pool: CryptoPool, stream: Sequence[Sent], sizes: Sequence[int], crashes: Sequence[bool]
) -> list[TaskRow]:
    """Put the stream through the intake, in batches of these sizes, each begun again after a crash where one is due."""
    project = next(_projects)
    await add_project(ledger, project)
    await add_version(ledger, project_id=project)
    sent = messages(project, stream, ledger.clock())
    turns, done = itertools.cycle(zip(sizes, itertools.cycle(crashes), strict=False)), 0
    while done < len(sent):
        size, crash = next(turns)
        # The last message comes again, as it does where its acknowledgement was lost.
        delivered = sent[max(done - 1, 0) : done + size]
        if crash:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(recorder_module, "write_batch", _write_and_die)
                with pytest.raises(Cut):
                    await Recorder(ledger, pool, project, PROGRAMS).turn(sent[max(done - 1, 0) : done + size + 2])
        turn = await Recorder(ledger, pool, project, PROGRAMS).turn(delivered)
        done = turn.next_position - 1
    async with ledger.reading() as session:
        found = await session.exec(
            select(TaskRow).where(TaskRow.project_id == project).order_by(col(TaskRow.window_start))
        )
        return list(found)


_write_batch = recorder_module.write_batch


def _write_and_die(*arguments: Any) -> None:
    _write_batch(*arguments)
    raise Cut


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(STREAMS, st.lists(st.integers(2, 11), min_size=1, max_size=5), st.lists(st.booleans(), min_size=1, max_size=4))
@example([*SHUFFLED, (0, 10, True), (0, 5, True), (0, 11, True)], [2, 3], [True, False])
def test_the_intake_counts_by_the_definitions(
    ledger_url: str, pool: CryptoPool, stream: list[Sent], sizes: list[int], crashes: list[bool]
) -> None:
    async def run() -> list[TaskRow]:
        ledger = Ledger(ledger_url)
        try:
            return await take(ledger, pool, stream, sizes, crashes)
        finally:
            await ledger.close()

    tasks = asyncio.run(run())
    assert [(task.window_start, task.window_end, completeness_of(task)) for task in tasks] == expected(stream)
    for task in tasks:
        assert task.inputs == "0x" + opening_of(task).commitment().hex()


def plain(device: int, sequence: int) -> Reading:
    return Reading(1, bytes(19) + bytes([device]), sequence, 0, b"", KeyType.BABYJUBJUB, bytes(64))


@settings(max_examples=300, deadline=None)
@given(STREAMS, st.integers(0, 40))
def test_the_counts_do_not_depend_on_where_a_batch_ends(stream: list[Sent], cut: int) -> None:
    """The same windows, once counted from one batch, once with the first part of it in the ledger."""
    first: dict[tuple[int, int], int] = {}
    for position, (device, sequence, signed) in enumerate(stream, 1):
        if signed:
            first.setdefault((device, sequence), position)
    placed = sorted((at, plain(*name)) for name, at in first.items()) if first else []
    repeated = [at for at, (*_, signed) in enumerate(stream, 1) if signed and at not in first.values()]
    closings = [Closing(start, end, CAPACITY, 0, CloseReason.COUNT) for start, end, _ in expected(stream)]
    whole = count_arrivals(closings, WindowRows(), placed, repeated, {})
    assert [Completeness(0, *each.behind) for each in whole] == [
        Completeness(0, each.duplicates, each.late, each.reordered) for *_, each in expected(stream)
    ]
    later = [closing for closing in closings if closing.end > cut + 1]
    if later:
        assert count_arrivals(later, *_in_two(later[0].start, cut + 1, placed, repeated)) == whole[-len(later) :]


def _in_two(
    start: int, cut: int, placed: Sequence[tuple[int, Reading]], repeated: Sequence[int]
) -> tuple[WindowRows, list[tuple[int, Reading]], list[int], dict[bytes, int]]:
    """What the ledger holds of the window at `start` when everything below `cut` is taken, and what is still to come."""

    def highest(before: int) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for at, each in placed:
            if at < before:
                found[each.device] = max(each.sequence, found.get(each.device, 0))
        return found

    held = [(at, each) for at, each in placed if start <= at < cut]
    marks = highest(start)
    rows = WindowRows(
        held, sum(start <= at < cut for at in repeated), {each.device: marks.get(each.device) for _, each in held}
    )
    come = [(at, each) for at, each in placed if at >= max(cut, start)]
    return rows, come, [at for at in repeated if at >= max(cut, start)], highest(max(cut, start))


def test_a_window_counts_only_what_is_inside_it() -> None:
    closing = Closing(5, 9, 1, 0, CloseReason.FLUSH)
    counted = count_arrivals([closing], WindowRows(), [(4, plain(1, 1)), (6, plain(1, 2))], [4, 5, 8, 9], {})
    assert counted == [Arrivals((plain(1, 2),), 2, 0, 0)]


def test_no_flood_of_repeats_is_more_than_the_ledger_holds() -> None:
    closing = Closing(5, 2**40, 1, 0, CloseReason.TIME)
    (counted,) = count_arrivals([closing], WindowRows(duplicates=2**33), [(6, plain(1, 2))], [7], {})
    assert counted.duplicates == MOST_DUPLICATES == 2**31 - 1
