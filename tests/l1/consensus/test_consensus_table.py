"""The docs' table of transitions is the machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from l1.consensus.machine import RULES
from l1.consensus.table import main, page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "consensus-transitions.md"


def test_the_page_in_the_docs_is_drawn_from_the_rules() -> None:
    assert main(["--check", str(PAGE)]) == 0


def test_every_rule_has_its_row() -> None:
    rows = page().splitlines()
    for rules in RULES.values():
        for rule in rules:
            assert sum(row.startswith(f"| {rule.lines} | {rule.what} | ") for row in rows) == 1


def test_another_page_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "page.md"
    other.write_text(page().replace("endorse", "ignore"))
    assert main(["--check", str(other)]) == 1
    assert "make docs" in capsys.readouterr().err
    assert main(["--check"]) == 2
