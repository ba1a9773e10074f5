"""The gate that every call passes: who calls, how often, is the message well formed, and which error goes back.

Services are registered through it, so that none can forget it. An error of ours travels as a rich status; any other
one becomes W3B-7015 with an incident id, under which the trace stands in the log and nowhere else.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from coordinator.access.audit import OK, Act, append
from coordinator.access.quotas import Buckets
from coordinator.api.acts import action_of, describe, set_act
from coordinator.api.auth import LOGIN, PUBLIC, SCOPES, Caller, set_caller
from coordinator.api.authenticator import Authenticator
from coordinator.api.errors import abort
from coordinator.api.peers import peer_of
from coordinator.api.rates import Rates
from coordinator.api.unbroken import Unbroken
from coordinator.ledger.store import Ledger
from coordinator.observability.calls import observed, observed_stream, refused
from verifier.errors import InvalidInput, Refused, W3bstreamError

log = structlog.get_logger(__name__)

Parse = Callable[[bytes], Any]
REFUSED_LOGINS = 60
"""Rows a minute that refused logins add to the audit log, whatever addresses they come from."""
UNBROKEN = "w3b_unbroken"
"""A servicer's method with this attribute set needs no `Unbroken`: it holds no database connection itself."""


def needs_no_shelter(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a unary method that may be cancelled at any await."""
    setattr(method, UNBROKEN, True)
    return method


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


class Gate:
    """Authentication, rates, parsing, audit and errors, in this order, around every method that is not public."""

    def __init__(self, ledger: Ledger, authenticator: Authenticator, rates: Rates, unbroken: Unbroken) -> None:
        self._ledger = ledger
        self._authenticator = authenticator
        self._rates = rates
        self._unbroken = unbroken
        self._refused_logins = Buckets()

    def guard(self, server: grpc.aio.Server) -> grpc.aio.Server:
        """The server as services are registered on: what they add goes through the gate."""
        return _Registrar(self, server)  # type: ignore[return-value]

    def handler(self, method: str, inner: Any) -> Any:
        """The method's handler behind the gate."""
        if SCOPES.get(method) == PUBLIC:
            return inner
        call = _Method(self, method, inner)
        serialize = inner.response_serializer
        if inner.request_streaming and inner.response_streaming:
            return grpc.stream_stream_rpc_method_handler(observed_stream(method, call.stream_stream), None, serialize)
        if inner.request_streaming:
            return grpc.stream_unary_rpc_method_handler(observed(method, call.stream_unary, long=True), None, serialize)
        if not inner.response_streaming:
            return grpc.unary_unary_rpc_method_handler(observed(method, call.unary_unary), None, serialize)
        if inspect.iscoroutinefunction(inner.unary_stream):  # the health service writes its answers to the context
            return grpc.unary_stream_rpc_method_handler(observed(method, call.unary_write, long=True), None, serialize)
        return grpc.unary_stream_rpc_method_handler(observed_stream(method, call.unary_stream), None, serialize)

    async def caller(self, method: str, context: Any) -> Caller | None:
        """The caller, allowed to make this call; None where the method asks for no key."""
        if SCOPES.get(method) == LOGIN:
            self._authenticator.require_trusted(peer_of(context).address)
            return None
        metadata: Sequence[Any] = context.invocation_metadata() or ()
        found = self._authenticator.remembered(method, metadata)
        if found is None:
            work = self._authenticator.find(method, metadata, peer_of(context).address)
            found = await self._unbroken.run(work)
        set_caller(found)
        return found

    async def write_act(self, act: Act | None, outcome: str = OK) -> None:
        """The act's row, where the call's own transaction did not write it or failed after all."""
        if act is None or (act.recorded and outcome == OK):
            return
        async with self._ledger.transaction() as session:
            await append(session, self._ledger.clock(), act, outcome)
        act.recorded = True


class _Method:
    """One method behind the gate."""

    def __init__(self, gate: Gate, method: str, inner: Any) -> None:
        self._gate = gate
        self._method = method
        self._action = action_of(method)
        self._parse: Parse = inner.request_deserializer
        self._inner = inner
        self._sheltered = not getattr(inner.unary_unary, UNBROKEN, False)

    def _act(self, caller: Caller | None, context: Any) -> Act | None:
        if not self._action:
            return None
        act = Act(self._action, caller.key_id if caller else "", peer_of(context).text)
        set_act(act)
        return act

    async def _refuse(self, context: Any, act: Act | None, error: W3bstreamError) -> None:
        refused(error)
        log.info("api_refused", method=self._method, code=error.code)
        if SCOPES.get(self._method) == LOGIN and isinstance(error, InvalidInput | Refused):
            self._gate._authenticator.failed(peer_of(context).address)
            # A stranger writes no row of the ledger for the asking: none for what is no login at all, and few of others.
            counted = error.code == "W3B-7022" and not self._gate._refused_logins.wait("", REFUSED_LOGINS, 60.0)
            act = act if counted else None
        try:
            await self._gate._unbroken.run(self._gate.write_act(act, error.code))
        except Exception:
            # The caller learns of its own error; that the ledger did not take the row is the operator's to know.
            log.exception("audit_row_not_written", action=self._action, outcome=error.code)
        await abort(context, error)

    async def unary_unary(self, data: bytes, context: Any) -> Any:
        """A plain call."""
        gate, act = self._gate, None
        caller: Caller | None = None
        try:
            caller = await gate.caller(self._method, context)
            act = self._act(caller, context)
            request = _parsed(self._parse, data)
            if act is not None:
                describe(act, request)
            if caller is not None:
                await gate._rates.enter(caller, request)
            try:
                work = self._inner.unary_unary(request, context)
                answer = await (gate._unbroken.run(work) if self._sheltered else work)
            finally:
                if caller is not None:
                    gate._rates.leave(caller)
            if act is not None and not act.recorded:
                await gate._unbroken.run(gate.write_act(act))
        except W3bstreamError as error:
            await self._refuse(context, act, error)
        except Exception:
            # The broadest catch there is, on purpose: the alternative is that gRPC tells the caller the exception's
            # text.
            await self._refuse(context, act, internal_error(self._method))
        else:
            return answer

    async def _long(self, context: Any, work: Callable[[], AsyncGenerator[Any, None]]) -> AsyncGenerator[Any, None]:
        """A stream: its caller is looked after until it ends."""
        gate = self._gate
        try:
            caller = await gate.caller(self._method, context)
            assert caller is not None, "no stream is public"
            await gate._rates.enter(caller, None)
            try:
                with gate._authenticator.long_call(caller) as call:
                    try:
                        async with aclosing(work()) as answers:
                            async for answer in answers:
                                yield answer
                    except asyncio.CancelledError:
                        if call.refusal is None:
                            raise
                        task = asyncio.current_task()
                        assert task is not None
                        task.uncancel()
                        raise call.refusal from None
            finally:
                gate._rates.leave(caller)
        except W3bstreamError as error:
            await self._refuse(context, None, error)
        except Exception:
            await self._refuse(context, None, internal_error(self._method))

    # gRPC looks at what kind of function each of these is, so each is an async generator or coroutine function itself.

    async def stream_stream(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        """Both sides stream."""

        def work() -> AsyncGenerator[Any, None]:
            return self._inner.stream_stream(_each_parsed(self._parse, messages), context)  # type: ignore[no-any-return]

        async with aclosing(self._long(context, work)) as answers:
            async for answer in answers:
                yield answer

    async def unary_stream(self, data: bytes, context: Any) -> AsyncIterator[Any]:
        """The answer streams."""

        def work() -> AsyncGenerator[Any, None]:
            return self._inner.unary_stream(_parsed(self._parse, data), context)  # type: ignore[no-any-return]

        async with aclosing(self._long(context, work)) as answers:
            async for answer in answers:
                yield answer

    async def unary_write(self, data: bytes, context: Any) -> None:
        """The answer streams, written to the context."""

        async def work() -> AsyncGenerator[Any, None]:
            await self._inner.unary_stream(_parsed(self._parse, data), context)
            return
            yield

        async with aclosing(self._long(context, work)) as answers:
            async for _ in answers:
                raise AssertionError("it writes to the context")

    async def stream_unary(self, messages: AsyncIterator[bytes], context: Any) -> Any:
        """The request streams."""

        async def work() -> AsyncGenerator[Any, None]:
            yield await self._inner.stream_unary(_each_parsed(self._parse, messages), context)

        async with aclosing(self._long(context, work)) as answers:
            return await anext(answers)


class _GatedService(grpc.GenericRpcHandler):
    """A service's handlers behind the gate; an unknown method stays unknown (UNIMPLEMENTED)."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner
        self._handlers: dict[str, Any] = {}

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, None when it is not of this service."""
        method = str(details.method)
        known = self._handlers.get(method)
        if known is None and (found := self._inner.service(details)) is not None:
            known = self._handlers[method] = self._gate.handler(method, found)
        return known


class _GatedMethods(grpc.GenericRpcHandler):
    """The handlers, behind the gate, of all methods that services named when they were registered.

    gRPC has a list of such methods of its own, and for each call it waits on every one of them at once: with sixty
    that costs as much time as half an empty call. One look into one table costs nothing.
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        """By the method's full name, `/package.Service/Name`."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, None when nobody named it."""
        return self.handlers.get(str(details.method))


class _Registrar:
    """What generated code calls to register a service."""

    def __init__(self, gate: Gate, server: grpc.aio.Server) -> None:
        self._gate = gate
        self._server = server
        self._methods = _GatedMethods()
        server.add_generic_rpc_handlers([self._methods])

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Add the services behind the gate; asked for methods that nobody named."""
        self._server.add_generic_rpc_handlers([_GatedService(self._gate, handler) for handler in handlers])

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Add the methods by name, behind the gate."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._methods.handlers[method] = self._gate.handler(method, handler)
