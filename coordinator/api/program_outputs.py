"""The outputs that a project version's programs name in their manifests (`provers/programs/<name>/program.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.tables import ProjectVersionRow, TaskRow
from provers.programs import PROGRAMS
from provers.programs_index import MANIFEST

OutputsOf = Callable[[str], Sequence[str] | None]
"""From a program's name to the `outputs` of its manifest; None for a program that is not installed."""


@lru_cache(maxsize=256)
def manifest_outputs(name: str) -> tuple[str, ...] | None:
    """The `outputs` of an installed program."""
    if name not in {path.parent.name for path in PROGRAMS.glob(f"*/{MANIFEST}")}:
        return None
    manifest = tomllib.loads((PROGRAMS / name / MANIFEST).read_text("utf-8"))
    outputs = manifest.get("outputs")
    return tuple(str(each) for each in outputs) if isinstance(outputs, list) else None


async def outputs_by_version(
    session: AsyncSession, tasks: Iterable[TaskRow], outputs_of: OutputsOf
) -> dict[tuple[int, int], Sequence[str] | None]:
    """For each (project, version) of the tasks the outputs of its programs, which all prove the same ones."""
    found: dict[tuple[int, int], Sequence[str] | None] = {}
    for key in {(task.project_id, task.version) for task in tasks}:
        version = await session.get(ProjectVersionRow, key)
        names = [str(each["name"]) for each in version.programs] if version is not None else []
        found[key] = next((outputs for name in names if (outputs := outputs_of(name)) is not None), None)
    return found
