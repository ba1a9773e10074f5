"""`w3bstream evidence`: get a task's evidence, check a file, get the receipt of one reading, pin anchors."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from eth_hash.auto import keccak
from rich.text import Text

from coordinator.api.client_evidence import EvidenceFile
from coordinator.cli.lookup import project_id, task_id
from coordinator.cli.options import ApiKey, Json, ProjectOption, Target, connect
from coordinator.cli.output import console, fields_table, print_json, table
from coordinator.cli.user_file import read_text, unreadable
from coordinator.cli.wire_file import wire_readings
from coordinator.evidence.known_programs import known_programs
from coordinator.evidence.own_node import OwnNode
from verifier.errors import Conflict, InvalidInput, Refused, W3bstreamError
from verifier.evidence.blocks import Header
from verifier.evidence.decoding import decode
from verifier.evidence.document import MAX_BYTES
from verifier.evidence.report import Report, Verdict
from verifier.evidence.trust import Trust, read_trust, trust_text
from verifier.evidence.verification import verify_evidence
from verifier.reading import Reading

app = typer.Typer(no_args_is_help=True, help="Evidence: files that show offline what was proven and settled.")
SUFFIX = ".w3bevidence"
UNPINNED, INVALID = 3, 4
"""Exit codes of `verify` beside 0 for VALID."""
_CHECKPOINT = re.compile(r"(?:([0-9]{1,18}):)?(0x[0-9a-fA-F]{64})")

Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
File = Annotated[Path, typer.Argument(help="Evidence file.", show_default=False)]


def _write(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file whole. Raises Conflict (W3B-7016) where there is one, InvalidInput (W3B-7016) where it cannot be."""
    if path.exists() and not force:
        raise Conflict("W3B-7016", f"{path} exists", field="output", next_step="Name another file, or give --force.")
    draft = path.with_name(path.name + ".part")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        raise InvalidInput("W3B-7016", f"{path} cannot be written: {error.strerror}", field="output") from error


def _tell(found: EvidenceFile, path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(path), "sha256": found.sha256, "bytes": len(found.data), "final": found.final})
        return
    out = console()
    out.print(
        fields_table(
            [
                ("file", str(path)),
                ("bytes", f"{len(found.data):,}"),
                ("SHA-256", found.sha256),
                ("final", "yes" if found.final else "not yet: the file will differ once the task is FINAL"),
            ]
        )
    )
    out.print(f"next: w3bstream evidence verify {path}")


