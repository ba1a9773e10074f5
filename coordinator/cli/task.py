"""`w3bstream task`: submit, look, follow, cancel."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coordinator.api.client import Client
from coordinator.cli.chain import retry_dapp
from coordinator.cli.lookup import project_id, task_id
from coordinator.cli.options import ApiKey, IdempotencyKey, Json, ProjectOption, Target, connect
from coordinator.cli.output import console, fields_table, print_json, shown_id, state_text, table, when
from coordinator.cli.wire_file import wire_readings
from verifier.completeness import COMPLETENESS_OUTPUTS
from verifier.errors import InvalidInput
from w3bstream.v1 import task_pb2

app = typer.Typer(no_args_is_help=True, help="Tasks: one window of readings, proven and settled once.")
app.command("retry-dapp", epilog="Example: w3bstream task retry-dapp 0x3f…")(retry_dapp)
TaskId = Annotated[str, typer.Argument(help="Task id, or its first 6 hex digits or more.", show_default=False)]
ENDED = ("FINAL", "FAILED", "EXPIRED", "CANCELLED", "FROZEN")
WATCHED = 30
"""Tasks that the live view shows."""


def _state(task: task_pb2.Task) -> Text:
    return state_text(task_pb2.TaskState.Name(task.state))


def _result(task: task_pb2.Task) -> str:
    """The program's own outputs; the completeness that follows them has a line of its own."""
    own = task.result[: -len(COMPLETENESS_OUTPUTS)]
    return ", ".join(f"{field.name} {field.value}" for field in own)


def _completeness(task: task_pb2.Task) -> str:
    stated = task.completeness
    return (
        f"missing {stated.missing} ({task.provenance or 'not proven'}); stated by the coordinator: "
        f"duplicates {stated.duplicates}, late {stated.late}, reordered {stated.reordered}"
    )


def _confirmation(task: task_pb2.Task) -> str:
    """Where the second stage is: `AWAITED: zkp.groth16 by …`; empty for a task without one."""
    stage = task.confirmation
    if not stage.kind:
        return ""
    by = f" by {when(stage.confirm_by)}" if stage.HasField("confirm_by") else ""
    said = f"{stage.state or 'not begun'}: {stage.kind}{by}"
    return "; ".join(part for part in (said, f"{stage.code} {stage.reason}".strip()) if part)


def _rows(tasks: list[task_pb2.Task], out: Console) -> Table:
    rows = table("task", "project", "state", "window", "readings", "result", "created")
    for each in tasks:
        window = f"{each.window_start}–{each.window_end - 1}"
        project = f"{each.project_id} v{each.project_version}"
        cells = (project, _state(each), window, str(each.count), _result(each), when(each.created_at))
        rows.add_row(shown_id(each.id, out), *cells)
    return rows


@app.command(epilog="Example: w3bstream task submit --project 1")
def submit(
    *,
    project: ProjectOption,
    readings: Annotated[
        Path | None, typer.Option(help="File of signed readings in wire form to publish first, at most 1,024.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until the windows are formed.")] = 330.0,
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Close the open window now, and print the tasks that came of it."""
    published = list(wire_readings(readings)) if readings else []
    with connect(target, api_key) as client:
        number = project_id(client, project)
        answer = client.submit_task(number, published, idempotency_key=idempotency_key, timeout=timeout)
    if json_output:
        print_json(answer)
        return
    out = console()
    out.print(_rows(list(answer.tasks), out))
    out.print(f"next: w3bstream task watch --project {project} --until-settled")


@app.command(epilog="Example: w3bstream task get 0x3f…")
def get(task: TaskId, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Show a task: its result, attempts, transactions and timeline."""
    with connect(target, api_key) as client:
        found = client.get_task(task_id(client, task))
    if json_output:
        print_json(found)
        return
    out, row = console(), found.task
    out.print(
        fields_table(
            [
                ("task", row.id),
                ("project", f"{row.project_id}, version {row.project_version}"),
                ("state", _state(row)),
                ("reason", f"{row.code} {row.reason}".strip()),
                ("window", f"positions {row.window_start} to {row.window_end - 1}, {row.count} readings"),
                ("result", _result(row)),
                ("completeness", _completeness(row)),
                ("output", row.output),
                ("inputs", row.inputs),
                ("provenance", row.provenance),
                ("finality", row.finality_source),
                ("confirmation", _confirmation(row)),
                ("transaction", row.transaction_hash),
                ("block", row.block_number),
                ("dApp", row.dapp),
                ("created", when(row.created_at)),
                ("deadline", when(row.deadline)),
            ]
        )
    )
    attempts = table("attempt", "kind", "prover", "state", "stage", "seconds", "reason", title="\nAttempts")
    for each in found.attempts:
        seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in sorted(each.seconds.items()))
        stage = f"{each.stage} {each.progress:.0%}" if each.stage else ""
        reason = f"{each.code} {each.reason}".strip()
        attempts.add_row(str(each.id), each.kind, each.prover_id, state_text(each.state), stage, seconds, reason)
    out.print(attempts)
    sent = table("purpose", "state", "block", "gas", "transaction", title="\nTransactions")
    for tx in found.transactions:
        sent.add_row(
            tx.purpose, state_text(tx.state), str(tx.block_number or ""), str(tx.gas_used or ""), shown_id(tx.hash, out)
        )
    out.print(sent)
    timeline = table("at", "what", "from", "to", "reason", title="\nTimeline")
    for event in found.timeline:
        timeline.add_row(*_event_cells(event))
    out.print(timeline)


