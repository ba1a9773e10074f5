"""The form of a program's module: what it must export, and what it must not have (WebAssembly Core 2.0 §5.5)."""

from __future__ import annotations

import wasmtime

from verifier.errors import InvalidInput

START_SECTION = 8
_PREAMBLE = b"\0asm\x01\0\0\0"
_SIGNATURES = {"input": (["i32"], ["i32"]), "run": (["i32", "i32"], ["i64"])}
"""Parameters and results of the functions that a program exports beside its `memory`."""


def unusable(why: str, where: str = "wasm") -> InvalidInput:
    """The error for a module that is no program (W3B-4030)."""
    return InvalidInput("W3B-4030", f"the program's {why}", field=where)


def check_module(module: wasmtime.Module, wasm: bytes) -> None:
    """Require a program of the ABI: `memory`, `input` and `run`, no import, nothing that runs before `input`.

    Raises InvalidInput (W3B-4030).
    """
    imports = [f"{each.module}.{each.name}" for each in module.imports]
    if imports:
        raise unusable(f"module imports {', '.join(imports[:4])}; nothing is offered, no WASI either", "imports")
    if START_SECTION in section_ids(wasm):
        raise unusable("module has a start function; only `input` and `run` are called", "start")
    exports = {each.name: each.type for each in module.exports}
    memory = exports.get("memory")
    if not isinstance(memory, wasmtime.MemoryType):
        raise unusable("module exports no memory named `memory`", "memory")
    if memory.is_shared or memory.is_64:
        raise unusable("memory is shared or of 64 bits", "memory")
    for name, expected in _SIGNATURES.items():
        found = exports.get(name)
        if not isinstance(found, wasmtime.FuncType):
            raise unusable(f"module exports no function `{name}`", name)
        if ([str(each) for each in found.params], [str(each) for each in found.results]) != expected:
            raise unusable(f"function `{name}` is not of type {expected[0]} -> {expected[1]}", name)


def section_ids(wasm: bytes) -> list[int]:
    """The ids of a binary module's sections in order. Raises InvalidInput (W3B-4030) where it is not well-formed."""
    if not wasm.startswith(_PREAMBLE):
        raise unusable("file is no WebAssembly module of version 1")
    found, at = [], len(_PREAMBLE)
    while at < len(wasm):
        found.append(wasm[at])
        size, at = _unsigned(wasm, at + 1)
        at += size
    if at != len(wasm):
        raise unusable("module is cut off in a section")
    return found


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 of 32 bits, and where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            break
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise unusable("module has a section without a length")
