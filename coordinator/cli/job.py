"""`w3bstream job`: work that is accepted at once and done in the background."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated

import typer

from coordinator.access import did_keys
from coordinator.access.intents import JobIntent, readings_hash
from coordinator.api.client import Client
from coordinator.cli.lookup import project_id
from coordinator.cli.options import ApiKey, IdempotencyKey, Json, ProjectOption, Target, connect
from coordinator.cli.output import as_dict, console, fields_table, print_json, shown_id, state_text, table, when
from coordinator.cli.wire_file import wire_readings
from verifier.statement import Domain
from w3bstream.v1 import job_pb2

app = typer.Typer(no_args_is_help=True, help="Jobs: accepted durably at once, proven in the background.")


def _signed(
    client: Client, project: int, readings: list[bytes], *, key_file: Path, nonce: str, seconds: int
) -> job_pb2.JobIntent:
    """An intent of the key's account, for the chain and Router of the service."""
    status = client.get_status()
    domain = Domain(status.chain_id, bytes.fromhex(status.contracts["router"].removeprefix("0x")))
    number = int(nonce) if nonce else secrets.randbits(128)
    deadline = int(time.time()) + seconds
    intent = JobIntent(project, 0, readings_hash(readings), number, deadline)
    signature = intent.sign(domain, did_keys.load(key_file).secret())
    return job_pb2.JobIntent(project_id=project, nonce=str(number), deadline=deadline, signature=signature)


@app.command(epilog="Example: w3bstream job submit --project 1 --readings signed.jsonl")
def submit(
    *,
    project: ProjectOption,
    readings: Annotated[
        Path | None, typer.Option(help="File of signed readings in wire form to publish first, at most 1,024.")
    ] = None,
    sign_with: Annotated[
        Path | None, typer.Option(help="Key file of an Ethereum account that signs the job (EIP-712).")
    ] = None,
    nonce: Annotated[str, typer.Option(help="Nonce of a signed job, decimal. Default: a random one.")] = "",
    valid: Annotated[int, typer.Option(min=1, help="Seconds for which a signed job may be acted on.")] = 3600,
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Have everything in the project's stream proven; answers as soon as the job is committed."""
    wires = list(wire_readings(readings)) if readings else []
    with connect(target, api_key) as client:
        number = project_id(client, project)
        intent = _signed(client, number, wires, key_file=sign_with, nonce=nonce, seconds=valid) if sign_with else None
        job = client.submit_job(number, wires, intent=intent, idempotency_key=idempotency_key)
    if json_output:
        print_json(job)
        return
    console().print(f"accepted job {job.id}", soft_wrap=True)
    console().print(f"next: w3bstream job show {job.id} --wait", soft_wrap=True)


@app.command(epilog="Example: w3bstream job show 0x3f… --wait")
def show(
    *,
    job: Annotated[str, typer.Argument(help="Job id.", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait", help="Until its tasks are formed.")] = False,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Show a job and the tasks that came of it."""
    with connect(target, api_key) as client:
        found = client.get_job(job)
        if wait:
            *_, found = [found, *client.watch_job(job)]
    if json_output:
        print_json(found)
        return
    console().print(
        fields_table(
            [
                ("job", found.id),
                ("project", found.project_id),
                ("state", state_text(job_pb2.JobState.Name(found.state))),
                ("reason", found.reason),
                ("signer", found.signer),
                ("nonce", found.nonce),
                ("submitted by", found.submitted_by),
                ("up to position", found.up_to),
                ("tasks", "\n".join(found.task_ids)),
                ("created", when(found.created_at)),
                ("deadline", when(found.deadline)),
            ]
        )
    )


@app.command("list", epilog="Example: w3bstream job list --project 1 --state ACCEPTED")
def list_jobs(
    *,
    project: Annotated[str, typer.Option("--project", "-p", help="Project id or name. Default: all.")] = "",
    state: Annotated[str, typer.Option(help="ACCEPTED, WINDOWED or EXPIRED.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 50,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """List jobs, newest first."""
    with connect(target, api_key) as client:
        found = client.list_jobs(project_id(client, project), state=state, page_size=limit).jobs
    if json_output:
        print_json({"jobs": [as_dict(each) for each in found]})
        return
    out = console()
    rows = table("job", "project", "state", "signer", "created", "reason")
    for each in found:
        name = state_text(job_pb2.JobState.Name(each.state))
        cells = (str(each.project_id), name, shown_id(each.signer, out), when(each.created_at), each.reason)
        rows.add_row(shown_id(each.id, out), *cells)
    out.print(rows)
