"""`w3bstream attestation verify`: exit 0 is affirming under the vendor's anchor and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from attestation_vectors import FOLDER, JUNE_2025, read
from cryptography.hazmat.primitives import serialization
from simulated_intel import AT, SimulatedIntel
from typer.testing import CliRunner

from coordinator.cli import app
from verifier.attestation.evidence import Platform

TDX = read("tdx/quote_v4.bin")[48 + 520 : 48 + 584].hex()
"""The quote's report data."""


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A folder with the genuine TDX v4 quote and its collateral."""
    shutil.copy(FOLDER / "tdx/quote_v4.bin", tmp_path / "quote.bin")
    (tmp_path / "collateral").mkdir()
    shutil.copy(FOLDER / "tdx/quote_v4_collateral.json", tmp_path / "collateral/collateral.json")
    return tmp_path


def run(*arguments: object, code: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON on stdout and the error on stderr."""
    done = CliRunner().invoke(app, ["attestation", "verify", *map(str, arguments), "--json"])
    assert done.exit_code == code, done.output
    printed = json.loads(done.stdout) if done.stdout else {}
    return printed, json.loads(done.stderr)["error"] if done.stderr.startswith("{") else {}


def tdx(case: Path, *more: object, code: int, at: object = JUNE_2025) -> tuple[dict[str, Any], dict[str, Any]]:
    arguments = (case / "quote.bin", "--platform", "tdx", "--collateral", case / "collateral", "--at", at)
    return run(*arguments, *more, code=code)


def test_genuine_evidence_is_affirming(case: Path) -> None:
    ear, _ = tdx(case, "--expect-report-data", "0x" + TDX, code=0, at="2025-06-19T12:00:00Z")
    appraisal = ear["submods"]["tdx"]
    assert (appraisal["ear_status"], appraisal["ear_trustworthiness_vector"]["sourced-data"]) == ("affirming", 2)
    assert appraisal["ear_verifier_claims"]["trust_anchor_name"] == "Intel SGX Root CA"
    for spelling in (read("tdx/quote_v4.bin").hex().encode(), b"0x" + read("tdx/quote_v4.bin").hex().encode()):
        (case / "quote.bin").write_bytes(spelling)
        tdx(case, code=0)


def test_evidence_that_does_not_hold_ends_with_1_and_a_code(case: Path) -> None:
    def codes(*more: object, **options: Any) -> list[tuple[str, str]]:
        ear, _ = tdx(case, *more, code=1, **options)
        return [(each["code"], each["field"]) for each in ear["submods"]["tdx"]["ear_verifier_claims"]["findings"]]

    assert codes("--expect-report-data", "00" * 64) == [("W3B-9112", "report_data")]
    assert codes(at=JUNE_2025 + 10**7) == [("W3B-9105", "collateral.tcb_info")]
    # Without --at the time is today's, long after this collateral.
    ear, _ = run(case / "quote.bin", "--platform", "tdx", "--collateral", case / "collateral", code=1)
    assert ear["submods"]["tdx"]["ear_verifier_claims"]["findings"][0]["code"] == "W3B-9105"
    changed = bytearray(read("tdx/quote_v4.bin"))
    changed[600] ^= 1
    (case / "quote.bin").write_bytes(changed)
    assert codes() == [("W3B-9106", "quote.signature")]


def test_bad_input_ends_with_2_and_names_the_field(case: Path) -> None:
    def error(*more: object, **options: Any) -> tuple[str, str]:
        found = tdx(case, *more, code=2, **options)[1]
        assert found["next_step"]
        return found["code"], found["field"]

    assert error(at="soon") == ("W3B-9101", "at")
    assert error(at="0") == ("W3B-9101", "at")
    assert error("--expect-report-data", "xyz") == ("W3B-9101", "expect-report-data")
    assert error("--expect-report-data", "00") == ("W3B-9101", "report_data")
    assert error("--policy", case / "quote.bin") == ("W3B-9115", "policy")
    assert error("--cca-keys", case / "quote.bin") == ("W3B-9115", "cca_keys")
    assert error("--simulated-root", case / "quote.bin") == ("W3B-9115", "roots.tdx")
    assert error("--policy", case / "absent") == ("W3B-7016", "file")
    assert error("--collateral", case / "absent") == ("W3B-7016", "file")
    (case / "collateral/collateral.json").unlink()
    assert error() == ("W3B-9103", "collateral.collateral.json")
    (case / "collateral/collateral.json").write_bytes(b"{")
    assert error() == ("W3B-9104", "collateral.json")
    (case / "quote.bin").write_bytes(b"\x09\x00" * 30)
    assert error() == ("W3B-9102", "quote.version")
    (case / "quote.bin").write_bytes(b"")
    assert error() == ("W3B-9101", "evidence")
    (case / "quote.bin").write_bytes(bytes(800_000))
    assert error() == ("W3B-9101", "file")


