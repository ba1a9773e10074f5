"""One HTTP/1.1 connection that carries POSTs one after the other, over aiohttp's protocol and parser.

Of `aiohttp.ClientSession` a webhook needs little: no cookies, redirects, proxies, traces or decompression, and a request
whose bytes are known. Without it a POST costs less than half.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader

_READ_AHEAD = 16 * 1024
"""Bytes of an answer's body that may wait unread before the socket is no longer read."""


@dataclass(slots=True)
class Drain:
    """How much of an answer's body is taken, so that the connection can be used again."""

    most: int
    """Bytes."""
    seconds: float
    """Longest wait for them."""


class Connection:
    """A connection that is open, for one POST at a time.

    Parameters: `protocol` is the connected one of the running event loop.
    """

    def __init__(self, protocol: ResponseHandler, drain: Drain) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._drain = drain
        self.opened = self._loop.time()
        """When it was opened, in the event loop's seconds."""
        self.rests_since = self.opened
        """When its last POST ended, likewise; the owner's to set."""
        self._deadline: float | None = None
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def is_usable(self) -> bool:
        """Whether another POST may go over it: it stands, its last answer was whole, and nothing unasked came."""
        return self._protocol.is_connected() and not self._protocol.should_close

    def close(self) -> None:
        """Close it, in order; safe to call again."""
        self._silence()
        self._protocol.close()

    def abort(self) -> None:
        """Close it at once: a server that reads nothing must not keep it open for what was not sent yet."""
        self._silence()
        self._protocol.abort()

    def _silence(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def post(self, request: bytes, deadline: float) -> RawResponseMessage:
        """Send the request's bytes and wait for the answer's head; its body is taken and dropped.

        Parameters: `deadline` is in the event loop's seconds, not before an earlier one. Raises aiohttp.ClientError,
        OSError or TimeoutError; the connection is then not usable.
        """
        transport = self._protocol.transport
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        self._protocol.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=_READ_AHEAD)
        self._set_alarm(deadline)
        try:
            transport.write(request)
            message, payload = await self._final_answer()
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError(f"no HTTP answer: {error.message}") from error
        finally:
            self._deadline = None
        if not payload.is_eof():
            await self._take(payload, deadline)
        return message

    async def _final_answer(self) -> tuple[RawResponseMessage, StreamReader]:
        """The head and the body of the answer, after the interim ones (RFC 9110 §15.2); 101 is final here."""
        while True:
            message, payload = await self._protocol.read()
            if not 100 <= message.code < 200 or message.code == 101:
                return message, payload

    async def _take(self, payload: StreamReader, deadline: float) -> None:
        """Take the body; where there is too much of it or it does not come, the connection is closed. The answer's
        status stands either way."""
        taken = 0
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout_at(min(deadline, self._loop.time() + self._drain.seconds)):
                async for chunk in payload.iter_any():
                    taken += len(chunk)
                    if taken >= self._drain.most:
                        break
        if not payload.at_eof():
            self.abort()

    def _set_alarm(self, deadline: float) -> None:
        """One timer serves all POSTs of the connection: it looks at the deadline of then."""
        self._deadline = deadline
        if self._alarm is None:
            self._alarm = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._alarm = None
        if self._deadline is None:
            return
        if self._deadline > self._loop.time():
            self._alarm = self._loop.call_at(self._deadline, self._look)
        else:
            self._protocol.set_exception(TimeoutError())
