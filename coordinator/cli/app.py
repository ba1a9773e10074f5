"""The root of the command: its groups, `status`, `up`, `demo`, and how errors end it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from coordinator.cli import (
    attestation,
    audit,
    broker,
    chain,
    evidence,
    explorer,
    identity,
    job,
    keys,
    ledger,
    project,
    prover,
    quota,
    stream,
    task_repairs,
    webhook,
)
from coordinator.cli.chaos import chaos
from coordinator.cli.ingest import ingest
from coordinator.cli.l1 import group as l1_group
from coordinator.cli.options import ApiKey, Json, Target, connect
from coordinator.cli.output import JSON_FLAG, console, fields_table, print_error, print_json, table, when
from coordinator.cli.start import coded_start, load_settings
from verifier.errors import Unavailable, W3bstreamError
from w3bstream.v1 import admin_pb2


class ErrorGroup(TyperGroup):
    """Ends the command with exit code 1, and code, message and next step on stderr. (Usage errors end it with 2.)"""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except W3bstreamError as error:
            print_error(error, as_json=bool(ctx.find_root().meta.get(JSON_FLAG)))
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise typer.Exit(1) from None


app = typer.Typer(
    name="w3bstream",
    cls=ErrorGroup,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Signed device readings in; proven, on-chain verified results out.",
    epilog="Start here: w3bstream demo    Your own data: w3bstream up, then w3bstream project init",
)
app.add_typer(project.app, name="project")
app.add_typer(task_repairs.app, name="task")
app.add_typer(evidence.app, name="evidence")
app.add_typer(attestation.app, name="attestation")
app.add_typer(broker.app, name="broker")
app.add_typer(prover.app, name="prover")
app.add_typer(webhook.app, name="webhook")
app.add_typer(stream.app, name="stream")
app.add_typer(keys.app, name="keys")
app.add_typer(identity.app, name="identity")
app.add_typer(job.app, name="job")
app.add_typer(quota.app, name="quota")
app.add_typer(audit.app, name="audit")
app.add_typer(ledger.app, name="ledger")
app.command(epilog="Example: w3bstream login --key me.pem")(identity.login)
app.command(epilog="Example: w3bstream logout")(identity.logout)
app.command(epilog="Example: w3bstream chaos --seed 1 --minutes 2")(chaos)
app.add_typer(explorer.app, name="explorer")
app.add_typer(chain.app, name="tx")
app.add_typer(l1_group.app, name="l1")
app.command(epilog="Example: w3bstream reconcile --project weather")(chain.reconcile)
app.command(epilog="Example: w3bstream ingest temperatures.csv --project 1 --value-column temp --scale 10")(ingest)


def _part_state(part: admin_pb2.Component) -> Text:
    if part.healthy:
        return Text("healthy", "green")
    return Text("starting", "yellow") if "starting" in part.detail else Text("not healthy", "bold red")


@app.command(epilog="Example: w3bstream status --json")
def status(json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Say how each part of the service stands; exit code 1 when one is not healthy."""
    with connect(target, api_key) as client:
        found = client.get_status()
        where = client.target
    if json_output:
        print_json(found)
    else:
        out = console()
        tasks = ", ".join(f"{count} {name}" for name, count in sorted(found.tasks.items()))
        out.print(
            fields_table(
                [
                    ("API", where),
                    ("version", found.version),
                    ("up since", when(found.started_at)),
                    ("chain", f"id {found.chain_id}, {found.chain_rpc_url}"),
                    ("tasks", tasks or "none yet"),
                ]
            )
        )
        parts = table("part", "state", "detail", "address", title="\nParts")
        for each in found.components:
            parts.add_row(each.name, _part_state(each), each.detail, each.address)
        out.print(parts)
        contracts = table("contract", "address", title="\nContracts")
        for name, address in sorted(found.contracts.items()):
            contracts.add_row(name, address)
        out.print(contracts)
    if not all(each.healthy for each in found.components):
        raise typer.Exit(1)


def _not_installed(error: ImportError) -> Unavailable:
    return Unavailable(
        "W3B-8003",
        f"module {error.name} is not installed",
        next_step="Install the service: pip install 'w3bstream[demo]'",
    )


@app.command(epilog="Example: W3BSTREAM_API_PORT=8080 w3bstream up --delegates 24")
def up(
    delegates: Annotated[
        int | None,
        typer.Option(min=0, max=144, help="Delegates of a new embedded chain [default: W3BSTREAM_CHAIN_DELEGATES, 24]"),
    ] = None,
    json_output: Json = False,
) -> None:
    """Run the service on this machine until Ctrl-C. Its settings: docs/reference/settings.md."""
    try:
        from coordinator.service import run_service

        settings = load_settings()
    except ImportError as error:
        raise _not_installed(error) from error
    if delegates is not None:
        settings = settings.model_copy(update={"chain_delegates": delegates})
    if json_output:
        print_json({"starting": True})
    with coded_start(settings):
        run_service(settings)


@app.command(epilog="Example: w3bstream demo --once --json")
def demo(
    once: Annotated[bool, typer.Option("--once", help="End afterwards instead of keeping the service up.")] = False,
    all_readings: Annotated[bool, typer.Option("--all", help="All 17,518 readings (many minutes).")] = False,
    readings: Annotated[int, typer.Option(min=1, max=17518, help="Readings to send.")] = 512,
    devices: Annotated[int, typer.Option(min=2, max=1024, help="Devices that share them, an even number.")] = 8,
    json_output: Json = False,
) -> None:
    """Send real temperature readings of 2010 through the whole service and check the result on chain."""
    try:
        from coordinator.demo import run_demo

        with coded_start(load_settings()):
            code = run_demo(
                once=once, json_output=json_output, all_readings=all_readings, readings=readings, devices=devices
            )
    except ImportError as error:
        raise _not_installed(error) from error
    raise typer.Exit(code)


def main() -> None:
    """The entry point `w3bstream`."""
    app()
