"""`w3bstream stream`: look back at a project's stream, check the ledger against it, and mend dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from coordinator.api.client import Client
from coordinator.cli.lookup import project_id
from coordinator.cli.options import ApiKey, Json, ProjectOption, Target, connect
from coordinator.cli.output import as_dict, console, fields_table, print_json, table, when
from coordinator.cli.user_file import unreadable
from verifier.errors import InvalidInput
from w3bstream.v1 import ingest_pb2

app = typer.Typer(no_args_is_help=True, help="Replay streams, check the ledger against them, requeue dead letters.")
First = Annotated[int, typer.Option("--from", min=1, help="First stream position.")]
Last = Annotated[int, typer.Option("--to", min=0, help="First position after the last one; 0 is all.")]


def _line(record: ingest_pb2.StreamRecord) -> str:
    place = f"{record.position}" if record.end == record.position + 1 else f"{record.position} to {record.end - 1}"
    said = {
        "reading": f"{record.device} #{record.sequence} {record.payload.hex()} {record.task_id or 'window open'}",
        "dead_letter": f"{record.code} {record.reason}",
        "pending": f"{record.device or len(record.wire)} not taken yet",
        "hole": "nothing is kept",
    }[record.kind]
    odd = f"  DIFFERENT: {record.difference}" if record.difference else ""
    return f"{place}  {record.kind}  {said}{odd}"


def _written(records: Iterator[ingest_pb2.StreamRecord], path: Path) -> int:
    """Write each accepted reading's wire bytes, one after another, as `w3bstream ingest --wire` reads them."""
    count = 0
    try:
        with path.open("wb") as file:
            for record in records:
                if record.kind == "reading":
                    file.write(record.wire)
                    count += 1
    except OSError as error:
        raise unreadable(path, error) from error
    return count


@app.command(epilog="Example: w3bstream stream replay --project weather --from 1 --json")
def replay(
    *,
    project: ProjectOption,
    start: First = 1,
    end: Last = 0,
    device: Annotated[str, typer.Option(help="Only this device, 0x and 40 hex digits.")] = "",
    wire: Annotated[Path | None, typer.Option("--wire", help="Write the accepted readings to this file.")] = None,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Print what lies at each position of the stream, one line each; it goes on where a connection broke."""
    with ExitStack() as stack:
        client: Client = stack.enter_context(connect(target, api_key))
        records = client.replay_stream(project_id(client, project), start=start, end=end, device=device)
        if wire is not None:
            count = _written(records, wire)
            if json_output:
                print_json({"readings": count, "file": str(wire)})
            else:
                console().print(f"{count} readings written to {wire}")
            return
        for record in records:
            if json_output:
                print_json(record)
            else:
                typer.echo(_line(record))


@app.command(epilog="Example: w3bstream stream show 4711 --project weather")
def show(
    position: Annotated[int, typer.Argument(min=1, help="Stream position.")],
    *,
    project: ProjectOption,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Show one position: its message, decoded, where it went and why."""
    with connect(target, api_key) as client:
        records = list(client.replay_stream(project_id(client, project), start=position, end=position + 1))
    if not records:
        raise InvalidInput("W3B-7008", f"the stream has no position {position} yet", field="position")
    if json_output:
        print_json(records[0])
        return
    rows = as_dict(records[0])
    console().print(fields_table([(name.replace("_", " "), str(value or "")) for name, value in rows.items()]))


@app.command(epilog="Example: w3bstream stream verify --project weather")
def verify(*, project: ProjectOption, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Put the stream through the intake's rules again; exit code 1 when the ledger says something else."""
    with connect(target, api_key) as client:
        found = client.verify_stream(project_id(client, project))
    if json_output:
        print_json(found)
    else:
        out = console()
        out.print(
            f"{found.positions} positions ({found.from_stream} from the stream): {found.readings} readings, "
            f"{found.dead_letters} dead letters, {found.windows} windows, {found.unknown} unknown"
        )
        out.print("the ledger is what the stream makes" if not found.different else f"{found.different} differences:")
        for each in found.differences:
            out.print(f"  {each}", soft_wrap=True, markup=False)
    if found.different:
        raise typer.Exit(1)


@app.command("dead-letters", epilog="Example: w3bstream stream dead-letters --project weather --requeue-code W3B-1004")
def dead_letters(
    *,
    project: ProjectOption,
    requeue: Annotated[list[int] | None, typer.Option(help="Publish the one at this position again.")] = None,
    requeue_code: Annotated[str, typer.Option(help="Publish those of this code again, at most 1,000.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="Dead letters to show.")] = 50,
    page: Annotated[str, typer.Option(help="next_page_token of the page before.")] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """List refused messages, newest first; or publish some again, once what refused them was mended."""
    with connect(target, api_key) as client:
        number = project_id(client, project)
        if requeue or requeue_code:
            done = client.requeue_dead_letters(number, requeue or (), code=requeue_code)
            _print_requeued(done, as_json=json_output)
            return
        found = client.list_dead_letters(number, page_size=limit, page_token=page)
    if json_output:
        print_json(found)
        return
    rows = table("position", "code", "device", "sequence", "at", "requeued", "reason")
    for each in found.dead_letters:
        rows.add_row(
            str(each.position),
            each.code,
            each.device,
            str(each.sequence or ""),
            when(each.at),
            when(each.requeued_at),
            each.reason,
        )
    console().print(rows)
    if found.next_page_token:
        console(stderr=True).print(f"more: --page {found.next_page_token}", soft_wrap=True)


def _print_requeued(done: ingest_pb2.RequeueDeadLettersResponse, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    for each in done.letters:
        now = f"now at position {each.new_position}" if each.new_position else f"left: {each.code}, {each.reason}"
        typer.echo(f"{each.position}: {now}")
    if not done.letters:
        typer.echo("no dead letter to requeue")
