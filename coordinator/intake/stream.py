"""The DA adapter: one JetStream stream a project, behind the Protocols `DaStream` and `DaConsumer`.

The ledger's cursor, not the server's consumer, says what was read: a consumer is made anew at the cursor whenever it is
opened, and it hands out messages strictly in stream order. When a delivery is missing (a connection broke midway) it
fails with Unavailable, and its owner opens another; so no failure can make the cursor jump over a message.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import nats.errors
import structlog
from nats.js import api
from nats.js import errors as js_errors

from coordinator.intake.da_client import DaClient
from coordinator.webhooks.ssrf import UrlPolicy
from verifier.errors import NotFound, Refused, Unavailable
from verifier.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

CONSUMER = "coordinator"
"""Durable name of the coordinator's consumer on each stream."""
MAX_MESSAGE = 8192
"""Bytes of a message that a stream takes; the longest reading has 4,210."""
DEDUPE_SECONDS = 120.0
"""A publish with the same Nats-Msg-Id within this time adds nothing. Later repeats are dead letters (W3B-1005)."""
MAX_ACK_PENDING = 4096
ACK_WAIT_SECONDS = 60.0
PULL = 512
"""Messages asked for at a time."""
PULL_SECONDS = 30.0
HEARTBEAT_SECONDS = 2.0
PUBLISH_IN_FLIGHT = 1024
PUBLISH_SECONDS = 10.0
CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 0.25

log = structlog.get_logger(__name__)


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


@dataclass(frozen=True)
class Published:
    """The DA layer's acknowledgement: the reading is durable."""

    position: int
    """Stream position."""
    duplicate: bool
    """It was in the stream already; nothing was added."""


@dataclass(frozen=True)
class StreamState:
    """What a stream holds."""

    first: int
    """Oldest position still held; `last + 1` when it is empty."""
    last: int
    """Newest position ever given; 0 before the first."""


class DaConsumer(Protocol):
    """An ordered reader of one project's stream."""

    async def fetch(self, limit: int, wait_seconds: float) -> list[StreamMessage]:
        """The next messages in order, at most `limit`; none when none came within `wait_seconds`.

        Raises Unavailable (W3B-1008): open another consumer at the ledger's cursor.
        """

    async def ack(self, messages: Sequence[StreamMessage]) -> None:
        """Tell the DA layer that the ledger has these."""

    async def close(self) -> None:
        """Stop reading."""


class DaStream(Protocol):
    """A DA layer."""

    async def ensure(self, project_id: int, first_position: int = 1) -> None:
        """Make the project's stream unless it is there."""

    async def state(self, project_id: int) -> StreamState | None:
        """What the project's stream holds, or None when there is none."""

    async def message_at(self, project_id: int, position: int) -> bytes | None:
        """The message at a position, or None when it is not held (any more)."""

    async def publish(self, readings: Sequence[Reading]) -> list[Published]:
        """Store readings, in order; returns when all are durable. Raises Unavailable W3B-1008, NotFound W3B-1006."""

    async def consume(self, project_id: int, start: int) -> DaConsumer:
        """An ordered consumer from position `start` on. Raises Unavailable (W3B-1008)."""

    async def trim(self, project_id: int, below: int) -> None:
        """Let go of messages below a position."""

    async def close(self) -> None:
        """Give the connection back."""


def stream_name(project_id: int) -> str:
    """`DA_<project>`."""
    return f"DA_{project_id}"


@contextmanager
def _unavailable(what: str, client: Any) -> Iterator[None]:
    """Turn the client's errors into W3B-1008, or the W3B-1013 behind them; no text holds a URL's password."""
    try:
        yield
    except (nats.errors.Error, js_errors.Error, OSError, TimeoutError) as error:
        if client.refusal is not None:
            raise client.refusal from error
        raise Unavailable("W3B-1008", f"{what}: {type(error).__name__} {error}".rstrip(), field="da.url") from error


