"""The gate that every call passes: who calls, is the message well formed, and which error goes back.

One interceptor does all three, so that no service can forget one. An error of ours travels as a rich status; any other
one becomes W3B-7015 with an incident id, under which the trace stands in the log and nowhere else.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from coordinator.api.auth import PUBLIC, SCOPES, authenticate, set_caller
from coordinator.api.errors import abort
from coordinator.api.unbroken import Unbroken
from coordinator.ledger.store import Ledger
from verifier.errors import InvalidInput, W3bstreamError

log = structlog.get_logger(__name__)

Parse = Callable[[bytes], Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


def _parsed(parse: Parse, data: bytes) -> Any:
    try:
        return parse(data)
    except (DecodeError, ValueError) as error:
        raise InvalidInput("W3B-7008", f"the message's {len(data)} bytes do not decode") from error


async def _each_parsed(parse: Parse, messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in messages:
        yield _parsed(parse, data)


def internal_error(method: str) -> W3bstreamError:
    """Log the exception under way with a fresh incident id; returns what the caller may know of it."""
    incident = secrets.token_hex(8)
    log.exception("api_internal_error", code="W3B-7015", incident=incident, method=method)
    return W3bstreamError("W3B-7015", f"incident {incident}")


class Gate(grpc.aio.ServerInterceptor):
    """Authentication, parsing and errors, in this order, around every method that is not public."""

    def __init__(self, ledger: Ledger, unbroken: Unbroken) -> None:
        self._ledger = ledger
        self._unbroken = unbroken

    async def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Wrap the method's handler; an unknown method stays unknown (UNIMPLEMENTED)."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or SCOPES.get(method) == PUBLIC:
            return handler
        parse, serialize = handler.request_deserializer, handler.response_serializer
        metadata = tuple(handler_call_details.invocation_metadata or ())
        if handler.request_streaming and handler.response_streaming:
            stream_stream = self._stream_stream(method, metadata, parse, handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(stream_stream, None, serialize)
        if handler.request_streaming:
            stream_unary = self._stream_unary(method, metadata, parse, handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(stream_unary, None, serialize)
        if handler.response_streaming:
            unary_stream = self._unary_stream(method, metadata, parse, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(unary_stream, None, serialize)
        unary = self._unary_unary(method, metadata, parse, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, None, serialize)

    @asynccontextmanager
    async def _guard(self, method: str, metadata: Sequence[Any], context: Any) -> AsyncIterator[None]:
        """Set the caller, then turn what the block raises into the call's status."""
        try:
            caller = await self._unbroken.run(authenticate(self._ledger, method, metadata))
            if caller is not None:
                set_caller(caller)
            yield
        except W3bstreamError as error:
            log.info("api_refused", method=method, code=error.code)
            await abort(context, error)
        except Exception:
            # The broadest catch there is, on purpose: the alternative is that gRPC tells the caller the exception's
            # text.
            await abort(context, internal_error(method))

    def _unary_unary(self, method: str, metadata: Sequence[Any], parse: Parse, inner: Callable[..., Any]) -> Any:
        async def call(data: bytes, context: Any) -> Any:
            async with self._guard(method, metadata, context):
                return await self._unbroken.run(inner(_parsed(parse, data), context))

        return call

    def _stream_unary(self, method: str, metadata: Sequence[Any], parse: Parse, inner: Callable[..., Any]) -> Any:
        async def call(messages: AsyncIterator[bytes], context: Any) -> Any:
            async with self._guard(method, metadata, context):
                return await inner(_each_parsed(parse, messages), context)

        return call

    def _stream_stream(self, method: str, metadata: Sequence[Any], parse: Parse, inner: Callable[..., Any]) -> Any:
        async def call(messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
            async with self._guard(method, metadata, context):
                async for answer in inner(_each_parsed(parse, messages), context):
                    yield answer

        return call

    def _unary_stream(self, method: str, metadata: Sequence[Any], parse: Parse, inner: Callable[..., Any]) -> Any:
        async def write(data: bytes, context: Any) -> None:
            async with self._guard(method, metadata, context):
                await inner(_parsed(parse, data), context)

        if inspect.iscoroutinefunction(inner):  # the health service writes its answers to the context itself
            return write

        async def call(data: bytes, context: Any) -> AsyncIterator[Any]:
            async with self._guard(method, metadata, context):
                async for answer in inner(_parsed(parse, data), context):
                    yield answer

        return call
