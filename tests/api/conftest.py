"""One API a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_live import Live, project_rows


@pytest.fixture
def live(tmp_path: Path, ledger_url: str) -> Iterator[Live]:
    """The API over a real ledger, without a DA layer."""
    with Live(tmp_path, ledger_url).running(nats=False) as api:
        yield api


@pytest.fixture
def streaming(tmp_path: Path, ledger_url: str) -> Iterator[Live]:
    """The API with real NATS and intake, and project 1 published."""
    with Live(tmp_path, ledger_url).running(nats=True) as api:
        api.add(*project_rows(1, "weather"))
        yield api
