"""The DA consumer: reads one JetStream stream in order through the pull protocol (NATS ADR-13).

The client library's `fetch` may wait for a full batch; here each message is handed on as it arrives, and the server is
asked for more before the last of them came. Deliveries are counted, so that a lost one shows: the consumer then fails
with Unavailable, and its owner opens another.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import nats.errors
from nats.js import api
from nats.js import errors as js_errors

from coordinator.intake.da_client import Delivery
from coordinator.observability.spans import traceparent_in
from verifier.errors import Unavailable

PULL = 1024
"""Messages asked for at a time; with the largest readings that is 8 MiB in memory."""
PULL_BELOW = PULL // 2
"""So few still to come, and more are asked for: the server reads while we check and write."""
MOST_HELD = 4 * PULL
"""Deliveries that wait to be taken; a server that sends more than it was asked for gets no more of our memory."""
PULL_SECONDS = 30.0
HEARTBEAT_SECONDS = 2.0
MISSED_HEARTBEATS = 4
"""So many heartbeats without a word, and the server counts as gone: a half-open connection shows no other way."""
FROM_STREAM = b"$JS.ACK."
"""Subjects for acknowledgements begin so: only the server's deliveries from a stream have one."""
TRACED = b"traceparent:"
"""Headers without it are not parsed at all."""
UNFILLED = "Nats-Pending-Messages"
"""Header of a request that ends: how many of its messages did not come (NATS ADR-37)."""
FULL_ERRORS = frozenset({10023, 10028, 10047, 10077})
"""JetStream's codes for: insufficient resources, memory or storage exceeded, and a store that failed to write."""


@dataclass(frozen=True)
class StreamMessage:
    """One message as it lies in the stream."""

    position: int
    """Stream sequence, 1 or more."""
    subject: str
    data: bytes
    arrived_at: int
    """When the DA layer stored it, milliseconds since the Unix epoch by its clock."""
    reply: str = field(default="", repr=False, compare=False)
    """Where the acknowledgement goes."""
    trace: str = field(default="", compare=False)
    """The publisher's span, a W3C traceparent; empty when it named none."""


class Owner(Protocol):
    """What a consumer asks of the connection that it was made on."""

    generation: int


def is_full(error: BaseException | None) -> bool:
    """Whether the DA layer says that it has no room."""
    return isinstance(error, js_errors.APIError) and error.err_code in FULL_ERRORS


@contextmanager
def da_errors(what: str, client: Any) -> Iterator[None]:
    """Turn the client's errors into W3B-1008 or W3B-1051, or the W3B-1013 behind them; no text holds a password."""
    try:
        yield
    except (nats.errors.Error, js_errors.Error, OSError, TimeoutError) as error:
        if client.refusal is not None:
            raise client.refusal from error
        code = "W3B-1051" if is_full(error) else "W3B-1008"
        raise Unavailable(code, f"{what}: {type(error).__name__} {error}".rstrip(), field="da.url") from error


