"""The webhook outbox in the ledger: which messages are due, and what came of many tries, in one transaction.

Plain statements over a connection (`Ledger.read`, `Ledger.write`): a delivery costs the ledger a share of a few
statements and of one commit, not a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Connection, bindparam, false, func, insert, or_, select, update
from sqlmodel import col

from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow

PENDING, DELIVERED, DEAD = "PENDING", "DELIVERED", "DEAD"
_MESSAGE, _ENDPOINT = WebhookMessageRow, WebhookEndpointRow


@dataclass(frozen=True)
class Target:
    """An endpoint as it was when its messages were read."""

    id: str
    project_id: int
    url: str
    keys: tuple[str, ...] = field(repr=False)
    """`whsec_…` and `whsk_…`, all that sign now, the newest first."""
    failing_since: int
    """Milliseconds; 0 while it works."""


@dataclass(frozen=True)
class Message:
    """A message that is due."""

    id: str
    body: bytes
    tries: int
    """Failed or unrecorded tries so far; also what says that nobody else changed it meanwhile."""
    timestamp: str = ""
    """Unix seconds of the signature; empty until it is signed."""
    signature: str = ""
    """The header's text; empty until it is signed."""


@dataclass(frozen=True)
class Due:
    """What is to be sent now."""

    lots: tuple[tuple[Target, tuple[Message, ...]], ...]
    """Endpoints with their messages, the longest due first."""
    next_at: int | None
    """When the next message falls due, in milliseconds; None when none waits."""


@dataclass(slots=True)
class Outcome:
    """What is to be recorded of one try."""

    message_id: str
    endpoint_id: str
    tries: int
    """As the message had them."""
    state: str
    """PENDING, DELIVERED or DEAD."""
    at: int
    next_at: int
    status: int | None
    error: str
    duration_ms: int


def keys_of(row: Any, now: int) -> tuple[str, ...]:
    """What signs at `now` (milliseconds): the present keys first, then those that are running out.

    `row` has the columns of keys of `WebhookEndpointRow`.
    """
    present = [key for key in (row.secret, row.signing_key) if key]
    if now < row.previous_until:
        present += [*row.previous_secret.split(), *row.previous_signing_key.split()]
    return tuple(present)


_first = (
    select(func.min(_MESSAGE.next_at))
    .where(col(_MESSAGE.endpoint_id) == col(_ENDPOINT.id), col(_MESSAGE.state) == PENDING)
    .correlate(_ENDPOINT)
)
_WAITING = select(
    *(
        getattr(_ENDPOINT, name)
        for name in (
            "id",
            "project_id",
            "url",
            "secret",
            "signing_key",
            "previous_secret",
            "previous_signing_key",
            "previous_until",
            "failing_since",
        )
    ),
    _first.scalar_subquery().label("due_at"),
    _first.where(col(_MESSAGE.next_at) > bindparam("now")).scalar_subquery().label("later"),
).where(col(_ENDPOINT.disabled).is_(False))
_MESSAGES = (
    select(col(_MESSAGE.id), col(_MESSAGE.body), col(_MESSAGE.tries))
    .where(
        col(_MESSAGE.endpoint_id) == bindparam("endpoint"),
        col(_MESSAGE.state) == PENDING,
        col(_MESSAGE.next_at) <= bindparam("now"),
    )
    .order_by(col(_MESSAGE.next_at), col(_MESSAGE.id))
    .limit(bindparam("room"))
)
_RECORD = (
    update(_MESSAGE)
    # A replay or a requeue between the read and now begins the message anew: then the try stands in the log only.
    .where(
        col(_MESSAGE.id) == bindparam("this"),
        col(_MESSAGE.state) == PENDING,
        col(_MESSAGE.tries) == bindparam("had"),
    )
    .values(
        state=bindparam("new_state"),
        tries=bindparam("new_tries"),
        next_at=bindparam("new_next_at"),
        delivered_at=bindparam("new_delivered_at"),
    )
)
_WORKS = (
    update(_ENDPOINT)
    .where(col(_ENDPOINT.id).in_(bindparam("these", expanding=True)), col(_ENDPOINT.failing_since) != 0)
    .values(failing_since=0)
)
_FAILS = (
    update(_ENDPOINT)
    .where(col(_ENDPOINT.id).in_(bindparam("these", expanding=True)), col(_ENDPOINT.failing_since) == 0)
    .values(failing_since=bindparam("since"))
)
_last_try = (
    select(col(WebhookDeliveryRow.at))
    .where(col(WebhookDeliveryRow.message_id) == col(_MESSAGE.id))
    .order_by(col(WebhookDeliveryRow.id).desc())
    .limit(1)
    .correlate(_MESSAGE)
)
_SET_BACK = (
    update(_MESSAGE)
    .where(
        col(_MESSAGE.state) == PENDING,
        col(_MESSAGE.next_at) > bindparam("now"),
        or_(col(_MESSAGE.tries) == 0, _last_try.scalar_subquery() > bindparam("now")),
    )
    .values(next_at=bindparam("now"))
)


