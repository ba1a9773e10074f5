"""`w3bstream task dead|requeue|rerun|diff`: the dead letters of tasks, and tasks computed once more."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated

import typer

from coordinator.api.client import Client
from coordinator.cli.lookup import project_id, task_id
from coordinator.cli.options import ApiKey, Json, Target, connect
from coordinator.cli.output import console, print_json, shown_id, state_text, table, when
from coordinator.cli.task import TaskId, app
from verifier.errors import InvalidInput, Unavailable
from w3bstream.v1 import task_pb2

__all__ = ["app"]
DEAD = ("FAILED", "EXPIRED")
POLL_SECONDS = 0.3
WAIT_SECONDS = 900.0
"""As long as an attempt may take by default, and half as long again for the queue."""
DIFFERENT = 3
"""Exit code where outputs differ."""
Project = Annotated[str, typer.Option("--project", "-p", help="Only this project, its id or name.")]
Code = Annotated[str, typer.Option(help="Only tasks that ended with this code, such as W3B-3005.")]


@app.command(epilog="Example: w3bstream task dead --project 1")
def dead(
    *,
    project: Project = "",
    code: Code = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="Tasks to show.")] = 50,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """List the tasks that FAILED or EXPIRED, newest first, each with its reason."""
    found: list[task_pb2.Task] = []
    with connect(target, api_key) as client:
        for task in client.tasks(project_id=project_id(client, project), states=DEAD):
            if not code or task.code == code:
                found.append(task)
            if len(found) == limit:
                break
    if json_output:
        for task in found:
            print_json(task)
        return
    out = console()
    rows = table("task", "project", "state", "since", "put back", "reason")
    for task in found:
        state = state_text(task_pb2.TaskState.Name(task.state))
        reason = f"{task.code} {task.reason}".strip()
        rows.add_row(
            shown_id(task.id, out), str(task.project_id), state, when(task.updated_at), str(task.requeues), reason
        )
    out.print(rows)
    if found:
        out.print("next: w3bstream task requeue TASK, or w3bstream task requeue --failed --project PROJECT")


@app.command(epilog="Example: w3bstream task requeue --failed --project 1 --code W3B-3005")
def requeue(
    *,
    task: Annotated[str, typer.Argument(help="Task id, or how it begins; or give --failed.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Every FAILED or EXPIRED task of --project.")] = False,
    project: Project = "",
    code: Code = "",
    reason: Annotated[str, typer.Option(help="Why; it stands in the timeline.")] = "",
    deadline: Annotated[str, typer.Option(help="New deadline, ISO 8601 (in the local time zone unless it says).")] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Put a task that FAILED or EXPIRED back, with a fresh retry cap; or all of a project."""
    if failed == bool(task) or (failed and not project) or (code and not failed):
        raise InvalidInput("W3B-7008", "give a task, or --failed with --project and perhaps --code", field="task")
    until = _moment(deadline)
    with connect(target, api_key) as client:
        if task:
            found = client.requeue_task(task_id(client, task), reason, deadline=until)
            if json_output:
                print_json(found)
            else:
                state = state_text(task_pb2.TaskState.Name(found.state))
                console().print(found.id, state, soft_wrap=True)
            return
        answer = client.requeue_tasks(project_id(client, project), code=code, reason=reason, deadline=until)
    if json_output:
        print_json(answer)
        return
    out = console()
    out.print(f"put back: {len(answer.task_ids)}")
    for refused in answer.refused:
        out.print(f"not put back: {refused.task_id} {refused.code} {refused.reason}", soft_wrap=True)
    if answer.has_more:
        out.print("there may be more: run the same command again")


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise InvalidInput("W3B-7008", f"deadline {text!r} is no ISO 8601 time", field="deadline") from error


@app.command(epilog="Example: w3bstream task rerun 0x3f… --prover zkp.groth16-1 --wait")
def rerun(
    *,
    task: TaskId,
    prover: Annotated[str, typer.Option(help="The prover that is to compute it; any idle one by default.")] = "",
    kind: Annotated[str, typer.Option(help="Proof kind; the task's first by default.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result; exit code 3 when it differs.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = WAIT_SECONDS,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Compute a task once more on an idle prover, and compare its output. Nothing is settled."""
    with connect(target, api_key) as client:
        found = client.rerun_task(task_id(client, task), kind=kind, prover_id=prover)
        if wait:
            found = _ended(client, found, timeout)
    if json_output:
        print_json(found)
    else:
        out = console()
        out.print(f"re-run {found.id}", state_text(found.state), f"{found.code} {found.reason}".strip(), soft_wrap=True)
        for field in found.result:
            out.print(f"  {field.name} {field.value}")
    if found.verdict == "different":
        raise typer.Exit(DIFFERENT)


def _ended(client: Client, rerun: task_pb2.Rerun, seconds: float) -> task_pb2.Rerun:
    """The re-run once it has ended. Raises Unavailable (W3B-3085) when it has not in `seconds`."""
    until = time.monotonic() + seconds
    while rerun.state not in ("DONE", "FAILED"):
        left = until - time.monotonic()
        if left <= 0:
            raise Unavailable(
                "W3B-3085",
                f"re-run {rerun.id} of task {rerun.task_id} is {rerun.state} after {seconds:g} s",
                next_step=f"It goes on by itself: see its output later with `w3bstream task diff {rerun.task_id}`. "
                "A QUEUED one waits for an idle prover (`w3bstream prover list`); --timeout waits longer.",
            )
        time.sleep(min(POLL_SECONDS, left))
        rerun = client.get_rerun(rerun.id)
    return rerun


@app.command(epilog="Example: w3bstream task diff 0x3f…")
def diff(task: TaskId, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Compare the outputs of a task's attempts and re-runs, field by field; exit code 3 when they differ."""
    with connect(target, api_key) as client:
        found = client.diff_outputs(task_id(client, task))
    if json_output:
        print_json(found)
    else:
        out = console()
        sources = table("source", "kind", "prover", "state", "output")
        for each in found.sources:
            cells = (f"{each.subject} {each.id}", each.kind, each.prover_id, state_text(each.state))
            sources.add_row(*cells, shown_id(each.output, out))
        out.print(sources)
        fields = table("field", *(f"{each.subject} {each.id}" for each in found.sources), "")
        for field in found.fields:
            fields.add_row(f"{field.name} ({field.type})", *field.values, "" if field.same else "different")
        out.print(fields)
        out.print("the outputs are the same" if found.same else "the outputs differ")
    if not found.same:
        raise typer.Exit(DIFFERENT)
