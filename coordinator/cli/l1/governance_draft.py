"""`w3bstream l1 governance draft|submit`: a proposal as a file, and its way to the chain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from eth_hash.auto import keccak

from coordinator.cli.l1 import units
from coordinator.cli.l1.account import Key, Password
from coordinator.cli.l1.chain_node import ChainNode, Rpc
from coordinator.cli.l1.governance_contract import GovernanceView, sender
from coordinator.cli.l1.next_steps import next_step
from coordinator.cli.l1.sending import Wait, report
from coordinator.cli.l1.units import address, hash_of, hexed, rau
from coordinator.cli.options import Json
from coordinator.cli.output import console, print_json
from coordinator.cli.user_file import read_text, unreadable
from verifier.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from l1.governance.parameters import Parameters
    from l1.governance.proposals import Call, Draft

_ZERO: Final = bytes(32)
_KEYS: Final = {"kind", "text", "document_hash", "uri", "artifact_hash", "calls", "salt"}
DraftFile = Annotated[Path, typer.Argument(help="File of `w3bstream l1 governance draft`.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command(
        epilog="Example: w3bstream l1 governance draft --text 'A longer vote' --document why.md "
        "--uri https://example.org/why.md --set votingPeriod=14d --out longer-vote.json"
    )(draft)
    app.command(epilog="Example: w3bstream l1 governance submit longer-vote.json --key alice.key")(submit)


def draft(
    *,
    text: Annotated[str, typer.Option(help="What is proposed, in a sentence or a page.", show_default=False)],
    uri: Annotated[str, typer.Option(help="Where everybody can read the document.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write.", show_default=False)],
    document: Annotated[
        Path | None, typer.Option(help="The document; its keccak256 is part of the proposal.", show_default=False)
    ] = None,
    document_hash: Annotated[str, typer.Option(help="That hash, instead of the file.", show_default=False)] = "",
    call: Annotated[
        list[str] | None,
        typer.Option(help="ADDRESS:DATA or ADDRESS:DATA:IOTX that the contract will call; give it once for each."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter to change, such as votingPeriod=14d or turnoutQuorumBps=1500."),
    ] = None,
    artifact: Annotated[
        Path | None, typer.Option(help="Source or binary that goes with the calls.", show_default=False)
    ] = None,
    artifact_hash: Annotated[str, typer.Option(help="Its keccak256, instead of the file.", show_default=False)] = "",
    salt: Annotated[
        str, typer.Option(help="Any text, to submit the same proposal once more.", show_default=False)
    ] = "",
    json_output: Json = False,
    rpc: Rpc = "",
) -> None:
    """Write a proposal to a file: a policy in words, or calls that the contract makes when it has passed."""
    from l1.governance.proposals import Draft, Kind

    calls = [_call(each) for each in call or ()]
    calls += _parameter_calls(change or [], rpc)
    proof = _hash("artifact", artifact, artifact_hash)
    if calls and proof == _ZERO and not call:
        # A change of parameters has no source but the call itself.
        proof = keccak(calls[0].data)
    made = Draft(
        Kind.TECHNICAL if calls else Kind.POLICY,
        text,
        _hash("document", document, document_hash),
        uri,
        proof,
        tuple(calls),
        keccak(salt.encode()) if salt else _ZERO,
    )
    _check(made)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(json.dumps(to_json(made), indent=1, ensure_ascii=False) + "\n")
    except FileExistsError as error:
        raise Conflict("W3B-7016", f"{out} exists", field="out", next_step="Name another file.") from error
    except OSError as error:
        raise InvalidInput("W3B-7016", f"{out} cannot be written: {error.strerror}", field="out") from error
    if json_output:
        print_json({"file": str(out), "draft": to_json(made)})
        return
    kind = "technical" if calls else "policy"
    console().print(f"wrote {out}: a {kind} proposal; next: w3bstream l1 governance submit {out}", soft_wrap=True)


def submit(
    file: DraftFile,
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Submit a proposal; whoever has stake may."""
    from l1.governance import contract

    proposed = read_draft(file)
    who = sender(rpc, key, password_file)
    sent = who.send(contract.submit(proposed), 0, timeout=timeout, quiet=json_output)
    identity = sent.event("ProposalSubmitted").get("id", b"")
    words = "submitted; it becomes a proposal when enough stake supports it"
    report(sent, words, as_json=json_output, facts={"id": identity})


def read_draft(path: Path) -> Draft:
    """The draft of a file. Raises InvalidInput (W3B-7016)."""
    try:
        return from_json(json.loads(read_text(path)))
    except json.JSONDecodeError as error:
        raise _no_draft(path, f"line {error.lineno}: no JSON") from error
    except (KeyError, TypeError, ValueError) as error:
        raise _no_draft(path, f"{type(error).__name__} {error}"[:200]) from error


