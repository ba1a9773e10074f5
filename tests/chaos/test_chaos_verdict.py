"""The verdict names each thing that is lost or doubled, and nothing where all holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator.chaos.facts import Accepted, DeadLetter, Facts
from coordinator.chaos.load import Record
from coordinator.chaos.receiver import Delivery
from coordinator.chaos.verdict import DOUBLED, LOST, judge
from coordinator.reconcile.report import Break
from verifier.error_codes import CODES

FINAL = "w3bstream.task.final"
ONE, TWO, NOISE = b"reading one", b"reading two", b"noise"


def whole() -> Facts:
    """Two tasks, two readings, a dead letter; every book agrees, and the receiver failed once."""
    return Facts(
        Record({(1, ONE), (1, TWO), (1, NOISE)}, {(1, 9)}),
        [Accepted(1, ONE, "0xa"), Accepted(1, TWO, "0xb")],
        [DeadLetter(1, 3, NOISE, "W3B-1005"), DeadLetter(1, 9, b"\0", "W3B-1001")],
        {"0xa": "FINAL", "0xb": "FINAL"},
        {"msg_a": "DELIVERED", "msg_b": "DELIVERED"},
        [
            Delivery("msg_a", "0xa", FINAL, 503),
            Delivery("msg_a", "0xa", FINAL, 204),
            Delivery("msg_b", "0xb", FINAL, 204),
        ],
    )


def test_what_is_whole_has_no_breaks() -> None:
    verdict = judge(whole())
    assert verdict.breaks == ()
    assert verdict.holds
    assert (verdict.accepted, verdict.proven, verdict.settled, verdict.notified) == (2, 2, 2, 2)
    assert (verdict.lost, verdict.doubled) == (0, 0)
    assert whole().at_rest()


def test_nothing_at_all_is_no_success() -> None:
    assert not judge(Facts(Record())).holds
    assert not Facts(Record()).at_rest()


LOSSES = {
    "an acknowledged reading": (replace(whole(), readings=whole().readings[:1]), ["W3B-8110"]),
    "an acknowledged repeat": (replace(whole(), dead=whole().dead[1:]), ["W3B-8110"]),
    "noise that NATS took": (replace(whole(), dead=whole().dead[:1]), ["W3B-8110"]),
    "a dead letter's reason": (
        replace(whole(), dead=[replace(whole().dead[0], code=""), whole().dead[1]]),
        ["W3B-8110"],
    ),
    "a reading of another project": (
        replace(whole(), readings=[whole().readings[0], replace(whole().readings[1], project_id=2)]),
        ["W3B-8110"],
    ),
    "a window that never closed": (
        replace(whole(), readings=[whole().readings[0], replace(whole().readings[1], task_id=None)]),
        ["W3B-8112"],
    ),
    "a window that is no task": (
        replace(whole(), readings=[whole().readings[0], replace(whole().readings[1], task_id="0xc")]),
        ["W3B-8112"],
    ),
    "a task that failed": (replace(whole(), tasks={"0xa": "FINAL", "0xb": "FAILED"}), ["W3B-8112"]),
    "a webhook": (replace(whole(), deliveries=whole().deliveries[:2]), ["W3B-8113"]),
    "a webhook that only ever failed": (
        replace(whole(), deliveries=[whole().deliveries[0], whole().deliveries[2]]),
        ["W3B-8113"],
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_planted_loss_is_seen(name: str) -> None:
    facts, codes = LOSSES[name]
    verdict = judge(facts)
    assert [each.code for each in verdict.breaks] == codes
    assert (verdict.lost, verdict.doubled) == (len(codes), 0)
    assert not verdict.holds


DOUBLES = {
    "a reading": (replace(whole(), readings=[*whole().readings, Accepted(1, ONE, "0xb")]), ["W3B-8111"]),
    "a webhook's id": (
        replace(whole(), deliveries=[*whole().deliveries, Delivery("msg_c", "0xa", FINAL, 204)]),
        ["W3B-8114"],
    ),
    "a webhook for no task": (
        replace(whole(), deliveries=[*whole().deliveries, Delivery("msg_c", "0xc", FINAL, 204)]),
        ["W3B-8114"],
    ),
    "a webhook that is forged": (
        replace(whole(), deliveries=[*whole().deliveries, Delivery("msg_a", "", "", 401)]),
        ["W3B-8114"],
    ),
}


@pytest.mark.parametrize("name", DOUBLES)
def test_a_planted_double_is_seen(name: str) -> None:
    facts, codes = DOUBLES[name]
    verdict = judge(facts)
    assert [each.code for each in verdict.breaks] == codes
    assert (verdict.lost, verdict.doubled) == (0, len(codes))
    assert not verdict.holds


@pytest.mark.parametrize("code", sorted(code for code in CODES if "W3B-5020" <= code <= "W3B-5030"))
def test_what_the_service_s_own_comparison_finds_counts(code: str) -> None:
    verdict = judge(whole(), [Break(code, "task 0xa", "planted")])
    assert not verdict.holds
    assert (verdict.lost, verdict.doubled) == (code in LOST, code in DOUBLED)


def test_no_code_is_a_loss_and_a_double() -> None:
    assert not LOST & DOUBLED
    assert set(CODES) >= LOST | DOUBLED


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": {"0xa": "FINAL", "0xb": "OPEN"}},
        {"messages": {"msg_a": "PENDING"}},
        {"readings": [Accepted(1, ONE, None), Accepted(1, TWO, "0xb")]},
        {"readings": [Accepted(1, ONE, "0xa")]},
        {"dead": whole().dead[:1]},
    ],
)
def test_work_under_way_is_not_rest(change: dict[str, object]) -> None:
    assert not replace(whole(), **change).at_rest()  # type: ignore[arg-type]
