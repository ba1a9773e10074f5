"""The project file's fields and their ranges, as pydantic models. What needs other fields is checked in `file.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SCHEMA = "w3bstream/v1"
MAX_DEVICES = 1024
ADDRESS = r"^0x[0-9a-fA-F]{40}$"
Text = Annotated[str, StringConstraints(max_length=128)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DaPart(_Part):
    """Where the project's readings arrive."""

    url: str = Field("embedded", pattern=r"^(embedded|(nats|tls)://[^\s/@]+)$", max_length=512)
    """`embedded`, or `nats://host:port` or `tls://host:port`, without user and password; `da_url.py` guards the host."""
    credentials: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9._-]*\.creds$", max_length=128)
    """Name of a NATS credentials file in the installation's `credentials` folder; begins with the project's name."""


class DevicePart(_Part):
    """A device."""

    key_type: Literal["babyjubjub", "secp256k1", "p256"]
    """Which signature it makes."""
    public_key: str = Field(pattern=r"^0x[0-9a-fA-F]{128}$")
    """x and y, 64 bytes."""
    device: str | None = Field(None, pattern=ADDRESS)
    """Device id; the default is the last 20 bytes of keccak256 of the public key."""
    label: Text = ""
    """What its owner calls it."""


class WindowPart(_Part):
    """When a window closes."""

    readings: int = Field(ge=1, le=1 << 20)
    """Readings that fill it."""
    seconds: int = Field(ge=1, le=86_400)
    """Longest age of its first reading."""


class ProgramPart(_Part):
    """A program that proves the windows."""

    kind: str = Field(pattern=r"^[a-z][a-z0-9]*\.[a-z][a-z0-9_-]*$", max_length=64)
    """Proof kind, such as `zkp.groth16`."""
    program: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)
    """Name of an installed program."""


class WebhookPart(_Part):
    """An endpoint that hears of results."""

    url: str = Field(min_length=8, max_length=2048)
    events: tuple[Text, ...] = Field((), strict=False)
    """Event types; none means all."""
    signing: Literal["hmac", "ed25519", "both"] = "hmac"
    """How messages are signed: `v1`, `v1a` or both of docs/reference/webhooks.md."""


class ProjectModel(_Part):
    """A project file."""

    schema_: Literal["w3bstream/v1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9-]{3,64}$")
    da: DaPart = DaPart()
    devices: tuple[DevicePart, ...] = Field(min_length=1, max_length=MAX_DEVICES, strict=False)
    window: WindowPart
    commitment: str = "poseidon-bn254-v1"
    programs: tuple[ProgramPart, ...] = Field(min_length=1, max_length=16, strict=False)
    assurance: str = Field(max_length=1024)
    deadline_seconds: int = Field(3600, ge=10, le=604_800)
    """From a window's closing to its task's deadline."""
    dapp: str | None = Field(None, pattern=r"^(sample|0x[0-9a-fA-F]{40})$")
    """Contract that receives results, `sample`, or none."""
    webhooks: tuple[WebhookPart, ...] = Field((), max_length=16, strict=False)