def _no_draft(path: Path, why: str) -> InvalidInput:
    step = "Write one with `w3bstream l1 governance draft`."
    return InvalidInput("W3B-7016", f"{path} is no draft: {why}", field="file", next_step=step)


def to_json(given: Draft) -> dict[str, Any]:
    """A draft as its file has it."""
    return {
        "kind": given.kind.name.lower(),
        "text": given.text,
        "document_hash": hexed(given.document_hash),
        "uri": given.uri,
        "artifact_hash": hexed(given.artifact_hash),
        "calls": [
            {"target": hexed(each.target), "data": hexed(each.data), "value": str(each.value)} for each in given.calls
        ],
        "salt": hexed(given.salt),
    }


def from_json(document: Any) -> Draft:
    """A draft of its file's object. Raises InvalidInput, KeyError, TypeError and ValueError for another one."""
    from l1.governance.proposals import Call, Draft, Kind

    if not isinstance(document, dict) or set(document) - _KEYS:
        raise ValueError(f"expected an object of {', '.join(sorted(_KEYS))}")
    made = Draft(
        Kind[str(document["kind"]).upper()],
        str(document["text"]),
        hash_of(str(document["document_hash"]), "document_hash"),
        str(document["uri"]),
        hash_of(str(document["artifact_hash"]), "artifact_hash"),
        tuple(
            Call(address(str(each["target"]), "target"), _data(str(each["data"])), int(str(each["value"])))
            for each in document["calls"]
        ),
        hash_of(str(document["salt"]), "salt"),
    )
    _check(made)
    return made


def _check(given: Draft) -> None:
    """Raises InvalidInput (W3B-7008) for what the contract would refuse."""
    from l1.governance.states import StepRefused

    try:
        given.check()
    except StepRefused as error:
        field = str(error.values.get("field", ""))
        raise InvalidInput(
            "W3B-7008",
            f"the draft's {field} is missing, too long, or not of its kind",
            field=field,
            next_step=next_step("InvalidDraft", ""),
        ) from error


def _hash(name: str, path: Path | None, given: str) -> bytes:
    if path is not None and given:
        raise typer.BadParameter(f"give --{name} or --{name}-hash")
    if given:
        return hash_of(given, f"{name}_hash")
    try:
        return _ZERO if path is None else keccak(path.read_bytes())
    except OSError as error:
        raise unreadable(path or Path(), error) from error


def _call(text: str) -> Call:
    from l1.governance.proposals import Call

    target, _, rest = text.partition(":")
    data, _, value = rest.partition(":")
    return Call(address(target, "call"), _data(data), rau(value, "call") if value else 0)


def _data(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise InvalidInput(
            "W3B-7008", f"{text[:40]!r} is no call data: hex digits", field="call", next_step="Give 0x and hex digits."
        ) from error


def _parameter_calls(changes: list[str], rpc: str) -> list[Call]:
    """The one call that changes the governance contract's own parameters, from those in force."""
    from l1.governance.contract import set_parameters
    from l1.governance.proposals import Call

    if not changes:
        return []
    view = GovernanceView(ChainNode.at(rpc))
    changed = view.reader.parameters()
    for each in changes:
        changed = changed_parameter(changed, each)
    return [Call(view.contract.address, set_parameters(changed))]


def changed_parameter(now: Parameters, text: str) -> Parameters:
    """The parameters with one changed, of `NAME=VALUE`. Raises InvalidInput (W3B-7008)."""
    from l1.governance.parameters import bounds, solidity_name

    name, equals, value = text.partition("=")
    wanted = name.replace("-", "").replace("_", "").lower()
    fields = {solidity_name(field).lower(): (field, least, most) for field, least, most in bounds(1)}
    if not equals or wanted not in fields:
        known = ", ".join(solidity_name(field) for field, _, _ in bounds(1))
        raise InvalidInput("W3B-7008", f"--set {text[:60]!r}: not NAME=VALUE with one of {known}", field="set")
    field, least, most = fields[wanted]
    number = units.seconds(value, "set") if not field.endswith("_bps") else _basis_points(value)
    if not least <= number <= most:
        raise InvalidInput("W3B-7008", f"--set {text[:60]!r}: {number} is not from {least} to {most}", field="set")
    return replace(now, **{field: number})


def _basis_points(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise InvalidInput(
            "W3B-7008", f"{text[:20]!r} is no number of basis points", field="set", next_step="1500 is 15 %."
        )
    return int(text)
