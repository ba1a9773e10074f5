"""The DA adapter: one JetStream stream a project, behind the Protocols `DaStream` and `DaConsumer`.

The ledger's cursor, not the server's consumer, says what was read: a consumer is made anew at the cursor whenever it is
opened, and it hands out messages strictly in stream order. When a delivery is missing (a connection broke midway) it
fails with Unavailable, and its owner opens another; so no failure can make the cursor jump over a message.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog
from nats.js import api
from nats.js import errors as js_errors

from coordinator.intake.consumer import JetStreamConsumer, StreamMessage, da_errors, is_full
from coordinator.intake.da_client import DaClient
from coordinator.observability.spans import trace_headers
from coordinator.webhooks.ssrf import UrlPolicy
from verifier.errors import NotFound, Refused, Unavailable
from verifier.reading import Reading

CONSUMER = "coordinator"
"""Durable name of the coordinator's consumer on each stream."""
MAX_MESSAGE = 8192
"""Bytes of a message that a stream takes; the longest reading has 4,210."""
DEDUPE_SECONDS = 120.0
"""A publish with the same Nats-Msg-Id within this time adds nothing. Later repeats are dead letters (W3B-1005)."""
MAX_ACK_PENDING = 4096
ACK_WAIT_SECONDS = 60.0
REPLAY_IDLE_SECONDS = 60.0
"""A replay's consumer that nobody reads goes away by itself."""
PUBLISH_IN_FLIGHT = 1024
PUBLISH_SECONDS = 10.0
FULL_SECONDS = 0.5
"""How long publishes without an answer are waited for once the server said that it has no room."""
CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 0.25

log = structlog.get_logger(__name__)


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

    async def republish(self, project_id: int, position: int, wire: bytes) -> Published:
        """Store a message that was refused at `position` once more, under the subject that it names itself."""

    async def replay(self, project_id: int, start: int) -> DaConsumer:
        """An ordered reader from `start` on that leaves the coordinator's consumer alone and acknowledges nothing."""

    async def trim(self, project_id: int, below: int) -> None:
        """Let go of messages below a position."""

    async def close(self) -> None:
        """Give the connection back."""


def stream_name(project_id: int) -> str:
    """`DA_<project>`."""
    return f"DA_{project_id}"


