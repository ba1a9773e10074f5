"""Errors travel whole: class, code, message, field and next step; nothing else of the service does."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import pytest
from api_live import Live, project_rows
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from coordinator.api.client import Client
from coordinator.api.errors import DETAILS_KEY, from_rpc, rich_status, status_code
from verifier.error_codes import CODES
from verifier.errors import Conflict, Denied, InvalidInput, NotFound, Refused, Unavailable, W3bstreamError

KINDS = [InvalidInput, Refused, NotFound, Conflict, Denied, Unavailable, W3bstreamError]


class FakeRpcError(grpc.RpcError):
    """What a channel raises."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing: Any) -> None:
        super().__init__()
        self._values = (code, details, trailing)

    def code(self) -> grpc.StatusCode:
        return self._values[0]

    def details(self) -> str:
        return self._values[1]

    def trailing_metadata(self) -> Any:
        return self._values[2]


def over_the_wire(error: W3bstreamError) -> W3bstreamError:
    status = rich_status(error)
    return from_rpc(FakeRpcError(status_code(error), status.message, ((DETAILS_KEY, status.SerializeToString()),)))


@given(st.sampled_from(KINDS), st.sampled_from(sorted(CODES)), st.text(max_size=300), st.text(max_size=50), st.text())
def test_every_error_comes_back_as_it_was(
    kind: type[W3bstreamError], code: str, message: str, field: str, step: str
) -> None:
    sent = kind(code, message, field=field, next_step=step[:300])
    came = over_the_wire(sent)
    assert type(came) is kind
    assert (came.code, came.message, came.field, came.next_step) == (code, message, field, sent.next_step)


def test_long_texts_are_cut_to_fit_the_metadata() -> None:
    status = rich_status(InvalidInput("W3B-2001", "ä" * 100_000, field="f" * 9000, next_step="n" * 9000))
    assert len(status.SerializeToString()) < 16_000
    assert len(status.message) == 1000


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("W3B-7008", "x"), grpc.StatusCode.INVALID_ARGUMENT),
        (Refused("W3B-1003", "x"), grpc.StatusCode.INVALID_ARGUMENT),
        (NotFound("W3B-3003", "x"), grpc.StatusCode.NOT_FOUND),
        (Conflict("W3B-3001", "x"), grpc.StatusCode.FAILED_PRECONDITION),
        (Conflict("W3B-3002", "x"), grpc.StatusCode.ABORTED),
        (Conflict("W3B-2004", "x"), grpc.StatusCode.ALREADY_EXISTS),
        (Conflict("W3B-7007", "x"), grpc.StatusCode.ALREADY_EXISTS),
        (Denied("W3B-7001", "x"), grpc.StatusCode.UNAUTHENTICATED),
        (Denied("W3B-7004", "x"), grpc.StatusCode.PERMISSION_DENIED),
        (Unavailable("W3B-1008", "x"), grpc.StatusCode.UNAVAILABLE),
        (Unavailable("W3B-7012", "x"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (W3bstreamError("W3B-7015", "x"), grpc.StatusCode.INTERNAL),
    ],
)
def test_grpc_codes(error: W3bstreamError, code: grpc.StatusCode) -> None:
    assert status_code(error) is code


def test_the_status_has_standard_details(live: Live) -> None:
    with grpc.insecure_channel(live.target) as channel, pytest.raises(grpc.RpcError) as caught:
        call = channel.unary_unary("/w3bstream.v1.TaskService/ListTasks")
        call(b"\x28\xff\x01", metadata=(("authorization", f"Bearer {live.admin_key}"),))
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())[DETAILS_KEY])
    info, violations = ErrorInfo(), BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(violations)
    assert (info.reason, info.domain) == ("W3B-7008", "w3bstream")
    assert info.metadata["next_step"] == CODES["W3B-7008"].next_step
    assert violations.field_violations[0].field == "page_size"


