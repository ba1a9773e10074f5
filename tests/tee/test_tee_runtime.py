"""The WASM runtime: a program computes what it should, and whatever else it does ends in a coded refusal."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasm_programs import TEMPERATURE, binary, program

from provers.programs.temperature_window import compute
from provers.tee.measurement import DOMAIN
from provers.tee.runtime.abi import MAGIC, check_output, encode_input
from provers.tee.runtime.limits import HIGHEST, WasmLimits
from provers.tee.runtime.module_form import section_ids
from provers.tee.runtime.wasm import MAX_OUTPUT, WasmProgram
from verifier.errors import InvalidInput, Refused, W3bstreamError
from verifier.outputs import decode_outputs
from verifier.reading import KeyType, Reading

OUTPUTS = ("uint32 count", "int64 sum", "int32 minimum", "int32 maximum")
LOOP = program("(loop $l (br $l)) (i64.const 0)")


def reading(index: int, sequence: int, payload: bytes) -> Reading:
    return Reading(7, bytes([index]) * 20, sequence, 1_000 + sequence, payload, KeyType.P256, bytes(64))


def run(text: str, data: bytes = b"", limits: WasmLimits | None = None) -> bytes:
    return WasmProgram(binary(text), limits or WasmLimits()).run(data)


def code_of(text: str, limits: WasmLimits | None = None) -> tuple[str, str]:
    with pytest.raises(W3bstreamError) as caught:
        run(text, b"12345678", limits)
    return caught.value.code, caught.value.field


TEMPERATURES = WasmProgram(binary(TEMPERATURE), WasmLimits())


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=16))
@settings(max_examples=60, deadline=None)
def test_a_program_computes_what_the_circuits_module_does(values: list[int]) -> None:
    readings = [reading(n % 3, n, value.to_bytes(4, "big", signed=True)) for n, value in enumerate(values)]
    words = TEMPERATURES.run(encode_input(readings, {bytes([n]) * 20: n for n in range(3)}))
    assert tuple(int(each.value) for each in decode_outputs(OUTPUTS, words)) == compute(readings)


def test_the_input_is_as_documented() -> None:
    data = encode_input([reading(1, 5, b"abc"), reading(1, 6, b"")], {bytes(20): 0, b"\1" * 20: 1})
    assert data.hex() == (
        "57334249" "01000000" "02000000" "02000000"
        "01000000" "03000000" "0500000000000000" "ed03000000000000" "6162630000000000"
        "01000000" "00000000" "0600000000000000" "ee03000000000000"
    )  # fmt: skip


def test_a_run_finds_nothing_of_the_one_before() -> None:
    """Memory and globals are fresh, so that one window's readings cannot leak into another's result."""
    count = "(i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1))) (i64.const 8)"
    counting = WasmProgram(binary(program(count)), WasmLimits())
    assert [counting.run(b"x") for _ in range(3)] == [(1).to_bytes(8, "little")] * 3


def test_the_compiled_program_is_kept_and_damage_is_noticed(tmp_path: Path) -> None:
    data = encode_input([reading(0, 1, bytes(4))], {bytes(20): 0})
    first = WasmProgram(binary(TEMPERATURE), WasmLimits(), cache=tmp_path).run(data)
    (file,) = tmp_path.glob("*.cwasm")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert WasmProgram(binary(TEMPERATURE), WasmLimits(), cache=tmp_path).run(data) == first


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LOOP, ("W3B-4031", "limits.fuel")),
        (program("(unreachable)"), ("W3B-4032", "program")),
        (program("(i64.const 0)"), ("W3B-4032", "readings")),
        (program("(i32.store (i32.const 65536) (i32.const 1)) (i64.const 8)"), ("W3B-4032", "program")),
        (program("(drop (i32.div_u (i32.const 1) (i32.const 0))) (i64.const 8)"), ("W3B-4032", "program")),
        (program("(call $f) (i64.const 8)", extra="(func $f (call $f))"), ("W3B-4032", "program")),
        (program("(i64.const 513)"), ("W3B-4033", "output")),
        (program("(i64.const 0xffffffff00000020)"), ("W3B-4033", "output")),
        (program("(i64.const 0x0000fff100000010)"), ("W3B-4033", "output")),
        (program("(i64.const 0xffffffffffffffff)"), ("W3B-4033", "output")),
        (program("(i64.const 8)", place="65536"), ("W3B-4033", "input")),
        (program("(i64.const 8)", place="-8"), ("W3B-4033", "input")),
        (program("(i64.const 8)", place="1025"), ("W3B-4033", "input")),
        (program("(i64.const 8)", place="65532"), ("W3B-4033", "input")),
    ],
)
def test_what_a_program_does_wrong_has_a_code(text: str, expected: tuple[str, str]) -> None:
    assert code_of(text, WasmLimits(fuel=2_000_000)) == expected


def test_the_last_bytes_of_the_memory_can_be_output() -> None:
    assert run(program("(i64.store (i32.const 65528) (i64.const -1)) (i64.const 0x0000fff800000008)")) == b"\xff" * 8


def test_the_wall_clock_stops_a_program_that_has_fuel_left() -> None:
    endless = WasmProgram(binary(LOOP), WasmLimits(fuel=10**12, milliseconds=50))
    for _ in range(2):  # the second run is not cut short by the first one's timer
        began = time.perf_counter()
        with pytest.raises(Refused, match=r"W3B-4031.*milliseconds") as caught:
            endless.run(b"")
        assert caught.value.field == "limits.milliseconds"
        assert 0.05 <= time.perf_counter() - began < 5


def test_a_quick_run_after_a_stopped_one_ends_well() -> None:
    body = "(if (i32.eqz (local.get 1)) (then (loop $l (br $l)))) (i64.const 8)"
    either = WasmProgram(binary(program(body)), WasmLimits(fuel=10**12, milliseconds=30))
    for _ in range(3):
        with pytest.raises(Refused, match="W3B-4031"):
            either.run(b"")
        assert len(either.run(b"x")) == 8


def test_memory_grows_to_the_limit_and_no_further() -> None:
    """`memory.grow` answers -1 beyond it, and what the program makes of that is its own affair."""
    grow = "(i64.store (i32.const 0) (i64.extend_i32_s (memory.grow (i32.const {}))))(i64.const 8)"
    limits = WasmLimits(memory=4 << 16)
    assert run(program(grow.format(3)), b"", limits) == (1).to_bytes(8, "little")
    assert run(program(grow.format(4)), b"", limits) == b"\xff" * 8
    with pytest.raises(InvalidInput, match="W3B-4030"):
        WasmProgram(binary(program("(i64.const 8)", memory="5")), limits)


def test_nan_has_one_form() -> None:
    """Two machines must agree on every bit of a result."""
    body = "(f64.store (i32.const 0) (f64.div (f64.const -0) (f64.const 0))) (i64.const 8)"
    assert run(program(body)).hex() in {"000000000000f87f", "000000000000f8ff"}
    sign = "(f64.store (i32.const 0) (f64.add (f64.const -nan:0x4) (f64.const 1))) (i64.const 8)"
    assert run(program(sign)) == run(program(body))


WASI = '(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (program("(i64.const 8)", extra=WASI), "imports"),
        (program("(i64.const 8)", extra='(import "env" "f" (func))'), "imports"),
        (program("(i64.const 8)", extra="(func $s) (start $s)"), "start"),
        (program("(i64.const 8)").replace('(export "memory")', ""), "memory"),
        (program("(i64.const 8)").replace('(export "input")', ""), "input"),
        (program("(i64.const 8)").replace('(export "run")', ""), "run"),
        (program("(i64.const 8)").replace('(export "run") (param i32 i32)', '(export "run") (param i32)'), "run"),
        (program("(i32.const 8)").replace("(result i64)", "(result i32)"), "run"),
        (
            '(module (memory 1) (func (export "memory")) (func (export "input") (param i32) (result i32) (i32.const 0))'
            '(func (export "run") (param i32 i32) (result i64) (i64.const 8)))',
            "memory",
        ),
        (program("(i64.const 8)").replace('(export "memory") 1', '(export "memory") i64 1'), "wasm"),
        (program("(i64.const 8)").replace('(export "memory") 1', '(export "memory") 1 2 shared'), "wasm"),
        (program("(i64.const 8)", extra='(memory (export "more") 1)'), "wasm"),
    ],
)
def test_what_is_no_program_is_refused_before_it_runs(text: str, field: str) -> None:
    with pytest.raises(InvalidInput, match="W3B-4030") as caught:
        WasmProgram(binary(text), WasmLimits())
    assert caught.value.field == field


@given(st.integers(0, 600), st.binary(max_size=8))
@settings(max_examples=80, deadline=None)
def test_a_damaged_module_is_refused_or_runs_within_its_limits(at: int, junk: bytes) -> None:
    """Junk may be a custom section, so some are programs still; whatever else they are, the error is ours."""
    wasm = binary(TEMPERATURE)
    names = wasm.index(b"\x04name") - 3  # the last section, of names for people: a module cut before it is whole
    assert section_ids(wasm[:names]) == section_ids(wasm)[:-1]
    wasm = wasm[:names]
    at %= len(wasm)
    data = encode_input([reading(0, 1, bytes(4))], {bytes(20): 0})
    for damaged in (wasm[:at] + junk, wasm[:at] + junk + wasm[at + len(junk) :]):
        with contextlib.suppress(W3bstreamError):
            assert len(WasmProgram(damaged, WasmLimits(fuel=100_000)).run(data)) <= MAX_OUTPUT
    with pytest.raises(InvalidInput, match="W3B-4030"):
        WasmProgram(wasm[:at], WasmLimits())


@pytest.mark.parametrize("junk", [b"\x01", b"\x01\x80", b"\x01\xff\xff\xff\xff\xff", b"\x08\x05"])
def test_a_section_that_is_cut_off_is_malformed(junk: bytes) -> None:
    with pytest.raises(InvalidInput, match="W3B-4030"):
        section_ids(binary(TEMPERATURE) + junk)


@pytest.mark.parametrize(
    "limits",
    [
        {"fuel": 0},
        {"fuel": 10**12 + 1},
        {"memory": 65535},
        {"memory": (1 << 30) + 1},
        {"milliseconds": 0},
        {"stack": 1},
    ],
)
def test_limits_have_ranges(limits: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="W3B-4030"):
        WasmLimits.of(limits)


@pytest.mark.parametrize(
    ("outputs", "data", "field"),
    [
        (OUTPUTS, bytes(96), "output"),
        (OUTPUTS, bytes(160), "output"),
        (("uint32 count",), b"\0" * 27 + b"\1" + bytes(4), "count"),
        (("bool ok",), bytes(31) + b"\2", "ok"),
        (("int32 low",), bytes(28) + b"\xff" * 4, "low"),
        (("address who",), b"\1" + bytes(31), "who"),
    ],
)
def test_an_output_that_is_not_the_manifests_is_refused(outputs: tuple[str, ...], data: bytes, field: str) -> None:
    with pytest.raises(Refused, match="W3B-4033") as caught:
        check_output(outputs, data)
    assert caught.value.field == field


def test_the_page_has_the_limits_the_abi_and_the_domain() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "tee.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(fuel|memory|milliseconds)` \| ([0-9,]+) \|", page, re.MULTILINE))
    assert {name: int(value.replace(",", "")) for name, value in rows.items()} == dataclasses.asdict(WasmLimits())
    for name, highest in HIGHEST.items():
        assert re.search(rf"^\| `{name}` .* to {highest:,} \|", page, re.MULTILINE)
    assert DOMAIN.decode() in page
    assert MAGIC.decode() in page
