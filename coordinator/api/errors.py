"""Our errors on the wire, both ways: google.rpc.Status with ErrorInfo (https://google.aip.dev/193).

The ErrorInfo's reason is the code, its domain `w3bstream`, its metadata {kind, message, next_step, field}; an error
that names a field also carries a BadRequest, one that passes with time a RetryInfo. This module serves the client too,
so it imports no other room of the service.
"""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from verifier.error_codes import CODES
from verifier.errors import Conflict, Denied, InvalidInput, NotFound, Refused, Unavailable, W3bstreamError

DOMAIN = "w3bstream"
DETAILS_KEY = "grpc-status-details-bin"
MAX_TEXT = 1000
"""Characters of a message or next step on the wire: metadata over 8 KiB would be refused by the other end."""

_KINDS: dict[str, type[W3bstreamError]] = {
    kind.__name__: kind for kind in (W3bstreamError, InvalidInput, Refused, NotFound, Conflict, Denied, Unavailable)
}
_BY_KIND: dict[type[W3bstreamError], grpc.StatusCode] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    Refused: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_BY_CODE = {
    "W3B-2004": grpc.StatusCode.ALREADY_EXISTS,
    "W3B-3002": grpc.StatusCode.ABORTED,
    "W3B-7001": grpc.StatusCode.UNAUTHENTICATED,
    "W3B-7002": grpc.StatusCode.UNAUTHENTICATED,
    "W3B-7003": grpc.StatusCode.UNAUTHENTICATED,
    "W3B-7007": grpc.StatusCode.ALREADY_EXISTS,
    "W3B-7010": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "W3B-7012": grpc.StatusCode.DEADLINE_EXCEEDED,
    "W3B-7014": grpc.StatusCode.UNIMPLEMENTED,
    "W3B-7015": grpc.StatusCode.INTERNAL,
    "W3B-7020": grpc.StatusCode.UNAUTHENTICATED,
    "W3B-7021": grpc.StatusCode.UNAUTHENTICATED,
    "W3B-7022": grpc.StatusCode.UNAUTHENTICATED,
    "W3B-7025": grpc.StatusCode.PERMISSION_DENIED,
    "W3B-7026": grpc.StatusCode.ALREADY_EXISTS,
    "W3B-7027": grpc.StatusCode.FAILED_PRECONDITION,
    "W3B-7028": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "W3B-7029": grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Where the class alone says too little."""
_WITHOUT_DETAILS: dict[grpc.StatusCode, tuple[type[W3bstreamError], str]] = {
    grpc.StatusCode.UNAVAILABLE: (Unavailable, "W3B-7011"),
    grpc.StatusCode.CANCELLED: (Unavailable, "W3B-7011"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (Unavailable, "W3B-7012"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (Unavailable, "W3B-7010"),
    grpc.StatusCode.UNIMPLEMENTED: (NotFound, "W3B-7014"),
}
"""What gRPC itself answers, before or instead of the service."""


def status_code(error: W3bstreamError) -> grpc.StatusCode:
    """The gRPC code that the error travels under."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    for kind, code in _BY_KIND.items():
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _packed(message: Message) -> Any:
    wrapped = Any()
    wrapped.Pack(message)
    return wrapped


def rich_status(error: W3bstreamError) -> status_pb2.Status:
    """The error as google.rpc.Status."""
    metadata = {
        "kind": next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _KINDS),
        "message": _cut(error.message),
        "next_step": _cut(error.next_step),
        "field": _cut(error.field),
    }
    found: list[Message] = [ErrorInfo(reason=error.code, domain=DOMAIN, metadata=metadata)]
    if error.field:
        violation = BadRequest.FieldViolation(field=_cut(error.field), description=_cut(error.message))
        found.append(BadRequest(field_violations=[violation]))
    retry_after = getattr(error, "retry_after", 0.0)
    if retry_after:
        found.append(RetryInfo(retry_delay=Duration(nanos=int(retry_after % 1 * 1e9), seconds=int(retry_after))))
    details = [_packed(each) for each in found]
    number: int = status_code(error).value[0]
    return status_pb2.Status(code=number, message=_cut(f"{error.code}: {error.message}"), details=details)


async def abort(context: grpc.aio.ServicerContext[object, object], error: W3bstreamError) -> None:
    """End the call with the error; never returns (gRPC raises)."""
    await context.abort_with_status(rpc_status.to_status(rich_status(error)))


def error_info(status: status_pb2.Status) -> ErrorInfo | None:
    """Our ErrorInfo among the status's details, if any."""
    for detail in status.details:
        info = ErrorInfo()
        if detail.Is(ErrorInfo.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def _details(error: grpc.RpcError) -> ErrorInfo | None:
    trailing = getattr(error, "trailing_metadata", lambda: None)() or ()
    for key, value in trailing:
        if key == DETAILS_KEY:
            try:
                return error_info(status_pb2.Status.FromString(value))
            except DecodeError:
                return None
    return None


def _rebuilt(info: ErrorInfo) -> W3bstreamError:
    metadata: Mapping[str, str] = info.metadata
    kind = _KINDS.get(metadata.get("kind", ""), W3bstreamError)
    code, message = info.reason, metadata.get("message", "")
    if code not in CODES:  # a newer service
        code, message = "W3B-7014", f"{info.reason}: {message}"
    return kind(code, message, field=metadata.get("field", ""), next_step=metadata.get("next_step", ""))


def from_rpc(error: grpc.RpcError) -> W3bstreamError:
    """The error that the service raised, as the caller's own exception, of the same class and code.

    An answer that does not come from the service becomes W3B-7010, W3B-7011, W3B-7012, W3B-7014 or W3B-7015.
    """
    info = _details(error)
    if info is not None:
        return _rebuilt(info)
    code = error.code() if callable(getattr(error, "code", None)) else grpc.StatusCode.UNKNOWN
    text = error.details() if callable(getattr(error, "details", None)) else str(error)
    kind, row = _WITHOUT_DETAILS.get(code, (W3bstreamError, "W3B-7015"))
    return kind(row, f"{code.name}: {text}")
