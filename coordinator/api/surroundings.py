"""What the API needs of the other rooms, as small protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from coordinator.intake.admission import Admission
from coordinator.intake.stream import DaStream, Published
from coordinator.projects.file import ProjectFile
from coordinator.projects.service import PreparedProgram
from verifier.bindings import Deployment
from verifier.reading import Device, Reading


class IntakeDoor(Protocol):
    """The intake, as the API uses it; `coordinator.intake.service.Intake` is one."""

    async def admission(self, project_id: int) -> Admission:
        """What the project admits now. Raises NotFound (W3B-1006)."""

    async def publish(self, project_id: int, readings: Sequence[Reading]) -> list[Published]:
        """Store checked readings of one project; durable when this returns. Raises Unavailable, NotFound."""

    async def stream(self, project_id: int) -> DaStream:
        """The project's DA layer. Raises Unavailable (W3B-1008), NotFound (W3B-1006) and Refused (W3B-1013)."""

    async def end(self, project_id: int) -> int:
        """First stream position that is not taken yet. Raises Unavailable (W3B-1008), NotFound (W3B-1006), Refused."""

    def stopped(self, project_id: int) -> str:
        """Why the project's intake stands still; empty when it does not."""


class SignatureChecker(Protocol):
    """Checks signatures off the event loop; `coordinator.intake.crypto_pool.CryptoPool` is one."""

    async def check_signatures(self, pairs: Sequence[tuple[Reading, Device]]) -> list[tuple[str, str] | None]:
        """For each pair None, or (code, reason) when the device did not sign the reading."""


@dataclass(frozen=True)
class ComponentStatus:
    """How one part stands."""

    name: str
    """ledger, nats, chain, ray, intake, jobs, dispatch, settlement or webhooks."""
    healthy: bool
    detail: str = ""
    """In words; never a credential."""
    address: str = ""
    """Where it listens or lives, if anywhere; never with a credential."""


class Installation(Protocol):
    """The installation around the API: its chain, its programs, its health."""

    @property
    def deployment(self) -> Deployment:
        """Where the contracts are."""

    @property
    def chain_rpc_url(self) -> str:
        """URL of the chain's JSON-RPC, as callers may reach it."""

    @property
    def owner(self) -> bytes:
        """The account that owns projects on chain and publishes their versions, 20 bytes."""

    async def prepare(self, file: ProjectFile) -> Mapping[str, PreparedProgram]:
        """The file's programs by kind, made ready and known to their on-chain verifiers. It may take minutes.

        Raises NotFound (W3B-4001, W3B-2005) and what preparing raises (W3B-4xxx).
        """

    async def components(self) -> Sequence[ComponentStatus]:
        """How each part stands now."""
