"""The committed WASM programs are what their sources give, where this machine has the compiler that made them."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from provers.programs import PROGRAMS, wasm_build
from provers.programs.wasm_build import TARGET, read_crate, wasm_programs

SMALL = ("temperature_wasm", "vibration_classifier")
"""Programs without dependencies from a registry; the others take minutes (`make wasm` builds all of them)."""


def has_compiler_of(name: str) -> bool:
    """Whether rustc is the one that made the program, and has a standard library for WASM."""
    if shutil.which("rustc") is None:
        return False
    made_by = tomllib.loads((PROGRAMS / name / "program.toml").read_text("utf-8"))["compiler"]
    command = ["rustc", "--print", "target-libdir", "--target", TARGET]
    library = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return wasm_build.compiler() == made_by and Path(library).is_dir()


def test_all_wasm_programs_are_built() -> None:
    assert [name for name in wasm_programs() if not (PROGRAMS / name / "program.toml").exists()] == []
    assert set(SMALL) < set(wasm_programs())


def test_a_rebuild_gives_the_committed_bytes() -> None:
    if not all(has_compiler_of(name) for name in SMALL):
        pytest.skip(f"the compiler that made the programs, or its {TARGET} library, is not here")
    assert wasm_build.main(["--check", *SMALL]) == 0


def test_a_changed_module_or_manifest_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = SMALL[0]
    shutil.copytree(PROGRAMS / name, tmp_path / name)
    crate = read_crate(tmp_path / name)
    assert crate is not None
    wasm = (tmp_path / name / f"{name}.wasm").read_bytes()
    version = tomllib.loads((tmp_path / name / "program.toml").read_text("utf-8"))["compiler"]
    monkeypatch.setattr(wasm_build, "PROGRAMS", tmp_path)
    monkeypatch.setattr(wasm_build, "compiler", lambda: version)
    monkeypatch.setattr(wasm_build, "compile_program", lambda *_: wasm)
    assert wasm_build.rebuild(name, tmp_path, check=True)
    monkeypatch.setattr(wasm_build, "compile_program", lambda *_: wasm + b"\0")
    assert not wasm_build.rebuild(name, tmp_path, check=True)
    assert "differs" in capsys.readouterr().err
    assert wasm_build.rebuild(name, tmp_path, check=False)
    assert (tmp_path / name / f"{name}.wasm").read_bytes() == wasm + b"\0"
    assert wasm_build.rebuild(name, tmp_path, check=True)