def test_answers_that_are_not_the_services(live: Live) -> None:
    with Client("127.0.0.1:1", live.admin_key, timeout=1) as client, pytest.raises(Unavailable) as caught:
        client.get_status()
    assert caught.value.code == "W3B-7011"
    garbage = FakeRpcError(grpc.StatusCode.INTERNAL, "x", ((DETAILS_KEY, b"\xff\xff"),))
    assert from_rpc(garbage).code == "W3B-7015"
    foreign = AnyMessage()
    foreign.Pack(ErrorInfo(reason="W3B-1001", domain="elsewhere"))
    other = status_pb2.Status(code=14, details=[foreign]).SerializeToString()
    assert from_rpc(FakeRpcError(grpc.StatusCode.UNAVAILABLE, "x", ((DETAILS_KEY, other),))).code == "W3B-7011"


def test_a_code_of_a_newer_service_is_kept_in_the_message() -> None:
    detail = AnyMessage()
    metadata = {"kind": "Conflict", "message": "too new", "next_step": "do this"}
    detail.Pack(ErrorInfo(reason="W3B-9999", domain="w3bstream", metadata=metadata))
    status = status_pb2.Status(code=9, details=[detail]).SerializeToString()
    error = from_rpc(FakeRpcError(grpc.StatusCode.FAILED_PRECONDITION, "x", ((DETAILS_KEY, status),)))
    assert isinstance(error, Conflict)
    assert (error.code, error.message, error.next_step) == ("W3B-7014", "W3B-9999: too new", "do this")


def test_an_unexpected_exception_becomes_an_incident(live: Live, caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    live.add(*project_rows(1, "weather"))

    async def broken() -> Any:
        raise RuntimeError("secret /path/of/the/host")

    live.site.components = broken  # type: ignore[method-assign]
    caplog.set_level(logging.DEBUG)
    with live.client() as client, pytest.raises(W3bstreamError) as caught:
        client.get_status()
    assert caught.value.code == "W3B-7015"
    incident = caught.value.message.removeprefix("incident ")
    assert len(incident) == 16
    assert "secret" not in str(caught.value)
    logged = caplog.text + "".join(capsys.readouterr())
    assert incident in logged
    assert "RuntimeError" in logged


@pytest.mark.parametrize("data", [b"\xff", b"\x08", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe"])
@pytest.mark.parametrize("method", ["ProjectService/CreateProject", "TaskService/WatchTasks", "IngestService/Ingest"])
def test_malformed_messages_are_the_callers_fault(live: Live, method: str, data: bytes) -> None:
    metadata = (("authorization", f"Bearer {live.admin_key}"),)
    if method.endswith("Ingest") and data == b"\x0a\x02\xff\xfe":
        data = b"\x0a\x05\xff"
    with grpc.insecure_channel(live.target) as channel, pytest.raises(grpc.RpcError) as caught:
        if method.endswith("Ingest"):
            channel.stream_unary(f"/w3bstream.v1.{method}")(iter([data]), metadata=metadata)
        elif "Watch" in method:
            list(channel.unary_stream(f"/w3bstream.v1.{method}")(data, metadata=metadata))
        else:
            channel.unary_unary(f"/w3bstream.v1.{method}")(data, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc(caught.value).code == "W3B-7008"


def test_an_oversize_message_is_refused(live: Live) -> None:
    live.add(*project_rows(1, "weather"))
    with live.client() as client, pytest.raises(Unavailable) as caught:
        client.publish_version(1, "x" * (5 << 20))
    assert caught.value.code == "W3B-7010"
    with live.client() as client, pytest.raises(InvalidInput) as refused:
        client.publish_version(1, "x" * (2 << 20))
    assert (refused.value.code, refused.value.field) == ("W3B-7008", "file")


def test_an_unknown_method_says_so(live: Live) -> None:
    with grpc.insecure_channel(live.target) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/w3bstream.v1.TaskService/Fly")(b"")
    assert from_rpc(caught.value).code == "W3B-7014"