def test_usage_errors_end_with_2(case: Path) -> None:
    for wrong in (["--platform", "z80"], [], ["--platform", "tdx", "--unheard"]):
        assert CliRunner().invoke(app, ["attestation", "verify", str(case / "quote.bin"), *wrong]).exit_code == 2
    assert run(case / "absent", "--platform", "tdx", code=2)[1]["code"] == "W3B-7016"


def test_a_policy_with_reference_values_is_kept(case: Path) -> None:
    mrtd = tdx(case, code=0)[0]["submods"]["tdx"]["ear_attester_claims"]["measurements"]["mrtd"]
    policy = {
        "format": "w3bstream-attestation-policy/1",
        "name": "tests",
        "program_id": "0x" + "11" * 32,
        "reference_values": [{"platform": "tdx", "measurements": {"mrtd": mrtd}}],
    }
    file = case / "policy.json"
    file.write_text(json.dumps(policy))
    ear, _ = tdx(case, "--policy", file, code=0)
    assert ear["submods"]["tdx"]["ear_trustworthiness_vector"]["executables"] == 3
    policy["reference_values"] = [{"platform": "tdx", "measurements": {"mrtd": "00" * 48}}]
    file.write_text(json.dumps(policy))
    assert tdx(case, "--policy", file, code=1)[0]["submods"]["tdx"]["ear_status"] == "contraindicated"


def test_simulated_evidence_never_ends_with_0(tmp_path: Path) -> None:
    intel = SimulatedIntel()
    (tmp_path / "quote.bin").write_bytes(intel.quote(Platform.TDX, bytes(64)))
    (tmp_path / "collateral").mkdir()
    (tmp_path / "collateral/collateral.json").write_bytes(intel.collateral(Platform.TDX).parts["collateral.json"])
    (tmp_path / "root.der").write_bytes(intel.root.public_bytes(serialization.Encoding.DER))
    ear, _ = tdx(tmp_path, "--simulated-root", tmp_path / "root.der", code=1, at=AT)
    appraisal = ear["submods"]["tdx"]
    assert (appraisal["ear_status"], appraisal["ear_verifier_claims"]["trust_anchor"]) == ("warning", "simulated")
    assert appraisal["ear_verifier_claims"]["findings"] == []
    assert tdx(tmp_path, code=1, at=AT)[0]["submods"]["tdx"]["ear_status"] == "contraindicated"


def test_the_page_for_people_says_what_it_rests_on(case: Path) -> None:
    arguments = ["attestation", "verify", str(case / "quote.bin"), "--platform", "tdx", "--at", str(JUNE_2025)]
    done = CliRunner().invoke(app, [*arguments, "--collateral", str(case / "collateral")])
    assert done.exit_code == 0
    for words in ("AFFIRMING", "vendor Intel SGX Root CA", "hardware", "which program runs is not appraised"):
        assert words in done.stdout
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, "W3B-9103" in done.stderr) == (2, True)


def test_cca_keys_are_pinned_by_the_operator(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(read("cca/token_02.cbor"))
    assert run(tmp_path / "token", "--platform", "cca", code=1)[0]["submods"]["cca"]["ear_status"] == "contraindicated"
    keys = FOLDER / "cca/token_02_trust_anchors.json"
    assert run(tmp_path / "token", "--platform", "cca", "--cca-keys", keys, code=2)[1]["code"] == "W3B-9115"


def test_sev_snp_nitro_and_h100_files_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "collateral"
    folder.mkdir()
    shutil.copy(FOLDER / "sev_snp/vcek_milan.der", folder / "vcek.der")
    shutil.copy(FOLDER / "sev_snp/cert_chain_milan", folder / "cert_chain.pem")
    report = FOLDER / "sev_snp/report_milan.hex"
    ear, _ = run(report, "--platform", "sev-snp", "--collateral", folder, "--at", "2024-06-01T00:00:00Z", code=0)
    assert ear["submods"]["sev-snp"]["ear_attester_claims"]["product"] == "Milan"
    document = FOLDER / "nitro/enclave_2024.b64"
    run(document, "--platform", "nitro", "--at", "1734707283", code=0)
    run(document, "--platform", "nitro", code=1)
    shutil.copy(FOLDER / "nvidia_h100/hopperCertChain.txt", folder / "certificates.pem")
    gpu = FOLDER / "nvidia_h100/hopperAttestationReport.txt"
    ear, _ = run(gpu, "--platform", "nvidia-h100", "--collateral", folder, "--at", "2024-06-01T00:00:00Z", code=1)
    findings = ear["submods"]["nvidia-h100"]["ear_verifier_claims"]["findings"]
    assert {each["code"] for each in findings} == {"W3B-9111"}
