"""JSON-RPC error objects (JSON-RPC 2.0 §5.1, EIP-1474, and geth's codes)."""

from __future__ import annotations

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005
EXECUTION_REVERTED = 3


class RpcError(Exception):
    """An error that goes to the caller as it is."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        """JSON-RPC error code."""
        self.message = message
        """What the caller reads."""
        self.data = data
        """Revert data as a 0x string, or `None`."""

    def to_json(self) -> dict[str, object]:
        """The `error` member of a response."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def invalid_params(message: str) -> RpcError:
    """The caller's parameters are malformed."""
    return RpcError(INVALID_PARAMS, message)