class JetStream:
    """A NATS JetStream server or cluster as DA layer. It reconnects for ever."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._js = client.jetstream(timeout=5, publish_async_max_pending=PUBLISH_IN_FLIGHT)
        self.generation = 0
        """Counts reconnections; a consumer of an older one is stale."""
        self.full_answers = 0
        """Counts the server's answers that it has no room."""

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
            for stream in made:
                stream.full_answers += is_full(error)
            if not isinstance(
                error, OSError | Refused
            ):  # a refused reconnection, four a second while the server is down
                log.warning("da_client_error", code="W3B-1008", error=type(error).__name__)

        options: dict[str, Any] = {"reconnect_time_wait": RECONNECT_SECONDS}
        if credentials:
            options["user_credentials"] = str(credentials)
        client = DaClient(policy)
        with da_errors("cannot connect to the DA layer", client):
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
        with da_errors(f"cannot make stream {stream_name(project_id)}", self._client):
            await self._js.add_stream(config)

    async def state(self, project_id: int) -> StreamState | None:
        """First and last position of the project's stream, or None when there is no stream."""
        with da_errors(f"cannot look at stream {stream_name(project_id)}", self._client):
            try:
                info = await self._js.stream_info(stream_name(project_id))
            except js_errors.NotFoundError:
                return None
        return StreamState(info.state.first_seq, info.state.last_seq)

    async def message_at(self, project_id: int, position: int) -> bytes | None:
        """The bytes at `position`, or None."""
        with da_errors(f"cannot read stream {stream_name(project_id)}", self._client):
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
        full_before, full = self.full_answers, False
        trace = trace_headers()
        try:
            with da_errors("cannot publish", self._client):
                for reading in readings:
                    waiting.append(
                        await self._js.publish_async(
                            reading.subject(),
                            reading.to_wire(),
                            wait_stall=PUBLISH_SECONDS,
                            stream=stream_name(reading.project),
                            headers={api.Header.MSG_ID: reading.message_id()} | trace,
                        )
                    )
                full = await self._settled(waiting, full_before)
            failures = [f.exception() if f.done() else TimeoutError() for f in waiting]
            failed = [error for error in failures if error is not None]
            if any(isinstance(error, js_errors.NoStreamResponseError) for error in failed):
                await self._require_stream(readings[0].project)
            if failed:
                stored = len(before) + len(waiting) - len(failed)
                reason = f"{type(failed[0]).__name__} {failed[0]}".rstrip()
                code = "W3B-1051" if full or any(is_full(error) for error in failed) else "W3B-1008"
                raise Unavailable(
                    code, f"{stored} readings were stored, {len(failed)} were not: {reason}", field="readings"
                )
            return [Published(f.result().seq, bool(f.result().duplicate)) for f in waiting]
        finally:
            for future in waiting:
                future.cancel()

    async def _settled(self, waiting: Sequence[asyncio.Future[Any]], full_before: int) -> bool:
        """Wait for the answers; say whether the server answered meanwhile that it has no room.

        nats-py 2.16 hands a refusal to the error callback and leaves the publish without an answer, so a full server
        would cost each publisher the whole time-out.
        """
        ends = asyncio.get_running_loop().time() + PUBLISH_SECONDS
        pending: set[asyncio.Future[Any]] = set(waiting)
        while pending and asyncio.get_running_loop().time() < ends:
            _, pending = await asyncio.wait(pending, timeout=FULL_SECONDS)
            if pending and self.full_answers != full_before:
                await asyncio.wait(pending, timeout=FULL_SECONDS)
                return True
        return self.full_answers != full_before

    async def republish(self, project_id: int, position: int, wire: bytes) -> Published:
        """Store it with a message id of its own: that of its first life would make the stream drop it."""
        reading = Reading.from_wire(wire)
        with da_errors("cannot publish", self._client):
            acknowledged = await self._js.publish(
                reading.subject(),
                wire,
                stream=stream_name(project_id),
                timeout=PUBLISH_SECONDS,
                headers={api.Header.MSG_ID: f"requeue-{position}-{reading.message_id()}"},
            )
        return Published(acknowledged.seq, bool(acknowledged.duplicate))

    async def _require_stream(self, project_id: int) -> None:
        if await self.state(project_id) is None:
            raise NotFound("W3B-1006", f"project {project_id} has no DA stream (no published version)", field="project")

    async def consume(self, project_id: int, start: int) -> JetStreamConsumer:
        """Make the durable consumer anew at `start`."""
        name = stream_name(project_id)
        with da_errors(f"cannot consume stream {name}", self._client):
            try:
                await self._js.delete_consumer(name, CONSUMER)
            except js_errors.NotFoundError:
                log.debug("da_consumer_is_new", stream=name)
            config = api.ConsumerConfig(
                durable_name=CONSUMER,
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
                # The consumer is ours alone and in order: one acknowledgement does for all before it.
                ack_policy=api.AckPolicy.ALL,
                ack_wait=ACK_WAIT_SECONDS,
                max_ack_pending=MAX_ACK_PENDING,
            )
            return await self._open(name, config, CONSUMER, start)

    async def replay(self, project_id: int, start: int) -> JetStreamConsumer:
        """A consumer of its own that ends with its reader."""
        stream, name = stream_name(project_id), f"replay-{secrets.token_hex(6)}"
        with da_errors(f"cannot replay stream {stream}", self._client):
            config = api.ConsumerConfig(
                name=name,
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
                ack_policy=api.AckPolicy.NONE,
                inactive_threshold=REPLAY_IDLE_SECONDS,
                mem_storage=True,
            )
            return await self._open(stream, config, name, start)

    async def _open(self, stream: str, config: api.ConsumerConfig, name: str, start: int) -> JetStreamConsumer:
        await self._js.add_consumer(stream, config)
        consumer = JetStreamConsumer(self, self._client, stream, name, start)
        await consumer.open()
        return consumer

    async def trim(self, project_id: int, below: int) -> None:
        """Purge messages below `below`."""
        with da_errors(f"cannot trim stream {stream_name(project_id)}", self._client):
            await self._js.purge_stream(stream_name(project_id), seq=below)
