"""A user's own file: signed, sent once, resumed after any end, and refused whole when a cell is bad."""

from __future__ import annotations

import json
import re
import time
from decimal import Decimal
from pathlib import Path

import pytest
from api_live import DEVICES, Live, reading
from cli_run import Cli
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import select

from coordinator.api.client import Client
from coordinator.cli.csv_source import Columns, Measurement, measurements
from coordinator.cli.ingest import Totals, _refusal_lines
from coordinator.cli.sequences import RowDigests, SequenceBook
from coordinator.ledger.tables import ProjectRow, ReadingRow
from verifier.error_codes import CODES
from verifier.errors import Conflict, InvalidInput, Unavailable
from verifier.reading import Reading


@pytest.fixture(autouse=True)
def keys(cli: Cli) -> None:
    """The project's two devices as key files."""
    Path("keys").mkdir()
    for name, key in zip(("roof", "cellar"), DEVICES, strict=True):
        Path(f"keys/{name}.json").write_text(key.to_json())


def write(rows: int, *, first: int = 0, name: str = "data.csv") -> None:
    lines = [f"{1_700_000_000_000 + n},{n / 10},{('roof', 'cellar')[n % 2]}" for n in range(first, first + rows)]
    Path(name).write_text("\n".join(["timestamp,value,device", *lines]) + "\n")


def append(rows: int, first: int) -> None:
    with Path("data.csv").open("a") as file:
        file.writelines(
            f"{1_700_000_000_000 + n},{n / 10},{('roof', 'cellar')[n % 2]}\n" for n in range(first, first + rows)
        )


ARGUMENTS = ("ingest", "data.csv", "--project", "1", "--scale", "10", "--time-format", "ms")


def stored(live: Live, count: int) -> list[tuple[str, int, int, int]]:
    """(device, sequence, time, value) of accepted readings once there are `count`."""

    async def rows() -> list[tuple[str, int, int, int]]:
        async with live.ledger.reading() as session:
            found = (await session.exec(select(ReadingRow).order_by("position"))).all()
        made = [Reading.from_wire(row.wire) for row in found]
        return [(r.device.hex(), r.sequence, r.timestamp, int.from_bytes(r.payload, "big", signed=True)) for r in made]

    deadline = time.monotonic() + 30
    while len(found := live.run(rows())) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) == count
    return found


