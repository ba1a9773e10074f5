"""Programs made ready: for the workers to prove, for the coordinator to check, and for the chain to verify."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
from coordinator.projects.file import ProjectFile
from coordinator.settings import Settings
from coordinator.settlement.tee_contracts import KINDS, Anchors, TeeContracts
from provers.programs_index import installed_programs
from provers.protocol import Prepared, Program, Prover, installed_provers
from provers.tee.simulation.vendors import SimulatedVendors
from verifier import bindings
from verifier.bindings import Deployment
from verifier.errors import NotFound, Refused

log = structlog.get_logger(__name__)

VERIFIERS = {"zkp.groth16": "groth16"}
"""Proof kind to the deployment's contract that verifies it; what verifies TEE kinds is deployed when it is needed."""

Report = Callable[[str, str, float], None]
"""Called with a program's name, a stage and the fraction done, from another thread."""


def wanted_provers(settings: Settings) -> dict[str, Prover]:
    """The installation's provers, by kind: those of `settings.prover_kinds`.

    Raises NotFound (W3B-4001) for a kind that is not installed or that no contract verifies, Refused (W3B-9114) for a TEE
    kind in production: the installed ones are simulated.
    """
    wanted = dict.fromkeys(kind for each in settings.prover_kinds.split(",") if (kind := each.strip()))
    known = {kind: prover for kind, prover in installed_provers().items() if kind in VERIFIERS or kind in KINDS}
    for kind in wanted:
        if kind not in known:
            why = f"W3BSTREAM_PROVER_KINDS names {kind}; there are {', '.join(sorted(known))}"
            raise NotFound("W3B-4001", why, field="prover_kinds")
        if settings.production and kind in KINDS:
            raise Refused("W3B-9114", f"the prover of {kind} is simulated", field="prover_kinds")
    return {kind: known[kind] for kind in wanted}


def simulated_anchors(home: Path) -> Anchors:
    """Opens the roots of the installation's simulated vendors, made where there are none."""
    return lambda platform: SimulatedVendors.open(home).anchors(platform)


@dataclass(frozen=True)
class ReadyProgram:
    """A prepared program and the contract that verifies its proofs."""

    program_id: bytes
    """32 bytes."""
    verifier: bytes
    """Address of its IVerifier, 20 bytes."""
    prepared: Prepared
    """As the prover gave it."""


class Preparation:
    """Prepares programs once each, in a thread, and sees to what verifies them on chain.

    Parameters: `provers` are those of this coordinator, by kind; `tee` deploys what TEE kinds need.
    """

    def __init__(
        self,
        ledger: Ledger,
        deployment: Deployment,
        provers: Mapping[str, Prover],
        tee: TeeContracts,
        report: Report | None = None,
    ) -> None:
        self._ledger = ledger
        self._deployment = deployment
        self._provers = dict(provers)
        self._tee = tee
        self._report = report
        self._ready: dict[tuple[str, str], ReadyProgram] = {}
        self._one_at_a_time = asyncio.Lock()
        self.programs = {(program.name, program.kind): program for program in installed_programs().values()}
        """The installed programs by name and kind."""

    async def program(self, name: str, kind: str) -> ReadyProgram:
        """The program, ready. Raises NotFound (W3B-2005, W3B-4001) and what preparing raises (W3B-4xxx)."""
        program = self.programs.get((name, kind))
        if program is None:
            raise NotFound("W3B-2005", f"there is no {kind} program {name!r} here", field="programs")
        if kind not in self._provers:
            raise NotFound(
                "W3B-4001",
                f"this installation has no workers of {kind!r}",
                field="programs",
                next_step="Name the kind in W3BSTREAM_PROVER_KINDS and start the service again.",
            )
        async with self._one_at_a_time:
            if (name, kind) not in self._ready:
                self._ready[name, kind] = await self._prepare(program)
            return self._ready[name, kind]

    async def all(self) -> None:
        """Every installed program that has a prover."""
        for program in self.programs.values():
            if program.kind in self._provers:
                await self.program(program.name, program.kind)

    async def of(self, file: ProjectFile) -> Mapping[str, ReadyProgram]:
        """A project file's programs by kind, ready."""
        return {part.kind: await self.program(part.program, part.kind) for part in file.model.programs}

    async def _prepare(self, program: Program) -> ReadyProgram:
        report = self._report

        def on_progress(stage: str, done: float) -> None:
            if report is not None:
                report(program.name, stage, done)

        prepared = await asyncio.to_thread(self._provers[program.kind].prepare, program, on_progress)
        if program.kind in VERIFIERS:
            address: str = getattr(self._deployment, VERIFIERS[program.kind])
            await self._register_key(program, prepared, address)
        else:
            address = (await self._tee.of(program.kind)).verifier
        log.info("program_ready", program=program.name, program_id=prepared.program_id.hex(), trust=prepared.trust)
        return ReadyProgram(prepared.program_id, bytes.fromhex(address.removeprefix("0x")), prepared)

    async def _register_key(self, program: Program, prepared: Prepared, address: str) -> None:
        async with self._ledger.transaction() as session:
            await enqueue_tx(
                session,
                self._ledger.clock(),
                dedupe_key=f"register_key:{address.lower()}:{prepared.program_id.hex()}",
                purpose="register_key",
                to=address,
                data=bindings.register_verifying_key(prepared.verifying_key),
                ref={"program_id": "0x" + prepared.program_id.hex(), "program": program.name},
            )
