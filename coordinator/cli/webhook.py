"""`w3bstream webhook`: who hears of results, and what was sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli.lookup import project_id
from coordinator.cli.options import ApiKey, IdempotencyKey, Json, ProjectOption, Target, connect
from coordinator.cli.output import as_dict, console, print_json, state_text, table, when
from coordinator.cli.user_file import read_text
from verifier.errors import InvalidInput
from w3bstream.v1 import webhook_pb2

app = typer.Typer(no_args_is_help=True, help="Webhooks: Standard Webhooks signatures over CloudEvents bodies.")
WebhookId = Annotated[str, typer.Argument(help="The endpoint's id, `ep_…`.")]


def _print_secret(made: webhook_pb2.CreateWebhookResponse, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    console(stderr=True).print(f"webhook {made.webhook.id}; its signing secret is shown this once:")
    typer.echo(made.secret)


@app.command(epilog="Example: w3bstream webhook create https://example.com/hook --project 1")
def create(
    *,
    url: Annotated[str, typer.Argument(help="https URL that receives POST requests.")],
    project: ProjectOption,
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Event type, such as w3bstream.task.final. Default: all.")
    ] = None,
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Register an endpoint."""
    with connect(target, api_key) as client:
        made = client.create_webhook(project_id(client, project), url, event or (), idempotency_key=idempotency_key)
    _print_secret(made, as_json=json_output)


@app.command("list", epilog="Example: w3bstream webhook list --project 1")
def list_webhooks(
    *, project: ProjectOption, json_output: Json = False, target: Target = None, api_key: ApiKey = None
) -> None:
    """List a project's endpoints."""
    with connect(target, api_key) as client:
        found = client.list_webhooks(project_id(client, project))
    if json_output:
        print_json({"webhooks": [as_dict(webhook) for webhook in found]})
        return
    rows = table("id", "url", "events", "state", "created")
    for each in found:
        state = "disabled" if each.disabled else "enabled"
        rows.add_row(each.id, each.url, " ".join(each.events) or "all", state, when(each.created_at))
    console().print(rows)


@app.command(epilog="Example: w3bstream webhook deliveries --project 1 --state DEAD")
def deliveries(
    *,
    project: ProjectOption,
    webhook: Annotated[str, typer.Option(help="Only this endpoint.")] = "",
    state: Annotated[str, typer.Option(help="PENDING, DELIVERED or DEAD.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="Messages to show.")] = 50,
    page: Annotated[str, typer.Option(help="next_page_token of the page before.")] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """List messages and every try to deliver them, newest first."""
    with connect(target, api_key) as client:
        number = project_id(client, project)
        found = client.list_deliveries(number, webhook_id=webhook, state=state, page_size=limit, page_token=page)
    if json_output:
        print_json(found)
        return
    rows = table("message", "endpoint", "event", "task", "state", "tries", "last answer", "next try")
    for each in found.messages:
        last = each.deliveries[-1] if each.deliveries else None
        answer = "" if last is None else (last.error or f"HTTP {last.status_code} in {last.duration_ms} ms")
        cells = (each.event_type.removeprefix("w3bstream."), each.subject, state_text(each.state))
        rows.add_row(each.id, each.webhook_id, *cells, str(len(each.deliveries)), answer, when(each.next_try_at))
    console().print(rows)
    if found.next_page_token:
        console(stderr=True).print(f"more: --page {found.next_page_token}", soft_wrap=True)


@app.command(epilog="Example: w3bstream webhook disable ep_0123456789abcdef    (undo: --undo)")
def disable(
    *,
    webhook: WebhookId,
    undo: Annotated[bool, typer.Option("--undo", help="Deliver again.")] = False,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Stop deliveries to an endpoint; what is pending waits."""
    with connect(target, api_key) as client:
        found = client.set_webhook_disabled(webhook, disabled=not undo)
    if json_output:
        print_json(found)
    else:
        console().print(f"{found.id}: {'disabled' if found.disabled else 'enabled'}")


@app.command(epilog="Example: w3bstream webhook secret ep_0123456789abcdef")
def secret(webhook: WebhookId, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Give an endpoint a new signing secret and show it; also for an endpoint that a project file named."""
    with connect(target, api_key) as client:
        _print_secret(client.rotate_webhook_secret(webhook), as_json=json_output)


@app.command(epilog="Example: w3bstream webhook replay msg_0123456789abcdef01234567")
def replay(
    *,
    message: Annotated[str, typer.Argument(help="The webhook-id, `msg_…`.")],
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Send a message again: same webhook-id, same bytes."""
    with connect(target, api_key) as client:
        found = client.replay_message(message)
    if json_output:
        print_json(found)
    else:
        console().print(f"{found.id}:", state_text(found.state))


@app.command(epilog="Example: w3bstream webhook verify body.json --headers headers.json --secret-file secret.txt")
def verify(
    *,
    body: Annotated[Path, typer.Argument(help="The request's body, byte for byte.")],
    headers: Annotated[Path, typer.Option(help='Its headers as a JSON object: {"webhook-id": …, …}.')],
    secret_file: Annotated[Path, typer.Option(help="File with the endpoint's secret, `whsec_…`.")],
    json_output: Json = False,
) -> None:
    """Check the signature of a webhook that you received, on this machine."""
    from coordinator.webhooks.receiver import verify as verify_event

    try:
        given = json.loads(read_text(headers))
        data = body.read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidInput("W3B-7016", f"headers or body cannot be read: {error}", field="headers") from error
    if not isinstance(given, dict):
        raise InvalidInput("W3B-7016", f"{headers} is no JSON object", field="headers")
    event = verify_event({str(name): str(value) for name, value in given.items()}, data, read_text(secret_file).strip())
    if json_output:
        print_json(event)
    else:
        console().print(f"the signature holds: {event.get('type')} about {event.get('subject')}", soft_wrap=True)
