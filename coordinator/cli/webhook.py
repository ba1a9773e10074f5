"""`w3bstream webhook`: who hears of results, and what was sent."""

from __future__ import annotations

import json
import re
from datetime import datetime
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


Signing = Annotated[
    str,
    typer.Option(
        help="Signatures: v1 (HMAC-SHA256, a shared secret), v1a (ed25519, a public key) or both.", show_default=False
    ),
]
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _print_keys(made: webhook_pb2.CreateWebhookResponse, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    out = console(stderr=True)
    if made.webhook.previous_until.seconds:
        out.print(f"the old keys sign too until {when(made.webhook.previous_until)}")
    if made.secret:
        out.print(f"webhook {made.webhook.id}; its signing secret is shown this once:")
        typer.echo(made.secret)
    if made.webhook.public_key:
        out.print(f"webhook {made.webhook.id}; its public key:")
        typer.echo(made.webhook.public_key)


def _overlap(text: str) -> int | None:
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,7})([smhdw]?)", text)
    if found is None:
        raise InvalidInput("W3B-7008", f"--overlap {text[:20]!r} is not a number and s, m, h, d or w", field="overlap")
    return int(found.group(1)) * _UNITS[found.group(2)]


def _since(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone() if text else None
    except ValueError as error:
        raise InvalidInput("W3B-7008", f"--since {text[:40]!r} is no ISO 8601 time", field="since") from error


@app.command(epilog="Example: w3bstream webhook create https://example.com/hook --project 1")
def create(
    *,
    url: Annotated[str, typer.Argument(help="https URL that receives POST requests.")],
    project: ProjectOption,
    event: Annotated[
        list[str] | None, typer.Option("--event", help="Event type, such as w3bstream.task.final. Default: all.")
    ] = None,
    signing: Signing = "v1",
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Register an endpoint."""
    with connect(target, api_key) as client:
        made = client.create_webhook(
            project_id(client, project), url, event or (), signing=signing, idempotency_key=idempotency_key
        )
    _print_keys(made, as_json=json_output)


def _signing(webhook: webhook_pb2.Webhook) -> str:
    return f"{webhook.signing} {webhook.public_key}".strip()


def _state(webhook: webhook_pb2.Webhook) -> str:
    if webhook.disabled:
        return f"disabled: {webhook.disabled_reason}" if webhook.disabled_reason else "disabled"
    return f"failing since {when(webhook.failing_since)}" if webhook.failing_since.seconds else "enabled"


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
    rows = table("id", "url", "events", "signing", "state", "created")
    for each in found:
        rows.add_row(
            each.id, each.url, " ".join(each.events) or "all", _signing(each), _state(each), when(each.created_at)
        )
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


@app.command(epilog="Example: w3bstream webhook secret ep_0123456789abcdef --overlap 24h")
def secret(
    *,
    webhook: WebhookId,
    overlap: Annotated[
        str,
        typer.Option(
            help="How long the old keys sign too, such as 30m, 24h or 7d at most; 0 revokes them at once. Default: 24h."
        ),
    ] = "",
    signing: Signing = "",
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Give an endpoint new keys and show the secret; also for an endpoint that a project file named."""
    seconds = _overlap(overlap)
    with connect(target, api_key) as client:
        made = client.rotate_webhook_secret(
            webhook, overlap_seconds=seconds, signing=signing, idempotency_key=idempotency_key
        )
    _print_keys(made, as_json=json_output)


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


@app.command(
    "replay-dead", epilog="Example: w3bstream webhook replay-dead ep_0123456789abcdef --since 2026-11-20T00:00:00Z"
)
def replay_dead(
    *,
    webhook: WebhookId,
    since: Annotated[str, typer.Option(help="Only messages made at this time or later, ISO 8601.")] = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Send every dead message of an endpoint again: same webhook-ids, same bytes."""
    moment = _since(since)
    with connect(target, api_key) as client:
        count = client.replay_messages(webhook, since=moment)
    if json_output:
        print_json({"replayed": count})
    else:
        console().print(f"messages that are sent again: {count}")


@app.command(epilog="Example: w3bstream webhook verify body.json --headers headers.json --secret-file secret.txt")
def verify(
    *,
    body: Annotated[Path, typer.Argument(help="The request's body, byte for byte.")],
    headers: Annotated[Path, typer.Option(help='Its headers as a JSON object: {"webhook-id": …, …}.')],
    secret_file: Annotated[
        Path, typer.Option(help="File with the endpoint's secret `whsec_…` or public key `whpk_…`; one a line.")
    ],
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
    event = verify_event({str(name): str(value) for name, value in given.items()}, data, read_text(secret_file).split())
    if json_output:
        print_json(event)
    else:
        console().print(f"the signature holds: {event.get('type')} about {event.get('subject')}", soft_wrap=True)
