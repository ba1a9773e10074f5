"""The digest of the code that runs in the enclave beside the program: `Measured.runtime`.

Covered are the sources below, the native module, and the versions of the libraries that they call. Python itself and the
operating system are not: on real hardware the image that holds them all is measured by the platform.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from native import _native

ROOT = Path(__file__).resolve().parents[3]
SOURCES = (
    "provers/programs/window.py",
    "provers/protocol.py",
    "provers/tee/enclave.py",
    "provers/tee/measurement.py",
    "provers/tee/messages.py",
    "provers/tee/runtime/abi.py",
    "provers/tee/runtime/code.py",
    "provers/tee/runtime/configuration.py",
    "provers/tee/runtime/limits.py",
    "provers/tee/runtime/module_form.py",
    "provers/tee/runtime/readings.py",
    "provers/tee/runtime/stopwatch.py",
    "provers/tee/runtime/wasm.py",
    "provers/tee/session.py",
    "provers/wasm_modules.py",
    "verifier/attestation/binding.py",
    "verifier/attestation/sealing.py",
    "verifier/attestation/secret_request.py",
    "verifier/babyjubjub.py",
    "verifier/commitment.py",
    "verifier/completeness.py",
    "verifier/field.py",
    "verifier/outputs.py",
    "verifier/poseidon.py",
    "verifier/reading.py",
    "verifier/signatures.py",
    "verifier/statement.py",
)
"""Files, from the root of the installed packages."""
LIBRARIES = ("coincurve", "cryptography", "eth-abi", "eth-hash", "pycryptodome", "wasmtime")


@cache
def runtime_digest() -> bytes:
    """SHA-256 over name and SHA-256 of each source, of the native module, and name and version of each library."""
    files = [(name, ROOT / name) for name in SOURCES] + [("native", Path(_native.__file__))]
    lines = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for name, path in files]
    lines += [f"{name} {version(name)}\n" for name in LIBRARIES]
    return hashlib.sha256("".join(lines).encode()).digest()
