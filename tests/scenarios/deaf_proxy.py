"""Test only: a proxy before a chain's JSON-RPC that now and then hands a request on and swallows the answer."""

from __future__ import annotations

import json
import random
import threading
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class DeafProxy:
    """Listens on loopback until `close`.

    Parameters: `target` is the chain's URL; of the answers to `methods` the seeded share `chance` is swallowed: the chain
    has done what was asked, and the caller hears nothing until it gives up.
    """

    def __init__(self, target: str, methods: dict[str, float], seed: int) -> None:
        self.swallowed: Counter[str] = Counter()
        """Answers that nobody heard, by method."""
        self._target = target
        self._methods = methods
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _swallows(self, method: str) -> bool:
        with self._lock:
            swallows = self._random.random() < self._methods.get(method, 0.0)
            self.swallowed[method] += swallows
            return swallows

    def forward(self, body: bytes) -> bytes:
        """The chain's answer."""
        request = urllib.request.Request(self._target, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: bytes = answer.read()
            return found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = proxy.forward(body)
                if proxy._swallows(json.loads(body)["method"]):
                    proxy._closing.wait(30)
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing: the service's own log is what a failing test shows."""

        return Handler

    def close(self) -> None:
        """Let go of every held connection and stop."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