def expected(rows: int) -> list[tuple[str, int, int, int]]:
    return [(DEVICES[n % 2].device.hex(), n // 2 + 1, 1_700_000_000_000 + n, n) for n in range(rows)]


def test_a_file_is_signed_and_sent_once(live: Live, cli: Cli) -> None:
    write(9)
    done = cli(*ARGUMENTS, "--json").json
    assert (done["accepted"], done["refused"], done["skipped"]) == (9, 0, 0)
    assert stored(live, 9) == expected(9)
    again = cli(*ARGUMENTS, "--json").json
    assert (again["received"], again["skipped"]) == (0, 9)
    append(4, 9)
    more = cli(*ARGUMENTS, "--json").json
    assert (more["accepted"], more["skipped"]) == (4, 9)
    assert stored(live, 13) == expected(13)
    assert cli(*ARGUMENTS, "--again", "--json").json["accepted"] == 13
    assert [row[1] for row in stored(live, 26)[13:15]] == [8, 7]
    status = Client(live.target, live.admin_key).get_intake(1)
    assert (dict(status.refused), list(status.gaps)) == ({}, [])
    assert cli(*ARGUMENTS).out == (
        "nothing to send: all 13 rows were sent before (--again sends them as new readings)\n"
    )
    append(1, 13)
    assert "next: w3bstream task submit --project 1 " in cli(*ARGUMENTS).out


def test_two_files_follow_each_other(live: Live, cli: Cli) -> None:
    write(4)
    cli(*ARGUMENTS)
    write(4, first=4, name="next.csv")
    assert cli("ingest", "next.csv", *ARGUMENTS[2:], "--json").json["accepted"] == 4
    assert stored(live, 8) == expected(8)
    assert cli(*ARGUMENTS, "--json").json["skipped"] == 4


def test_many_rows_are_signed_by_workers_in_order(live: Live, cli: Cli) -> None:
    write(300)
    done = cli(*ARGUMENTS, "--json").json
    assert done["accepted"] == 300
    assert stored(live, 300) == expected(300)


def test_a_run_that_dies_midway_is_resumed_without_loss_or_gap(
    live: Live, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    import coordinator.cli.ingest as module

    monkeypatch.setattr(module, "CHUNK", 4)
    original, calls = Client.ingest, 0

    def dying(self: Client, readings: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Unavailable("W3B-7011", "the connection broke")
        done = original(self, readings, **options)  # type: ignore[arg-type]
        if calls == 2:  # stored, but the answer never arrived
            raise Unavailable("W3B-7011", "the answer was lost")
        return done

    monkeypatch.setattr(Client, "ingest", dying)
    write(14)
    for _ in range(2):
        assert cli(*ARGUMENTS, "--json", code=1).error["code"] == "W3B-7011"
    done = cli(*ARGUMENTS, "--json").json
    assert (done["skipped"], done["duplicates"], done["accepted"]) == (4, 4, 6)
    assert stored(live, 14) == expected(14)


def test_a_refused_reading_stops_and_is_sent_again_later(live: Live, cli: Cli) -> None:
    def switch(state: str) -> None:
        async def change() -> None:
            async with live.ledger.transaction() as session:
                row = (await session.exec(select(ProjectRow))).one()
                row.state = state
                session.add(row)

        live.run(change())

    write(5)
    switch("PAUSED")
    shown = cli(*ARGUMENTS, code=1)
    assert re.search(r"^  W3B-1006, lines 2 to 6: ", shown.out, re.MULTILINE)
    assert "next:" not in shown.out
    assert "5 refused, the first at line 2: " in shown.err
    assert shown.err.rstrip().endswith(CODES["W3B-1006"].next_step)
    refused = cli(*ARGUMENTS, "--json", code=1)
    assert json.loads(refused.out)["refusals"][0]["line"] == 2
    assert refused.error["code"] == "W3B-7017"
    switch("ACTIVE")
    assert cli(*ARGUMENTS, "--json").json["accepted"] == 5
    assert stored(live, 5) == expected(5)


def test_skip_refused_goes_on(live: Live, cli: Cli) -> None:
    cli("keys", "device", "generate", "stranger")
    Path("data.csv").write_text("timestamp,value,device\n1,1,roof\n2,2,stranger\n3,3,roof\n")
    first = cli(*ARGUMENTS, "--json", code=1)
    assert (json.loads(first.out)["accepted"], first.error["code"]) == (2, "W3B-7017")
    done = cli(*ARGUMENTS, "--skip-refused", "--json").json
    assert (done["skipped"], done["refused"], done["refusals"][0]["code"]) == (1, 1, "W3B-1004")
    assert cli(*ARGUMENTS, "--json").json["received"] == 0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("timestamp,value\n1,x\n", "value"),
        ("timestamp,value\n1,1.55\n", "value"),
        ("timestamp,value\n1,NaN\n", "value"),
        ("timestamp,value\n1,Infinity\n", "value"),
        ("timestamp,value\n1,1e30\n", "value"),
        ("timestamp,value\n1\n", "value"),
        ("timestamp,value\nnow,1\n", "timestamp"),
        ("timestamp,value\n-5,1\n", "timestamp"),
        ("timestamp,value\n99999999999999999999,1\n", "timestamp"),
        ("time,value\n1,1\n", "file"),
        ("", "file"),
        ("timestamp,value\n", "file"),
        ("timestamp,value,device\n1,1,attic\n", "device"),
        ("timestamp,value\n1,1\n", "device"),
    ],
)
def test_a_bad_cell_sends_nothing(live: Live, cli: Cli, text: str, field: str) -> None:
    Path("data.csv").write_text(text)
    device = () if field == "device" else ("--device", "roof")
    error = cli(*ARGUMENTS, *device, "--json", code=1).error
    assert (error["code"], error["field"]) == ("W3B-7016", field)
    assert not list(Path("keys").glob("*.sequences"))
    assert Client(live.target, live.admin_key).get_intake(1).next_position == 1


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        ("timestamp,value\n1,warm\n", "data.csv line 2, column value: 'warm' is no number", ""),
        ("timestamp,value\n1,\n", "data.csv line 2, column value: the value is empty", ""),
        ("timestamp,value\n1\n", "data.csv line 2 has 1 of 2 columns", ""),
        ("timestamp,value\nnow,1\n", "data.csv line 2, column timestamp: 'now' is no whole number", "--time-format"),
        ("timestamp,value\n", "data.csv has no rows", ""),
        ("", "data.csv is empty", ""),
    ],
)
def test_a_bad_file_is_said_in_plain_words(cli: Cli, text: str, message: str, advice: str) -> None:
    Path("data.csv").write_text(text)
    error = cli(*ARGUMENTS, "--device", "roof", "--json", code=1).error
    assert error["message"] == message
    assert advice in error["next_step"]


def test_no_number_is_spent_on_an_unknown_project(cli: Cli) -> None:
    write(4)
    for project in ("9", "nowhere"):
        error = cli("ingest", "data.csv", "-p", project, *ARGUMENTS[4:], "--json", code=1).error
        assert error["code"] == "W3B-2002"
    assert not list(Path("keys").glob("*.sequences"))
    assert cli("ingest", "data.csv", "-p", "weather", *ARGUMENTS[4:], "--json").json["accepted"] == 4


def test_a_key_that_may_only_send_is_enough(cli: Cli) -> None:
    key = cli("keys", "api", "create", "gateway", "--scope", "ingest:write", "-p", "weather", "--json").json["secret"]
    write(4)
    assert cli(*ARGUMENTS, "--api-key", key, "--json").json["accepted"] == 4


