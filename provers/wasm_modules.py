"""Compiled WebAssembly modules, kept between runs: what every wasmtime host here needs, whatever it runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import wasmtime

from provers.installation import private_folder

_DIGEST = 32


def compiled(engine: wasmtime.Engine, wasm: bytes, cache: Path | None) -> wasmtime.Module:
    """The module, from `cache` where this wasmtime compiled it before for an engine of this configuration.

    Parameters: `cache` is a private folder of this kind of engine, or None. Raises wasmtime.WasmtimeError for what is no
    module, OSError for a folder that cannot be used.
    """
    if cache is None:
        return wasmtime.Module(engine, wasm)
    name = f"{hashlib.sha256(wasm).hexdigest()}-wasmtime-{version('wasmtime')}.cwasm"
    path = private_folder(cache) / name
    module = _cached(engine, path)
    if module is None:
        module = wasmtime.Module(engine, wasm)
        _write_checked(path, bytes(module.serialize()))
    return module


def first_line(error: Exception) -> str:
    """What wasmtime says of an error in one line: its first, and its last in brackets."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0]} ({lines[-1]})" if len(lines) > 1 else (lines or ["no message"])[0]


def _cached(engine: wasmtime.Engine, path: Path) -> wasmtime.Module | None:
    """The compiled module when the file is whole and made by this wasmtime for this machine."""
    if not path.exists():
        return None
    data = path.read_bytes()
    if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        return None
    try:
        return wasmtime.Module.deserialize(engine, data[_DIGEST:])
    except wasmtime.WasmtimeError:
        return None


def _write_checked(path: Path, data: bytes) -> None:
    """SHA-256, then the data, under a name that appears only when whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        file.write(hashlib.sha256(data).digest() + data)
    Path(temporary).replace(path)
