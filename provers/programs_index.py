"""Which programs this installation has: the folders under `provers/programs/`, each with a manifest `program.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from provers.programs import PROGRAMS, kinds_of
from provers.protocol import Prepared, Program, prover_for
from verifier.errors import InvalidInput, NotFound

MANIFEST = "program.toml"


def read_programs(folder: Path) -> tuple[Program, ...]:
    """The programs in `folder`, one for each kind that its manifest names; their name is the folder's.

    Raises InvalidInput (W3B-2005) for a manifest without a kind.
    """
    try:
        kinds = kinds_of(tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput("W3B-2005", f"{MANIFEST} of program {folder.name} cannot be read: {error}") from error
    except ValueError as error:
        raise InvalidInput("W3B-2005", f"{MANIFEST} of program {folder.name}: {error}", field="kind") from error
    return tuple(Program(name=folder.name, kind=kind, folder=folder) for kind in kinds)


def installed_programs(root: Path = PROGRAMS) -> dict[str, Program]:
    """Every program under `root`: by its name, or by `<name> <kind>` where one folder serves several kinds.

    Raises InvalidInput (W3B-2005) for one that cannot be read.
    """
    found = {}
    for folder in sorted(manifest.parent for manifest in root.glob(f"*/{MANIFEST}")):
        programs = read_programs(folder)
        for program in programs:
            found[program.name if len(programs) == 1 else f"{program.name} {program.kind}"] = program
    return found


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
