"""A broker's folder: `broker.json` says whom it believes; beside it lie the secrets and the journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coordinator.broker.broker import Broker, Trust
from provers.installation import private_folder, write_private
from verifier.attestation.anchors import SimulatedAnchors, TrustAnchors, VendorAnchors
from verifier.attestation.evidence import Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.policy_file import read_policy
from verifier.errors import InvalidInput, NotFound, Unavailable
from verifier.statement import Domain

CONFIG_FILE = "broker.json"
_Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Config(BaseModel):
    """The form of `broker.json`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    format: Literal["w3bstream-broker/1"] = "w3bstream-broker/1"
    chain_id: Annotated[int, Field(ge=1, lt=1 << 63)]
    """Chain of the Router that session keys are bound to (EIP-155)."""
    router: Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$")]
    policy: dict[str, Any] | None = None
    """An appraisal policy (docs/reference/attestation.md); None: the default one."""
    simulated_name: Annotated[str, Field(max_length=64)] = ""
    simulated_roots: dict[str, list[Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$", max_length=16384)]]] = {}
    """Root certificates of a simulator by platform, DER in hex. With any, the broker believes simulators only, for it has
    one kind of anchors; a secret must allow it too."""
    issuers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")], _Hex32] = {}
    """Ed25519 public keys of verifiers whose passports are taken, by name."""

    def trust(self) -> Trust:
        """Whom the broker believes. Raises InvalidInput (W3B-9115 and what a policy raises)."""
        policy = AppraisalPolicy()
        if self.policy is not None:
            policy, _ = read_policy(json.dumps(self.policy).encode())
        anchors: TrustAnchors = VendorAnchors()
        if self.simulated_roots:
            anchors = SimulatedAnchors(self.simulated_name, self._roots())
        issuers = {name: Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)) for name, key in self.issuers.items()}
        return Trust(Domain(self.chain_id, bytes.fromhex(self.router[2:])), anchors, policy, issuers)

    def _roots(self) -> dict[Platform, list[bytes]]:
        known = {each.value for each in Platform}
        if unknown := sorted(set(self.simulated_roots) - known):
            raise InvalidInput(
                "W3B-9115", f"platforms {unknown} are unknown; there are {sorted(known)}", field="platform"
            )
        return {Platform(name): [bytes.fromhex(each) for each in roots] for name, roots in self.simulated_roots.items()}


def create(home: Path, config: Config) -> None:
    """Make a broker's folder, mode 700. Raises InvalidInput (W3B-7016) where one is there, Unavailable (W3B-9125)."""
    config.trust()
    try:
        private_folder(home)
        made = write_private(home / CONFIG_FILE, config.model_dump_json(indent=2) + "\n", keep=True)
    except OSError as error:
        raise Unavailable("W3B-9125", f"{home} cannot be made: {error.strerror}", field="folder") from error
    if not made:
        raise InvalidInput("W3B-7016", f"{home} is a broker's folder already", field="folder")


def open_broker(home: Path) -> Broker:
    """The broker of a folder. Raises NotFound (W3B-9125), InvalidInput (W3B-9115) for a broken `broker.json`."""
    path = home / CONFIG_FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise NotFound(
            "W3B-9125",
            f"{home} is no broker's folder",
            field="folder",
            next_step="Make one with `w3bstream broker init`.",
        ) from error
    except (OSError, ValueError) as error:
        raise Unavailable("W3B-9125", f"{path} cannot be read: {error}", field="folder") from error
    return Broker(home, read_config(text).trust())


def read_config(text: str) -> Config:
    """A broker's configuration. Raises InvalidInput (W3B-9115) that names the field."""
    try:
        return Config.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(each) for each in first["loc"])
        raise InvalidInput("W3B-9115", f"{CONFIG_FILE}: {where or 'the file'}: {first['msg']}", field=where) from error
