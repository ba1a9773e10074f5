"""Verifications of attestation evidence a CPU second, against independent Go libraries in the same run.

    python -m benchmarks.attestation [--rounds 15] [--json]

Peers: go-sev-guest, go-tdx-guest and hf/nitrite (`tests/attestation/oracles`, built with Go). SGX's best library,
dcap-qvl, is the one that we call; CCA, legacy SEV and H100 have no Go library: these stand alone. Ours is `appraise`,
evidence and endorsements in and a result out; a peer parses and verifies the same bytes for the same time. Both check
signatures, the chain to the root and dates; for TDX the collateral too; ours appraises the policy besides. Ours and the
peer take turns, and either must accept. Times are the CPU's, medians of the rounds: compare ratios, not numbers.

The Rust peers, `sev` and `remote-attestation-verifier`, have a bench of their own: `cargo run --release` in
native/attestation/peers.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.msm.machine import cpu_model
from provers.tee.measurement import Measured
from provers.tee.simulation.vendors import SimulatedVendors
from tests.attestation.attestation_oracles import Oracles, build
from tests.attestation.attestation_vectors import HARDENING, JUNE_2025, collateral, read
from verifier.attestation.anchors import TrustAnchors, VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.binding import LENGTHS
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy

NOW = 1_800_000_000
REPEAT = 20
"""Verifications in a round."""
DEFAULT = AppraisalPolicy()
PEERS = {Platform.SEV_SNP: "go-sev-guest", Platform.TDX: "go-tdx-guest", Platform.NITRO: "nitrite"}


class BenchmarkBroke(RuntimeError):
    """Something that is measured does not hold."""


@dataclass(frozen=True)
class Subject:
    """Evidence that holds, and what it is verified with."""

    name: str
    evidence: Evidence
    endorsements: Endorsements
    at: int
    anchors: TrustAnchors
    roots: tuple[bytes, ...] = ()
    """For the peer; none is the vendor's own."""
    policy: AppraisalPolicy = DEFAULT
    has_peer: bool = True

    def seconds(self) -> float:
        """CPU seconds of one appraisal. Raises BenchmarkBroke where something speaks against it."""
        start = time.process_time()
        for _ in range(REPEAT):
            result = appraise(self.evidence, self.endorsements, self.anchors, self.policy, at=self.at)
        taken = (time.process_time() - start) / REPEAT
        if result.findings:
            raise BenchmarkBroke(f"{self.name}: {result.findings[0].message}")
        return taken

    def peer_seconds(self, oracles: Oracles) -> float:
        """The peer's. Raises BenchmarkBroke where it refuses."""
        verdict = oracles.ask(self.evidence, self.endorsements, self.at, roots=self.roots, repeat=REPEAT)
        if not verdict.accepted:
            raise BenchmarkBroke(f"{self.name}: the peer says {verdict.why}")
        return verdict.seconds


def genuine() -> list[Subject]:
    """Published evidence of silicon. The TDX peer cannot read this quote's collateral, see its test: it stands alone."""
    milan = {"vcek.der": read("sev_snp/vcek_milan.der"), "cert_chain.pem": read("sev_snp/cert_chain_milan")}
    report = Evidence(Platform.SEV_SNP, bytes.fromhex(read("sev_snp/report_milan.hex").decode()))
    document = Evidence(Platform.NITRO, base64.b64decode(read("nitro/enclave_2024.b64")))
    sgx, tdx = (
        Evidence(each, read(f"{each}/quote_{v}.bin")) for each, v in ((Platform.SGX, "v3"), (Platform.TDX, "v4"))
    )
    vendor = VendorAnchors()
    return [
        Subject("sev-snp", report, Endorsements(milan), 1_717_200_000, vendor),
        Subject("nitro", document, Endorsements(), 1_734_708_000, vendor),
        Subject("tdx", tdx, collateral("tdx/quote_v4"), JUNE_2025, vendor, has_peer=False),
        Subject("sgx", sgx, collateral("sgx/quote_v3"), JUNE_2025, vendor, policy=HARDENING),
    ]


def simulated(home: Path) -> list[Subject]:
    """Evidence of every platform's simulated attester; the H100's is the GPU's own."""
    vendors, found = SimulatedVendors.open(home), []
    measured = Measured(bytes(32), bytes(32), bytes(32))
    for platform in Platform:
        attester, anchors = vendors.attester(platform), vendors.anchors(platform)
        if platform is Platform.NVIDIA_H100:
            (made,) = attester.devices(bytes(32), now=NOW)
        else:
            name, length = LENGTHS[platform]
            made = attester.attest(measured, {name: bytes(length or 32)}, now=NOW)
        roots = attester.roots.get(platform, ())
        found.append(Subject(f"{platform} simulated", made.evidence, made.endorsements, NOW, anchors, roots))
    return found


def measure(subjects: Sequence[Subject], oracles: Oracles, rounds: int) -> dict[str, dict[str, float | str]]:
    """Verifications a CPU second, the peer's name and rate, and ours over the peer's. One round before is warm-up."""
    found: dict[str, dict[str, float | str]] = {}
    for subject in subjects:
        peer = PEERS.get(subject.evidence.platform, "") if subject.has_peer else ""
        ours, theirs = [], []
        for _ in range(rounds + 1):
            ours.append(subject.seconds())
            if peer:
                theirs.append(subject.peer_seconds(oracles))
        found[subject.name] = {"ours": 1 / statistics.median(ours[1:])}
        if peer:
            rate = 1 / statistics.median(theirs[1:])
            ratio = statistics.median(b / a for a, b in zip(ours[1:], theirs[1:], strict=True))
            found[subject.name] |= {"peer": peer, "theirs": rate, "ratio": ratio}
    return found


def table(found: dict[str, dict[str, float | str]]) -> Table:
    """The figures for people."""
    made = Table("evidence", "ours /s", "peer", "peer's /s", "ours over peer's")
    for name, row in found.items():
        cells = [f"{row['ours']:.0f}", str(row.get("peer", ""))]
        cells += [f"{row['theirs']:.0f}", f"{row['ratio']:.2f}"] if "peer" in row else ["", ""]
        made.add_row(name, *cells)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and, with --json, the figures as the last line. 1 when there is no peer or it broke."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attestation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=15, help="that count (15)")
    parser.add_argument("--json", action="store_true", help="print the figures as the last line")
    options = parser.parse_args(arguments)
    load, console = os.getloadavg()[0], Console(stderr=options.json)
    try:
        with tempfile.TemporaryDirectory() as folder, Oracles(build(Path(folder))) as oracles:
            found = measure([*genuine(), *simulated(Path(folder))], oracles, options.rounds)
    except (BenchmarkBroke, FileNotFoundError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{getattr(error, 'stderr', None) or error}\n")
        return 1
    console.print(table(found))
    ends = os.getloadavg()[0]
    console.print(f"load {load:.1f} at the start, {ends:.1f} at the end; {os.cpu_count()} CPUs, {cpu_model()}")
    if options.json:
        figures = {"figures": found, "cpu": cpu_model(), "load_at_start": load, "load_at_end": ends}
        sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
