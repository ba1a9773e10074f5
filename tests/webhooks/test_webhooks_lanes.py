"""What must hold: no endpoint takes another's place, and no message is held twice or for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.webhooks.lanes import LANE_SECONDS, Lanes
from coordinator.webhooks.outbox import Due, Message, Target

PER_ENDPOINT = 4


def target(name: str) -> Target:
    return Target(name, 1, "https://example.com/", ("whsec_",), 0)


def lot(name: str, count: int, first: int = 0) -> Due:
    return Due(((target(name), tuple(Message(f"{name}-{at}", b"", 0) for at in range(first, first + count))),), None)


def taken(lanes: Lanes, now: float = 0.0) -> list[str]:
    found = []
    while (each := lanes.take(now)) is not None:
        found.append(each[1].id)
    return found


def test_an_endpoint_has_its_connections_and_no_more() -> None:
    lanes = Lanes(PER_ENDPOINT, 100)
    for name in ("slow", "quick"):
        lanes.add(lot(name, 10), 0.0)
    assert sorted(taken(lanes)) == sorted(f"{name}-{at}" for name in ("slow", "quick") for at in range(PER_ENDPOINT))
    lanes.landed("quick", answered=True)
    assert taken(lanes) == ["quick-4"]


def test_the_next_of_an_endpoint_keeps_its_bounds() -> None:
    lanes = Lanes(PER_ENDPOINT, 100)
    lanes.add(lot("a", 3), 0.0)
    assert lanes.next_of("b", 0.0) is None
    first = lanes.next_of("a", 0.0)
    assert first is not None
    assert first[1].id == "a-0"
    lanes.landed("a", answered=False)
    assert lanes.next_of("a", 0.0) is not None, "one while it is silent"
    assert lanes.next_of("a", 0.0) is None
    lanes.landed("a", answered=True)
    assert lanes.next_of("a", LANE_SECONDS + 1) is None, "it is to be read again"
    assert lanes.next_of("a", 0.0) is not None


def test_a_silent_endpoint_has_one_until_it_answers() -> None:
    lanes = Lanes(PER_ENDPOINT, 100)
    lanes.add(lot("slow", 10), 0.0)
    for number, message in enumerate(taken(lanes)):
        lanes.landed("slow", answered=False)
        lanes.release("slow", message)
        assert number < PER_ENDPOINT
    assert taken(lanes) == ["slow-4"]
    assert taken(lanes) == []
    lanes.landed("slow", answered=True)
    assert len(taken(lanes)) == PER_ENDPOINT


def test_what_waited_too_long_is_read_again() -> None:
    lanes = Lanes(PER_ENDPOINT, 100)
    lanes.add(lot("a", 10), 0.0)
    flying = taken(lanes)
    late = LANE_SECONDS + 1
    lanes.landed("a", answered=True)
    assert taken(lanes, late) == [], "its keys and its state may have changed"
    assert lanes.room(late).held["a"] == frozenset(flying), "what flies or is not recorded stays held"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=20), st.integers(1, 60))
def test_the_total_is_kept_and_everything_comes_out_once(lots: list[tuple[str, int]], total: int) -> None:
    lanes = Lanes(PER_ENDPOINT, total)
    seen: list[str] = []
    first = 0
    for name, wanted in lots:
        room = lanes.room(0.0)
        count = max(0, min(wanted, room.places.get(name, room.usual), room.total))
        if count:
            lanes.add(lot(name, count, first), 0.0)
        first += count
        assert sum(len(held) for held in lanes.room(0.0).held.values()) <= total
        while (found := lanes.take(0.0)) is not None:
            seen.append(found[1].id)
            lanes.landed(found[0].id, answered=True)
            lanes.release(found[0].id, found[1].id)
    assert len(seen) == len(set(seen)) == first
    assert lanes.room(0.0).total == total
