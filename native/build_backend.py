"""PEP 517 backend: maturin's, plus the second source root.

maturin packs one source root (this repository) and the Rust library. The gRPC stubs live below `proto/` and import as
`w3bstream.v1`, so they are added to the wheel here, and `proto/` to the path file of an editable install.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import maturin
from maturin import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"

prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def _add(wheel: Path, files: dict[str, bytes]) -> None:
    """Rewrite `wheel` with `files` added and listed in RECORD (PEP 427)."""
    with zipfile.ZipFile(wheel) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    fresh = wheel.with_suffix(".part")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members.items():
            is_record = info.filename.endswith(".dist-info/RECORD")
            archive.writestr(info, content + "".join(lines).encode() if is_record else content)
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    fresh.replace(wheel)


def build_wheel(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    """maturin's wheel with the stubs in it."""
    name: str = maturin.build_wheel(folder, settings, metadata)
    stubs = [path for path in sorted((PROTO / "w3bstream").rglob("*")) if path.suffix in {".py", ".pyi", ".proto"}]
    _add(Path(folder) / name, {path.relative_to(PROTO).as_posix(): path.read_bytes() for path in stubs})
    return name


def build_editable(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    """maturin's editable wheel with `proto/` on the path as well."""
    name: str = maturin.build_editable(folder, settings, metadata)
    _add(Path(folder) / name, {"w3bstream_proto.pth": f"{PROTO}\n".encode()})
    return name
