"""The connection to an execution client: tokens that others take, and answers that are none."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import OctKey

from l1.engine.client import EngineClient
from l1.engine.payload import PayloadInvalid, from_json
from l1.engine.rpc import AnswerError, EngineError, JsonRpc, bearer, call_socket

Answer = Callable[[dict[str, object]], bytes]


@contextmanager
def answering(answer: Answer, *, close: bool = False) -> Iterator[str]:
    """A server that answers each request as it is told to; it may close the connection after each."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = close

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def echo(request: dict[str, object]) -> bytes:
    """The parameters, as a result."""
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": request["params"]}).encode()


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**40))
def test_another_library_reads_the_token(secret: bytes, issued_at: int) -> None:
    """HS256 over `iat`, as joserfc has it; under another secret it does not hold."""
    token = jwt.decode(bearer(secret, issued_at), OctKey.import_key(secret), algorithms=["HS256"])
    assert token.claims == {"iat": issued_at}
    assert token.header == {"typ": "JWT", "alg": "HS256"}
    other = bytes([secret[0] ^ 1]) + secret[1:]
    with pytest.raises(BadSignatureError):
        jwt.decode(bearer(secret, issued_at), OctKey.import_key(other), algorithms=["HS256"])


def test_a_server_that_closes_after_each_answer_is_asked_again() -> None:
    """An idle connection may be gone; the next call makes another."""
    with answering(echo, close=True) as url:
        rpc = JsonRpc(url, bytes(32))
        assert [rpc.call("any", number) for number in range(5)] == [[number] for number in range(5)]
        rpc.close()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON: nothing"),
        (b"<html>502</html>", "502"),
        (b"[]", "no JSON-RPC answer"),
        (b'{"jsonrpc":"2.0","id":99,"result":1}', "no JSON-RPC answer"),
        (b'{"jsonrpc":"2.0","id":1}', "no JSON-RPC answer"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}', "no JSON-RPC answer"),
    ],
)
def test_an_answer_that_is_none_is_told(body: bytes, said: str) -> None:
    """Another program on the port, another request's answer, half an answer."""
    with answering(lambda _: body) as url, pytest.raises(EngineError, match=said):
        JsonRpc(url).call("any")


def test_an_error_keeps_its_code_words_and_data() -> None:
    """What a contract reverted with comes along."""
    error = b'{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted","data":"0x08c379a0"}}'
    with answering(lambda _: error) as url, pytest.raises(AnswerError, match="execution reverted") as raised:
        JsonRpc(url).call("eth_call")
    assert (raised.value.code, raised.value.data) == (3, "0x08c379a0")


def test_nobody_there_is_told(tmp_path: Path) -> None:
    """A port and a socket that nobody listens on."""
    with answering(echo) as url:
        pass
    with pytest.raises(EngineError, match="no answer"):
        JsonRpc(url).call("any")
    with pytest.raises(EngineError, match="no answer"):
        call_socket(tmp_path / "none.ipc", "any")
    with pytest.raises(ValueError, match="is not http"):
        JsonRpc("https://127.0.0.1:1")


def test_a_socket_answers_lines(tmp_path: Path) -> None:
    """One JSON text a line each way, large ones too; a peer that hangs up is told."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = json.loads(self.rfile.readline())
            if request["method"] == "echo":
                self.wfile.write(echo(request) + b"\n")

    path = tmp_path / "own.ipc"
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        large = "x" * 300_000
        assert call_socket(path, "echo", large, 7) == [large, 7]
        with pytest.raises(EngineError, match="nothing"):
            call_socket(path, "silence")
        server.shutdown()
        thread.join()


def test_a_client_without_osaka_is_refused(tmp_path: Path) -> None:
    """An older client does not say that it has getPayloadV5."""
    old = ["engine_forkchoiceUpdatedV3", "engine_newPayloadV4", "engine_getPayloadV4"]
    body = {"jsonrpc": "2.0", "id": 1, "result": old}
    with answering(lambda _: json.dumps(body).encode()) as url:
        engine = EngineClient(JsonRpc(url, bytes(32)), tmp_path / "geth.ipc")
        with pytest.raises(EngineError, match="engine_getPayloadV5"):
            engine.require_methods()


@pytest.mark.parametrize("result", [None, {}, {"status": "MAYBE"}, [], {"executionPayload": {}}])
def test_an_engine_that_answers_something_else_is_told(result: object, tmp_path: Path) -> None:
    """No status, no payload: nothing is taken for valid."""

    def answer(request: dict[str, object]) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()

    with answering(answer) as url:
        engine = EngineClient(JsonRpc(url, bytes(32)), tmp_path / "geth.ipc")
        with pytest.raises(EngineError):
            engine.forkchoice_updated(bytes(32), bytes(32))
        with pytest.raises(EngineError):
            engine.get_payload("0x01")
    with pytest.raises(PayloadInvalid):
        from_json(result)
