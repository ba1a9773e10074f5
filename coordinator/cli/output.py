"""What commands print: tables for people, ProtoJSON for programs, errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from verifier.errors import W3bstreamError

PIPE_WIDTH = 200
"""Columns where the output is no terminal, so that ids are not cut."""
NARROW = 120
"""Below so many columns ids in tables are shortened."""
JSON_FLAG = "w3bstream.json"

STATE_STYLE = {
    "FINAL": "green",
    "SETTLED": "green",
    "SATISFIED": "cyan",
    "OPEN": "blue",
    "RECEIVED": "blue",
    "FAILED": "red",
    "EXPIRED": "red",
    "FROZEN": "red",
    "AWAITED": "blue",
    "CONFIRMED": "green",
    "MISSED": "yellow",
    "CONTRADICTED": "red",
    "CANCELLED": "yellow",
    "IDLE": "green",
    "BUSY": "cyan",
    "OFFLINE": "red",
    "ACTIVE": "green",
    "PAUSED": "yellow",
    "PENDING": "blue",
    "PUBLISHED": "green",
    "DELIVERED": "green",
    "DEAD": "red",
    "VERIFIED": "green",
    "SAFE": "green",
    "MINED": "cyan",
    "REORGED": "yellow",
    "REFUSED": "red",
    "REJECTED": "red",
    "LOST": "red",
}


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; rich leaves colours out for NO_COLOR and where no terminal reads."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def as_dict(message: Message) -> dict[str, Any]:
    """ProtoJSON with the field names of the .proto files; every field stands in it, 64-bit integers are text."""
    found: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found


def print_json(value: Message | dict[str, Any]) -> None:
    """One JSON object on one line."""
    data = as_dict(value) if isinstance(value, Message) else value
    typer.echo(json.dumps(data, ensure_ascii=False))


def note_json(context: typer.Context, value: bool) -> bool:
    """Remember for `print_error` that the caller wants JSON."""
    context.find_root().meta[JSON_FLAG] = value
    return value


def print_error(error: W3bstreamError, *, as_json: bool) -> None:
    """Code, message and next step on stderr."""
    if as_json:
        fields = {"code": error.code, "message": error.message, "field": error.field, "next_step": error.next_step}
        typer.echo(json.dumps({"error": fields}, ensure_ascii=False), err=True)
        return
    out = console(stderr=True)
    out.print(Text.assemble((error.code, "bold red"), f": {error.message}"), soft_wrap=True)
    out.print(Text(error.next_step, "dim"), soft_wrap=True)


def when(at: Timestamp) -> str:
    """A time in UTC to the second, or nothing."""
    return "" if not at.seconds and not at.nanos else at.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def state_text(name: str) -> Text:
    """A state in its colour; the enum's prefix left out."""
    short = name.rpartition("STATE_")[2] if "STATE_" in name else name.rpartition("STATUS_")[2]
    return Text(short, STATE_STYLE.get(short, ""))


def shown_id(identity: str, out: Console) -> str:
    """An id as a table's cell: whole, or below 120 columns as 12 hex digits and an ellipsis."""
    return f"{identity[:14]}…" if out.width < NARROW and len(identity) > 15 else identity


def table(*columns: str, title: str = "") -> Table:
    """An empty table whose cells fold and are never cut."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def fields_table(rows: Sequence[tuple[str, Any]]) -> Table:
    """Names and values, one row each; those without a value are left out."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value not in ("", None, 0):
            made.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return made
