"""One try: a message signed and posted, and the verdict on the answer."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import aiohttp

from coordinator.ledger.store import Clock
from coordinator.webhooks.backoff import Backoff
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.outbox import DEAD, DELIVERED, PENDING, Message, Outcome, Target
from coordinator.webhooks.signatures import sign_with_all, signed_bytes
from verifier.errors import W3bstreamError

GONE = 410
_MAX_ERROR = 500


@dataclass(frozen=True)
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
        seconds = str(self._clock() // 1000)
        try:
            headers = {
                "content-type": "application/cloudevents+json; charset=utf-8",
                "user-agent": "w3bstream-webhooks/1",
                "webhook-id": message.id,
                "webhook-timestamp": seconds,
                "webhook-signature": sign_with_all(target.keys, signed_bytes(message.id, seconds, message.body)),
            }
            answer = await self._client.post(target.url, message.body, headers)
        except (W3bstreamError, aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as error:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return _Reply(None, text[:_MAX_ERROR], time.monotonic() - started)
        return _Reply(answer.status, _complaint(answer.status), answer.seconds, answer.retry_after)


def _complaint(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if status == GONE:
        return "answered 410: gone, which disables the endpoint"
    kind = "a redirect, which is not followed" if 300 <= status < 400 else "no success"
    return f"answered {status}: {kind}"
