"""`w3bstream attestation`: appraise the evidence of a trusted execution environment, anybody's, offline."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from coordinator.cli.options import Json
from coordinator.cli.output import console, fields_table, print_error, print_json, table
from coordinator.cli.user_file import unreadable
from verifier.attestation.evidence import (
    MAX_ENDORSEMENT,
    MAX_ENDORSEMENTS,
    MAX_EVIDENCE,
    Endorsements,
    Evidence,
    Platform,
)
from verifier.attestation.result import AttestationResult, Tier, tier_of
from verifier.errors import InvalidInput, W3bstreamError

app = typer.Typer(no_args_is_help=True, help="Attestation: what hardware says of the program that it runs.")
NOT_AFFIRMING, BAD_INPUT = 1, 2
"""Exit codes of `verify` beside 0."""
_STYLE = {Tier.AFFIRMING: "green", Tier.WARNING: "yellow", Tier.CONTRAINDICATED: "red", Tier.NONE: "dim"}


@app.callback()
def group() -> None:
    """Attestation: what hardware says of the program that it runs."""


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > most:
        raise InvalidInput("W3B-9101", f"{path} has more than {most} bytes", field="file")
    return data


def _collateral(folder: Path | None) -> Endorsements:
    """The files of a folder by name. Raises InvalidInput (W3B-7016, W3B-9104)."""
    if folder is None:
        return Endorsements()
    try:
        paths = sorted(each for each in folder.iterdir() if each.is_file())
    except OSError as error:
        raise unreadable(folder, error) from error
    if len(paths) > MAX_ENDORSEMENTS:
        raise InvalidInput(
            "W3B-9104", f"{folder} has {len(paths)} files; at most {MAX_ENDORSEMENTS}", field="collateral"
        )
    return Endorsements({each.name: _read(each, MAX_ENDORSEMENT) for each in paths})


def _time(text: str | None) -> int:
    """Unix seconds of a number or an RFC 3339 time; now where none is given. Raises InvalidInput (W3B-9101)."""
    if text is None:
        return int(time.time())
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("W3B-9101", f"{text[:60]!r} is neither Unix seconds nor RFC 3339", field="at") from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise InvalidInput("W3B-9101", f"{text[:60]!r} is no hex", field="expect-report-data") from error


@app.command(
    epilog="Example: w3bstream attestation verify quote.bin --platform tdx --collateral tdx/ --at 2025-06-19T12:00:00Z"
)
def verify(
    file: Annotated[Path, typer.Argument(help="Evidence: binary, hex or base64.", show_default=False)],
    *,
    platform: Annotated[Platform, typer.Option("--platform", help="What made it.", show_default=False)],
    at: Annotated[str | None, typer.Option("--at", help="Unix seconds or RFC 3339. Default: now.")] = None,
    collateral: Annotated[
        Path | None, typer.Option("--collateral", help="Folder with certificates, TCB info, manifests.")
    ] = None,
    expect_report_data: Annotated[
        str | None, typer.Option("--expect-report-data", help="Hex that the evidence must carry for its caller.")
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="Appraisal policy with reference values.")] = None,
    cca_keys: Annotated[
        Path | None, typer.Option("--cca-keys", help="CPAKs that the silicon's vendor gave you.")
    ] = None,
    simulated_root: Annotated[
        Path | None, typer.Option("--simulated-root", help="Appraise under a simulator's root; never affirming.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Appraise evidence under the vendors' roots, offline.

    Exit code 0: affirming under the vendor's anchor. 1: appraised otherwise. 2: the evidence, its collateral or an
    option cannot be used. Without --expect-report-data and a policy with reference values, what it speaks for and which
    program runs are not appraised.
    """
    try:
        result = _appraise(
            file,
            platform=platform,
            at=at,
            collateral=collateral,
            report_data=expect_report_data,
            policy=policy,
            cca_keys=cca_keys,
            simulated_root=simulated_root,
        )
    except W3bstreamError as error:
        print_error(error, as_json=json_output)
        raise typer.Exit(BAD_INPUT) from error
    if json_output:
        print_json(result.to_ear())
    else:
        _print(file, result)
    raise typer.Exit(0 if result.is_affirming_under_vendor else NOT_AFFIRMING)


def _appraise(
    file: Path,
    *,
    platform: Platform,
    at: str | None,
    collateral: Path | None,
    report_data: str | None,
    policy: Path | None,
    cca_keys: Path | None,
    simulated_root: Path | None,
) -> AttestationResult:
    from verifier.attestation.anchors import SimulatedAnchors, TrustAnchors, VendorAnchors
    from verifier.attestation.appraisal import appraise
    from verifier.attestation.binding import expected
    from verifier.attestation.cca import read_endorsed_keys
    from verifier.attestation.policy import AppraisalPolicy
    from verifier.attestation.policy_file import read_policy

    keys = read_endorsed_keys(_read(cca_keys, MAX_ENDORSEMENT)) if cca_keys else ()
    anchors: TrustAnchors = VendorAnchors(keys)
    if simulated_root is not None:
        root = _read(simulated_root, MAX_ENDORSEMENT)
        anchors = SimulatedAnchors(simulated_root.name, {platform: (root,)}, keys)
    chosen, reference = read_policy(_read(policy, MAX_ENDORSEMENT)) if policy else (AppraisalPolicy(), None)
    return appraise(
        Evidence.from_file(platform, _read(file, 3 * MAX_EVIDENCE)),
        _collateral(collateral),
        anchors,
        chosen,
        at=_time(at),
        reference=reference,
        caller_data=None if report_data is None else expected(platform, _hex(report_data)),
    )


def _print(file: Path, result: AttestationResult) -> None:
    out = console()
    name = result.status.value.upper() + (" (SIMULATED)" if result.is_simulated else "")
    out.print(Text.assemble((name, f"bold {_STYLE[result.status]}"), f"  {file}"), soft_wrap=True)
    out.print(
        fields_table(
            [
                ("platform", result.platform),
                ("trust anchor", f"{result.anchor.kind.value} {result.anchor.name} {result.anchor.sha256}".strip()),
                ("at", _when(result.at)),
                ("valid until", _when(result.valid_until)),
                ("policy", result.policy),
                ("evidence", result.evidence_sha256),
                ("collateral", result.endorsements_sha256),
            ]
        )
    )
    vector = table("claim", "tier", "value", title="\nTrustworthiness")
    for claim, value in result.vector.claims().items():
        tier = tier_of(value)
        vector.add_row(claim, Text(tier.value, _STYLE[tier]), str(value))
    out.print(vector)
    for finding in result.findings:
        out.print(Text.assemble((finding.code, "bold red"), f": {finding.message}"), soft_wrap=True)
    for note in result.notes:
        out.print(Text(f"note: {note}", "dim"), soft_wrap=True)


def _when(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if 0 < at < 253402300800 else ""