def test_refusals_that_say_the_same_share_a_line() -> None:
    def refusal(line: int, message: str = "no") -> dict[str, object]:
        return {"code": "W3B-1004", "message": message, "line": line}

    lines = [2, 3, 4, 9, 12, 13]
    totals = Totals(refused=20, refusals=[*(refusal(line) for line in lines), refusal(5, "other")])
    assert list(_refusal_lines(totals, "line")) == [
        "  W3B-1004, lines 2 to 4, 9 and 12 to 13: no",
        "  W3B-1004, line 5: other",
        "  and 13 more",
    ]
    scattered = Totals(refused=30, refusals=[refusal(line) for line in range(1, 60, 2)])
    assert list(_refusal_lines(scattered, "line")) == ["  W3B-1004, lines 1, 3, 5, 7 and 26 more: no"]


def test_wrong_options_are_said(cli: Cli) -> None:
    write(1)
    for wrong in (("--scale", "x"), ("--scale", "0"), ("--payload", "float"), ("--keys", "none")):
        assert cli(*ARGUMENTS, *wrong, "--json", code=1).error["code"] == "W3B-7016"
    assert cli("ingest", "none.csv", "-p", "1", "--json", code=1).error["code"] == "W3B-7016"


def test_a_file_of_wire_readings(live: Live, cli: Cli) -> None:
    wires = [reading(n) for n in range(1, 6)]
    Path("data.bin").write_bytes(b"".join(wires))
    assert cli("ingest", "data.bin", "-p", "1", "--wire", "--json").json["accepted"] == 5
    assert cli("ingest", "data.bin", "-p", "1", "--wire", "--json").json["duplicates"] == 5
    answer = cli("task", "submit", "-p", "1", "--readings", "data.bin", "--json").json
    assert [task["count"] for task in answer["tasks"]] == [5]
    Path("empty.bin").touch()
    empty = cli("ingest", "empty.bin", "-p", "1", "--wire", "--json", code=1).error
    assert (empty["code"], empty["message"]) == ("W3B-7016", "empty.bin is empty")
    for bad in (b"".join(wires)[:-1], b"\xff" + b"".join(wires), b"".join(wires) + b"x"):
        Path("bad.bin").write_bytes(bad)
        assert cli("ingest", "bad.bin", "-p", "1", "--wire", "--json", code=1).error["code"] == "W3B-7016"


def test_one_ingest_at_a_time(tmp_path: Path) -> None:
    from coordinator.cli.sequences import locked

    with locked(tmp_path), pytest.raises(Conflict) as caught, locked(tmp_path):
        raise AssertionError
    assert caught.value.code == "W3B-7016"


def test_a_damaged_sequence_file_is_not_guessed(cli: Cli) -> None:
    write(2)
    for text in ("", "[]", '{"version": 2}', "{"):
        Path("keys/roof.json.sequences").write_text(text)
        assert cli(*ARGUMENTS, "--json", code=1).error["code"] == "W3B-7016"


@settings(deadline=None)  # each step waits for the disk
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_numbers_are_never_spent_twice(steps: list[int]) -> None:
    """One growing file among others: each row keeps its number, no number is used for two rows."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path, rows, used = Path(folder) / "x", 0, {}
        for step, more in enumerate(steps):
            rows += more
            for name, count in (("grow", rows), (f"other-{step}", more)):
                book = SequenceBook(path, 1)
                digests = RowDigests(book.lengths())
                for n in range(count):
                    digests.take(Measurement(n, "", n, name.encode()))
                record = book.plan(digests, again=False)
                for n in range(count):
                    number = record.sequence(n)
                    assert used.setdefault(number, (name, n)) == (name, n)
                    assert used.setdefault((name, n), number) == number
        assert sorted(key for key in used if isinstance(key, int)) == list(range(1, rows * 2 + 1))


def test_times_and_scales(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"

    def one(when: str, value: str, **options: object) -> tuple[int, bytes]:
        path.write_text(f"timestamp,value\n{when},{value}\n")
        (row,) = measurements(path, Columns(**options))  # type: ignore[arg-type]
        return row.timestamp, row.payload

    assert one("2010-01-01T00:00:00Z", "-1") == (1262304000000, b"\xff\xff\xff\xff")
    assert one("2010-01-01 01:00:00+01:00", "1")[0] == 1262304000000
    assert one("2010/01/01 00:00", "47.3", time_format="%Y/%m/%d %H:%M", scale=Decimal(10)) == (
        1262304000000,
        (473).to_bytes(4, "big"),
    )
    assert one("1262304000.5", "2.5", time_format="s", rounded=True) == (1262304000500, (2).to_bytes(4, "big"))
    assert one("5", "255", time_format="ms", payload="uint8") == (5, b"\xff")
    assert one("5", "0xbeef", time_format="ms", payload="hex") == (5, b"\xbe\xef")
    with pytest.raises(InvalidInput):
        one("5", "256", time_format="ms", payload="uint8")
