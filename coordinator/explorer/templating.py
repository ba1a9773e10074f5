"""The templates' environment: escaping on everywhere, and how times, ids and amounts are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from coordinator.explorer import charts
from coordinator.explorer.waits import plural, seconds_text
from coordinator.ledger.transitions import TERMINAL_TASK_STATES, TaskState
from verifier.error_codes import CODES

FOLDER = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
_SHORT = 20
"""Ids longer than this are shortened on pages; the whole id is in the title and behind the copy button."""
_COIN = 10**18

TONES = {
    **dict.fromkeys(
        ("FINAL", "DELIVERED", "VERIFIED", "IDLE", "PUBLISHED", "ACTIVE", "DONE", "SAME", "CONFIRMED"), "good"
    ),
    **dict.fromkeys(
        ("BUSY", "PROVING", "PROVED", "POSTED", "SATISFIED", "SETTLED", "SENT", "MINED", "SAFE", "RUNNING", "RESENT"),
        "work",
    ),
    **dict.fromkeys(("RECEIVED", "OPEN", "ASSIGNED", "QUEUED", "PENDING", "PAUSED", "BUMPED", "AWAITED"), "wait"),
    **dict.fromkeys(
        (
            *("FAILED", "EXPIRED", "FROZEN", "LOST", "REJECTED", "REFUSED", "DEAD", "OFFLINE", "DISABLED", "REORGED"),
            *("MISSED", "CONTRADICTED"),
        ),
        "bad",
    ),
}
"""The colour of a state; every other one is `mute`. The text always says the same."""


def exact(at: int | None) -> str:
    """`2026-03-01 12:00:00 UTC` of milliseconds since the Unix epoch; a dash for none."""
    if not at:
        return "–"
    try:
        return datetime.fromtimestamp(at / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # a device may sign any time it likes
        return f"{at} ms"


def iso(at: int | None) -> str:
    """RFC 3339, for the attribute `datetime`; empty for none and for what no calendar has."""
    try:
        return datetime.fromtimestamp((at or 0) / 1000, tz=UTC).isoformat(timespec="milliseconds") if at else ""
    except (ValueError, OverflowError, OSError):
        return ""


def age(at: int | None, now: int) -> str:
    """`3 min 20 s ago`, or `in 12 s`."""
    if not at:
        return ""
    text = seconds_text(abs(now - at) / 1000)
    return f"{text} ago" if at <= now else f"in {text}"


def short(text: Any) -> str:
    """The beginning and the end of a long id."""
    value = str(text)
    return value if len(value) <= _SHORT else f"{value[:10]}…{value[-6:]}"


def duration(milliseconds: float | None) -> str:
    """A length of time in plain units; a dash for none."""
    return "–" if milliseconds is None else seconds_text(milliseconds / 1000)


def coins(wei: int | None) -> str:
    """An amount in coins with up to nine digits after the point; a dash for none."""
    if wei is None:
        return "–"
    text = f"{wei / _COIN:.9f}".rstrip("0").rstrip(".")
    return text if wei == 0 or text != "0" else "under 0.000000001"


def number(value: float | None) -> str:
    """`12,345`; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}".rstrip("0").rstrip(".")


def percent(value: float | None) -> str:
    """`99.5 %`; a dash for none."""
    return "–" if value is None else f"{value * 100:.1f} %".replace(".0 %", " %")


def segment(text: Any) -> str:
    """Text as one part of a path."""
    return quote(str(text), safe="")


def pretty(value: Any) -> str:
    """JSON for reading; text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def next_step(code: str) -> str:
    """What a person can do about an error code; empty for one that is unknown."""
    return CODES[code].next_step if code in CODES else ""


def environment() -> Environment:
    """The environment, ready to render. Templates know nothing but what a page hands them."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        exact=exact,
        iso=iso,
        short=short,
        duration=duration,
        seconds=seconds_text,
        coins=coins,
        number=number,
        percent=percent,
        segment=segment,
        next_step=next_step,
        pretty=pretty,
    )
    made.globals.update(
        charts=charts,
        plural=plural,
        age=age,
        tone=lambda state: TONES.get(str(state), "mute"),
        TASK_STATES=[state.value for state in TaskState],
        ENDED=[state.value for state in TERMINAL_TASK_STATES],
    )
    return made
