"""Whatever bytes come for whatever method, from a stranger or with a key: a coded status, never INTERNAL, no trace of
the code, and the server goes on."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import time
from itertools import pairwise
from typing import Any

import grpc
import psutil
import pytest
from api_live import Live, project_rows, task_row
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import w3bstream.v1
from coordinator.api.errors import DETAILS_KEY, from_rpc

METHODS = [
    method
    for module in sorted(
        each.name for each in pkgutil.iter_modules(w3bstream.v1.__path__) if each.name.endswith("_pb2")
    )
    for service in importlib.import_module(f"w3bstream.v1.{module}").DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
SLOW = {"PublishVersion", "SubmitTask"}
"""They wait for other parts of the service, which this test has not got."""
ENDLESS = 0.3
"""Seconds after which a watch that is well is left."""
OURS = ("Traceback", "coordinator/", ".py", "sqlalchemy", "sqlite", "asyncpg", "Exception", "<class")
INTEGERS = st.sampled_from([0, 1, 2, 49, 50, 200, 201, 2**31 - 1, 2**31, 2**63 - 1])
TEXTS = st.one_of(
    st.sampled_from(
        ["", "1", "0x" + "00" * 32, "key_000000000000", "weather", "FINAL", "\0", "' OR 1=1 --", "../../etc/passwd"]
    ),
    st.text(max_size=40),
    st.text("a\U0001f600\ufffe", min_size=3000, max_size=3001),
)
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: st.one_of(st.just(-1), st.integers(-(2**31), 2**31 - 1)),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 200, 201]),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1) | INTEGERS,
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1) | INTEGERS,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(-1, 12),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
}


def value(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return messages(field.message_type, depth + 1)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=200)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return TEXTS
    return NUMBERS[field.cpp_type]


def messages(descriptor: Any, depth: int = 0) -> st.SearchStrategy[Message]:
    """Messages of a type, with any values in any of their fields."""

    @st.composite
    def build(draw: Any) -> Message:
        made = GetMessageClass(descriptor)()
        for field in descriptor.fields:
            if (
                depth > 2
                or draw(st.integers(0, 3)) == 0
                or (field.message_type and field.message_type.GetOptions().map_entry)
            ):
                continue
            if field.is_repeated:
                for _ in range(draw(st.integers(0, 3))):
                    each = draw(value(field, depth))
                    if isinstance(each, Message):
                        getattr(made, field.name).add().CopyFrom(each)
                    else:
                        getattr(made, field.name).append(each)
            elif field.message_type:
                getattr(made, field.name).CopyFrom(draw(value(field, depth)))
            else:
                setattr(made, field.name, draw(value(field, depth)))
        return made

    return build()


def on_the_wire(descriptor: Any) -> st.SearchStrategy[bytes]:
    """A message's bytes: as they should be, cut, with a bit flipped, with unknown fields, or anything at all."""
    whole = messages(descriptor).map(lambda each: each.SerializeToString())

    @st.composite
    def damaged(draw: Any) -> bytes:
        data = bytearray(draw(whole) or b"\x08\x01")
        at = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(["cut", "flip", "unknown", "text"]))
        if how == "cut":
            return bytes(data[:at])
        if how == "flip":
            data[at] ^= draw(st.integers(1, 255))
            return bytes(data)
        return bytes(data) + (b"\xfa\x7f\x03abc" if how == "unknown" else b"\x0a\x02\xff\xfe")

    return st.one_of(whole, whole, damaged(), st.binary(max_size=64))


def call(channel: grpc.Channel, method: Any, data: bytes, metadata: Any) -> grpc.RpcError | None:
    """Make the call; returns the error that ended it."""
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    name = f"/{method.containing_service.full_name}/{method.name}"
    request: Any = iter([data]) if method.client_streaming else data
    endless = method.server_streaming or method.name in SLOW
    try:
        answer = getattr(channel, kind)(name)(request, metadata=metadata, timeout=ENDLESS if endless else 20)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        if (
            endless
            and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            and DETAILS_KEY not in dict(error.trailing_metadata() or ())
        ):
            return None
        return error
    return None


def require_clean(error: grpc.RpcError, what: str) -> None:
    """The error is the service's own, with a code, and tells nothing of its inside."""
    assert error.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), f"{what}: {error}"
    assert DETAILS_KEY in dict(error.trailing_metadata() or ()), f"{what}: no details: {error}"
    said = f"{error.details()} {from_rpc(error).message}"
    assert from_rpc(error).code.startswith("W3B-")
    assert not [word for word in OURS if word in said], said


