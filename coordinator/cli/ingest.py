"""`w3bstream ingest`: a user's own file becomes signed readings in a project's stream."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coordinator.api.client import Client
from coordinator.cli import keyring
from coordinator.cli.csv_source import Columns, Measurement, measurements
from coordinator.cli.lookup import project_id
from coordinator.cli.options import ApiKey, Json, ProjectOption, Target, connect
from coordinator.cli.output import as_dict, console, print_json
from coordinator.cli.sequences import SUFFIX, FileRecord, RowDigests, SequenceBook, locked
from coordinator.cli.wire_file import wire_readings
from verifier.error_codes import CODES
from verifier.errors import Denied, InvalidInput, Refused
from verifier.reading import DeviceKey
from w3bstream.v1 import ingest_pb2

CHUNK = 1024
"""Readings of one call; after each, how far the file was sent is written down."""
SIGN_IN_POOL = 256
"""From so many readings on they are signed by worker processes: a Baby Jubjub signature takes about 20 ms."""
SIGN_BATCH = 32
SHOWN = 5

Draft = tuple[DeviceKey, int, int, int, bytes]
"""(key, project, sequence, timestamp, payload)"""


@dataclass
class Totals:
    """What became of the file."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    skipped: int = 0
    """Rows that an earlier run had sent."""
    last_position: int = 0
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def add(self, summary: ingest_pb2.IngestSummary, lines: list[int]) -> None:
        """Add a call's summary; `lines` are the places of its readings in the file."""
        self.received += summary.received
        self.accepted += summary.accepted
        self.duplicates += summary.duplicates
        self.refused += summary.refused
        self.last_position = max(self.last_position, summary.last_position)
        for refusal in summary.refusals:
            self.refusals.append({**as_dict(refusal), "line": lines[refusal.index]})


def sign(draft: Draft) -> bytes:
    """Sign one reading; runs in a worker."""
    key, project, sequence, timestamp, payload = draft
    return key.sign(project, sequence, timestamp, payload).to_wire()


@dataclass
class _Device:
    key: DeviceKey
    book: SequenceBook
    digests: RowDigests
    record: FileRecord | None = None
    seen: int = 0
    """Rows met in the pass that sends."""


class CsvIngest:
    """Sends one CSV file: a first pass numbers its rows, a second one signs and sends those that were not sent."""

    def __init__(self, path: Path, columns: Columns, project_id: int, keys: Path, device: str) -> None:
        self._path, self._columns, self._project = path, columns, project_id
        self._keys, self._only = keys, device
        self._ring = keyring.load(keys)
        self._devices: dict[str, _Device] = {}
        self._names: dict[str, str] = {}
        self.totals = Totals()
        """What became of the rows so far."""

    def number(self, *, again: bool) -> int:
        """Read the whole file and take its sequence numbers; returns the rows to send. Nothing is sent on a bad row."""
        for row in measurements(self._path, self._columns):
            self._device(row).digests.take(row)
        for device in self._devices.values():
            device.record = device.book.plan(device.digests, again=again)
            self.totals.skipped += device.record.sent
        return sum(device.digests.count for device in self._devices.values()) - self.totals.skipped

    def _device(self, row: Measurement) -> _Device:
        if row.device not in self._names:
            self._names[row.device] = self._name_for(row)
        name = self._names[row.device]
        if name not in self._devices:
            path = keyring.path_of(self._keys, name)
            book = SequenceBook(path.with_suffix(path.suffix + SUFFIX), self._project)
            self._devices[name] = _Device(self._ring[name], book, RowDigests(book.lengths()))
        return self._devices[name]

    def _name_for(self, row: Measurement) -> str:
        wanted = self._only or row.device
        if wanted:
            return keyring.pick(self._ring, wanted)
        if len(self._ring) == 1:
            return next(iter(self._ring))
        raise InvalidInput(
            "W3B-7016",
            f"{self._path} line {row.line} names no device, and {self._keys} holds {len(self._ring)} keys",
            field="device",
            next_step="Add a device column (--device-column), or name the device with --device.",
        )

    def _unsent(self) -> Iterator[tuple[Measurement, _Device, Draft]]:
        for row in measurements(self._path, self._columns):
            device = self._device(row)
            index, record = device.seen, device.record
            device.seen += 1
            assert record is not None
            if index >= record.rows:
                raise InvalidInput("W3B-7016", f"{self._path} grew while it was read", next_step="Run it again.")
            if index >= record.sent:
                draft = (device.key, self._project, record.sequence(index), row.timestamp, row.payload)
                yield row, device, draft

    def send(
        self, client: Client, pool: Executor | None, progress: Callable[[int], None], *, skip_refused: bool
    ) -> None:
        """Sign and send chunk by chunk, and write down how far; ends at a refusal unless told otherwise."""
        unsent = self._unsent()
        while chunk := list(islice(unsent, CHUNK)):
            drafts = [draft for _, _, draft in chunk]
            wires = pool.map(sign, drafts, chunksize=SIGN_BATCH) if pool else map(sign, drafts)
            summary = client.ingest(_counted(wires, progress))
            self.totals.add(summary, [row.line for row, _, _ in chunk])
            stop = summary.refused > 0 and not skip_refused
            # The service reads in order, so what stands before the first refusal is in the stream.
            good = summary.refusals[0].index if stop else len(chunk)
            self._acknowledge([device for _, device, _ in chunk[:good]])
            if stop:
                return

    @staticmethod
    def _acknowledge(devices: list[_Device]) -> None:
        for device in devices:
            assert device.record is not None
            device.record.sent += 1
        for device in {id(each): each for each in devices}.values():
            device.book.save()


