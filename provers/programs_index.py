"""Which programs this installation has: the folders under `provers/programs/`, each with a manifest `program.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from provers.protocol import Prepared, Program, prover_for
from verifier.errors import InvalidInput, NotFound

PROGRAMS = Path(__file__).parent / "programs"
"""The installation's own programs."""
MANIFEST = "program.toml"


def read_program(folder: Path) -> Program:
    """The program in `folder`; its name is the folder's. Raises InvalidInput (W3B-2005) for a manifest without a
    kind."""
    try:
        manifest = tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput("W3B-2005", f"{MANIFEST} of program {folder.name} cannot be read: {error}") from error
    kind = manifest.get("kind")
    if not isinstance(kind, str) or not kind:
        raise InvalidInput("W3B-2005", f"{MANIFEST} of program {folder.name} names no kind", field="kind")
    return Program(name=folder.name, kind=kind, folder=folder)


def installed_programs(root: Path = PROGRAMS) -> dict[str, Program]:
    """Every program under `root` by name. Raises InvalidInput (W3B-2005) for one that cannot be read."""
    folders = sorted(manifest.parent for manifest in root.glob(f"*/{MANIFEST}"))
    return {folder.name: read_program(folder) for folder in folders}


def find_program(kind: str, program_id: bytes, root: Path = PROGRAMS) -> Prepared:
    """The installed program of `kind` whose id (32 bytes) is `program_id`, prepared.

    Raises NotFound: W3B-4001 when no prover of the kind is installed, W3B-2005 when no program has the id.
    """
    prover = prover_for(kind)
    for program in installed_programs(root).values():
        if program.kind == kind:
            prepared = prover.prepare(program, lambda stage, done: None)
            if prepared.program_id == program_id:
                return prepared
    raise NotFound("W3B-2005", f"no installed {kind} program has the id 0x{program_id.hex()}", field="program_id")
