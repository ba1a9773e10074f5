"""Which message goes next: a lane for each endpoint, so that one endpoint's trouble is its own. No effects in here."""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from dataclasses import dataclass, field

from coordinator.webhooks.outbox import Due, Message, Room, Target

LANE_SECONDS = 1.0
"""Messages that waited longer are read from the ledger again, with the endpoint's keys and state of then."""
_AHEAD = 32
"""Messages read ahead, for each connection that the endpoint may have."""


@dataclass
class Lane:
    """An endpoint at work."""

    target: Target
    read_at: float
    """Monotonic seconds of the read that `target` comes from."""
    waiting: deque[Message] = field(default_factory=deque)
    flying: int = 0
    """POSTs under way."""
    held: set[str] = field(default_factory=set)
    """Ids of messages that wait, fly, or flew and are not recorded yet."""
    silent: bool = False
    """The last try brought no answer at all."""


class Lanes:
    """The lanes of one sender.

    Parameters: at most `per_endpoint` POSTs at once to an endpoint, one while it does not answer; `total` messages at
    most are held in memory.
    """

    def __init__(self, per_endpoint: int, total: int) -> None:
        self._per_endpoint = per_endpoint
        self._total = total
        self._lanes: dict[str, Lane] = {}

    def _width(self, lane: Lane) -> int:
        return 1 if lane.silent else self._per_endpoint

    def _places(self, lane: Lane) -> int:
        depth = _AHEAD * self._width(lane)
        # Half a lane at a time: a read costs the same for one message as for many.
        return depth - len(lane.waiting) if 2 * len(lane.waiting) <= depth else 0

    def room(self, now: float, recorded: Set[str] = frozenset()) -> Room:
        """What can be read now; messages that waited too long are dropped from their lanes first.

        `recorded` are those whose tries are recorded in the transaction of the read: they may come again at once.
        """
        for lane in self._lanes.values():
            if now - lane.read_at > LANE_SECONDS:
                lane.held.difference_update(message.id for message in lane.waiting)
                lane.waiting.clear()
        return Room(
            held={name: frozenset(lane.held - recorded) for name, lane in self._lanes.items()},
            places={name: self._places(lane) for name, lane in self._lanes.items()},
            usual=_AHEAD * self._per_endpoint,
            total=self._total - sum(len(lane.held) for lane in self._lanes.values()),
        )

    def add(self, due: Due, now: float) -> None:
        """Put what was read into the lanes; `now` is when the read returned."""
        for target, messages in due.lots:
            lane = self._lanes.setdefault(target.id, Lane(target, now))
            lane.target, lane.read_at = target, now
            lane.waiting.extend(messages)
            lane.held.update(message.id for message in messages)

    def next_of(self, endpoint_id: str, now: float) -> tuple[Target, Message] | None:
        """The next message to the same endpoint. For a sender that has a free place for every endpoint: else `take` is
        fairer."""
        lane = self._lanes.get(endpoint_id)
        if lane is None or not lane.waiting or lane.flying >= self._width(lane) or now - lane.read_at > LANE_SECONDS:
            return None
        lane.flying += 1
        return lane.target, lane.waiting.popleft()

    def take(self, now: float) -> tuple[Target, Message] | None:
        """The next message to send: of the endpoint with the fewest POSTs under way."""
        open_lanes = [
            lane
            for lane in self._lanes.values()
            if lane.waiting and lane.flying < self._width(lane) and now - lane.read_at <= LANE_SECONDS
        ]
        if not open_lanes:
            return None
        lane = min(open_lanes, key=lambda lane: lane.flying)
        lane.flying += 1
        return lane.target, lane.waiting.popleft()

    def landed(self, endpoint_id: str, *, answered: bool) -> None:
        """A POST has ended."""
        lane = self._lanes[endpoint_id]
        lane.flying -= 1
        lane.silent = not answered

    def release(self, endpoint_id: str, message_id: str) -> None:
        """A message's try is recorded, or was given up; whatever is to come of it is read anew."""
        lane = self._lanes[endpoint_id]
        lane.held.discard(message_id)
        # A silent endpoint stays known, or its next messages would take all its connections again.
        if not lane.held and not lane.silent:
            del self._lanes[endpoint_id]

    def target(self, endpoint_id: str) -> Target:
        """The endpoint as last read; it has a message that is not released."""
        return self._lanes[endpoint_id].target
