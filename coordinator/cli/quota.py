"""`w3bstream quota`: how much a project may use."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.cli.lookup import project_id
from coordinator.cli.options import ApiKey, Json, ProjectOption, Target, connect
from coordinator.cli.output import as_dict, console, print_json, table, when

app = typer.Typer(no_args_is_help=True, help="Quotas and rates of projects (scope admin).")


@app.command(epilog="Example: w3bstream quota show --project 1")
def show(*, project: ProjectOption, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Show what a project may use, and has used."""
    with connect(target, api_key) as client:
        found = client.list_quotas(project_id(client, project))
    if json_output:
        print_json({"quotas": [as_dict(each) for each in found]})
        return
    rows = table("resource", "allowed", "in seconds", "used", "until", "set for")
    for each in found:
        allowed, period = str(each.allowance or "no limit"), str(each.period_seconds or "at once")
        owner = "this project" if each.own else "every project"
        rows.add_row(each.resource, allowed, period, str(each.used), when(each.period_ends_at), owner)
    console().print(rows)


@app.command("set", epilog="Example: w3bstream quota set --project 1 readings 1000000")
def set_quota(
    *,
    project: ProjectOption,
    resource: Annotated[str, typer.Argument(help="requests, jobs, readings or open_tasks.", show_default=False)],
    allowance: Annotated[
        str, typer.Argument(help="How much in a period; 0 for no limit, `default` for the installation's default.")
    ],
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Give a project a quota of its own."""
    if allowance != "default" and not allowance.isdecimal():
        raise typer.BadParameter("a number or `default`", param_hint="ALLOWANCE")
    with connect(target, api_key) as client:
        number = None if allowance == "default" else int(allowance)
        made = client.set_quota(project_id(client, project), resource, number)
    if json_output:
        print_json(made)
    else:
        console().print(f"project {made.project_id}: {made.resource} {made.allowance or 'without limit'}")