class JetStream:
    """A NATS JetStream server or cluster as DA layer. It reconnects for ever."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._js = client.jetstream(timeout=5, publish_async_max_pending=PUBLISH_IN_FLIGHT)
        self.generation = 0
        """Counts reconnections; a consumer of an older one is stale."""

    @classmethod
    async def connect(cls, url: str, credentials: Path | None = None, policy: UrlPolicy | None = None) -> JetStream:
        """Connect to `url` (`nats://` or `tls://`), with a NATS `.creds` file if given.

        Parameters: `policy` says what a project's own URL may reach; None is the operator's, which is not guarded.
        Raises Unavailable (W3B-1008) and Refused (W3B-1013).
        """
        made: list[JetStream] = []

        async def on_reconnect() -> None:
            log.info("da_reconnected")
            for stream in made:
                stream.generation += 1

        async def on_disconnect() -> None:
            log.warning("da_disconnected", code="W3B-1008")

        async def on_error(error: Exception) -> None:
            if not isinstance(
                error, OSError | Refused
            ):  # a refused reconnection, four a second while the server is down
                log.warning("da_client_error", code="W3B-1008", error=type(error).__name__)

        options: dict[str, Any] = {"reconnect_time_wait": RECONNECT_SECONDS}
        if credentials:
            options["user_credentials"] = str(credentials)
        client = DaClient(policy)
        with _unavailable("cannot connect to the DA layer", client):
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.require_allowed(url)
                await client.connect(
                    url,
                    name="w3bstream-coordinator",
                    max_reconnect_attempts=-1,
                    ping_interval=5,
                    connect_timeout=2,
                    reconnected_cb=on_reconnect,
                    disconnected_cb=on_disconnect,
                    error_cb=on_error,
                    **options,
                )
        made.append(cls(client))
        return made[0]

    async def close(self) -> None:
        """Close the connection; one that is down is closed all the same."""
        try:
            await self._client.close()
        except OSError as error:
            log.debug("da_connection_was_down", error=type(error).__name__)

    async def ensure(self, project_id: int, first_position: int = 1) -> None:
        """Make the project's stream, its positions beginning at `first_position`, unless it is there."""
        if await self.state(project_id) is not None:
            return
        config = api.StreamConfig(
            name=stream_name(project_id),
            subjects=[f"da.{project_id}.*"],
            retention=api.RetentionPolicy.LIMITS,
            storage=api.StorageType.FILE,
            # A full disk refuses new readings; it never drops one that was acknowledged.
            discard=api.DiscardPolicy.NEW,
            max_msg_size=MAX_MESSAGE,
            duplicate_window=DEDUPE_SECONDS,
            first_seq=first_position if first_position > 1 else None,
        )
        with _unavailable(f"cannot make stream {stream_name(project_id)}", self._client):
            await self._js.add_stream(config)

    async def state(self, project_id: int) -> StreamState | None:
        """First and last position of the project's stream, or None when there is no stream."""
        with _unavailable(f"cannot look at stream {stream_name(project_id)}", self._client):
            try:
                info = await self._js.stream_info(stream_name(project_id))
            except js_errors.NotFoundError:
                return None
        return StreamState(info.state.first_seq, info.state.last_seq)

    async def message_at(self, project_id: int, position: int) -> bytes | None:
        """The bytes at `position`, or None."""
        with _unavailable(f"cannot read stream {stream_name(project_id)}", self._client):
            try:
                message = await self._js.get_msg(stream_name(project_id), position)
            except js_errors.NotFoundError:
                return None
        return message.data or b""

    async def publish(self, readings: Sequence[Reading]) -> list[Published]:
        """Store readings in order and wait until all are on disk; a bounded number is in flight."""
        done: list[Published] = []
        for at in range(0, len(readings), PUBLISH_IN_FLIGHT):
            done += await self._publish_some(readings[at : at + PUBLISH_IN_FLIGHT], done)
        return done

    async def _publish_some(self, readings: Sequence[Reading], before: Sequence[Published]) -> list[Published]:
        waiting: list[asyncio.Future[Any]] = []
        try:
            with _unavailable("cannot publish", self._client):
                for reading in readings:
                    waiting.append(
                        await self._js.publish_async(
                            reading.subject(),
                            reading.to_wire(),
                            wait_stall=PUBLISH_SECONDS,
                            stream=stream_name(reading.project),
                            headers={api.Header.MSG_ID: reading.message_id()},
                        )
                    )
                await asyncio.wait(waiting, timeout=PUBLISH_SECONDS)
            failures = [f.exception() if f.done() else TimeoutError() for f in waiting]
            failed = [error for error in failures if error is not None]
            if any(isinstance(error, js_errors.NoStreamResponseError) for error in failed):
                await self._require_stream(readings[0].project)
            if failed:
                stored = len(before) + len(waiting) - len(failed)
                reason = f"{type(failed[0]).__name__} {failed[0]}".rstrip()
                raise Unavailable(
                    "W3B-1008", f"{stored} readings were stored, {len(failed)} were not: {reason}", field="readings"
                )
            return [Published(f.result().seq, bool(f.result().duplicate)) for f in waiting]
        finally:
            for future in waiting:
                future.cancel()

    async def _require_stream(self, project_id: int) -> None:
        if await self.state(project_id) is None:
            raise NotFound("W3B-1006", f"project {project_id} has no DA stream (no published version)", field="project")

    async def consume(self, project_id: int, start: int) -> JetStreamConsumer:
        """Make the durable consumer anew at `start`."""
        name = stream_name(project_id)
        with _unavailable(f"cannot consume stream {name}", self._client):
            try:
                await self._js.delete_consumer(name, CONSUMER)
            except js_errors.NotFoundError:
                log.debug("da_consumer_is_new", stream=name)
            config = api.ConsumerConfig(
                durable_name=CONSUMER,
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_SECONDS,
                max_ack_pending=MAX_ACK_PENDING,
            )
            await self._js.add_consumer(name, config)
            consumer = JetStreamConsumer(self, self._client, name, start)
            await consumer.open()
        return consumer

    async def trim(self, project_id: int, below: int) -> None:
        """Purge messages below `below`."""
        with _unavailable(f"cannot trim stream {stream_name(project_id)}", self._client):
            await self._js.purge_stream(stream_name(project_id), seq=below)


