"""`w3bstream audit`: who did what, and whether the log holds together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer

from coordinator.access.audit_chain import Entry, verify
from coordinator.cli.options import ApiKey, Json, Target, connect
from coordinator.cli.output import as_dict, console, print_json, table, when
from verifier.errors import Refused
from w3bstream.v1 import admin_pb2

app = typer.Typer(no_args_is_help=True, help="The log of privileged acts (scope admin).")


@app.command("list", epilog="Example: w3bstream audit list --action api_key.create")
def list_entries(
    *,
    actor: Annotated[str, typer.Option(help="API key id or DID.")] = "",
    action: Annotated[str, typer.Option(help="Such as api_key.create.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """List privileged acts, newest first."""
    with connect(target, api_key) as client:
        found = list(islice(client.audit(actor=actor, action=action), limit))
    if json_output:
        print_json({"entries": [as_dict(each) for each in found]})
        return
    rows = table("id", "at", "actor", "action", "subject", "outcome", "from")
    for each in found:
        rows.add_row(str(each.id), when(each.at), each.actor, each.action, each.subject, each.outcome, each.peer)
    console().print(rows)


def _entries(found: Iterator[admin_pb2.AuditEntry]) -> Iterator[Entry]:
    for each in found:
        fields = {
            "at": each.at.ToMilliseconds(),
            "actor": each.actor,
            "action": each.action,
            "subject": each.subject,
            "project_id": each.project_id or None,
            "outcome": each.outcome,
            "peer": each.peer,
            "detail": json.loads(each.detail),
            "previous_hash": each.previous_hash,
        }
        yield Entry(each.id, fields, each.hash)


@app.command("verify", epilog="Example: w3bstream audit verify --contains 9f86d081…")
def verify_chain(
    *,
    contains: Annotated[
        str, typer.Option(help="A hash noted earlier that must still be in the log: finds a log cut off at its end.")
    ] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Recompute the log's chain of hashes on this machine."""
    seen = False

    def watched(entries: Iterator[Entry]) -> Iterator[Entry]:
        nonlocal seen
        for each in entries:
            seen = seen or each.hash == contains
            yield each

    with connect(target, api_key) as client:
        count, last = verify(watched(_entries(client.audit(oldest_first=True))))
    if contains and not seen:
        raise Refused("W3B-7031", f"the log of {count} entries does not hold {contains[:80]!r}", field="contains")
    if json_output:
        print_json({"entries": count, "last_hash": last})
    else:
        console().print(f"{count} entries hold together; keep the last hash elsewhere: {last}", soft_wrap=True)
