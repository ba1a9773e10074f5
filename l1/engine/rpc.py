"""JSON-RPC over HTTP to an execution client on this machine, with the Engine API's authentication where wanted."""

from __future__ import annotations

import base64
import hmac
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

SECRET_BYTES: Final = 32


class EngineError(RuntimeError):
    """The execution client cannot be used; the message says why and what to do."""


class AnswerError(EngineError):
    """The client answered with an error. `args` is (code, message, data): `data` as JSON has it, None without."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.data = data

    def __str__(self) -> str:
        return f"{self.args[1]} ({self.args[0]})"


def bearer(secret: bytes, issued_at: int) -> str:
    """A token of the Engine API: HS256 over the claim `iat` (execution-apis `authentication.md`, RFC 7515).

    Parameters
    ----------
    secret
        The secret that both sides share, 32 bytes.
    issued_at
        Unix seconds; the client takes a token for 60 seconds before and after.
    """
    head, claims = ({"typ": "JWT", "alg": "HS256"}, {"iat": issued_at})
    signed = b".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
    return (signed + b"." + _base64url(hmac.digest(secret, signed, sha256))).decode("ascii")


class JsonRpc:
    """One connection, kept open. Calls from several threads wait for each other."""

    def __init__(self, url: str, secret: bytes | None = None, *, timeout: float = 60.0) -> None:
        """No connection is made yet.

        Parameters
        ----------
        url
            `http://host:port`.
        secret
            For the authenticated port, 32 bytes.
        timeout
            Seconds that an answer may take.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise ValueError(f"{url!r} is not http://host:port")
        self.url = url
        """Where the client answers."""
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        self._secret = secret
        self._lock = threading.Lock()
        self._ids = itertools.count(1)

    def call(self, method: str, *params: Any) -> Any:
        """Call a method and return its result.

        Raises
        ------
        AnswerError
            When the answer is an error.
        EngineError
            When there is no answer, or one that is no JSON-RPC.
        """
        number = next(self._ids)
        return _result(self._exchange(method, _request(number, method, params)), number, f"{method} at {self.url}")

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _exchange(self, method: str, body: bytes) -> bytes:
        """POST, a second time where the other side had closed the idle connection: no method used here minds."""
        with self._lock:
            for last in (False, True):
                headers = {"Content-Type": "application/json"}
                if self._secret is not None:
                    headers["Authorization"] = "Bearer " + bearer(self._secret, int(time.time()))
                try:
                    self._connection.request("POST", "/", body, headers)
                    response = self._connection.getresponse()
                    return response.read()
                except (http.client.HTTPException, OSError) as error:
                    self._connection.close()
                    if last or isinstance(error, TimeoutError):
                        raise EngineError(
                            f"{method} at {self.url}: no answer: {error or type(error).__name__}"
                        ) from error
        raise AssertionError("unreachable")


def call_socket(path: Path, method: str, *params: Any, timeout: float = 60.0) -> Any:
    """Call a method at geth's own socket, a file that only its owner can open: one JSON text a line each way.

    Raises AnswerError and EngineError as `JsonRpc.call`.
    """
    where = f"{method} at {path}"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(_request(1, method, params) + b"\n")
            with connection.makefile("rb") as answers:
                return _result(answers.readline(), 1, where)
    except OSError as error:
        raise EngineError(f"{where}: no answer: {error}") from error


def _request(number: int, method: str, params: Sequence[Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def _result(raw: bytes, number: int, where: str) -> Any:
    try:
        answer = json.loads(raw)
    except ValueError as error:
        text = raw[:200].decode(errors="replace").strip()
        raise EngineError(f"{where}: the answer is no JSON: {text or 'nothing'}") from error
    match answer:
        case {"id": got, "error": {"code": int(code), "message": str(message)}} if got in (number, None):
            raise AnswerError(code, message, answer["error"].get("data"))
        case {"id": got, "result": result} if got == number:
            return result
    raise EngineError(f"{where}: the answer is no JSON-RPC answer")


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
