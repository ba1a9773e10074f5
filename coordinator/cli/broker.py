"""`w3bstream broker`: keep a project's secrets, and release them to attested enclaves only."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.cli.options import Json
from coordinator.cli.output import console, print_json, table
from coordinator.cli.user_file import read_text, unreadable
from verifier.errors import InvalidInput, Unavailable

app = typer.Typer(no_args_is_help=True, help="The key broker: secrets for attested enclaves and nobody else.")
secret = typer.Typer(no_args_is_help=True, help="The broker's secrets.")
app.add_typer(secret, name="secret")
Home = Annotated[Path, typer.Option("--home", help="The broker's folder.", show_default=True)]
HOME = Path("broker")
MAX_ROOT = 8192
"""Bytes of a root certificate."""


def _pairs(texts: list[str], field: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InvalidInput("W3B-7008", f"{text[:80]!r} is not NAME=FILE", field=field)
        found[name] = value
    return found


def _read(path: Path, most: int, field: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > most:
        raise InvalidInput("W3B-7008", f"{path} has more than {most} bytes", field=field)
    return data


def _issuer(path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path, MAX_ROOT, "issuer"))
    except ValueError as error:
        raise InvalidInput("W3B-7008", f"{path} is no public key in PEM", field="issuer") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput("W3B-7008", f"{path} is no Ed25519 key", field="issuer")
    return key.public_bytes_raw().hex()


@app.command(epilog="Example: w3bstream broker init --home broker --chain-id 4690 --router 0x… --policy policy.json")
def init(
    *,
    home: Home = HOME,
    chain_id: Annotated[int, typer.Option("--chain-id", help="Chain of the Router (EIP-155).")],
    router: Annotated[str, typer.Option("--router", help="Router that the project settles at.")],
    policy: Annotated[Path | None, typer.Option("--policy", help="Appraisal policy. Default: the strict one.")] = None,
    simulated_root: Annotated[
        list[str] | None,
        typer.Option("--simulated-root", help="PLATFORM=FILE: believe this simulator's root instead of the vendors'."),
    ] = None,
    issuer: Annotated[
        list[str] | None,
        typer.Option("--issuer", help="NAME=FILE: take passports that this verifier signed (Ed25519 public key, PEM)."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Make a broker's folder: whom it believes."""
    from coordinator.broker.home import create, read_config

    roots = _pairs(simulated_root or [], "simulated-root")
    fields: dict[str, Any] = {
        "chain_id": chain_id,
        "router": router.lower(),
        "policy": json.loads(read_text(policy)) if policy else None,
        "simulated_name": home.resolve().name if roots else "",
        "simulated_roots": {
            name: [_read(Path(path), MAX_ROOT, "simulated-root").hex()] for name, path in roots.items()
        },
        "issuers": {name: _issuer(Path(path)) for name, path in _pairs(issuer or [], "issuer").items()},
    }
    create(home, read_config(json.dumps(fields)))
    if json_output:
        print_json({"home": str(home), "simulated": sorted(roots), "issuers": sorted(fields["issuers"])})
        return
    believes = f"the SIMULATED roots of {', '.join(sorted(roots))}" if roots else "the vendors' roots"
    console().print(f"made {home}: it believes {believes}")
    console().print(f"next: w3bstream broker secret add NAME FILE --program 0x… --home {home}", soft_wrap=True)


@secret.command("add", epilog="Example: w3bstream broker secret add weather-key key.bin --program 0x3f…")
def add(
    *,
    name: Annotated[str, typer.Argument(help="Name under which enclaves ask for it.")],
    file: Annotated[Path, typer.Argument(help="The secret, at most 64 KiB.")],
    program: Annotated[list[str], typer.Option("--program", help="Program id that may have it; may be repeated.")],
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Development only: simulated enclaves may have it too.")
    ] = False,
    home: Home = HOME,
    json_output: Json = False,
) -> None:
    """Keep a secret; one of the same name is replaced."""
    from coordinator.broker.home import open_broker
    from coordinator.broker.vault import MAX_SECRET, Secret

    try:
        programs = frozenset(bytes.fromhex(each.removeprefix("0x")) for each in program)
    except ValueError as error:
        raise InvalidInput("W3B-9120", "a program id is 0x and 64 hex digits", field="program") from error
    open_broker(home).vault.put(Secret(name, _read(file, MAX_SECRET, "file"), programs, allow_simulated))
    if json_output:
        print_json({"name": name, "programs": len(programs), "allow_simulated": allow_simulated})
        return
    console().print(f"{name} is for {len(programs)} program(s)" + (", simulated ones too" if allow_simulated else ""))


@secret.command("list", epilog="Example: w3bstream broker secret list --json")
def list_secrets(*, home: Home = HOME, json_output: Json = False) -> None:
    """Say which secrets there are, and for which programs; never their values."""
    from coordinator.broker.home import open_broker

    vault = open_broker(home).vault
    found = [vault.get(name) for name in vault.names()]
    programs = [sorted("0x" + program.hex() for program in each.program_ids) for each in found]
    if json_output:
        listed = [
            {"name": each.name, "programs": ids, "allow_simulated": each.allow_simulated}
            for each, ids in zip(found, programs, strict=True)
        ]
        print_json({"secrets": listed})
        return
    rows = table("name", "programs", "simulated")
    for each, ids in zip(found, programs, strict=True):
        rows.add_row(each.name, "\n".join(ids), "allowed" if each.allow_simulated else "")
    console().print(rows)


@secret.command(epilog="Example: w3bstream broker secret remove weather-key")
def remove(
    *,
    name: Annotated[str, typer.Argument(help="Name of the secret.")],
    home: Home = HOME,
    json_output: Json = False,
) -> None:
    """Remove a secret."""
    from coordinator.broker.home import open_broker

    open_broker(home).vault.remove(name)
    if json_output:
        print_json({"name": name})
        return
    console().print(f"removed {name}")


@app.command(epilog="Example: w3bstream broker audit --limit 20")
def audit(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Newest requests to show.")] = 50,
    home: Home = HOME,
    json_output: Json = False,
) -> None:
    """Show who asked for what, and how it ended."""
    from dataclasses import asdict

    from coordinator.broker.home import open_broker

    entries = open_broker(home).journal.entries(limit)
    if json_output:
        print_json({"requests": [asdict(each) for each in entries]})
        return
    rows = table("at", "secret", "by", "program", "prover", "anchor", "ended")
    for each in entries:
        at = datetime.fromtimestamp(each.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        ended = f"{each.code} {each.reason}" if each.code else "released"
        rows.add_row(at, each.secret, each.model, each.program_id[:14] + "…", each.prover, each.anchor.upper(), ended)
    console().print(rows)


@app.command(epilog="Example: w3bstream broker serve --home broker --port 8790")
def serve(
    *,
    home: Home = HOME,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    json_output: Json = False,
) -> None:
    """Answer enclaves over HTTP until stopped; what is printed is JSON (docs/how-to/release-secrets.md)."""
    del json_output  # the announcement is JSON anyway
    from coordinator.broker.home import open_broker
    from coordinator.broker.http import Server
    from l1.serving import run_until_stopped

    server = Server(open_broker(home), host, port)
    try:
        asyncio.run(run_until_stopped(server, home))
    except OSError as error:
        raise Unavailable("W3B-9125", f"the broker cannot listen on {host}:{port}: {error}", field="port") from error
