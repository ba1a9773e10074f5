"""The installed programs as the evidence verifier takes them: names of their outputs, and their plain computation.

It needs the base installation only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provers.programs import PROGRAMS, Manifest, read_manifest
from provers.protocol import ProvingTask
from verifier.evidence.data_checks import KnownProgram, Window


@dataclass(frozen=True)
class InstalledProgram:
    """An installed program; it is a `KnownProgram`."""

    manifest: Manifest

    @property
    def outputs(self) -> tuple[str, ...]:
        """The words of its public output."""
        return self.manifest.outputs

    def output_of(self, window: Window) -> bytes | None:
        """The window's public output, or None for a WASM program without a Python module of the same computation.

        Raises InvalidInput (W3B-4021, W3B-1007) for readings that it cannot take.
        """
        if not self.manifest.module:
            return None
        statement = window.statement
        task = ProvingTask(
            domain=window.domain,
            project_id=statement.project_id,
            project_version=statement.project_version,
            task_id=statement.task_id,
            opening=window.opening,
            program_id=statement.program_id,
            prover=statement.prover,
            readings=window.readings,
            device_set=(),
        )
        return self.manifest.program().output_of(task)


def known_programs(root: Path = PROGRAMS) -> Mapping[str, KnownProgram]:
    """Every installed program by name. Raises InvalidInput (W3B-4022) for a folder that cannot be read."""
    manifests = (read_manifest(path.parent) for path in sorted(root.glob("*/program.toml")))
    return {manifest.name: InstalledProgram(manifest) for manifest in manifests}
