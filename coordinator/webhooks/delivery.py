"""One try: a message signed and posted, and the verdict on the answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import structlog

from coordinator.ledger.store import Clock
from coordinator.webhooks.backoff import Backoff
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.outbox import DEAD, DELIVERED, PENDING, Due, Message, Outcome, Target
from coordinator.webhooks.signatures import PRIVATE, sign_with_all, signed_bytes
from verifier.errors import W3bstreamError

GONE = 410
_MAX_ERROR = 500
_SIGNED_AT_ONCE = 4
"""Messages that are signed on the event loop rather than wait for a thread."""
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Reply:
    """What came of one POST; `status` is None when no answer came."""

    status: int | None
    error: str
    seconds: float
    retry_after: float | None = None


class Courier:
    """Makes single tries.

    Parameters: `cap` tries make a message DEAD; `clock` gives milliseconds since the Unix epoch.
    """

    def __init__(self, client: GuardedClient, clock: Clock, *, cap: int, backoff: Backoff, draw: random.Random) -> None:
        self._client = client
        self._clock = clock
        self._cap = cap
        self._backoff = backoff
        self._draw = draw

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def deliver(self, target: Target, message: Message) -> Outcome:
        """Post the message once. Every failure of the other side is an outcome; nothing is raised for it."""
        reply = await self._post(target, message)
        now = self._clock()
        state, next_at = self._verdict(reply, message.tries + 1, now)
        return Outcome(
            message_id=message.id,
            endpoint_id=target.id,
            tries=message.tries,
            state=state,
            at=now,
            next_at=next_at,
            status=reply.status,
            error=reply.error,
            duration_ms=round(reply.seconds * 1000),
        )

    def _verdict(self, reply: _Reply, tries: int, now: int) -> tuple[str, int]:
        """The message's next state, and when it is due."""
        if reply.status is not None and 200 <= reply.status < 300:
            return DELIVERED, now
        if reply.status == GONE:
            # The endpoint is about to be disabled; the message waits and goes first when it is enabled again.
            return PENDING, now
        if tries >= self._cap:
            return DEAD, now
        return PENDING, now + round(self._backoff.delay(tries, self._draw, reply.retry_after) * 1000)

    async def _post(self, target: Target, message: Message) -> _Reply:
        started = time.monotonic()
        try:
            if not message.signature:
                message = signed(target, message, self._clock())
            headers = {
                "content-type": "application/cloudevents+json; charset=utf-8",
                "user-agent": "w3bstream-webhooks/1",
                "webhook-id": message.id,
                "webhook-timestamp": message.timestamp,
                "webhook-signature": message.signature,
            }
            answer = await self._client.post(target.url, message.body, headers)
        except (W3bstreamError, aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as error:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return _Reply(None, text[:_MAX_ERROR], time.monotonic() - started)
        except Exception as error:  # whatever one receiver's bytes set off must not stop the messages to all others
            log.exception("webhook_try_broke_off", message=message.id, endpoint=target.id)
            return _Reply(None, f"internal error: {type(error).__name__}", time.monotonic() - started)
        return _Reply(answer.status, _complaint(answer.status), time.monotonic() - started, answer.retry_after)


def signed(target: Target, message: Message, now: int) -> Message:
    """The message with its signatures, made at `now` (milliseconds). Raises InvalidInput (W3B-6005)."""
    seconds = str(now // 1000)
    content = signed_bytes(message.id, seconds, message.body)
    return Message(message.id, message.body, message.tries, seconds, sign_with_all(target.keys, content))


def _signed_lot(target: Target, messages: Sequence[Message], now: int) -> tuple[Message, ...]:
    try:
        return tuple(signed(target, message, now) for message in messages)
    except W3bstreamError:  # a key that is none: each try is to fail for it, and to say so in the log
        return tuple(messages)


async def sign_ahead(due: Due, clock: Clock) -> Due:
    """What is due, signed in another thread where that is worth its way: an ed25519 signature takes as long as half a
    POST, and others run meanwhile. The rest is signed when it is sent."""
    slow = {target.id for target, _ in due.lots if any(key.startswith(PRIVATE) for key in target.keys)}
    if sum(len(messages) for target, messages in due.lots if target.id in slow) <= _SIGNED_AT_ONCE:
        return due

    def work() -> Due:
        lots = (
            (target, _signed_lot(target, messages, clock()) if target.id in slow else messages)
            for target, messages in due.lots
        )
        return Due(tuple(lots), due.next_at)

    return await asyncio.to_thread(work)


def _complaint(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if status == GONE:
        return "answered 410: gone, which disables the endpoint"
    kind = "a redirect, which is not followed" if 300 <= status < 400 else "no success"
    return f"answered {status}: {kind}"
