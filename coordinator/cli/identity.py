"""`w3bstream identity`, `login`, `logout`: DIDs that may log in, and logging in with one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.access import did_keys
from coordinator.access.token_keys import rotate
from coordinator.cli import session
from coordinator.cli.lookup import project_id
from coordinator.cli.options import ApiKey, IdempotencyKey, Json, Target, certificate, connect, home, target_of, trusted
from coordinator.cli.output import as_dict, console, print_json, table, when

app = typer.Typer(no_args_is_help=True, help="Identities: DIDs that may log in and sign jobs (scope admin).")
Did = Annotated[str, typer.Argument(help="did:key:z… or did:pkh:eip155:<chain>:0x….", show_default=False)]
KeyFile = Annotated[Path, typer.Option("--key", help="File of the DID's private key: PEM, or 64 hex digits.")]


@app.command(epilog="Example: w3bstream identity keygen me.pem --type ed25519")
def keygen(
    *,
    file: Annotated[Path, typer.Argument(help="File to write; it is never overwritten.")],
    key_type: Annotated[str, typer.Option("--type", help="ed25519, p256 or secp256k1.")] = "ed25519",
    json_output: Json = False,
) -> None:
    """Make a key on this machine and print its DID. The key is never sent anywhere."""
    made = did_keys.generate(file, key_type)
    if json_output:
        print_json({"did": made.did})
    else:
        typer.echo(made.did)


@app.command(epilog="Example: w3bstream identity add did:key:z6Mk… --name gateway --scope tasks:write --project 1")
def add(
    *,
    did: Did,
    name: Annotated[str, typer.Option(help="Whose it is.")],
    scope: Annotated[list[str], typer.Option("--scope", help="Scope, such as tasks:read; give it once for each.")],
    project: Annotated[
        str, typer.Option("--project", "-p", help="Id or name of the only project it works for. Default: every one.")
    ] = "",
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Register a DID, or change what a registered one may do."""
    with connect(target, api_key) as client:
        only = project_id(client, project)
        made = client.create_identity(did, name, scope, project_id=only, idempotency_key=idempotency_key)
    if json_output:
        print_json(made)
    else:
        console().print(f"{made.did} ({made.name}) may: {' '.join(made.scopes)}", soft_wrap=True)


@app.command("list", epilog="Example: w3bstream identity list")
def list_identities(json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """List identities."""
    with connect(target, api_key) as client:
        found = client.list_identities()
    if json_output:
        print_json({"identities": [as_dict(each) for each in found]})
        return
    rows = table("did", "name", "scopes", "project", "created", "revoked")
    for each in found:
        project = str(each.project_id or "all")
        rows.add_row(each.did, each.name, " ".join(each.scopes), project, when(each.created_at), when(each.revoked_at))
    console().print(rows)


@app.command(epilog="Example: w3bstream identity revoke did:key:z6Mk…")
def revoke(*, did: Did, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Revoke an identity and its tokens at once."""
    with connect(target, api_key) as client:
        revoked = client.revoke_identity(did)
    if json_output:
        print_json(revoked)
    else:
        console().print(f"revoked {revoked.did} ({revoked.name})", soft_wrap=True)


@app.command("rotate-keys", epilog="Example: w3bstream identity rotate-keys")
def rotate_keys(
    file: Annotated[
        Path | None, typer.Option(help="File of the token keys. Default: keys/tokens.json in the home folder.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Sign new tokens with a fresh key, on the service's machine; tokens under way stay valid."""
    kid = rotate(file or home() / "keys" / "tokens.json")
    if json_output:
        print_json({"kid": kid})
    else:
        console().print(f"tokens are signed with key {kid} from now on")


def login(
    *,
    did: Annotated[str, typer.Option(help="The DID to log in with. Default: the did:key of the key.")] = "",
    key: KeyFile,
    json_output: Json = False,
    target: Target = None,
) -> None:
    """Log in with a DID's key; later commands use the token and renew it with the key file."""
    where = target_of(target)
    who = did or did_keys.load(key).did
    answer = session.log_in(home(), where, who, key, ca=trusted(), certificate=certificate())
    if json_output:
        print_json({"did": who, "expires_at": as_dict(answer)["expires_at"], "scopes": list(answer.scopes)})
    else:
        console().print(f"logged in as {who} until {when(answer.expires_at)}; may: {' '.join(answer.scopes)}")


def logout(json_output: Json = False, target: Target = None) -> None:
    """Forget the login for a target."""
    found = session.log_out(home(), target_of(target))
    if json_output:
        print_json({"logged_out": found})
    else:
        console().print("logged out" if found else "there was no login")
