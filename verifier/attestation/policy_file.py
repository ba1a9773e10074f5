"""The file form of an appraisal policy and its reference values: JSON, strict, docs/reference/attestation.md."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from verifier.attestation.evidence import Platform, read_json
from verifier.attestation.policy import AppraisalPolicy, ReferenceValue, ReferenceValues, TcbPolicy
from verifier.errors import InvalidInput

FORMAT = "w3bstream-attestation-policy/1"
_Seconds = Annotated[int, Field(ge=0, lt=1 << 31)]
_Svn = dict[Annotated[str, Field(max_length=64)], Annotated[int, Field(ge=0, lt=1 << 32)]]
_Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$", max_length=2048)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Tcb(_Strict):
    accepted_statuses: list[str] = ["UpToDate"]
    denied_advisories: list[Annotated[str, Field(max_length=64)]] = []
    platform_grace_seconds: _Seconds = 0
    qe_grace_seconds: _Seconds = 0
    minimum_evaluation_number: _Seconds = 0
    allow_smt: bool = True
    allow_dynamic_platform: bool = True
    allow_cached_keys: bool = True


class _Reference(_Strict):
    platform: str
    measurements: dict[Annotated[str, Field(max_length=64)], _Hex]
    minimum_svn: _Svn = {}
    revoked: bool = False
    note: Annotated[str, Field(max_length=256)] = ""


class _File(_Strict):
    format: Literal["w3bstream-attestation-policy/1"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    tcb: _Tcb = _Tcb()
    minimum_svn: _Svn = {}
    maximum_vmpl: Annotated[int, Field(ge=0, le=3)] = 0
    allow_smt: bool = True
    allow_migration: bool = False
    accepted_lifecycles: list[Annotated[int, Field(ge=0, le=255)]] = [0x30]
    maximum_age_seconds: _Seconds = 3600
    require_rim: bool = True
    program_id: Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")] | None = None
    reference_values: Annotated[list[_Reference], Field(max_length=256)] | None = None


def read_policy(data: bytes) -> tuple[AppraisalPolicy, ReferenceValues | None]:
    """The policy of a file, and the reference values where it has any.

    Raises InvalidInput (W3B-9115) that names the field.
    """
    try:
        found = _File.model_validate(read_json(data, "policy"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"]) or "policy"
        raise _bad(where[:120], first["msg"][:160]) from error
    except InvalidInput as error:
        raise _bad("policy", error.message) from error
    values: dict[str, Any] = {
        each.name: getattr(found, each.name) for each in fields(AppraisalPolicy) if each.name != "tcb"
    }
    tcb = found.tcb.model_dump()
    for name in ("accepted_statuses", "denied_advisories"):
        tcb[name] = frozenset(tcb[name])
    values["accepted_lifecycles"] = frozenset(found.accepted_lifecycles)
    return AppraisalPolicy(tcb=TcbPolicy(**tcb), **values), _reference(found)


def _bad(where: str, why: str) -> InvalidInput:
    return InvalidInput("W3B-9115", f"{where}: {why}", field=where)


def _reference(found: _File) -> ReferenceValues | None:
    if found.reference_values is None:
        return None
    if found.program_id is None:
        raise _bad("program_id", "is missing: reference values are of one program")
    return ReferenceValues(
        bytes.fromhex(found.program_id[2:]), tuple(_value(each, at) for at, each in enumerate(found.reference_values))
    )


def _value(entry: _Reference, at: int) -> ReferenceValue:
    try:
        platform = Platform(entry.platform)
    except ValueError as error:
        known = [each.value for each in Platform]
        raise _bad(f"reference_values.{at}.platform", f"is {entry.platform[:40]!r}; there are {known}") from error
    measurements = {name: bytes.fromhex(value) for name, value in entry.measurements.items()}
    return ReferenceValue(platform, measurements, entry.minimum_svn, entry.revoked, entry.note)
