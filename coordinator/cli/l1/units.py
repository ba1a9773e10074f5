"""Amounts, addresses, hashes, times and durations as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from verifier.errors import InvalidInput

IOTX: Final = 10**18
"""Rau in one IOTX."""
MAX_RAU: Final = (1 << 128) - 1
"""What the contracts keep an amount in."""
_AMOUNT = re.compile(r"([0-9]{1,21}(?:[,_][0-9]{3})*)(?:\.([0-9]{1,18}))?")
_ADDRESS = re.compile(r"(?:0x)?([0-9a-fA-F]{40})")
_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def rau(text: str, field: str) -> int:
    """Rau of an amount in IOTX such as `100`, `400,000` or `0.5`. Raises InvalidInput (W3B-7008)."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(
            "W3B-7008",
            f"{text[:60]!r} is no amount in IOTX",
            field=field,
            next_step="Write digits with at most 18 decimals, such as 100 or 0.5.",
        )
    amount = int(re.sub("[,_]", "", found[1])) * IOTX + int((found[2] or "").ljust(18, "0"))
    if amount > MAX_RAU:
        raise InvalidInput("W3B-7008", f"{text[:60]} IOTX is more than there can be", field=field)
    return amount


def iotx(amount: int) -> str:
    """An amount of rau in IOTX, exact, with thousands apart: `400,000` or `0.5`."""
    whole, part = divmod(amount, IOTX)
    return f"{whole:,}" + (f".{part:018}".rstrip("0") if part else "")


def decimal_iotx(amount: int) -> str:
    """An amount of rau in IOTX for programs: exact, without separators."""
    return iotx(amount).replace(",", "")


def address(text: str, field: str) -> bytes:
    """An address, 20 bytes. Raises InvalidInput (W3B-7008)."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(
            "W3B-7008",
            f"{text[:60]!r} is no address",
            field=field,
            next_step="An address is 0x and 40 hex digits.",
        )
    return bytes.fromhex(found[1])


def hash_of(text: str, field: str) -> bytes:
    """A hash, 32 bytes. Raises InvalidInput (W3B-7008)."""
    found = _HASH.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(
            "W3B-7008", f"{text[:80]!r} is no hash", field=field, next_step="A hash is 0x and 64 hex digits."
        )
    return bytes.fromhex(found[1])


def hexed(raw: bytes) -> str:
    """0x and hex digits."""
    return "0x" + raw.hex()


def seconds(text: str, field: str) -> int:
    """Seconds of `90`, `90s`, `15m`, `12h` or `7d`. Raises InvalidInput (W3B-7008)."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InvalidInput("W3B-7008", f"{text[:40]!r} is not a number and s, m, h or d", field=field)
    return int(found[1]) * _SECONDS[found[2]]


def lasting(duration: int) -> str:
    """Seconds as people say them: `7 d`, `1 d 12 h`, `90 s`."""
    if duration < 120:
        return f"{duration} s"
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, duration = divmod(duration, _SECONDS[unit])
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts[:2])


def at(moment: int) -> str:
    """Unix seconds in UTC; nothing for 0."""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""
    except (OverflowError, ValueError, OSError):
        return str(moment)
