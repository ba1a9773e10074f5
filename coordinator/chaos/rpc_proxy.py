"""The wire between the service and its chain: hands JSON-RPC requests on, or loses, delays or swallows some of them."""

from __future__ import annotations

import http.client
import random
import sys
import threading
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER_SECONDS = 30.0
"""How long the node has for an answer."""
SHARE = 0.5
"""Share of the requests that are lost, or whose answer is."""
DELAY_SECONDS = 1.0
"""How late a slow wire brings each request."""


class Wire(StrEnum):
    """How the wire is."""

    WHOLE = "whole"
    DROPPING = "dropping"
    """Half of the requests never arrive: the connection ends."""
    SLOW = "slow"
    """Each request arrives late."""
    DEAF = "deaf"
    """Each request arrives and is acted on, and half of the answers do not come back: the caller hears nothing."""


class RpcProxy:
    """Listens on a free port of loopback until `close`. Parameters: `port` is the node's; `seed` draws what is lost."""

    def __init__(self, port: int, seed: int) -> None:
        self.wire = Wire.WHOLE
        """May be set at any time."""
        self._node = port
        self._random = random.Random(f"w3bstream wire {seed}")
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="wire", daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        """Where the service finds the chain."""

    def close(self) -> None:
        """Let go of every connection, and stop."""
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _draws(self) -> bool:
        with self._lock:
            return self._random.random() < SHARE

    def answer(self, body: bytes) -> bytes | None:
        """The node's answer; None when the caller gets none. Blocks."""
        wire = self.wire
        if wire is Wire.DROPPING and self._draws():
            return None
        if wire is Wire.SLOW:
            self._closing.wait(DELAY_SECONDS)
        try:
            found = self._ask(body)
        except (OSError, http.client.HTTPException):  # the node is away
            return None
        if wire is Wire.DEAF and self._draws():
            self._closing.wait(ANSWER_SECONDS)
            return None
        return found

    def _ask(self, body: bytes) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._node, timeout=ANSWER_SECONDS)
        try:
            connection.request("POST", "/", body, {"content-type": "application/json"})
            return connection.getresponse().read()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed breaks its connection off, which is no news here."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(proxy: RpcProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answer = proxy.answer(self.rfile.read(int(self.headers.get("content-length") or 0)))
            if answer is None:
                self.close_connection = True
                return
            try:
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:  # the caller has given up, or was killed
                self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            """The service's log says what it made of it."""

    return Handler