def _signers() -> Executor:
    """One worker a core. Spawned, not forked: a fork would copy gRPC's threads in an unknown state."""
    return ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn"))


def _counted(wires: Iterable[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    for wire in wires:
        yield wire
        progress(1)


def _progress(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console(stderr=True), disable=not shown)


def _spans(lines: list[int], place: str) -> str:
    """`line 2`, `lines 2 to 41`, or `lines 2 to 9, 12 and 14`."""
    spans: list[list[int]] = []
    for line in sorted(lines):
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    if len(lines) == 1:
        return f"{place} {lines[0]}"
    said = [str(first) if first == last else f"{first} to {last}" for first, last in spans]
    if len(said) > SHOWN:
        said[SHOWN - 1 :] = [f"{sum(last - first + 1 for first, last in spans[SHOWN - 1 :])} more"]
    return f"{place}s {' and '.join(filter(None, (', '.join(said[:-1]), said[-1])))}"


def _refusal_lines(totals: Totals, place: str) -> Iterator[str]:
    """Refusals that say the same, in one line each."""
    same: dict[tuple[str, str], list[int]] = {}
    for each in totals.refusals:
        same.setdefault((each["code"], each["message"]), []).append(each["line"])
    for (code, message), lines in islice(same.items(), SHOWN):
        yield f"  {code}, {_spans(lines, place)}: {message}"
    if more := totals.refused - sum(len(lines) for lines in islice(same.values(), SHOWN)):
        yield f"  and {more} more"


def _finish(totals: Totals, project: str, *, place: str, as_json: bool, skip_refused: bool) -> None:
    """Print what became of the readings. Raises Refused (W3B-7017) when some were refused and that was not allowed."""
    if as_json:
        print_json(vars(totals))
    elif not totals.received:
        typer.echo(f"nothing to send: all {totals.skipped} rows were sent before (--again sends them as new readings)")
    else:
        out = console()
        again = f", {totals.skipped} were sent before" if totals.skipped else ""
        out.print(
            f"{totals.accepted} accepted, {totals.duplicates} already in the stream, {totals.refused} refused{again}"
        )
        for line in _refusal_lines(totals, place):
            out.print(line, soft_wrap=True, markup=False)
        if totals.accepted:
            out.print(f"next: w3bstream task submit --project {project}    (or wait until the window closes by itself)")
    if totals.refused and not skip_refused:
        first, codes = totals.refusals[0], {each["code"] for each in totals.refusals}
        own = CODES[first["code"]].next_step if len(codes) == 1 and first["code"] in CODES else ""
        what = f"{totals.refused} refused, the first at {place} {first['line']}: {first['message']}"
        raise Refused("W3B-7017", what, next_step=own)


def _known_project(client: Client, project: str) -> int:
    """The project's id, before numbers are spent on it. Raises NotFound (W3B-2002)."""
    number = project_id(client, project)
    try:
        client.get_project(number)
    except Denied as error:
        # A gateway's key may send and not look; the service checks each reading anyway.
        if error.code != "W3B-7004":
            raise
    return number


def _scale(text: str) -> Decimal:
    try:
        scale = Decimal(text)
    except InvalidOperation as error:
        raise InvalidInput("W3B-7016", f"--scale {text!r} is no number", field="scale") from error
    if not scale.is_finite() or scale <= 0:
        raise InvalidInput("W3B-7016", f"--scale {text} is not above 0", field="scale")
    return scale


def ingest(
    *,
    file: Annotated[Path, typer.Argument(help="CSV file with a header, or with --wire signed readings.")],
    project: ProjectOption,
    keys: Annotated[Path, typer.Option(help="Folder of device keys (w3bstream keys device generate).")] = Path("keys"),
    device: Annotated[str, typer.Option(help="The device of every row: a key's name or a device id.")] = "",
    value_column: Annotated[str, typer.Option(help="Column of the value.")] = "value",
    time_column: Annotated[str, typer.Option(help="Column of the time.")] = "timestamp",
    device_column: Annotated[str, typer.Option(help="Column that names the device, as its key is called.")] = "device",
    time_format: Annotated[str, typer.Option(help="iso, ms, s, or a pattern such as '%Y/%m/%d %H:%M'.")] = "iso",
    scale: Annotated[str, typer.Option(help="Multiply each value, such as 10 for tenths.")] = "1",
    rounded: Annotated[bool, typer.Option("--round", help="Round what is not whole after scaling.")] = False,
    payload: Annotated[str, typer.Option(help="int32 and its like, or hex: what the program reads.")] = "int32",
    wire: Annotated[bool, typer.Option("--wire", help="The file holds signed readings in wire form.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send a file that was sent before as new readings.")] = False,
    skip_refused: Annotated[bool, typer.Option("--skip-refused", help="Go on past refused readings.")] = False,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Sign the rows of your own file with your devices' keys and send them.

    It can be stopped and run again at any time: it goes on where it stopped, also when rows were added to the file.
    The numbers that each device used stand beside its key, in NAME.json.sequences; keep the two together.
    """
    with ExitStack() as stack:
        client = stack.enter_context(connect(target, api_key))
        number = _known_project(client, project)
        if wire:
            view = stack.enter_context(_progress(not json_output))
            totals = _send_wire(client, file, view, skip_refused=skip_refused)
        else:
            columns = Columns(value_column, time_column, device_column, time_format, _scale(scale), rounded, payload)
            work = CsvIngest(file, columns, number, keys, device)
            stack.enter_context(locked(keys))
            rows = work.number(again=again)
            if rows:
                view = stack.enter_context(_progress(not json_output))
                bar = view.add_task("signing and sending", total=rows)
                pool = stack.enter_context(_signers()) if rows >= SIGN_IN_POOL else None
                work.send(client, pool, lambda count: view.advance(bar, count), skip_refused=skip_refused)
            totals = work.totals
    place = "reading" if wire else "line"
    _finish(totals, project, place=place, as_json=json_output, skip_refused=skip_refused)


def _send_wire(client: Client, file: Path, view: Progress, *, skip_refused: bool) -> Totals:
    """Send a file of wire readings; a repeat adds nothing twice, because the readings are the same bytes."""
    totals, readings = Totals(), wire_readings(file)
    bar = view.add_task("sending", total=sum(1 for _ in wire_readings(file)))
    first = 1
    while chunk := list(islice(readings, CHUNK)):
        totals.add(
            client.ingest(_counted(chunk, lambda count: view.advance(bar, count))),
            list(range(first, first + len(chunk))),
        )
        first += len(chunk)
        if totals.refused and not skip_refused:
            break
    return totals
