"""Generate the Python stubs of `proto/w3bstream/v1` beside their sources: `python proto/generate.py [--check]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent


def generate(out: Path) -> None:
    """Write the message and service stubs and their type stubs below `out`."""
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("w3bstream/v1/*.proto"))
    include = str(Path(protoc.__file__).parent / "_proto")
    arguments = [
        "protoc",
        f"-I{ROOT}",
        f"-I{include}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out={out}",
        f"--mypy_grpc_out={out}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its message stands above")


def main() -> None:
    """Generate, or with --check compare with what is committed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a committed stub differs from a fresh one")
    if not parser.parse_args().check:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*_pb2*")}
    stale = [
        str(name) for name, text in fresh.items() if not (ROOT / name).exists() or (ROOT / name).read_bytes() != text
    ]
    if stale:
        sys.exit(f"stale stubs, run `make proto`: {', '.join(sorted(stale))}")


if __name__ == "__main__":
    main()
