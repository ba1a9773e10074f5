"""The pure parts: why a task waits, the charts' geometry, how times and amounts are written; and the command's link."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.cli.explorer import make_link
from coordinator.explorer import charts
from coordinator.explorer.queries.transactions import most_wei
from coordinator.explorer.templating import age, coins, exact, number, short
from coordinator.explorer.waits import AttemptSituation, Situation, TxSituation, explain, seconds_text
from coordinator.ledger.stages import Step, stage_lengths
from coordinator.ledger.transitions import TERMINAL_TASK_STATES, AttemptState, TaskState
from tests.explorer_basics import ADMIN_KEY, raw_transaction, secret_of
from tests.explorer_world import World
from verifier.errors import Denied, InvalidInput, Unavailable

OPEN = Situation(
    state=TaskState.OPEN,
    code="",
    reason="",
    kinds=("zkp.groth16",),
    threshold=1,
    proofs=0,
    pause_seconds=0.0,
    deadline_seconds=600.0,
    attempts_used=0,
    attempt_cap=5,
    project_paused=False,
    queue_ahead=6,
    idle=0,
    busy=2,
    offline=1,
    record=TxSituation(1, "FINAL"),
    live=(),
    block_number=None,
    head=100,
    final=96,
    finality_depth=0,
)


CONFIRMED = {"state": TaskState.FINAL, "block_number": 98, "confirm_kind": "zkp.groth16"}


@pytest.mark.parametrize(
    ("changes", "headline", "detail"),
    [
        ({}, "All 2 provers of kind zkp.groth16 are busy.", "Place 7 in the queue."),
        ({"busy": 0}, "No prover of kind zkp.groth16 is online.", "1 offline"),
        ({"idle": 1}, "A prover is idle", "Place 7"),
        ({"project_paused": True}, "The project is paused.", ""),
        ({"pause_seconds": 12.0, "attempts_used": 2, "reason": "lost"}, "Waits 12 s", "2 of 5 attempts"),
        ({"state": TaskState.RECEIVED, "record": None}, "Waiting for its record", ""),
        ({"state": TaskState.RECEIVED, "record": TxSituation(1, "QUEUED", 3)}, "waits in the outbox", "3 transactions"),
        (
            {"state": TaskState.RECEIVED, "record": TxSituation(1, "QUEUED", 0, 4, None, "W3B-5001", "no answer")},
            "Waiting to send its record in FleetManagement: no answer",
            "4 tries",
        ),
        (
            {"state": TaskState.SETTLED, "block_number": 98, "finality_depth": 6},
            "Settled in block 98, waiting for finality.",
            "Finality: 2 of 6 blocks on top.",
        ),
        ({"state": TaskState.SETTLED, "block_number": 98}, "Settled in block 98", "newest final block: block 96"),
        ({"state": TaskState.SETTLED, "block_number": 98, "head": None}, "not known", "does not answer"),
        ({"state": TaskState.FAILED, "code": "W3B-3005", "reason": "5 lost"}, "It failed: 5 lost", "W3B-3005"),
        (
            {**CONFIRMED, "confirmation": "AWAITED", "confirm_seconds": 200.0},
            "Done",
            "Settled in block 98. zkp.groth16 is to confirm it: within 3 min 20 s.",
        ),
        ({**CONFIRMED, "confirmation": "CONFIRMED"}, "Done", "zkp.groth16 has confirmed it."),
        ({**CONFIRMED, "confirmation": "MISSED"}, "Done", "not confirmed it in time"),
        ({**CONFIRMED, "confirmation": "CONTRADICTED"}, "Done", "another output"),
    ],
)
def test_each_wait_has_its_words(changes: dict[str, object], headline: str, detail: str) -> None:
    why = explain(dataclasses.replace(OPEN, **changes))  # type: ignore[arg-type]
    assert headline in why.headline
    assert detail in why.detail


def test_an_attempt_without_a_lease_is_told_from_one_with() -> None:
    attempt = AttemptSituation(AttemptState.PROVING, "zkp.groth16", "p-1", "proof", 0.5, 20.0, None, None)
    assert explain(dataclasses.replace(OPEN, live=(attempt,))).tone == "work"
    silent = dataclasses.replace(attempt, lease_seconds=-4.0)
    why = explain(dataclasses.replace(OPEN, live=(silent,)))
    assert why.tone == "stuck"
    assert "ran out 4.0 s ago" in why.detail


@given(
    st.sampled_from(TaskState), st.sampled_from(AttemptState), st.sampled_from(["QUEUED", "SENT", "MINED", "REFUSED"])
)
def test_every_situation_has_a_sentence(state: TaskState, attempt: AttemptState, tx: str) -> None:
    moved = TxSituation(1, tx, 0, 1, 5)
    live = AttemptSituation(attempt, "zkp.groth16", "p-1", "", 0.0, 1.0, moved, moved)
    for attempts in ((), (live,)):
        found = explain(dataclasses.replace(OPEN, state=state, live=attempts, record=moved, block_number=5))
        assert found.headline.endswith((".", ":")) or ":" in found.headline
        assert (found.tone in ("good", "bad")) <= (state in TERMINAL_TASK_STATES)


@given(st.lists(st.floats(0, 1e9), max_size=80))
def test_bars_stay_in_their_box(values: list[float]) -> None:
    drawn = charts.bars(values)
    for bar in drawn["bars"]:
        assert bar["x"] >= 0
        assert bar["x"] + bar["width"] <= charts.WIDTH + 0.1
        assert bar["y"] >= 0
        assert bar["y"] + bar["height"] <= charts.HEIGHT + 0.1
    assert drawn["top"] >= max(values, default=0)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), max_size=20), st.integers(0, 10**6))
def test_missing_ranges_stay_in_their_strip(ranges: list[tuple[int, int]], last: int) -> None:
    gaps = [{"first": min(a, b), "last": min(max(a, b), max(last, min(a, b))), "missing": 1} for a, b in ranges]
    for part in charts.sequence(gaps, last):
        assert 0 <= part["x"] <= charts.WIDTH


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=7))
def test_segments_fill_the_line(lengths: list[float]) -> None:
    drawn = charts.segments([{"name": "s", "ms": each} for each in lengths])
    assert not drawn or abs(sum(each["width"] for each in drawn) - charts.WIDTH) < 1


def test_times_and_amounts_read_plainly() -> None:
    assert [seconds_text(each) for each in (0.44, 12.9, 200, 7_500, 273_600)] == [
        "0.4 s", "12 s", "3 min 20 s", "2 h 5 min", "3 d 4 h",
    ]  # fmt: skip
    assert exact(1_772_366_400_000) == "2026-03-01 12:00:00 UTC"
    assert exact(2**63) == f"{2**63} ms"
    assert age(1_000, 13_000) == "12 s ago"
    assert age(13_000, 1_000) == "in 12 s"
    assert coins(123_456_789_000_000) == "0.000123457"
    assert coins(1) == "under 0.000000001"
    assert number(1234.5) == "1,234.5"
    assert short("0x" + "ab" * 32) == "0xabababab…ababab"
    assert most_wei(raw_transaction(7), 100_000) == 100_000 * 1_200_000_000
    assert most_wei(b"\x02\xff", 5) is None
    assert most_wei(b"\x01" + raw_transaction(7)[1:], 5) is None


def test_a_stage_gone_through_twice_ends_with_its_last_time() -> None:
    steps = [
        Step("task", "RECEIVED", None, 10),
        Step("task", "OPEN", None, 12),
        Step("attempt", "ASSIGNED", 1, 13),
        Step("attempt", "ASSIGNED", 2, 20),
        Step("task", "OPEN", None, 14),
    ]
    assert stage_lengths(4, steps, 2) == {"window": 6, "record": 4, "queue": 6}
    assert stage_lengths(4, steps, None) == {"window": 6, "record": 4}


async def test_the_command_makes_a_link_that_works(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("W3BSTREAM_HOME", str(world.home))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # the key is not shown to a proxy
    assert json.loads((world.home / "explorer.json").read_text()) == {"url": world.url}
    made = await asyncio.to_thread(make_link, None, ADMIN_KEY, "/tasks")
    assert made["url"].startswith(f"{world.url}/enter?token=")
    assert made["url"].endswith("&next=%2Ftasks")
    with pytest.raises(Denied, match="W3B-7002"):
        await asyncio.to_thread(make_link, None, secret_of(99), "/")
    with pytest.raises(Unavailable, match="W3B-7508"):
        await asyncio.to_thread(make_link, "http://127.0.0.1:1", ADMIN_KEY, "/")
    for readable in ("http://explorer.example", "file:///etc/passwd", "explorer.example"):
        with pytest.raises(InvalidInput, match="W3B-7016"):
            await asyncio.to_thread(make_link, readable, ADMIN_KEY, "/")
    (world.home / "admin.key").write_text(ADMIN_KEY)
    assert (await asyncio.to_thread(make_link, None, None, "/"))["url"].startswith(world.url)
    with pytest.raises(Denied, match=r"W3B-7001.*own explorer only"):
        await asyncio.to_thread(make_link, world.url, None, "/")
    monkeypatch.setenv("W3BSTREAM_HOME", str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="W3B-7508"):
        await asyncio.to_thread(make_link, None, ADMIN_KEY, "/")
    await world.server.stop()
    assert not (world.home / "explorer.json").exists()
