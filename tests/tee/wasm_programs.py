"""WASM programs in text form, and folders that hold them as an installation does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import wasmtime

from provers.programs.temperature_window import OUTPUTS
from provers.protocol import Program

TEMPERATURE = """
(module
  (memory (export "memory") 2)
  (func (export "input") (param $length i32) (result i32) (i32.const 65536))
  (func $word (param $at i32) (param $value i64) (local $i i32)
    (i64.store (local.get $at) (i64.shr_s (local.get $value) (i64.const 63)))
    (i64.store offset=8 (local.get $at) (i64.shr_s (local.get $value) (i64.const 63)))
    (i64.store offset=16 (local.get $at) (i64.shr_s (local.get $value) (i64.const 63)))
    (loop $bytes
      (i64.store8 offset=24 (i32.add (local.get $at) (local.get $i))
        (i64.shr_s (local.get $value) (i64.extend_i32_u (i32.sub (i32.const 56) (i32.shl (local.get $i) (i32.const 3))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $bytes (i32.lt_u (local.get $i) (i32.const 8)))))
  (func $big_endian (param $at i32) (result i32)
    (i32.or
      (i32.or (i32.shl (i32.load8_u (local.get $at)) (i32.const 24))
              (i32.shl (i32.load8_u offset=1 (local.get $at)) (i32.const 16)))
      (i32.or (i32.shl (i32.load8_u offset=2 (local.get $at)) (i32.const 8)) (i32.load8_u offset=3 (local.get $at)))))
  (func (export "run") (param $at i32) (param $length i32) (result i64)
    (local $count i32) (local $left i32) (local $value i64) (local $sum i64) (local $low i64) (local $high i64)
    (if (i32.ne (i32.load (local.get $at)) (i32.const 0x49423357)) (then (unreachable)))
    (if (i32.ne (i32.load offset=4 (local.get $at)) (i32.const 1)) (then (unreachable)))
    (local.set $count (i32.load offset=12 (local.get $at)))
    (local.set $left (local.get $count))
    (local.set $low (i64.const 0x7fffffff))
    (local.set $high (i64.const -0x80000000))
    (local.set $at (i32.add (local.get $at) (i32.const 16)))
    (loop $readings
      (if (i32.ne (i32.load offset=4 (local.get $at)) (i32.const 4)) (then (return (i64.const 0))))
      (local.set $value (i64.extend_i32_s (call $big_endian (i32.add (local.get $at) (i32.const 24)))))
      (local.set $sum (i64.add (local.get $sum) (local.get $value)))
      (if (i64.lt_s (local.get $value) (local.get $low)) (then (local.set $low (local.get $value))))
      (if (i64.gt_s (local.get $value) (local.get $high)) (then (local.set $high (local.get $value))))
      (local.set $at (i32.add (local.get $at) (i32.const 32)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $readings (local.get $left)))
    (call $word (i32.const 0) (i64.extend_i32_u (local.get $count)))
    (call $word (i32.const 32) (local.get $sum))
    (call $word (i32.const 64) (local.get $low))
    (call $word (i32.const 96) (local.get $high))
    (i64.const 128)))
"""
"""Count, sum, minimum and maximum of int32 payloads, as the circuit `temperature_window`; refuses other payloads."""


def program(run: str, *, memory: str = "1", extra: str = "", place: str = "1024") -> str:
    """A module whose `run` has this body; `extra` are more fields, `place` is where input goes."""
    return f"""(module
      {extra}
      (memory (export "memory") {memory})
      (func (export "input") (param i32) (result i32) (i32.const {place}))
      (func (export "run") (param i32 i32) (result i64) (local $i i32) {run}))"""


@cache
def binary(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def program_folder(
    folder: Path,
    text: str = TEMPERATURE,
    *,
    outputs: Sequence[str] = OUTPUTS,
    kinds: Sequence[str] = ("tee.sgx",),
    more: str = "",
    limits: str = "",
) -> Program:
    """A folder with program.toml and the module; the program of its first kind."""
    folder.mkdir(parents=True, exist_ok=True)
    wasm = binary(text)
    (folder / "program.wasm").write_bytes(wasm)
    (folder / "program.toml").write_text(
        f'name = "{folder.name}"\nkinds = {json.dumps(list(kinds))}\nscheme = "poseidon-bn254-v1"\ncapacity = 16\n'
        f'payload = "int32"\noutputs = {json.dumps(list(outputs))}\n{more}\n[limits]\n{limits}\n[artifacts]\n'
        f'wasm = {{ file = "program.wasm", sha256 = "{hashlib.sha256(wasm).hexdigest()}" }}\n'
    )
    return Program(folder.name, kinds[0], folder)
