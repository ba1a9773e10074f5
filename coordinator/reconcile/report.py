"""What a comparison found: typed, so that commands, tests and `w3bstream chaos` read the same thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verifier.error_codes import CODES

MOST_BREAKS = 1000
"""Breaks that a report holds; further ones are counted."""


@dataclass(frozen=True)
class Break:
    """Something that does not fit together."""

    code: str
    """Error code, W3B-5020 to W3B-5030."""
    subject: str
    """What it is about, such as `task 0x…` or `project 1 position 7`."""
    message: str
    """What was found, with both values."""
    project_id: int = 0
    """Whose it is; 0 where it is nobody's."""

    @property
    def meaning(self) -> str:
        """What the code stands for."""
        return CODES[self.code].meaning

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return CODES[self.code].next_step


@dataclass
class InvariantReport:
    """The outcome of one comparison.

    The invariants of the design, in its words: every accepted reading is in exactly one window or in the dead letters
    with its reason; one accepted proof per required kind; one settlement per task; at least one 2xx per webhook-id.
    """

    at: int
    """When it began, milliseconds."""
    breaks: list[Break] = field(default_factory=list)
    """The first 1,000."""
    found: int = 0
    """Breaks in all."""
    checked: Counter[str] = field(default_factory=Counter)
    """How many of each thing were compared."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Parts that could not be compared, with the reason; nothing is said about them."""

    @property
    def whole(self) -> bool:
        """Whether everything was compared and nothing is broken."""
        return not self.found and not self.left_out

    def add(self, found: Break) -> None:
        """Note a break."""
        self.found += 1
        if len(self.breaks) < MOST_BREAKS:
            self.breaks.append(found)

    def counts(self) -> Mapping[str, int]:
        """Breaks by code, among those held."""
        return Counter(each.code for each in self.breaks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "at": self.at,
            "whole": self.whole,
            "found": self.found,
            "checked": dict(self.checked),
            "left_out": dict(self.left_out),
            "breaks": [
                {
                    "code": each.code,
                    "subject": each.subject,
                    "project_id": each.project_id,
                    "message": each.message,
                    "next_step": each.next_step,
                }
                for each in self.breaks
            ],
        }
