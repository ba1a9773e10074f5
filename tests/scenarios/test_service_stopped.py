"""What must hold: SIGTERM in the middle of a proof, and of a call that does not end, ends the service in order: with
status 0, however long that takes, leaving no process behind; the next start goes on where it stood, and all settles
once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.api.client import Client
from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from verifier.errors import Unavailable

VALUES = temperatures(20)
TASKS = 2
GRACE_SECONDS = 4.0
"""The API gives calls under way 5 seconds; Ray's own handler of SIGTERM would abort the process after 3."""


@pytest.fixture
def own(tmp_path: Path, keys: Path) -> Iterator[Installation]:
    """An installation that this test may stop."""
    made = Installation(with_keys(tmp_path / "home", keys), {"PROVER_THREADS": "1"})
    yield made
    made.stop()


class EndlessIngest(threading.Thread):
    """An ingest call that sends readings and then says nothing more until `over` is set."""

    def __init__(self, client: Client, messages: list[bytes]) -> None:
        super().__init__()
        self.over = threading.Event()
        self.error: Unavailable | None = None
        """How the call ended."""
        self._client = client
        self._messages = messages

    def _send(self) -> Iterator[bytes]:
        yield from self._messages
        self.over.wait()

    def run(self) -> None:
        try:
            self._client.ingest(self._send(), batch=1)
        except Unavailable as error:
            self.error = error


@pytest.mark.slow
def test_service_stopped(own: Installation) -> None:
    own.start()
    with own.client() as client:
        project = WeatherProject(client, "stopped")
        call = EndlessIngest(client, project.sign(VALUES))
        call.start()
        until(lambda: own.rows("select id from attempt where state = 'PROVING'"), 90, "a prover is at work", every=0.01)
        began = time.monotonic()
        own.stop()
        assert time.monotonic() - began > GRACE_SECONDS
        call.over.set()
        call.join(30)
        assert call.error is not None
        assert not (own.home / "api.json").exists()
    own.start()
    with own.client() as client:
        client.submit_task(project.id)
        wait_final(client, project.id, TASKS)
    require_exactly_once(own, project.id, VALUES)
