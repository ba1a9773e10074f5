"""Every code that the source raises stands in the table, with a meaning and a next step, and in the docs page."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

from verifier.error_codes import CODES, markdown
from verifier.errors import Refused

ROOT = Path(__file__).resolve().parents[2]


def test_codes_used_are_codes_documented() -> None:
    used = set()
    for room in ("coordinator", "provers", "verifier", "l1"):
        for path in (ROOT / room).rglob("*.py"):
            if path.name != "error_codes.py":
                used |= set(re.findall(r"W3B-\d{4}", path.read_text()))
    assert used == set(CODES)


def test_every_row_teaches() -> None:
    for code, row in CODES.items():
        assert re.fullmatch(r"W3B-[1-9]\d{3}", code)
        assert row.meaning.endswith(".")
        assert row.next_step.endswith(".")


def test_docs_page_is_current() -> None:
    assert (ROOT / "docs/reference/errors.md").read_text() == markdown()


def test_errors_cross_process_boundaries() -> None:
    error = pickle.loads(pickle.dumps(Refused("W3B-1003", "signature of 0xab", field="signature", next_step="sign")))
    assert (type(error), error.code, error.message) == (Refused, "W3B-1003", "signature of 0xab")
    assert (error.field, error.next_step, str(error)) == ("signature", "sign", "W3B-1003: signature of 0xab")
