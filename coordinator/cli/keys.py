"""`w3bstream keys`: device keys on this machine, API keys of the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli import keyring
from coordinator.cli.lookup import project_id
from coordinator.cli.options import ApiKey, IdempotencyKey, Json, Target, connect
from coordinator.cli.output import as_dict, console, print_json, table, when
from verifier.errors import InvalidInput
from verifier.reading import DeviceKey, KeyType

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

app = typer.Typer(no_args_is_help=True, help="Keys of devices, and API keys.")
device_app = typer.Typer(no_args_is_help=True, help="Device keys: files on this machine, never sent anywhere.")
api_app = typer.Typer(no_args_is_help=True, help="API keys of the service (scope admin).")
app.add_typer(device_app, name="device")
app.add_typer(api_app, name="api")


def _print_device(name: str, key: DeviceKey, *, as_json: bool) -> None:
    """The public half, as a project file takes it."""
    public = {
        "name": name,
        "device": f"0x{key.device.hex()}",
        "key_type": key.key_type.label,
        "public_key": f"0x{key.public_key.hex()}",
    }
    if as_json:
        print_json(public)
        return
    console().print(f"device {public['device']}; for the project file's devices:", soft_wrap=True)
    typer.echo(f"  - key_type: {public['key_type']}\n    public_key: {public['public_key']}\n    label: {name}")


@device_app.command(epilog="Example: w3bstream keys device generate thermometer-1 --keys keys/")
def generate(
    *,
    name: Annotated[str, typer.Argument(help="Name of the device; the file is called so.")],
    keys: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("keys"),
    key_type: Annotated[str, typer.Option("--type", help="babyjubjub, secp256k1 or p256.")] = "babyjubjub",
    json_output: Json = False,
) -> None:
    """Make a device key and print its public half for the project file."""
    _print_device(name, keyring.generate(keys, name, KeyType.from_label(key_type)), as_json=json_output)


@device_app.command(epilog="Example: w3bstream keys device show keys/thermometer-1.json")
def show(file: Annotated[Path, typer.Argument(help="Key file.")], json_output: Json = False) -> None:
    """Print the public half of a device key."""
    _print_device(file.name.removesuffix(keyring.SUFFIX), keyring.read(file), as_json=json_output)


@api_app.command(
    epilog="Example: w3bstream keys api create gateway --scope ingest:write --scope tasks:read --project 1"
)
def create(
    *,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option("--scope", help="Scope, such as tasks:read; give it once for each.")],
    project: Annotated[
        str, typer.Option("--project", "-p", help="Id or name of the only project it works for. Default: every one.")
    ] = "",
    expires_in: Annotated[
        str, typer.Option(help="How long it works, such as 12h, 30d or 1w. Default: until it is revoked.")
    ] = "",
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Make an API key. It is shown this once."""
    lifetime = _seconds(expires_in)
    with connect(target, api_key) as client:
        only = project_id(client, project)
        made = client.create_api_key(
            name, scope, project_id=only, expires_in_seconds=lifetime, idempotency_key=idempotency_key
        )
    if json_output:
        print_json(made)
        return
    console(stderr=True).print(f"API key {made.api_key.id}; keep it now, it is not shown again:")
    typer.echo(made.secret)


def _seconds(text: str) -> int:
    """Seconds of a duration such as `30d`; 0 for an empty text. Raises InvalidInput (W3B-7008)."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text)
    if text and found is None:
        raise InvalidInput(
            "W3B-7008", f"--expires-in {text[:20]!r} is not a number and s, m, h, d or w", field="expires_in"
        )
    return int(found.group(1)) * _UNITS[found.group(2)] if found else 0


@api_app.command("list", epilog="Example: w3bstream keys api list")
def list_keys(json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """List API keys, without their secrets."""
    with connect(target, api_key) as client:
        found = client.list_api_keys()
    if json_output:
        print_json({"api_keys": [as_dict(key) for key in found]})
        return
    rows = table("id", "name", "scopes", "project", "created", "last used", "runs out", "revoked")
    for each in found:
        project = str(each.project_id or "all")
        times = (each.created_at, each.last_used_at, each.expires_at, each.revoked_at)
        rows.add_row(each.id, each.name, " ".join(each.scopes), project, *map(when, times))
    console().print(rows)


@api_app.command(epilog="Example: w3bstream keys api revoke key_0123456789ab")
def revoke(
    *,
    key_id: Annotated[str, typer.Argument(help="The key's id, `key_…`.")],
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Revoke an API key at once."""
    with connect(target, api_key) as client:
        revoked = client.revoke_api_key(key_id)
    if json_output:
        print_json(revoked)
    else:
        console().print(f"revoked {revoked.id} ({revoked.name})")
