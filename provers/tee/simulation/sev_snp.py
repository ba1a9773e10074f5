"""A simulated SEV-SNP machine: the report of `snp_report`, signed by a VCEK whose chain leads to a simulated AMD."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.measurement import Measured
from provers.tee.simulation import snp_report
from provers.tee.simulation.amd import VENDOR, SimulatedAmd
from provers.tee.simulation.attester import Attested, SimulatedAttester, WithoutDevices
from provers.tee.simulation.caller import only
from provers.tee.simulation.certificates import LIFETIME, Issuer, Validity, check_time, der, issue, label, pem
from provers.tee.simulation.snp_report import Machine
from provers.tee.simulation.store import Store
from verifier.attestation.binding import CallerData
from verifier.attestation.evidence import Endorsements, Evidence, Platform

CHIP_BYTES = 64
"""Of a chip's identifier, for Milan."""


def open_attester(store: Store) -> SimulatedAttester:
    """The attester of a store. Raises InvalidInput (W3B-9117), Unavailable (W3B-9118)."""
    amd = SimulatedAmd(store)
    ask, ark = amd.authorities()
    machine, key = Machine(chip_id=_chip_id(store)), store.ec_key("vcek", ec.SECP384R1)
    vcek = store.certificate("vcek", key, lambda: endorse(machine, key, amd.signer))
    amd.require_issued("vcek", vcek, ask)
    return SevSnpAttester(machine, key, (vcek, ask, ark))


def _chip_id(store: Store) -> bytes:
    found = store.part("chip_id", lambda: secrets.token_bytes(CHIP_BYTES))
    if len(found) != CHIP_BYTES:
        raise store.damaged("chip_id", f"has {len(found)} bytes, not {CHIP_BYTES}")
    return found


def endorse(
    machine: Machine, key: ec.EllipticCurvePrivateKey, signer: Issuer, validity: Validity = LIFETIME
) -> x509.Certificate:
    """The VCEK certificate of a machine's key."""
    extensions = {f"{snp_report.OID}.{number}": value for number, value in machine.endorsement().items()}
    subject = Issuer(label("SEV-VCEK", VENDOR), key)
    return issue(subject, signer, validity, authority=False, constrained=False, extensions=extensions)


@dataclass(frozen=True)
class SevSnpAttester(WithoutDevices):
    """Makes reports of one machine."""

    machine: Machine
    key: ec.EllipticCurvePrivateKey
    """The VCEK."""
    chain: tuple[x509.Certificate, x509.Certificate, x509.Certificate]
    """VCEK, ASK and ARK."""

    platform = Platform.SEV_SNP
    signer = Platform.SEV_SNP

    @property
    def roots(self) -> Mapping[Platform, tuple[bytes, ...]]:
        """The ARK."""
        return {Platform.SEV_SNP: (der(self.chain[2]),)}

    def measurements(self, measured: Measured) -> Mapping[str, bytes]:
        """The launch measurement has all that runs; the host's data is the configuration that it was launched with."""
        return {"measurement": measured.digest(48), "host_data": measured.configuration}

    def attest(
        self,
        measured: Measured,
        caller: CallerData,
        *,
        now: int,
        debug: bool = False,
        devices: tuple[Attested, ...] = (),
    ) -> Attested:
        """A report of VMPL 0; `caller` is {"report_data": 64 bytes}. `now` is not in a report.

        Raises InvalidInput (W3B-9101).
        """
        check_time(now)
        report_data = only(caller, "report_data", 64)
        policy = snp_report.RESERVED_ONE | snp_report.ALLOW_SMT | (snp_report.ALLOW_DEBUG if debug else 0)
        says = self.measurements(measured)
        body = self.machine.body(
            report_data, says["measurement"], says["host_data"], policy=policy, report_id=secrets.token_bytes(32)
        )
        evidence = Evidence(Platform.SEV_SNP, snp_report.signed(body, self.key))
        endorsements = Endorsements({"vcek.der": der(self.chain[0]), "cert_chain.pem": pem(*self.chain[1:])})
        return Attested(evidence, endorsements, devices)
