"""`w3bstream l1 governance`: proposals on the chain, and the steps of their way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from coordinator.cli.l1 import governance_draft, governance_steps
from coordinator.cli.l1.chain_node import ChainNode, Rpc
from coordinator.cli.l1.governance_contract import GovernanceView
from coordinator.cli.l1.units import IOTX, at, hexed, iotx, lasting
from coordinator.cli.options import Json
from coordinator.cli.output import console, fields_table, print_json, shown_id, table
from verifier.errors import InvalidInput

if TYPE_CHECKING:
    from l1.governance.contract import Submission
    from l1.governance.parameters import Parameters
    from l1.governance.proposals import Call, ProposalRecord
    from l1.governance.states import Step

app = typer.Typer(no_args_is_help=True, help="Governance: proposals, support, votes, and what they change.")

_STYLES: Final = {
    "IDEA": "blue",
    "PROPOSAL": "cyan",
    "VOTING": "bold cyan",
    "PASSED": "green",
    "IMPLEMENTATION": "yellow",
    "LIVE": "bold green",
    "REJECTED": "red",
    "ARCHIVED": "dim",
}


def _state(record: ProposalRecord) -> Text:
    return Text(record.state.name, _STYLES.get(record.state.name, ""))


def _title(submission: Submission | None) -> str:
    line = submission.draft.text.strip().splitlines()[0] if submission and submission.draft.text.strip() else ""
    return line if len(line) <= 60 else f"{line[:59]}…"


@app.command("list", epilog="Example: w3bstream l1 governance list --state VOTING")
def list_proposals(
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="Only in this state, such as IDEA or VOTING; give it once for each."),
    ] = None,
    *,
    json_output: Json = False,
    rpc: Rpc = "",
) -> None:
    """List the proposals, newest last, with what anybody may do about each now."""
    view = GovernanceView(ChainNode.at(rpc))
    wanted = {each.upper() for each in state or ()}
    if unknown := sorted(wanted - set(_STYLES)):
        raise InvalidInput("W3B-7008", f"no state {unknown[0]!r}; there are {', '.join(_STYLES)}", field="state")
    drafts = view.submissions()
    found = []
    for identity in view.reader.proposal_ids():
        record = view.reader.proposal(identity)
        if not wanted or record.state.name in wanted:
            found.append((identity, record, view.reader.due_step(identity)))
    if json_output:
        print_json({"proposals": [_to_json(*each, drafts.get(each[0])) for each in found]})
        return
    out = console()
    rows = table("id", "state", "kind", "until", "due", "text")
    for identity, record, due in found:
        words = (record.kind.name.lower(), at(record.window_end), due.value if due else "")
        rows.add_row(shown_id(hexed(identity), out), _state(record), *words, Text(_title(drafts.get(identity))))
    out.print(rows)
    if not found:
        out.print("no proposals yet: w3bstream l1 governance draft --help", style="dim")


@app.command(epilog="Example: w3bstream l1 governance show 0x3f2a91")
def show(
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="Its id, or the first 6 hex digits or more.", show_default=False)
    ],
    *,
    json_output: Json = False,
    rpc: Rpc = "",
) -> None:
    """Show a proposal: its text and calls, its counts, its window, and the step that is due."""
    view = GovernanceView(ChainNode.at(rpc))
    whole = view.find(identity)
    record, due = view.reader.proposal(whole), view.reader.due_step(whole)
    submission = view.submissions(whole).get(whole)
    if json_output:
        print_json(_to_json(whole, record, due, submission))
    else:
        _print(whole, record, due, submission)


def _print(identity: bytes, record: ProposalRecord, due: Step | None, submission: Submission | None) -> None:
    out = console()
    support, needed = record.support // IOTX, record.support_needed // IOTX
    cast = record.yes + record.no
    voted = f"{record.yes // IOTX:,} yes, {record.no // IOTX:,} no; turnout {cast // IOTX:,}"
    majority = f"more than {record.majority_bps / 100:g} % of the cast weight"
    out.print(
        fields_table(
            [
                ("proposal", hexed(identity)),
                ("state", _state(record)),
                ("kind", record.kind.name.lower()),
                ("proposer", hexed(record.proposer)),
                ("window", f"{at(record.window_start)} to {at(record.window_end)}" if record.window_end else ""),
                ("support", f"{support:,} of the {needed:,} that are needed"),
                ("vote", f"{voted} of the {record.turnout_needed // IOTX:,} that are needed" if cast else ""),
                ("passes with", majority if record.majority_bps else ""),
                ("document", hexed(record.document_hash)),
                ("read it at", submission.draft.uri if submission else ""),
            ]
        )
    )
    if submission is not None:
        out.print(Text(f"\n{submission.draft.text}"), soft_wrap=True)
        for place, call in enumerate(submission.draft.calls):
            out.print(Text(f"call {place}: {_call_words(call)}"), soft_wrap=True)
    if due is not None:
        out.print(f"\ndue: {due.value}; anybody may take the step: w3bstream l1 governance advance {hexed(identity)}")


def _call_words(call: Call) -> str:
    from l1.governance.contract import decode_set_parameters

    pays = f", paying {iotx(call.value)} IOTX" if call.value else ""
    changed = decode_set_parameters(call.data)
    if changed is None:
        return f"{hexed(call.target)} with {hexed(call.data)}{pays}"
    numbers = ", ".join(f"{name} {value}" for name, value in _readable(changed))
    return f"set the parameters of {hexed(call.target)}: {numbers}{pays}"


def _to_json(
    identity: bytes, record: ProposalRecord, due: Step | None, submission: Submission | None
) -> dict[str, Any]:
    found = {
        "id": hexed(identity),
        "state": record.state.name,
        "kind": record.kind.name.lower(),
        "proposer": hexed(record.proposer),
        "window_start": record.window_start,
        "window_end": record.window_end,
        "support": str(record.support),
        "support_needed": str(record.support_needed),
        "yes": str(record.yes),
        "no": str(record.no),
        "turnout_needed": str(record.turnout_needed),
        "majority_bps": record.majority_bps,
        "document_hash": hexed(record.document_hash),
        "due": due.value if due else None,
    }
    return found | {"draft": governance_draft.to_json(submission.draft) if submission else None}


@app.command(epilog="Example: w3bstream l1 governance parameters --json")
def parameters(json_output: Json = False, rpc: Rpc = "") -> None:
    """Say the numbers in force: shares of the weight, and periods."""
    from l1.governance.parameters import solidity_name

    found = GovernanceView(ChainNode.at(rpc)).reader.parameters()
    if json_output:
        print_json({solidity_name(name): value for name, value in vars(found).items()})
    else:
        console().print(fields_table(_readable(found)))


def _readable(found: Parameters) -> list[tuple[str, str]]:
    from l1.governance.parameters import solidity_name

    return [
        (solidity_name(name), f"{value / 100:g} %" if name.endswith("_bps") else lasting(value))
        for name, value in vars(found).items()
    ]


governance_draft.add_to(app)
governance_steps.add_to(app)
