"""One settled world on our chain for the whole session; every file of evidence is made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest

from coordinator.evidence.gathering import Evidence
from tests.evidence.evidence_world import KEYS, OTHER, PROGRAM, ZKP, Settled, World, l1_chain
from verifier.evidence.blocks import Header
from verifier.evidence.document import Document
from verifier.evidence.trust import Trust


def last_block(document: Document) -> str:
    """Hash of the file's last block, as a checkpoint."""
    return "0x" + Header.decode(document.headers[-1]).hash.hex()


@dataclass
class Scene:
    """A world with settled tasks, and their evidence."""

    world: World
    first: Settled
    second: Settled
    double: Settled
    """One that two kinds proved, of which one has no verifier here."""

    @cached_property
    def task(self) -> Evidence:
        """The first task with its readings."""
        return self.world.make(lambda maker: maker.of_task(self.first.id))

    @cached_property
    def other(self) -> Evidence:
        """The second task of the same project with its readings."""
        return self.world.make(lambda maker: maker.of_task(self.second.id))

    @cached_property
    def commitments(self) -> Evidence:
        """The first task without readings."""
        return self.world.make(lambda maker: maker.of_task(self.first.id, readings=False))

    @cached_property
    def receipt(self) -> Evidence:
        """One reading of the first task."""
        position = self.first.positions[2]
        return self.world.make(lambda maker: maker.of_reading(self.first.project_id, position=position))

    @cached_property
    def twice(self) -> Evidence:
        """The task of two kinds, without readings."""
        return self.world.make(lambda maker: maker.of_task(self.double.id, readings=False))

    def pinned(self, evidence: Evidence) -> Trust:
        """Every anchor of a file pinned, its blocks by the last one's hash."""
        programs = [
            {"program_id": "0x" + KEYS[kind].program_id().hex(), "name": PROGRAM, "set_up": "development"}
            for kind in (ZKP, OTHER)
        ]
        return self.world.trust(
            required_checkpoints=[last_block(evidence.document)], programs=programs, unchecked_kinds=[OTHER]
        )


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The world on our own chain, with settled tasks."""
    folder = tmp_path_factory.mktemp("evidence")
    chain, node = l1_chain(folder)
    with node:
        world = World.build(chain, folder)
        project, strict = world.project(), world.project(kinds=(ZKP, OTHER))
        double = world.settle(strict, (5, -6), kinds=(ZKP, OTHER))
        yield Scene(world, world.settle(project), world.settle(project, (1, 2, 3)), double)
