"""A WASM program under wasmtime: fuel, memory, wall clock, no imports, one fresh instance a run.

It is deterministic as far as fuel and memory go: NaNs are canonical, threads and relaxed SIMD are off. The wall clock is
not; it is there so that nothing hangs, and a run that meets it yields no result.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import wasmtime

from provers.tee.runtime.abi import ALIGNMENT
from provers.tee.runtime.limits import WasmLimits
from provers.tee.runtime.module_form import check_module, unusable
from provers.tee.runtime.stopwatch import STOPWATCH, ticks
from provers.wasm_modules import compiled, first_line
from verifier.errors import Refused

MAX_OUTPUT = 16 * 32
"""Bytes: docs/reference/encodings.md §3 has at most 16 words."""
_STACK = 1 << 20
_TABLE_ELEMENTS = 1 << 16
_LIMITS = {wasmtime.TrapCode.OUT_OF_FUEL: "fuel", wasmtime.TrapCode.INTERRUPT: "milliseconds"}
"""Traps by which wasmtime stops a program, and the limit that each is about."""
_U32 = (1 << 32) - 1


def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.cranelift_nan_canonicalization = True
    config.max_wasm_stack = _STACK
    for proposal in ("threads", "memory64", "multi_memory", "relaxed_simd", "gc", "function_references", "exceptions"):
        setattr(config, f"wasm_{proposal}", False)
    return wasmtime.Engine(config)


class WasmProgram:
    """A program, compiled once; runs wait for each other.

    Parameters: `wasm` is the module's binary; `cache` is a private folder for what is compiled, or None. Raises
    InvalidInput (W3B-4030) for a module that is no program, or whose memory is larger than the limit.
    """

    def __init__(self, wasm: bytes, limits: WasmLimits, *, cache: Path | None = None) -> None:
        self._limits = limits
        self._engine = _engine()
        self._lock = threading.Lock()
        try:
            self._module = compiled(self._engine, wasm, cache)
            check_module(self._module, wasm)
            self._instance()
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise unusable(f"module cannot be used: {first_line(error)}") from error

    def run(self, data: bytes) -> bytes:
        """What the program makes of its input, at most 512 bytes.

        Raises Refused: W3B-4031 fuel or wall clock used up, W3B-4032 the program trapped or refused the window, W3B-4033
        a pointer outside of its memory or too long an output.
        """
        with self._lock, STOPWATCH.counting(self._engine):
            try:
                return self._run(data)
            except wasmtime.Trap as trap:
                raise _stopped(trap, self._limits) from trap
            except wasmtime.WasmtimeError as error:
                raise Refused("W3B-4032", f"the program stopped: {first_line(error)}") from error

    def _instance(self) -> tuple[wasmtime.Store, Any]:
        store = wasmtime.Store(self._engine)
        store.set_limits(
            memory_size=self._limits.memory, table_elements=_TABLE_ELEMENTS, instances=1, tables=4, memories=1
        )
        store.set_fuel(self._limits.fuel)
        store.set_epoch_deadline(ticks(self._limits.milliseconds))
        return store, wasmtime.Instance(store, self._module, []).exports(store)

    def _run(self, data: bytes) -> bytes:
        store, exports = self._instance()
        memory: wasmtime.Memory = exports["memory"]
        at = exports["input"](store, len(data)) & _U32
        if at % ALIGNMENT or at + len(data) > memory.data_len(store):
            raise Refused(
                "W3B-4033",
                f"`input` gave {at} for {len(data)} bytes; the memory has {memory.data_len(store)}",
                field="input",
            )
        memory.write(store, data, at)
        packed = exports["run"](store, _signed(at), len(data)) & (1 << 64) - 1
        where, length = packed >> 32, packed & _U32
        if not packed:
            raise Refused("W3B-4032", "the program refused the window", field="readings")
        if length > MAX_OUTPUT or where + length > memory.data_len(store):
            raise Refused(
                "W3B-4033",
                f"`run` gave {length} bytes at {where}; at most {MAX_OUTPUT}, in a memory of {memory.data_len(store)}",
                field="output",
            )
        return bytes(memory.read(store, where, where + length)) if length else b""


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def _stopped(trap: wasmtime.Trap, limits: WasmLimits) -> Refused:
    code = trap.trap_code
    limit = _LIMITS.get(code) if code is not None else None
    if limit is not None:
        return Refused(
            "W3B-4031", f"the program used up its {limit}, {getattr(limits, limit)}", field=f"limits.{limit}"
        )
    name = code.name.lower().replace("_", " ") if code is not None else first_line(trap)
    return Refused("W3B-4032", f"the program trapped: {name}", field="program")
