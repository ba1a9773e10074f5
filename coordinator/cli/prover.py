"""`w3bstream prover`: who is Idle, Busy or Offline."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from coordinator.cli.options import ApiKey, Json, Target, connect
from coordinator.cli.output import as_dict, console, print_json, shown_id, state_text, table, when
from w3bstream.v1 import prover_pb2

app = typer.Typer(no_args_is_help=True, help="Provers and their status.")

DETAILS_WIDTH = 140
"""Columns from which `prover list` has room for heartbeat, address and trust."""


def _status(status: prover_pb2.ProverStatus.ValueType) -> Text:
    return state_text(prover_pb2.ProverStatus.Name(status))


@app.command("list", epilog="Example: w3bstream prover list --kind zkp.groth16")
def list_provers(
    *,
    kind: Annotated[str, typer.Option(help="Only provers of this kind.")] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """List provers."""
    with connect(target, api_key) as client:
        provers = client.list_provers(kind)
    if json_output:
        print_json({"provers": [as_dict(prover) for prover in provers]})
        return
    out = console()
    details = ("heartbeat", "paid to", "trust") if out.width >= DETAILS_WIDTH else ()
    rows = table("id", "kind", "status", "task", "verified", "failed", "on chain", *details)
    for each in provers:
        status = _status(each.status).append(" (draining)" if each.draining else "")
        counts = (str(each.verified), str(each.failed), "yes" if each.registered else "no")
        more = (when(each.heartbeat_at), each.address, each.trust)[: len(details)]
        rows.add_row(each.id, each.kind, status, shown_id(each.task_id, out), *counts, *more)
    out.print(rows)


@app.command(epilog="Example: w3bstream prover watch --after 0")
def watch(
    *,
    after: Annotated[int, typer.Option(min=0, help="Begin after this event id; 0 is the first ever.")] = 0,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Print each change of status as it happens, until Ctrl-C."""
    out = console()
    with connect(target, api_key) as client:
        for event in client.watch_provers(after):
            if json_output:
                print_json(event)
            else:
                out.print(f"{when(event.at)}  {event.prover_id} ", _status(event.status), f" {event.reason}")


@app.command(epilog="Example: w3bstream prover drain prover-1    (undo: w3bstream prover drain prover-1 --undo)")
def drain(
    *,
    prover: Annotated[str, typer.Argument(help="Prover id.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let it take work again.")] = False,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Let a prover finish what it has and give it nothing new."""
    with connect(target, api_key) as client:
        found = client.drain_prover(prover, drain=not undo)
    if json_output:
        print_json(found)
    else:
        console().print(f"{found.id}:", _status(found.status), "draining" if found.draining else "takes work")