class JetStreamConsumer:
    """Reads one stream in order.

    Parameters: `owner` counts the connection's reconnections; `name` is the consumer's on the server; `start` the first
    position that it delivers.
    """

    def __init__(self, owner: Owner, client: Any, stream: str, name: str, start: int) -> None:
        self._owner = owner
        self._generation = owner.generation
        self._client = client
        self._stream = stream
        self._name = name
        self._next = start
        self._acked_below = start
        self._delivery = 0
        self._outstanding = 0
        self._arrived: deque[Delivery] = deque()
        self._wake = asyncio.Event()
        self._heard_at = 0.0
        self._subscription: Any = None
        self._inbox = client.new_inbox()

    async def open(self) -> None:
        """Listen for deliveries."""
        self._subscription = await self._client.subscribe_directly(self._inbox, self._on_delivery)

    def _on_delivery(self, delivery: Delivery) -> None:
        if len(self._arrived) < MOST_HELD:  # what is left out shows as a delivery that was lost
            self._arrived.append(delivery)
        self._wake.set()

    async def _pull(self) -> None:
        request = {
            "batch": PULL,
            "expires": int(PULL_SECONDS * 1e9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        self._outstanding = max(self._outstanding, 0) + PULL
        self._heard_at = asyncio.get_running_loop().time()
        await self._client.publish(subject, json.dumps(request).encode(), reply=self._inbox)

    async def fetch(self, limit: int, wait_seconds: float) -> list[StreamMessage]:
        """The next messages in stream order; see `DaConsumer.fetch`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        taken: list[StreamMessage] = []
        while True:
            with da_errors(f"cannot read stream {self._stream}", self._client):
                while self._arrived and len(taken) < limit:
                    await self._take(self._arrived.popleft(), taken)
                if self._outstanding <= PULL_BELOW:
                    await self._pull()
                if taken:
                    return taken
            self._require_live(loop.time())
            left = until - loop.time()
            if left <= 0:
                return []
            self._wake.clear()
            try:
                async with asyncio.timeout(min(left, HEARTBEAT_SECONDS)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _require_live(self, now: float) -> None:
        if self._generation != self._owner.generation:
            raise Unavailable("W3B-1008", f"the connection was lost while reading stream {self._stream}")
        if now - self._heard_at > MISSED_HEARTBEATS * HEARTBEAT_SECONDS:
            raise Unavailable("W3B-1008", f"stream {self._stream} has not been heard for {now - self._heard_at:.0f} s")

    async def _take(self, delivery: Delivery, taken: list[StreamMessage]) -> None:
        subject, reply, data, headers = delivery
        self._heard_at = asyncio.get_running_loop().time()
        # Whoever publishes chooses the headers too: what lies in the stream is a message, whatever they say.
        if not data and not reply.startswith(FROM_STREAM):
            found = await self._client.headers_of(delivery)
            if api.Header.STATUS in found:
                self._on_status(found)
                return
        position, number, stored_at = _placed(reply)
        self._outstanding -= 1
        expected, self._delivery = self._delivery + 1, number
        if self._delivery != expected:
            raise Unavailable(
                "W3B-1008", f"a delivery of stream {self._stream} was lost after position {self._next - 1}"
            )
        if position < self._next:  # redelivered: we hold it, or the ledger does and the acknowledgement was lost
            if position < self._acked_below:
                await self._client.publish(reply.decode(), b"+ACK")
            return
        self._next = position + 1
        trace = traceparent_in(await self._client.headers_of(delivery)) if TRACED in headers else ""
        taken.append(StreamMessage(position, subject.decode(), data, stored_at, reply.decode(), trace))

    def _on_status(self, headers: Mapping[str, str]) -> None:
        status, description = headers[api.Header.STATUS], headers.get(api.Header.DESCRIPTION, "")
        if status == "100":  # idle heartbeat
            return
        if status in ("404", "408") or (status == "409" and "Batch Completed" in description):
            # One request is over. A server that does not say what it left unfilled is asked again.
            left = headers.get(UNFILLED, "")
            self._outstanding -= int(left) if left.isdecimal() else self._outstanding
            return
        raise Unavailable("W3B-1008", f"stream {self._stream} answers {status} {description}".rstrip())

    async def ack(self, messages: Sequence[StreamMessage]) -> None:
        """Acknowledge all up to the last of them (the consumer's policy is `all`); a lost one costs a redelivery."""
        if not messages:
            return
        with da_errors(f"cannot acknowledge on stream {self._stream}", self._client):
            await self._client.publish(messages[-1].reply, b"+ACK")
        self._acked_below = max(self._acked_below, messages[-1].position + 1)

    async def close(self) -> None:
        """Stop listening; what was delivered and not acknowledged is read again later."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with da_errors("cannot unsubscribe", self._client):
                await self._client.unsubscribe_directly(subscription)


def _placed(reply: bytes) -> tuple[int, int, int]:
    """(stream position, delivery number, when it was stored in milliseconds) from the subject for acknowledgements.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<nanoseconds>.<pending>`, with domain and account
    before the stream and a token at the end on newer servers (NATS ADR-15).
    """
    tokens = reply.split(b".")
    at = 5 if len(tokens) == 9 else 7
    return int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 2]) // 1_000_000
