"""`w3bstream tx` and `w3bstream reconcile`: transactions on the finality ladder, and whether everything fits together."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from coordinator.cli.lookup import project_id, task_id
from coordinator.cli.options import ApiKey, Json, Target, connect
from coordinator.cli.output import as_dict, console, fields_table, print_json, shown_id, state_text, table, when
from verifier.errors import InvalidInput, Unavailable
from w3bstream.v1 import chain_pb2

app = typer.Typer(no_args_is_help=True, help="Transactions: what was sent to the chain, and how final it is.")
ProjectFilter = Annotated[str, typer.Option("--project", "-p", help="Only this project, its id or name.")]


@app.command("list", epilog="Example: w3bstream tx list --task 0x3f… --state SENT")
def list_transactions(
    *,
    project: ProjectFilter = "",
    task: Annotated[str, typer.Option("--task", help="Only those of this task, its id or how it begins.")] = "",
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="QUEUED, SENT, MINED, SAFE, FINAL or REFUSED; give it once for each."),
    ] = None,
    purpose: Annotated[str, typer.Option(help="Such as settle or apply_batch.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="Transactions to show.")] = 50,
    page: Annotated[str, typer.Option(help="next_page_token of the page before.")] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """List transactions, newest first."""
    with connect(target, api_key) as client:
        found = client.list_transactions(
            project_id=project_id(client, project),
            task_id=task_id(client, task) if task else "",
            states=[name.upper() for name in state or ()],
            purpose=purpose,
            page_size=limit,
            page_token=page,
        )
    if json_output:
        print_json(found)
        return
    out = console()
    rows = table("tx", "purpose", "state", "nonce", "block", "reorgs", "about", "hash", "changed")
    for each in found.transactions:
        nonce = str(each.nonce) if each.HasField("nonce") else ""
        cells = (state_text(each.state), nonce, str(each.block_number or ""), str(each.reorgs or ""))
        rows.add_row(str(each.id), each.purpose, *cells, _about(each), shown_id(each.hash, out), when(each.updated_at))
    out.print(rows)
    if found.next_page_token:
        console(stderr=True).print(f"more: --page {found.next_page_token}", soft_wrap=True)


def _about(tx: chain_pb2.ChainTransaction) -> str:
    """In short: every command takes the beginning of a task's id."""
    if len(tx.task_ids) == 1:
        return f"task {tx.task_ids[0][:14]}…"
    if tx.task_ids:
        return f"{len(tx.task_ids)} tasks"
    return f"project {tx.project_id}" if tx.project_id else ""


@app.command(epilog="Example: w3bstream tx show 17")
def show(
    tx: Annotated[str, typer.Argument(help="Its id, or any hash (0x…) that it was signed under.", show_default=False)],
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Show a transaction and its steps on the finality ladder."""
    number = int(tx) if tx.isascii() and tx.isdigit() else 0
    if not number and not tx.lower().startswith("0x"):
        raise InvalidInput("W3B-7008", f"{tx[:80]!r} is neither a transaction's id nor a hash", field="tx")
    with connect(target, api_key) as client:
        found = client.get_transaction(number, tx_hash="" if number else tx)
    if json_output:
        print_json(found)
    else:
        print_transaction(found, console())


def print_transaction(found: chain_pb2.ChainTransaction, out: Console) -> None:
    """Its fields and its ladder."""
    out.print(
        fields_table(
            [
                ("transaction", found.id),
                ("purpose", found.purpose),
                ("state", state_text(found.state)),
                ("reason", f"{found.code} {found.reason}".strip()),
                ("tasks", "\n".join(found.task_ids)),
                ("project", found.project_id),
                ("hash", found.hash),
                ("chain", found.chain_id),
                ("sender", found.sender),
                ("nonce", str(found.nonce) if found.HasField("nonce") else ""),
                ("to", found.to),
                ("block", f"{found.block_number} {found.block_hash}" if found.block_number else ""),
                ("gas", found.gas_used),
                ("signed", f"{found.tries} times" if found.tries else ""),
                ("reorgs", found.reorgs),
                ("created", when(found.created_at)),
            ]
        )
    )
    ladder = table("at", "from", "to", "block", "hash", "reason", title="\nLadder")
    for step in found.ladder:
        block = str(step.block_number or "")
        reason = f"{step.code} {step.reason}".strip()
        cells = (state_text(step.source), state_text(step.target), block, shown_id(step.hash, out), reason)
        ladder.add_row(when(step.at), *cells)
    out.print(ladder)


def retry_dapp(
    *,
    task: Annotated[str, typer.Argument(help="Task id, or its first 6 hex digits or more.", show_default=False)],
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Call the dApp again with a settled task's result that it refused."""
    with connect(target, api_key) as client:
        found = client.retry_dapp(task_id(client, task))
    if json_output:
        print_json(found)
        return
    out = console()
    out.print(f"transaction {found.id}", state_text(found.state))
    out.print(f"next: w3bstream tx show {found.id}")


def reconcile(
    *,
    project: ProjectFilter = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Compare ledger, chain and streams, and print every break; exit code 0 when there is none."""
    report: chain_pb2.InvariantReport | None = None
    with connect(target, api_key) as client:
        for progress in client.reconcile(project_id(client, project)):
            if progress.HasField("report"):
                report = progress.report
            elif not json_output:
                console(stderr=True).print(f"comparing: {progress.stage}", style="dim")
    if report is None:
        raise Unavailable("W3B-7011", "the service ended the comparison without a report")
    if json_output:
        print_json(as_dict(report))
    else:
        _print_report(report, console())
    if not report.whole:
        raise typer.Exit(1)


def _print_report(report: chain_pb2.InvariantReport, out: Console) -> None:
    compared = ", ".join(f"{count} {what}" for what, count in sorted(report.checked.items()))
    out.print(f"compared: {compared or 'nothing yet'}", soft_wrap=True)
    for part, why in sorted(report.left_out.items()):
        out.print(f"not compared: {part}: {why}", style="yellow", soft_wrap=True)
    for each in report.breaks:
        out.print(state_text(each.code), f"{each.subject}: {each.message}", style="red", soft_wrap=True)
        out.print(f"  {each.next_step}", style="dim", soft_wrap=True)
    if report.found > len(report.breaks):
        out.print(f"and {report.found - len(report.breaks)} more")
    out.print(f"breaks: {report.found}", style="green" if report.whole else "bold red")
