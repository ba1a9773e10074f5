"""What a simulated attester is (RFC 9334 §3): it measures a program and signs evidence of it.

A device (GPU) is asked first, with the digest as its nonce; the CPU's caller data then names its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from provers.tee.measurement import Measured
from verifier.attestation.anchors import EndorsedKey
from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import Endorsements, Evidence, Platform

Bind = Callable[[Sequence[bytes]], CallerData]
"""Caller data over the evidence of devices: `register_key` or `direct` of `verifier.attestation.binding`."""


@dataclass(frozen=True)
class Attested:
    """Evidence with what is needed to appraise it."""

    evidence: Evidence
    endorsements: Endorsements
    devices: tuple[Attested, ...] = ()
    """Of devices that this evidence vouches for, in order."""


class SimulatedAttester(Protocol):
    """One platform of one installation."""

    platform: Platform
    """Of the proof kind `tee.<platform>`."""
    signer: Platform
    """Whose evidence carries the caller data and the measurements: `platform`, or the CPU that vouches for a GPU."""

    @property
    def roots(self) -> Mapping[Platform, tuple[bytes, ...]]:
        """Its trust anchors by platform, DER (`sev`: AMD's format)."""

    @property
    def cca_keys(self) -> tuple[EndorsedKey, ...]:
        """Keys that are vouched for by a list (Arm CCA)."""

    def measurements(self, measured: Measured) -> Mapping[str, bytes]:
        """What evidence of this program says, by the names that `signer`'s verifier has for it."""

    def devices(self, nonce: bytes, *, now: int) -> tuple[Attested, ...]:
        """Evidence of its devices over a nonce of 32 bytes; none where it has no device."""

    def attest(
        self,
        measured: Measured,
        caller: CallerData,
        *,
        now: int,
        debug: bool = False,
        devices: tuple[Attested, ...] = (),
    ) -> Attested:
        """Evidence that carries `caller`, and `devices` beside it.

        Parameters: `now` is Unix seconds; `debug` makes evidence of a debug environment, which every policy refuses.
        Raises InvalidInput (W3B-9101) for caller data that the platform has no field for.
        """


class WithoutDevices:
    """What attesters without a device have in common."""

    cca_keys: tuple[EndorsedKey, ...] = ()

    def devices(self, nonce: bytes, *, now: int) -> tuple[Attested, ...]:
        """None."""
        del nonce, now
        return ()


def attest(
    attester: SimulatedAttester, measured: Measured, digest: bytes, bind: Bind, *, now: int, debug: bool = False
) -> Attested:
    """Evidence over a digest of 32 bytes, by devices first where the attester has some.

    Parameters: `bind` makes the caller data of `attester.signer`. Raises as `attest` of the attester.
    """
    devices = attester.devices(digest, now=now)
    caller = bind([each.evidence.data for each in devices])
    return attester.attest(measured, caller, now=now, debug=debug, devices=devices)
