"""Around each API call: it is counted, timed, traced under its caller's context, and named in what it logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from typing import Any

from structlog.contextvars import bind_contextvars

from coordinator.access.quotas import OverQuota
from coordinator.observability.spans import server_span
from coordinator.observability.tally import Call
from verifier.errors import W3bstreamError

OK = "OK"
CANCELLED = "CANCELLED"
"""In place of an error code: the caller went away, or its time was up."""


class _Outcome:
    """How a call ends; nobody told otherwise: well."""

    code = OK
    over_quota = False


_outcome: ContextVar[_Outcome | None] = ContextVar("call_outcome", default=None)


def refused(error: W3bstreamError) -> None:
    """The call under way is refused with this error."""
    outcome = _outcome.get()
    if outcome is not None:
        outcome.code, outcome.over_quota = error.code, isinstance(error, OverQuota)


@contextmanager
def _observed(method: str, context: Any, *, long: bool) -> Iterator[None]:
    call, outcome = Call(method, long=long), _Outcome()
    _outcome.set(outcome)
    bind_contextvars(method=method)  # a call has a task, and so a context, of its own: nothing need be put back
    with server_span(method, context, current=not long) as span:
        try:
            yield
        except asyncio.CancelledError:
            outcome.code = CANCELLED if outcome.code == OK else outcome.code
            raise
        finally:
            call.end(outcome.code, over_quota=outcome.over_quota)
            span.set_attribute("w3bstream.code", outcome.code)


def observed(method: str, inner: Callable[[Any, Any], Awaitable[Any]], *, long: bool = False) -> Any:
    """The handler of a call with one answer, or that writes its answers to the context."""

    async def call(request: Any, context: Any) -> Any:
        with _observed(method, context, long=long):
            return await inner(request, context)

    return call


def observed_stream(method: str, inner: Callable[[Any, Any], AsyncIterator[Any]]) -> Any:
    """The handler of a call that streams its answers."""

    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        with _observed(method, context, long=True):
            async with aclosing(inner(request, context)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer

    return call
