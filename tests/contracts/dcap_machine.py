"""Test only: a simulated Intel machine every signed part of which a test may change and have signed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provers.tee.simulation.certificates import LIFETIME, Issuer, der, issue
from provers.tee.simulation.cose import raw_signature
from provers.tee.simulation.intel import PCK_EXTENSION, pck_extension
from provers.tee.simulation.intel_quote import QuotingEnclave, enclave_report
from provers.tee.simulation.tdx import td_report
from tests.attestation.simulated_intel import AT, ISSUED, SimulatedIntel
from verifier.attestation.evidence import Endorsements, Platform
from verifier.attestation.intel_quote import parse

DAY = 86_400
DATA = bytes(range(64))
MEASUREMENT = bytes([7] * 48)
Change = Callable[[dict[str, Any]], None]


def nothing(_: dict[str, Any]) -> None:
    """Leaves a document as it is."""


class Machine:
    """A hierarchy, its collateral and its quotes."""

    def __init__(self) -> None:
        self.intel = SimulatedIntel()
        self.keys = self.intel.hierarchy
        self.root = der(self.intel.root)

    def fields(self, platform: Platform) -> dict[str, str]:
        """The collateral as it would be."""
        found: dict[str, str] = json.loads(self.intel.collateral(platform).get("collateral.json"))
        return found

    def sign_text(self, name: str, text: str) -> dict[str, str]:
        """Fields of a document with this very text."""
        return {name: text, f"{name}_signature": raw_signature(self.keys.tcb_signing_key, text.encode()).hex()}

    def documents(self, platform: Platform, info: Change = nothing, identity: Change = nothing) -> Endorsements:
        """Collateral whose two documents are changed and signed."""
        fields = self.fields(platform)
        for name, change in (("tcb_info", info), ("qe_identity", identity)):
            document = json.loads(fields[name])
            change(document)
            fields |= self.sign_text(name, json.dumps(document, separators=(",", ":")))
        return Endorsements({"collateral.json": json.dumps(fields).encode()})

    def quote(self, platform: Platform, *, extended: bool = False) -> bytes:
        """A quote of version 3, 4 or, `extended`, 5."""
        enclave = QuotingEnclave(self.keys)
        if platform is Platform.SGX:
            return enclave.sgx(enclave_report(DATA, MEASUREMENT[:32], bytes(32)))
        report = td_report(DATA, {"mrtd": MEASUREMENT}, extended=extended)
        return enclave.tdx(report, 5 if extended else 4)

    def signed(self, quote: bytes, at: int, value: bytes) -> bytes:
        """The quote with other bytes at an offset of its body, signed by the attestation key."""
        whole = parse(quote)
        start = len(whole.signed) - len(whole.body) + at
        changed = whole.signed[:start] + value + whole.signed[start + len(value) :]
        head = len(changed) + 4
        return changed + quote[len(changed) : head] + raw_signature(self.keys.quoting_key, changed) + quote[head + 64 :]

    def certified(self, quote: bytes, at: int, value: bytes, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
        """The quote with other bytes at an offset of its quoting enclave's report, signed by the PCK (or `key`)."""
        whole = parse(quote)
        start = len(whole.signed) + 4 + 128 + (0 if whole.version == 3 else 6)
        report = quote[start : start + 384]
        report = report[:at] + value + report[at + len(value) :]
        return quote[:start] + report + raw_signature(key or self.keys.pck_key, report) + quote[start + 448 :]

    def revocation_list(
        self, issuer: str, revoked: tuple[x509.Certificate, ...] = (), *, at: int = ISSUED, critical: bool = False
    ) -> bytes:
        """A list of `root` or `ca`; `critical` makes it one of a part of its certificates."""
        own, key = {
            "root": (self.keys.root, self.keys.root_key),
            "ca": (self.keys.pck_ca, self.keys.pck_ca_key),
        }[issuer]
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(own.subject)
            .last_update(datetime.fromtimestamp(at, UTC))
            .next_update(datetime.fromtimestamp(at + 30 * DAY, UTC))
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        if critical:
            part = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
            builder = builder.add_extension(part, critical=True)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number)
            builder = builder.add_revoked_certificate(
                entry.revocation_date(datetime.fromtimestamp(at, UTC))
                .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
                .build()
            )
        return der(builder.sign(key, hashes.SHA256()))

    def certificate(self, role: str, issuer: str, **changes: Any) -> bytes:
        """A certificate for the key of `ca`, `pck` or `tcb`, signed by `root`, `ca`, `pck` or `stranger`."""
        own = {"ca": self.keys.pck_ca, "pck": self.keys.pck, "tcb": self.keys.tcb_signing, "root": self.keys.root}
        keys = {
            "ca": self.keys.pck_ca_key,
            "pck": self.keys.pck_key,
            "tcb": self.keys.tcb_signing_key,
            "root": self.keys.root_key,
            "stranger": ec.generate_private_key(ec.SECP256R1()),
        }
        name = changes.pop("issuer_name", own["root" if issuer == "stranger" else issuer].subject)
        extensions = {PCK_EXTENSION: changes.pop("extension", pck_extension())} if role == "pck" else {}
        more = changes.pop("extensions", extensions)
        validity = changes.pop("validity", LIFETIME)
        authority = changes.pop("authority", role in ("ca", "root"))
        made = issue(
            Issuer(own[role].subject, keys[role]),
            Issuer(name, keys[issuer]),
            validity,
            authority=authority,
            extensions=more,
            **changes,
        )
        return der(made)


__all__ = ["AT", "DATA", "DAY", "ISSUED", "MEASUREMENT", "Machine"]
