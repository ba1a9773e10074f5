"""Circom witnesses under wasmtime, without Node.

A circuit's `.wasm` (circom 2.x, `code_producers/wasm_elements`) exports `setInputSignal` and `getWitness`, which pass
field elements through eight 32-bit words of shared memory. Calling them word by word from Python costs seconds at 10^5
signals, so a module of a few lines, the driver, is instantiated beside the circuit and loops inside the sandbox: inputs
go in and the witness comes out as one block of bytes each.

The circuit is foreign code: it runs with fuel and a memory limit, and imports only circom's four callbacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wasmtime

from provers.wasm_modules import compiled, first_line
from verifier.errors import InvalidInput, Refused
from verifier.field import R

Value = int | Sequence[Any]
"""A signal's value, or its array's, nested as in the circuit."""
Signals = Mapping[str, Value]
"""Input signals by name: an integer in [0, r) or nested sequences of them."""

WORD = 32
"""Bytes of a field element."""
_PAGE = 1 << 16

DRIVER = """
(module
  (import "circuit" "getWitness" (func $get (param i32)))
  (import "circuit" "readSharedRWMemory" (func $read (param i32) (result i32)))
  (import "circuit" "writeSharedRWMemory" (func $write (param i32 i32)))
  (import "circuit" "setInputSignal" (func $set (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "set_inputs") (param $msb i32) (param $lsb i32) (param $count i32)
    (local $i i32) (local $j i32)
    (loop $signals
      (if (i32.ge_u (local.get $i) (local.get $count)) (then (return)))
      (local.set $j (i32.const 0))
      (loop $words
        (call $write (local.get $j)
          (i32.load (i32.add (i32.shl (local.get $i) (i32.const 5)) (i32.shl (local.get $j) (i32.const 2)))))
        (local.set $j (i32.add (local.get $j) (i32.const 1)))
        (br_if $words (i32.lt_u (local.get $j) (i32.const 8))))
      (call $set (local.get $msb) (local.get $lsb) (local.get $i))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $signals)))
  (func (export "get_witness") (param $count i32)
    (local $i i32) (local $j i32)
    (loop $signals
      (if (i32.ge_u (local.get $i) (local.get $count)) (then (return)))
      (call $get (local.get $i))
      (local.set $j (i32.const 0))
      (loop $words
        (i32.store (i32.add (i32.shl (local.get $i) (i32.const 5)) (i32.shl (local.get $j) (i32.const 2)))
          (call $read (local.get $j)))
        (local.set $j (i32.add (local.get $j) (i32.const 1)))
        (br_if $words (i32.lt_u (local.get $j) (i32.const 8))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $signals))))
"""

_EXPORTS = (
    "getFieldNumLen32",
    "getInputSignalSize",
    "getInputSize",
    "getMessageChar",
    "getRawPrime",
    "getWitness",
    "getWitnessSize",
    "init",
    "readSharedRWMemory",
    "setInputSignal",
    "writeSharedRWMemory",
)
_EXCEPTIONS = {
    1: "signal not found",
    2: "too many signals set",
    3: "signal already set",
    4: "assertion failed",
    5: "not enough memory",
    6: "input signal array access exceeds the size",
    7: "out of bounds array access",
}
"""circom's `exceptionHandler` codes."""


@dataclass(frozen=True)
class Limits:
    """What a circuit may use for one witness."""

    fuel: int = 100_000_000_000
    """wasmtime fuel, about one unit an instruction: tens of seconds; the sample program needs under one hundredth."""
    memory: int = 1 << 30
    """Bytes of linear memory, for the circuit and for the driver each."""


class _Stopped(Exception):
    """The circuit called `exceptionHandler`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def fnv1a64(name: str) -> int:
    """FNV-1a, 64 bits (draft-eastlake-fnv): how circom's wasm names its input signals."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def _flatten(name: str, value: Value) -> Iterator[int]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from _flatten(name, item)
    elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < R:
        raise InvalidInput("W3B-4003", f"input {name!r} holds {value!r}, not an integer in [0, r)", field=name)
    else:
        yield value


class WitnessCalculator:
    """One circuit's witness generator, compiled once; safe to use from several threads.

    Parameters: `wasm` is circom's output; `cache` is a private folder for the compiled module, or None; `limits` bounds
    each witness. Raises InvalidInput W3B-4002 for a module that is not circom's or is for another field.
    """

    def __init__(self, wasm: bytes, *, cache: Path | None = None, limits: Limits | None = None) -> None:
        config = wasmtime.Config()
        config.consume_fuel = True
        self._limits = limits or Limits()
        self._engine = wasmtime.Engine(config)
        try:
            self._circuit = compiled(self._engine, wasm, cache)
            self._driver = wasmtime.Module(self._engine, bytes(wasmtime.wat2wasm(DRIVER)))
            run = _Run(self._engine, self._circuit, self._driver, self._limits)
            self.witness_size = run.check_field()
        except wasmtime.WasmtimeError as error:
            raise InvalidInput("W3B-4002", f"the circuit's wasm cannot be used: {error}", field="wasm") from error

    def witness(self, inputs: Signals) -> bytes:
        """Every wire of the circuit, 32 bytes little-endian each, the constant 1 first.

        Raises InvalidInput W3B-4003 (an input unknown, missing, of another size or out of range), Refused W3B-4004 (the
        inputs break an assertion of the circuit, with circom's message) or W3B-4005 (fuel or memory used up).
        """
        run = _Run(self._engine, self._circuit, self._driver, self._limits)
        try:
            run.set_all(inputs)
            return run.read_witness()
        except _Stopped as stopped:
            reason = _EXCEPTIONS.get(stopped.code, f"exception {stopped.code}")
            detail = " / ".join(run.messages)
            raise Refused(
                "W3B-4004", f"the circuit refused its inputs: {reason}: {detail or 'no message'}"
            ) from stopped
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise Refused("W3B-4005", f"the circuit stopped: {first_line(error)}") from error


class _Run:
    """One instance of the circuit with its driver."""

    def __init__(
        self, engine: wasmtime.Engine, circuit: wasmtime.Module, driver: wasmtime.Module, limits: Limits
    ) -> None:
        self.messages: list[str] = []
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=limits.memory)
        self._store.set_fuel(limits.fuel)
        linker = wasmtime.Linker(engine)
        none, code = wasmtime.FuncType([], []), wasmtime.FuncType([wasmtime.ValType.i32()], [])
        linker.define_func("runtime", "exceptionHandler", code, self._exception)
        linker.define_func("runtime", "printErrorMessage", none, self._message)
        linker.define_func("runtime", "writeBufferMessage", none, self._message)
        linker.define_func("runtime", "showSharedRWMemory", none, self._show)
        self._exports = linker.instantiate(self._store, circuit).exports(self._store)
        missing = [name for name in _EXPORTS if name not in self._exports]
        if missing:
            raise InvalidInput("W3B-4002", f"the wasm is not circom's: it does not export {missing}", field="wasm")
        for name in ("getWitness", "readSharedRWMemory", "writeSharedRWMemory", "setInputSignal"):
            linker.define(self._store, "circuit", name, self._exports[name])
        self._driver = linker.instantiate(self._store, driver).exports(self._store)
        self._memory: Any = self._driver["memory"]

    def _call(self, name: str, *arguments: int) -> int:
        function: Any = self._exports[name]
        return int(function(self._store, *arguments) or 0)

    def _drive(self, name: str, *arguments: int) -> None:
        function: Any = self._driver[name]
        function(self._store, *arguments)

    def _exception(self, code: int) -> None:
        raise _Stopped(code)

    def _message(self) -> None:
        characters: list[str] = []
        while (character := self._call("getMessageChar")) and len(characters) < 1024:
            characters.append(chr(character & 0x7F))
        self.messages.append("".join(characters).strip())

    def _show(self) -> None:
        self.messages.append(str(self._shared()))

    def _shared(self) -> int:
        words = [self._call("readSharedRWMemory", j) & 0xFFFFFFFF for j in range(WORD // 4)]
        return sum(word << (32 * j) for j, word in enumerate(words))

    def check_field(self) -> int:
        """The number of wires. Raises InvalidInput W3B-4002 when the circuit is for another field."""
        words = self._call("getFieldNumLen32")
        self._call("getRawPrime")
        if words != WORD // 4 or self._shared() != R:
            raise InvalidInput(
                "W3B-4002", "the circuit's field is not BN254's; compile with --prime bn128", field="wasm"
            )
        return self._call("getWitnessSize")

    def _reserve(self, count: int) -> None:
        missing = count * WORD - self._memory.data_len(self._store)
        if missing > 0:
            self._memory.grow(self._store, -(-missing // _PAGE))

    def set_all(self, inputs: Signals) -> None:
        """Set every input signal; the last one starts the computation."""
        flat = {name: list(_flatten(name, value)) for name, value in inputs.items()}
        for name, values in flat.items():
            size = self._call("getInputSignalSize", *_name_words(name))
            if size <= 0:
                raise InvalidInput("W3B-4003", f"the circuit has no input signal {name!r}", field=name)
            if size != len(values):
                raise InvalidInput("W3B-4003", f"input {name!r} has {len(values)} values, not {size}", field=name)
        total, given = self._call("getInputSize"), sum(map(len, flat.values()))
        if given != total:
            raise InvalidInput("W3B-4003", f"{given} of the circuit's {total} input values are given", field="inputs")
        self._call("init", 1)
        for name, values in flat.items():
            self._reserve(len(values))
            self._memory.write(self._store, b"".join(value.to_bytes(WORD, "little") for value in values), 0)
            self._drive("set_inputs", *_name_words(name), len(values))

    def read_witness(self) -> bytes:
        """All wires, 32 bytes little-endian each."""
        count = self._call("getWitnessSize")
        self._reserve(count)
        self._drive("get_witness", count)
        return bytes(self._memory.read(self._store, 0, count * WORD))


def _name_words(name: str) -> tuple[int, int]:
    value = fnv1a64(name)
    return _signed(value >> 32), _signed(value & 0xFFFFFFFF)