@pytest.fixture
def filled(live: Live) -> Live:
    """An API with something to find."""
    live.add(*project_rows(1, "weather"), *project_rows(2, "other"), task_row(1), task_row(2, project_id=2))
    live.run(live.server.stop(0))
    live.settings = live.settings.model_copy(update={"api_auth_failures": 0})
    live.server = live.new_server()
    host, port = live.run(live.server.start())
    live.target = f"{host}:{port}"
    return live


def attempts(channel: grpc.Channel, method: Any, metadata: Any, who: str, number: int) -> None:
    """Several messages for one method, always the same ones."""
    few = who == "stranger" or method.server_streaming or method.name in SLOW
    public = method.containing_service.name == "AuthService"

    @seed(number)
    @settings(max_examples=2 if few else 8, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(on_the_wire(method.input_type))
    def attempt(data: bytes) -> None:
        error = call(channel, method, data, metadata)
        if who == "stranger" and not public:
            assert error is not None, f"{method.name} served a stranger"
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        if error is not None:
            require_clean(error, f"{method.full_name} {data!r}")

    attempt()


@pytest.mark.parametrize("who", ["stranger", "project", "everyone"])
def test_any_message_for_any_method_gets_a_coded_answer(filled: Live, who: str) -> None:
    key = {"stranger": "", "project": filled.key(project_id=1), "everyone": filled.key()}[who]
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    failures: list[str] = []
    with grpc.insecure_channel(filled.target) as channel:
        for number, method in enumerate(METHODS):
            try:
                attempts(channel, method, metadata, who, number)
            except AssertionError as failure:
                failures.append(str(failure)[:400])
    assert not failures, "\n".join(failures)
    with filled.client() as admin:
        assert admin.get_status().chain_id == 4690


def test_long_requests_leave_no_memory_behind(filled: Live) -> None:
    """Refused, and forgotten: what the allocator keeps for the next ones does not grow with their number."""
    metadata = (("authorization", f"Bearer {filled.admin_key}"),)
    process = psutil.Process()
    with grpc.insecure_channel(filled.target) as channel:
        submit = channel.unary_unary("/w3bstream.v1.ProjectService/CreateProject")

        def resident(calls: int) -> int:
            for _ in range(calls):
                with pytest.raises(grpc.RpcError):
                    submit(b"\x0a\x80\x80\x80\x01" + b"a" * (2 << 20), metadata=metadata)
            gc.collect()
            return int(process.memory_info().rss)

        after = [resident(60) for _ in range(4)]
        grown = [later - earlier for earlier, later in pairwise(after)]
        assert min(grown) < 30 << 20, f"a quarter of what was sent is still there, each time: {grown}"


def test_page_tokens_of_others_and_of_nobody(filled: Live) -> None:
    metadata = (("authorization", f"Bearer {filled.admin_key}"),)
    tokens = ["x", "A" * 600, "AAAA", "=", "\n", "WzFd", "ä", "W" * 511]
    with grpc.insecure_channel(filled.target) as channel:
        for method in METHODS:
            field = method.input_type.fields_by_name.get("page_token")
            if field is None:
                continue
            for token in tokens:
                request = GetMessageClass(method.input_type)(page_token=token)
                if "project_id" in method.input_type.fields_by_name:
                    request.project_id = 1
                error = call(channel, method, request.SerializeToString(), metadata)
                assert error is not None, f"{method.name} took {token!r}"
                require_clean(error, method.full_name)
                assert from_rpc(error).code == "W3B-7009", method.full_name


def test_odd_and_too_many_headers(filled: Live) -> None:
    with grpc.insecure_channel(filled.target) as channel:
        status = channel.unary_unary("/w3bstream.v1.AdminService/GetStatus")
        for value in ("Bearer", "Bearer ", "bearer x.y.z", "Bearer " + "a" * 4000, "Bearer a.b.c", "Basic x"):
            with pytest.raises(grpc.RpcError) as caught:
                status(b"", metadata=(("authorization", value),))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        many = tuple((f"x-{number}", "v" * 100) for number in range(1000))
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as flooded:
            status(b"", metadata=many, timeout=20)
        assert flooded.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert time.monotonic() - began < 20
    with filled.client() as admin:
        assert admin.get_status().chain_id == 4690
