"""TEE provers of one installation, made once in a process, and windows for them to prove."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

from simulated_installations import home
from wasm_programs import program_folder

from provers.protocol import Prepared, Program, Proof, ProvingTask
from provers.tee.prover import TeeProver
from tests.groth16.window import CAPACITY, window_task
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import kind_of
from verifier.commitment import device_set_root, readings_root
from verifier.completeness import Completeness, count_missing
from verifier.reading import Device, Reading

VALUES = [215, -40, 2**31 - 1, -(2**31), 0, 7]
STATED = (2, 1, 3)
KINDS = [kind_of(platform) for platform in Platform]


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return float(self.now)


def quiet(stage: str, fraction: float) -> None:
    """Progress that nobody reads."""


@cache
def sample(number: int = 0) -> Program:
    """The temperature program for every platform, in an installation's home."""
    return program_folder(home(number) / "programs" / "temperature", kinds=KINDS)


def prover_of(platform: Platform, number: int = 0, *, clock: Clock | None = None, **more: Any) -> TeeProver:
    return TeeProver(platform, home(number), clock=clock or Clock(), **more)


@cache
def honest(platform: Platform) -> tuple[TeeProver, Prepared, ProvingTask, Proof]:
    """A prover with the sample program, a task of six readings, and its proof."""
    prover = prover_of(platform)
    prepared = prover.prepare(sample(), quiet)
    task = window_task(prepared, VALUES, step=5, stated=STATED)
    return prover, prepared, task, prover.prove(prepared, task, quiet)


def with_readings(
    task: ProvingTask, readings: Sequence[Reading], devices: Sequence[Device] | None = None
) -> ProvingTask:
    """A task over other readings, whose opening a dishonest coordinator made to fit as far as it can."""
    members = tuple(devices or task.device_set)
    opening = dataclasses.replace(
        task.opening,
        readings_root=readings_root(readings, CAPACITY),
        device_set_root=device_set_root(members),
        count=len(readings),
        completeness=Completeness(count_missing(readings)),
    )
    return dataclasses.replace(task, readings=tuple(readings), device_set=members, opening=opening)