@app.command(epilog="Example: w3bstream evidence get 0x3f… -o result.w3bevidence")
def get(
    task: Annotated[str, typer.Argument(help="Task id, or its first 6 hex digits or more.", show_default=False)],
    *,
    output: Output = None,
    proofs_only: Annotated[bool, typer.Option("--proofs-only", help="Leave the readings out.")] = False,
    force: Force = False,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Write the evidence file of a settled task."""
    with connect(target, api_key) as client:
        name = task_id(client, task)
        found = client.get_evidence(name, proofs_only=proofs_only)
    path = output or Path(f"{name[:14]}{SUFFIX}")
    _write(path, found.data, force=force)
    _tell(found, path, as_json=json_output)


@app.command(epilog="Example: w3bstream evidence receipt --project 1 --device 0xab… --sequence 42 -o mine.w3bevidence")
def receipt(
    *,
    project: ProjectOption,
    device: Annotated[str, typer.Option(help="Device id, 0x and 40 hex digits; with --sequence.")] = "",
    sequence: Annotated[int | None, typer.Option(min=0, help="The reading's sequence number.")] = None,
    position: Annotated[int, typer.Option(min=0, help="Stream position, instead of device and sequence.")] = 0,
    reading: Annotated[
        Path | None, typer.Option(help="File with the reading in wire form, instead of all those: it must be this one.")
    ] = None,
    output: Output = None,
    force: Force = False,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Write the inclusion receipt of one reading: evidence that it was counted, without any other reading."""
    wire_hash, given = "", device
    if reading is not None:
        wire = next(iter(wire_readings(reading)))
        known = Reading.from_wire(wire)
        given, sequence, wire_hash = "0x" + known.device.hex(), known.sequence, "0x" + keccak(wire).hex()
    if bool(given) == bool(position) or (given and sequence is None):
        raise typer.BadParameter("give --device with --sequence, or --position, or --reading")
    with connect(target, api_key) as client:
        number = project_id(client, project)
        found = client.get_inclusion_receipt(
            number, device=given.lower(), sequence=sequence or 0, position=position, wire_hash=wire_hash
        )
    path = output or Path(f"reading-{number}-{position or sequence}{SUFFIX}")
    _write(path, found.data, force=force)
    _tell(found, path, as_json=json_output)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error


def _trust(path: Path | None, checkpoints: list[str], node: OwnNode | None, *, production: bool) -> Trust:
    """What the reader vouches for. Raises InvalidInput (W3B-9009)."""
    trust = read_trust(read_text(path)) if path is not None else Trust()
    hashes = []
    for text in checkpoints:
        match = _CHECKPOINT.fullmatch(text)
        if match is None:
            raise InvalidInput("W3B-9009", f"{text[:100]!r} is not HASH or NUMBER:HASH", field="checkpoint")
        hashes.append(bytes.fromhex(match[2][2:]))
    changes: dict[str, Any] = {}
    if node is not None and trust.chain_id is None:
        changes["chain_id"] = node.chain_id()
    if production:
        changes["require_production"] = True
    return trust.with_checkpoints(hashes).model_copy(update=changes)


def _check_numbers(data: bytes, checkpoints: list[str]) -> None:
    """A checkpoint that names its number must have it. Raises Refused (W3B-9008)."""
    numbers = {"0x" + header.hash.hex(): header.number for header in map(Header.decode, decode(data).headers)}
    for text in checkpoints:
        number, _, name = text.rpartition(":")
        found = numbers.get(name.lower())
        if number and found is not None and found != int(number):
            raise Refused("W3B-9008", f"{name} is block {found}, not {number}", field="checkpoint")


@app.command(
    epilog="Example: w3bstream evidence verify result.w3bevidence --trust trust.yaml --rpc http://127.0.0.1:8545"
)
def verify(
    file: File,
    *,
    trust: Annotated[Path | None, typer.Option(help="Trust file: the anchors that you vouch for.")] = None,
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="HASH or NUMBER:HASH of a block that is the chain's; may be repeated.")
    ] = None,
    rpc: Annotated[str, typer.Option(help="URL of a node of your own, to ask for the blocks' hashes.")] = "",
    require_production: Annotated[
        bool, typer.Option("--require-production", help="Refuse development, simulated and unpinned anchors.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Check an evidence file, without a connection unless --rpc is given.

    Exit code 0: VALID, every anchor is pinned. 3: CONSISTENT, everything holds but anchors are the file's own. 4:
    INVALID.
    """
    node = OwnNode(rpc) if rpc else None
    vouched = _trust(trust, checkpoint or [], node, production=require_production)
    data = _read(file)
    try:
        report = verify_evidence(
            data, trust=vouched, programs=known_programs(), block_hash=node.block_hash if node else None
        )
        _check_numbers(data, checkpoint or [])
        if node is not None:
            report = _look_once_more(data, report, node)
    except (InvalidInput, Refused) as error:
        _print_invalid(file, error, as_json=json_output)
        raise typer.Exit(INVALID) from error
    if json_output:
        print_json({"file": str(file), **report.to_dict()})
    else:
        _print_report(file, report)
    raise typer.Exit(0 if report.verdict is Verdict.VALID else UNPINNED)


def _look_once_more(data: bytes, report: Report, node: OwnNode) -> Report:
    """What only a node knows: that the task was not frozen since. Raises Refused (W3B-9008)."""
    document = decode(data)
    if node.is_frozen(document.chain.router, document.task.id):
        raise Refused("W3B-9008", "the Router froze the task since: another output was proven too", field="frozen")
    return replace(report, notes=(*report.notes, "your node says that the Router has not frozen the task since"))


def _print_invalid(file: Path, error: W3bstreamError, *, as_json: bool) -> None:
    fields = {"code": error.code, "check": error.field, "message": error.message, "next_step": error.next_step}
    if as_json:
        print_json({"file": str(file), "verdict": "INVALID", "error": fields})
        return
    out = console()
    out.print(Text.assemble(("INVALID", "bold red"), f"  {file}"), soft_wrap=True)
    out.print(fields_table([("code", error.code), ("check", error.field), ("why", error.message)]))
    out.print(Text(error.next_step, "dim"), soft_wrap=True)


def _print_report(file: Path, report: Report) -> None:
    out = console()
    style = "bold green" if report.verdict is Verdict.VALID else "bold yellow"
    out.print(Text.assemble((report.verdict.value, style), f"  {file}"), soft_wrap=True)
    out.print(Text(report.summary), soft_wrap=True)
    result = ", ".join(f"{each.name} {each.value}" for each in report.output) or report.public_output
    out.print(
        fields_table(
            [
                ("result", result),
                ("proven by", ", ".join(report.kinds)),
                ("transaction", report.transaction),
                ("block", f"{report.block_number} {report.block_hash}"),
                ("dApp", report.dapp),
                ("project file", report.config_hash),
                ("SHA-256", report.digest),
                ("checks", f"{len(report.checks)} held"),
            ]
        )
    )
    anchors = table("anchor", "value", "what believing it means", "from", title="\nWhat this rests on")
    for each in report.anchors:
        words = each.meaning + ("" if each.production else " (not for production)")
        # Text, never markup: names come from a stranger's file.
        cells = (Text(each.name), Text(each.value), Text(words))
        anchors.add_row(*cells, Text(each.origin, "" if each.pinned else "yellow"))
    out.print(anchors)
    for note in report.notes:
        out.print(Text(f"note: {note}", "dim"), soft_wrap=True)
    if report.unpinned:
        names = ", ".join(each.name for each in report.unpinned)
        words = f"Everything holds together, but nobody vouches for: {names}."
        out.print(Text(f"{words} Pin them by --trust, --checkpoint or --rpc."), soft_wrap=True)


@app.command(epilog="Example: w3bstream evidence trust known-good.w3bevidence -o trust.yaml")
def trust(file: File, *, output: Output = None, force: Force = False, json_output: Json = False) -> None:
    """Write a trust file with the anchors of an evidence file that you have other reasons to believe.

    Compare its values with what their owners publish before you rely on it.
    """
    data = _read(file)
    verify_evidence(data, programs=known_programs())
    text = trust_text(decode(data))
    if output is None:
        typer.echo(text, nl=False)
        return
    _write(output, text.encode(), force=force)
    if json_output:
        print_json({"file": str(output)})
    else:
        console().print(f"wrote {output}; next: w3bstream evidence verify FILE --trust {output}", soft_wrap=True)
