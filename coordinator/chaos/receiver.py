"""The dApp owner's side of a chaos run, a process of its own: verifies each webhook, writes it down, and only then
answers. Run as `python -m coordinator.chaos.receiver FOLDER PORT SEED`; it is told what to do by files in FOLDER."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from coordinator.webhooks.receiver import verify
from verifier.errors import Refused

RECORD = "record.jsonl"
"""Every message, a line each, on disk before its answer is sent."""
FAILS = 0.1
"""Share of messages that are answered 503 for no reason, as real receivers do."""
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Delivery:
    """One message as the receiver saw it."""

    id: str
    """webhook-id."""
    subject: str
    """The task's id; empty when the signature did not hold."""
    type: str
    """The event's type, likewise."""
    status: int
    """What it was about to be answered."""


def read_record(folder: Path) -> list[Delivery]:
    """Everything that was received so far; a line that a SIGKILL cut short was never answered and does not count."""
    try:
        text = (folder / RECORD).read_text()
    except FileNotFoundError:
        return []
    return list(_whole_lines(text))


def _whole_lines(text: str) -> Iterator[Delivery]:
    for line in text.split("\n")[:-1]:
        try:
            yield Delivery(**json.loads(line))
        except (ValueError, TypeError):
            continue


class Desk:
    """Judges messages and keeps the record. Parameters: `seed` draws which messages it fails for no reason."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._record = (folder / RECORD).open("ab")
        if self._record.tell() and not (folder / RECORD).read_bytes().endswith(b"\n"):
            self._record.write(b"\n")  # ends the line that the last SIGKILL cut short

    def take(self, project: str, headers: dict[str, str], body: bytes) -> int:
        """The status to answer. What it decided is on disk when this returns."""
        mode, _, seconds = (self._folder / "mode").read_text().partition(" ")
        if mode == "slow":
            time.sleep(float(seconds))
        secrets = json.loads((self._folder / "secrets.json").read_text())
        try:
            event = verify(headers, body, secrets[project], now=_said_at(headers))
        except (Refused, KeyError):
            return self._write(Delivery(headers.get("webhook-id", ""), "", "", 401))
        with self._lock:
            fails = self._random.random() < FAILS
        status = 500 if mode == "failing" else 503 if fails else 204
        return self._write(Delivery(headers["webhook-id"], str(event["subject"]), str(event["type"]), status))

    def _write(self, delivery: Delivery) -> int:
        with self._lock:
            self._record.write(json.dumps(asdict(delivery)).encode() + b"\n")
            self._record.flush()
            os.fsync(self._record.fileno())
        return delivery.status


def _said_at(headers: dict[str, str]) -> float:
    """The message's own time: a clock that is set wrong is one of the faults, and no forgery."""
    said = headers.get("webhook-timestamp", "")
    return float(said) if said.isdecimal() else time.time()


def _handler(desk: Desk) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            body = self.rfile.read(min(int(self.headers.get("content-length") or 0), MOST_BYTES))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = desk.take(self.path.strip("/"), headers, body)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """The record says it all."""

    return Handler


def main(folder: Path, port: int, seed: int) -> None:
    """Serve on loopback until the process is killed."""
    ThreadingHTTPServer(("127.0.0.1", port), _handler(Desk(folder, seed))).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