class JetStreamConsumer:
    """Reads one stream in order through JetStream's pull protocol (NATS ADR-13).

    The client library's `fetch` may wait for a full batch; here each message is handed on as it arrives.
    """

    def __init__(self, owner: JetStream, client: Any, stream: str, start: int) -> None:
        self._owner = owner
        self._generation = owner.generation
        self._client = client
        self._stream = stream
        self._next = start
        self._acked_below = start
        self._delivery = 0
        self._outstanding = 0
        self._arrived: deque[Any] = deque()
        self._wake = asyncio.Event()
        self._heard_at = 0.0
        self._subscription: Any = None
        self._inbox = client.new_inbox()

    async def open(self) -> None:
        """Listen for deliveries."""
        self._subscription = await self._client.subscribe(self._inbox, cb=self._on_message)

    async def _on_message(self, message: Any) -> None:
        self._arrived.append(message)
        self._wake.set()

    async def _pull(self) -> None:
        request = {
            "batch": PULL,
            "expires": int(PULL_SECONDS * 1e9),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{CONSUMER}"
        self._outstanding = PULL
        self._heard_at = asyncio.get_running_loop().time()
        await self._client.publish(subject, json.dumps(request).encode(), reply=self._inbox)

    async def fetch(self, limit: int, wait_seconds: float) -> list[StreamMessage]:
        """The next messages in stream order; see `DaConsumer.fetch`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        taken: list[StreamMessage] = []
        while True:
            with _unavailable(f"cannot read stream {self._stream}", self._client):
                while self._arrived and len(taken) < limit:
                    await self._take(self._arrived.popleft(), taken)
                if taken:
                    return taken
                if self._outstanding <= 0:
                    await self._pull()
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
        if now - self._heard_at > 4 * HEARTBEAT_SECONDS:
            raise Unavailable("W3B-1008", f"stream {self._stream} has not been heard for {now - self._heard_at:.0f} s")

    async def _take(self, message: Any, taken: list[StreamMessage]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        status = (message.headers or {}).get(api.Header.STATUS) if not message.data else None
        if status is not None:
            self._on_status(status, (message.headers or {}).get(api.Header.DESCRIPTION, ""))
            return
        metadata = message.metadata
        self._outstanding -= 1
        expected, self._delivery = self._delivery + 1, metadata.sequence.consumer
        if self._delivery != expected:
            raise Unavailable(
                "W3B-1008", f"a delivery of stream {self._stream} was lost after position {self._next - 1}"
            )
        position = metadata.sequence.stream
        if position < self._next:  # redelivered: we hold it, or the ledger does and the acknowledgement was lost
            if position < self._acked_below:
                await self._client.publish(message.reply, b"+ACK")
            return
        self._next = position + 1
        at = int(metadata.timestamp.timestamp() * 1000)
        taken.append(StreamMessage(position, message.subject, message.data, at, message.reply))

    def _on_status(self, status: str, description: str) -> None:
        if status == "100":  # idle heartbeat
            return
        if status in ("404", "408") or (status == "409" and "Batch Completed" in description):
            self._outstanding = 0  # the request is over; the next fetch makes another
            return
        raise Unavailable("W3B-1008", f"stream {self._stream} answers {status} {description}".rstrip())

    async def ack(self, messages: Sequence[StreamMessage]) -> None:
        """Acknowledge; a lost acknowledgement costs a redelivery only."""
        if not messages:
            return
        with _unavailable(f"cannot acknowledge on stream {self._stream}", self._client):
            for message in messages:
                await self._client.publish(message.reply, b"+ACK")
        self._acked_below = max(self._acked_below, messages[-1].position + 1)

    async def close(self) -> None:
        """Stop listening; what was delivered and not acknowledged is read again later."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None and self._client.is_connected:
            with _unavailable("cannot unsubscribe", self._client):
                await subscription.unsubscribe()