@dataclass(frozen=True)
class Room:
    """How much the sender can take."""

    held: Mapping[str, frozenset[str]]
    """Messages that it has already, by endpoint."""
    places: Mapping[str, int]
    """How many more it takes of an endpoint."""
    usual: int
    """The same for an endpoint that is not in `places`."""
    total: int
    """How many more it takes of all."""


def due(connection: Connection, now: int, room: Room) -> Due:
    """Messages to send at `now` (milliseconds), the endpoint that waits longest first."""
    lots = []
    total = room.total
    later: list[int] = []
    rows = connection.execute(_WAITING, {"now": now}).all()
    for row in sorted((row for row in rows if row.due_at is not None), key=lambda row: row.due_at):
        if row.later is not None:
            later.append(row.later)
        space = min(room.places.get(row.id, room.usual), total)
        if row.due_at > now or space <= 0:
            continue
        # Held ones are passed over here, so that the statement's text, and with it its plan, stays the same.
        held = room.held.get(row.id, frozenset())
        values = {"endpoint": row.id, "now": now, "room": space + len(held)}
        found = (Message(*each) for each in connection.execute(_MESSAGES, values))
        messages = tuple(islice((message for message in found if message.id not in held), space))
        total -= len(messages)
        if messages:
            target = Target(row.id, row.project_id, row.url, keys_of(row, now), row.failing_since)
            lots.append((target, messages))
    return Due(tuple(lots), min(later, default=None))


def call_off_waits(connection: Connection, now: int) -> int:
    """Make due what waits for a time that a clock has set which was set back since; returns how many messages.

    Such a message was tried last, or was put in to be sent at once, at a time that has not come yet.
    """
    return connection.execute(_SET_BACK, {"now": now}).rowcount


def record(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Write the log rows of the tries, and what became of the messages and of the endpoints' health."""
    connection.execute(
        insert(WebhookDeliveryRow),
        [
            {
                "message_id": each.message_id,
                "at": each.at,
                "status_code": each.status,
                "error": each.error,
                "duration_ms": each.duration_ms,
            }
            for each in outcomes
        ],
    )
    connection.execute(
        _RECORD,
        [
            {
                "this": each.message_id,
                "had": each.tries,
                "new_state": each.state,
                "new_tries": each.tries + 1,
                "new_next_at": each.next_at,
                "new_delivered_at": each.at if each.state == DELIVERED else None,
            }
            for each in outcomes
        ],
    )
    worked = sorted({each.endpoint_id for each in outcomes if each.state == DELIVERED})
    failed = sorted({each.endpoint_id for each in outcomes}.difference(worked))
    if worked:
        connection.execute(_WORKS, {"these": worked})
    if failed:
        connection.execute(_FAILS, {"these": failed, "since": min(each.at for each in outcomes)})


def disable(connection: Connection, endpoint_id: str, reason: str) -> bool:
    """Disable an endpoint for a reason; False when it was disabled already."""
    done = connection.execute(
        update(_ENDPOINT)
        .where(col(_ENDPOINT.id) == endpoint_id, col(_ENDPOINT.disabled) == false())
        .values(disabled=True, disabled_reason=reason)
    )
    return done.rowcount == 1
