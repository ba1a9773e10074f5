"""The window policy: pure functions from what was taken to which windows close.

A window is a half-open range [start, end) of stream positions (docs/reference/encodings.md §2). Rules:
1. Every position lies in at most one window; a position whose reading was accepted lies in exactly one, once it closes.
2. An accepted reading takes a slot; a refused message takes a position but no slot.
3. A window closes by count when its last slot is taken, by time when its first reading is `max_age_ms` old, by flush
   when someone asked for it, and by version when a new project version takes over. One that was opened so far ahead of
   now was opened before the clock was set back: it closes as if it were as old.
4. A window without a reading makes no task: its start moves on and nothing closes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class CloseReason(StrEnum):
    """Why a window closed."""

    COUNT = "count"
    TIME = "time"
    FLUSH = "flush"
    VERSION = "version"


@dataclass(frozen=True)
class WindowTerms:
    """When a project version's windows close."""

    readings: int
    """Accepted readings that fill a window, 1 or more."""
    max_age_ms: int
    """Longest age of a window's first reading, milliseconds."""


@dataclass(frozen=True)
class OpenWindow:
    """The window under way and how far the stream was read."""

    start: int
    """First position of the open window, 1 or more."""
    next_position: int
    """First position not yet taken."""
    opened_at: int | None = None
    """When the first accepted reading arrived, milliseconds; None while there is none."""
    count: int = 0
    """Accepted readings in it."""


@dataclass(frozen=True)
class Taken:
    """One message that was judged."""

    position: int
    accepted: bool
    arrived_at: int
    """Milliseconds since the Unix epoch."""


@dataclass(frozen=True)
class Closing:
    """A window that closed with at least one reading."""

    start: int
    end: int
    """First position after it."""
    count: int
    opened_at: int
    """When its first reading arrived."""
    reason: CloseReason


def close(window: OpenWindow, end: int, reason: CloseReason) -> tuple[OpenWindow, list[Closing]]:
    """Close the window before position `end`; the next one starts there. Nothing closes where nothing was accepted."""
    following = OpenWindow(end, max(window.next_position, end))
    if window.opened_at is None:
        return following, []
    return following, [Closing(window.start, end, window.count, window.opened_at, reason)]


def is_stale(window: OpenWindow, terms: WindowTerms, now: int) -> bool:
    """Whether the open window closes by time at `now`, milliseconds; never while it is empty."""
    return window.opened_at is not None and abs(now - window.opened_at) >= terms.max_age_ms


def _take(window: OpenWindow, message: Taken, terms: WindowTerms, now: int) -> tuple[OpenWindow, list[Closing]]:
    # A DA clock that runs ahead of ours must not keep a window open past its age.
    arrived_at = min(message.arrived_at, now)
    closings: list[Closing] = []
    if is_stale(window, terms, arrived_at):
        window, closings = close(window, message.position, CloseReason.TIME)
    count = window.count + message.accepted
    opened_at = arrived_at if window.opened_at is None and message.accepted else window.opened_at
    window = OpenWindow(window.start, message.position + 1, opened_at, count)
    if window.count >= terms.readings:
        window, full = close(window, window.next_position, CloseReason.COUNT)
        closings += full
    return window, closings


def advance(
    window: OpenWindow, taken: Sequence[Taken], terms: WindowTerms, now: int, flush_to: int = 0
) -> tuple[OpenWindow, list[Closing]]:
    """Take messages in stream order, then look at the clock and at a flush of everything below `flush_to`.

    Parameters: `taken` positions strictly increase and are at least `window.next_position`, else ValueError; `now` in
    milliseconds. Returns the window that stays open and those that closed, in order.
    """
    closings: list[Closing] = []
    for message in taken:
        if message.position < window.next_position:
            raise ValueError(f"position {message.position} was taken before {window.next_position}")
        window, closed = _take(window, message, terms, now)
        closings += closed
    if is_stale(window, terms, now):
        window, closed = close(window, window.next_position, CloseReason.TIME)
        closings += closed
    if window.start < flush_to <= window.next_position and window.count:
        window, closed = close(window, window.next_position, CloseReason.FLUSH)
        closings += closed
    return window, closings


def due_at(window: OpenWindow, terms: WindowTerms) -> int | None:
    """When the open window closes by time, milliseconds; None while it is empty."""
    return None if window.opened_at is None else window.opened_at + terms.max_age_ms
