"""Rows of a user's own CSV file as measurements: which device, when, and the payload."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from coordinator.cli.user_file import unreadable
from verifier.errors import InvalidInput
from verifier.reading import MAX_PAYLOAD

INTEGERS = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8}
"""Bytes of each integer payload."""
PAYLOADS = (*INTEGERS, "hex")
TIME_ADVICE = "Say how times are written with --time-format."
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True)
class Columns:
    """How to read the file."""

    value: str = "value"
    time: str = "timestamp"
    device: str = "device"
    """Column that names the device; it may be missing where there is one device."""
    time_format: str = "iso"
    """`iso`, `ms` or `s` since the Unix epoch, or a strptime pattern; UTC unless the text has a zone."""
    scale: Decimal = Decimal(1)
    """The value is multiplied with it, such as 10 for tenths."""
    rounded: bool = False
    """Round what is no whole number after scaling, half to even, instead of refusing it."""
    payload: str = "int32"
    """One of `PAYLOADS`."""


@dataclass(frozen=True)
class Measurement:
    """One row."""

    line: int
    """Line of the file, the header being 1."""
    device: str
    """As the file names it; empty without a device column."""
    timestamp: int
    """Milliseconds since the Unix epoch."""
    payload: bytes


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no whole number") from error


def _timestamp(text: str, form: str) -> int:
    if form in ("ms", "s"):
        return _integer(text) if form == "ms" else int(_decimal(text) * 1000)
    try:
        at = datetime.fromisoformat(text) if form == "iso" else datetime.strptime(text, form)
    except ValueError as error:
        wanted = "is no ISO 8601 time" if form == "iso" else f"is not written as {form!r} says"
        raise ValueError(f"{text!r} {wanted}") from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


def _payload(text: str, columns: Columns) -> bytes:
    if columns.payload == "hex":
        try:
            data = bytes.fromhex(text.removeprefix("0x"))
        except ValueError as error:
            raise ValueError(f"{text[:80]!r} is no hex") from error
        if len(data) > MAX_PAYLOAD:
            raise ValueError(f"{len(data)} bytes are more than {MAX_PAYLOAD}")
        return data
    scaled = _decimal(text) * columns.scale
    if not scaled.is_finite():
        raise ValueError(f"{text!r} is no number")
    if scaled != scaled.to_integral_value() and not columns.rounded:
        raise ValueError(f"{text} × {columns.scale} = {scaled} is not whole; choose another --scale, or --round")
    width, signed = INTEGERS[columns.payload], not columns.payload.startswith("u")
    try:
        return int(scaled.to_integral_value()).to_bytes(width, "big", signed=signed)
    except OverflowError as error:
        raise ValueError(f"{scaled} does not fit {columns.payload}") from error


def _cell(
    row: dict[str, str | None], line: int, column: str, path: Path, read: Callable[[str], object], *, advice: str = ""
) -> object:
    text = row[column]
    if text is None:
        there = sum(cell is not None for cell in row.values())
        raise InvalidInput("W3B-7016", f"{path} line {line} has {there} of {len(row)} columns", field=column)
    where = f"{path} line {line}, column {column}"
    if not text.strip():
        raise InvalidInput("W3B-7016", f"{where}: the value is empty", field=column)
    try:
        return read(text.strip())
    except (ArithmeticError, ValueError) as error:
        why = error if isinstance(error, ValueError) else f"{text!r} is out of range"
        raise InvalidInput("W3B-7016", f"{where}: {why}", field=column, next_step=advice) from error


def measurements(path: Path, columns: Columns) -> Iterator[Measurement]:
    """Every row, in the file's order. Raises InvalidInput (W3B-7016) with line and column of the first bad cell."""
    if columns.payload not in PAYLOADS:
        raise InvalidInput("W3B-7016", f"payload {columns.payload!r} is none of {list(PAYLOADS)}", field="payload")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if rows.fieldnames is None:
                raise InvalidInput("W3B-7016", f"{path} is empty", field="file")
            _require(path, list(rows.fieldnames), columns)
            row = None
            for row in rows:
                yield _measurement(path, rows.line_num, row, columns)
            if row is None:
                raise InvalidInput("W3B-7016", f"{path} has no rows", field="file")
    except csv.Error as error:
        raise InvalidInput("W3B-7016", f"{path} line {rows.line_num}: {error}", field="file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def _require(path: Path, names: list[str], columns: Columns) -> None:
    missing = [name for name in (columns.time, columns.value) if name not in names]
    if missing:
        raise InvalidInput(
            "W3B-7016",
            f"{path} has no column {' and no '.join(missing)}; it has {names}",
            field="file",
            next_step="Name them with --time-column and --value-column.",
        )


def _measurement(path: Path, line: int, row: dict[str, str | None], columns: Columns) -> Measurement:
    timestamp = _cell(
        row, line, columns.time, path, lambda text: _timestamp(text, columns.time_format), advice=TIME_ADVICE
    )
    payload = _cell(row, line, columns.value, path, lambda text: _payload(text, columns))
    assert isinstance(timestamp, int)
    assert isinstance(payload, bytes)
    if not 0 <= timestamp <= _LARGEST:
        what = f"{path} line {line}: time {timestamp} ms is out of range"
        raise InvalidInput("W3B-7016", what, field=columns.time, next_step=TIME_ADVICE)
    return Measurement(line, (row.get(columns.device) or "").strip(), timestamp, payload)
