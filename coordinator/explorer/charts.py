"""Geometry of the charts: pure functions from figures to rectangles in a fixed box; templates draw them as SVG.

The drawings hold no text, so that they stretch with the page; scales and labels are HTML around them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 600.0
"""Width of every box."""
HEIGHT = 100.0
_GAP = 0.22
"""Part of a bar's place that stays empty."""
_LEAST = 1.5
"""Least width or height of what is there at all, so that it can be seen."""


def nice_ceiling(value: float) -> float:
    """The next of 1, 2, 2.5, 5, 10, … times a power of ten: the top of a scale."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.001
    while True:
        for step in (1.0, 2.0, 2.5, 5.0):
            if value <= step * power:
                return step * power
        power *= 10


def bars(values: Sequence[float], *, top: float | None = None, stacked: Sequence[float] = ()) -> dict[str, Any]:
    """{top, bars: [{x, y, width, height, index, upper}]}: one bar a value; `stacked` values stand on top of them."""
    over = list(stacked) or [0.0] * len(values)
    top = top or nice_ceiling(max([a + b for a, b in zip(values, over, strict=True)], default=0.0))
    step = WIDTH / max(1, len(values))
    drawn = []
    for index, (value, upper) in enumerate(zip(values, over, strict=True)):
        x, width = index * step + step * _GAP / 2, step * (1 - _GAP)
        height = max(_LEAST, value / top * HEIGHT) if value else 0.0
        drawn.append(_rect(x, HEIGHT - height, width, height, index=index, upper=False))
        if upper:
            more = max(_LEAST, upper / top * HEIGHT)
            drawn.append(_rect(x, HEIGHT - height - more, width, more, index=index, upper=True))
    return {"top": top, "bars": [each for each in drawn if each["height"]]}


def _rect(x: float, y: float, width: float, height: float, **more: Any) -> dict[str, Any]:
    return {"x": round(x, 2), "y": round(y, 2), "width": round(width, 2), "height": round(height, 2), **more}


def ranges(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{top, rows: [{name, meaning, low, high, p50_ms, p95_ms, share}]}: `low` and `high` are widths up to p50 and p95."""
    top = max([float(each["p95_ms"] or 0) for each in stages], default=0.0) or 1.0
    rows = []
    for each in stages:
        low, high = float(each["p50_ms"] or 0) / top * WIDTH, float(each["p95_ms"] or 0) / top * WIDTH
        rows.append({**each, "low": round(max(_LEAST, low), 2), "high": round(max(_LEAST, high), 2)})
    return {"top": top, "rows": rows}


def spans(parts: Sequence[Mapping[str, Any]], start: float, end: float) -> list[dict[str, Any]]:
    """Parts with `from_at` and `to_at` as rectangles between two times; each keeps its other values."""
    whole = max(1.0, end - start)
    drawn = []
    for part in parts:
        x = (part["from_at"] - start) / whole * WIDTH
        width = max(_LEAST, (part["to_at"] - part["from_at"]) / whole * WIDTH)
        drawn.append({**part, **_rect(min(x, WIDTH - _LEAST), 0.0, width, HEIGHT)})
    return drawn


def segments(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Stages with `ms`, one after the other; each at least visible."""
    whole = sum(float(each["ms"]) for each in stages)
    if not whole:
        return []
    wide = [max(_LEAST * 2, float(each["ms"]) / whole * WIDTH) for each in stages]
    scale, x, drawn = WIDTH / sum(wide), 0.0, []
    for index, (each, width) in enumerate(zip(stages, wide, strict=True)):
        share = float(each["ms"]) / whole
        drawn.append({**each, "share": share, "index": index, **_rect(x, 0.0, width * scale, HEIGHT)})
        x += width * scale
    return drawn


def sequence(gaps: Sequence[Mapping[str, int]], last: int) -> list[dict[str, Any]]:
    """A device's missing ranges within its sequence numbers 1 to `last`, as rectangles; at least visible."""
    whole = max(1, last)
    drawn = []
    for gap in gaps:
        x = (gap["first"] - 1) / whole * WIDTH
        width = max(_LEAST * 2, (gap["last"] - gap["first"] + 1) / whole * WIDTH)
        drawn.append({**gap, **_rect(min(max(0.0, x), WIDTH - _LEAST * 2), 0.0, width, HEIGHT)})
    return drawn
