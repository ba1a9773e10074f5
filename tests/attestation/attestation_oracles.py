"""The Go oracles of `oracles/` as tests and benchmarks ask them: built once, then one process that answers requests."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from verifier.attestation.evidence import Endorsements, Evidence, Platform

SOURCES = Path(__file__).with_name("oracles")
PLATFORMS = (Platform.SEV_SNP, Platform.TDX, Platform.NITRO)
"""There is no Go library of SGX quotes; legacy SEV, CCA and H100 have none either that takes a root of ours."""


@dataclass(frozen=True)
class Verdict:
    """What a library makes of evidence."""

    accepted: bool
    why: str
    seconds: float
    """CPU time of one verification, the mean where it was repeated."""


def build(folder: Path) -> Path:
    """The program, in `folder`. Raises FileNotFoundError without `go`, subprocess.CalledProcessError with its text.

    The module proxy is asked for what `go.sum` pins and the module cache lacks. A first build takes 45 seconds of one
    core, a later one out of Go's build cache one second.
    """
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError("go is not installed")
    program = folder / "oracles"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    subprocess.run(
        [go, "build", "-ldflags=-s -w", "-o", str(program), "."],
        cwd=SOURCES,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return program


class Oracles:
    """A running program. Use it as a context manager."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self) -> Oracles:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def ask(
        self,
        evidence: Evidence,
        endorsements: Endorsements,
        at: int,
        *,
        roots: Sequence[bytes] = (),
        repeat: int = 1,
    ) -> Verdict:
        """The verdict on evidence at a time, under the vendor's root where no other ones are given (DER)."""
        request = {
            "platform": evidence.platform.value,
            "evidence": _base64(evidence.data),
            "endorsements": {name: _base64(part) for name, part in endorsements.parts.items()},
            "roots": [_base64(each) for each in roots],
            "time": at,
            "repeat": repeat,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Verdict(**json.loads(self._answer()))

    def _answer(self) -> str:
        """The next line that is an answer: the libraries' warnings stand between them."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return line
        raise RuntimeError(f"the oracles ended with {self._process.wait()}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
