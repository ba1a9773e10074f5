"""`w3bstream l1 governance support|vote|cancel|advance`: the steps of a proposal's way."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli.l1.account import Key, Password
from coordinator.cli.l1.chain_node import ChainNode, Rpc
from coordinator.cli.l1.governance_contract import GovernanceView, sender
from coordinator.cli.l1.governance_draft import read_draft
from coordinator.cli.l1.sending import Wait, report
from coordinator.cli.l1.units import at, hexed
from coordinator.cli.options import Json
from verifier.errors import Conflict

Identity = Annotated[
    str, typer.Argument(metavar="ID", help="Its id, or the first 6 hex digits or more.", show_default=False)
]


class Answer(StrEnum):
    """A vote."""

    YES = "yes"
    NO = "no"


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command(epilog="Example: w3bstream l1 governance support 0x3f2a91 --key alice.key")(support)
    app.command(epilog="Example: w3bstream l1 governance vote 0x3f2a91 yes --key alice.key")(vote)
    app.command(epilog="Example: w3bstream l1 governance cancel 0x3f2a91 --key alice.key")(cancel)
    app.command(epilog="Example: w3bstream l1 governance advance 0x3f2a91 --key alice.key")(advance)


def support(
    identity: Identity,
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Support an idea with the stake that the account had before it was submitted."""
    from l1.governance import contract
    from l1.governance.states import Step

    whole = GovernanceView(ChainNode.at(rpc)).find(identity)
    who = sender(rpc, key, password_file)
    sent = who.send(contract.advance(Step.SUPPORT, whole), 0, timeout=timeout, quiet=json_output)
    report(sent, "supported", as_json=json_output, facts=_facts(whole, sent.event("Supported")))


def vote(
    identity: Identity,
    answer: Annotated[Answer, typer.Argument(help="What to vote.", show_default=False)],
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Vote with the stake that the account had before the vote was opened. A vote is for good."""
    from l1.governance import contract

    whole = GovernanceView(ChainNode.at(rpc)).find(identity)
    who = sender(rpc, key, password_file)
    sent = who.send(contract.vote(whole, answer is Answer.YES), 0, timeout=timeout, quiet=json_output)
    report(sent, f"voted {answer.value}", as_json=json_output, facts=_facts(whole, sent.event("Voted")))


def cancel(
    identity: Identity,
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Take a proposal back, before its vote is open; only its proposer may."""
    from l1.governance import contract
    from l1.governance.states import Step

    whole = GovernanceView(ChainNode.at(rpc)).find(identity)
    who = sender(rpc, key, password_file)
    sent = who.send(contract.advance(Step.CANCEL, whole), 0, timeout=timeout, quiet=json_output)
    report(sent, "cancelled", as_json=json_output, facts={"id": whole})


def advance(
    identity: Identity,
    *,
    key: Key,
    draft: Annotated[
        Path | None,
        typer.Option(help="The draft that was submitted, where the node has no logs of it.", show_default=False),
    ] = None,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Take the step that is due: open, close, queue, execute or archive. Anybody may."""
    from l1.governance import contract
    from l1.governance.states import Step

    view = GovernanceView(ChainNode.at(rpc))
    whole = view.find(identity)
    step = view.reader.due_step(whole)
    if step is None:
        raise _nothing_due(view, whole)
    if step is Step.EXECUTE:
        given = None if draft is None else read_draft(draft)
        submission = None if given is not None else view.submissions(whole).get(whole)
        if given is None and submission is None:
            raise Conflict(
                "W3B-5002",
                f"the node has no logs of {hexed(whole)}, which say what it calls",
                field="draft",
                next_step="Give the draft that was submitted: --draft FILE.",
            )
        calls = given.calls if given is not None else submission.draft.calls if submission is not None else ()
        data = contract.execute(whole, calls)
    else:
        data = contract.advance(step, whole)
    who = sender(rpc, key, password_file)
    sent = who.send(data, 0, timeout=timeout, quiet=json_output)
    state = view.reader.proposal(whole).state.name
    words = f"took the step {step.value}; the proposal is {state}"
    report(sent, words, as_json=json_output, facts={"id": whole, "step": step.value, "state": state})


def _nothing_due(view: GovernanceView, whole: bytes) -> Conflict:
    from l1.governance.states import WINDOWS

    record = view.reader.proposal(whole)
    now = int(str(view.node.block().get("timestamp", "0x0")), 16)
    if WINDOWS.get(record.state, (None, None))[1] is None:
        return Conflict("W3B-5002", f"it is {record.state.name}, which is for good", next_step="Nothing to do.")
    when = record.window_start if now < record.window_start else record.window_end
    return Conflict(
        "W3B-5002",
        f"nothing is due: it is {record.state.name} and the chain's time is {at(now)}",
        next_step=f"The next step may be taken from {at(when)}.",
    )


def _facts(whole: bytes, event: dict[str, object]) -> dict[str, object]:
    return {"id": whole} | {name: event[name] for name in ("weight",) if name in event}
