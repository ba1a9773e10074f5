"""The command against a running API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))

from api_live import Live, project_rows
from cli_run import Cli
from structlog.testing import capture_logs


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """The API with real NATS and intake, and project 1 published."""
    with Live(tmp_path / "home").running(nats=True) as api:
        api.add(*project_rows(1, "weather"))
        yield api


@pytest.fixture
def cli(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """The command as a user of that service's machine calls it, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("W3BSTREAM_HOME", str(live.home))
    for name in ("W3BSTREAM_TARGET", "W3BSTREAM_API_KEY", "W3BSTREAM_CA"):
        monkeypatch.delenv(name, raising=False)
    # The service runs in this process here; its log must not stand among what the command prints.
    with capture_logs():
        yield Cli()
