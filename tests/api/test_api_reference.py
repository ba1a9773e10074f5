"""The reference page is the one that the code draws, and it leaves no method out."""

from __future__ import annotations

from pathlib import Path

from coordinator.api.auth import SCOPES
from coordinator.api.reference import markdown

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/reference/api.md").read_text() == markdown()


def test_every_method_stands_in_it() -> None:
    page = markdown()
    for method in SCOPES:
        if method.startswith("/w3bstream."):
            assert f"| `{method.rpartition('/')[2]}` |" in page