def _event_cells(event: task_pb2.TaskEvent) -> tuple[str, str, Text, Text, str]:
    what = f"attempt {event.attempt_id}" if event.attempt_id else event.subject or "task"
    reason = f"{event.code} {event.reason}".strip()
    return when(event.at), what, state_text(event.source), state_text(event.target), reason


def _moment(text: str, option: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("W3B-7008", f"{option} {text!r} is no ISO 8601 time", field=option) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@app.command("list", epilog="Example: w3bstream task list --project 1 --state FAILED --state EXPIRED")
def list_tasks(
    *,
    project: Annotated[str, typer.Option("--project", "-p", help="Only this project, its id or name.")] = "",
    state: Annotated[list[str] | None, typer.Option("--state", help="Only this state; give it once for each.")] = None,
    after: Annotated[str, typer.Option(help="Created after this ISO 8601 time (UTC unless it says so).")] = "",
    before: Annotated[str, typer.Option(help="Created before this time.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="Tasks to show.")] = 50,
    page: Annotated[str, typer.Option(help="next_page_token of the page before.")] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """List tasks, newest first, with the counts by state."""
    with connect(target, api_key) as client:
        found = client.list_tasks(
            project_id=project_id(client, project),
            states=[name.upper() for name in state or ()],
            created_after=_moment(after, "after"),
            created_before=_moment(before, "before"),
            page_size=limit,
            page_token=page,
        )
    if json_output:
        print_json(found)
        return
    out = console()
    out.print(_rows(list(found.tasks), out))
    counts = ", ".join(f"{count} {name}" for name, count in sorted(found.counts.items()))
    out.print(f"\nin all: {counts or 'none'}")
    if found.next_page_token:
        console(stderr=True).print(f"more: --page {found.next_page_token}", soft_wrap=True)


@app.command(epilog="Example: w3bstream task cancel 0x3f… --reason 'wrong calibration'")
def cancel(
    *,
    task: TaskId,
    reason: Annotated[str, typer.Option(help="Why; it stands in the timeline.")] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Cancel a task that is not satisfied yet."""
    with connect(target, api_key) as client:
        cancelled = client.cancel_task(task_id(client, task), reason)
    if json_output:
        print_json(cancelled)
    else:
        console().print(cancelled.id, _state(cancelled), soft_wrap=True)


@app.command(epilog="Example: w3bstream task watch --project 1 --until-settled")
def watch(
    *,
    task: Annotated[str, typer.Argument(help="Task id, or how it begins; or give --project.")] = "",
    project: Annotated[str, typer.Option("--project", "-p", help="Every task of this project, its id or name.")] = "",
    after: Annotated[
        int | None, typer.Option(min=0, help="Begin after this event id; 0, the first ever, is the default.")
    ] = None,
    until_settled: Annotated[
        bool,
        typer.Option(
            "--until-settled",
            help="With --project: end when every task has ended. Tasks that ended earlier are left out without --after.",
        ),
    ] = False,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Follow a task until it ended, or a project, as it happens."""
    with connect(target, api_key) as client:
        number, identity = project_id(client, project), task_id(client, task) if task else ""
        past = _ended(client, number) if until_settled and number and not identity and after is None else set()
        found = client.watch_tasks(
            task_id=identity, project_id=number, after_event_id=after or 0, until_settled=until_settled
        )
        events = (event for event in found if event.task_id not in past)
        if json_output:
            for event in events:
                print_json(event)
        elif console().is_terminal:
            _live(events)
        else:
            for event in events:
                at, what, source, goal, reason = _event_cells(event)
                typer.echo(f"{at}  {event.task_id}  {what}  {source.plain or '-'} -> {goal.plain}  {reason}")
        if identity and not json_output:
            _print_end(client, identity)


def _ended(client: Client, project: int) -> set[str]:
    """Ids of the project's tasks that have ended by now."""
    return {each.id for each in client.tasks(project_id=project, states=ENDED)}


def _live(events: Iterable[task_pb2.TaskEvent]) -> None:
    """One line a task, brought up to date with each event."""
    latest: dict[str, tuple[Text, str, str]] = {}
    out = console()
    with Live(console=out, refresh_per_second=8) as view:
        for event in events:
            at, what, _, goal, reason = _event_cells(event)
            state = goal if event.subject == "task" else latest.get(event.task_id, (Text(""), "", ""))[0]
            latest.pop(event.task_id, None)
            latest[event.task_id] = (state, f"{what} {goal.plain}: {reason}", at)
            rows = table("task", "state", "last change", "at")
            for identity, cells in list(latest.items())[-WATCHED:]:
                rows.add_row(shown_id(identity, out), *cells)
            view.update(rows)


def _print_end(client: Client, task: str) -> None:
    found = client.get_task(task).task
    console().print(_state(found), _result(found) or found.reason, soft_wrap=True)
