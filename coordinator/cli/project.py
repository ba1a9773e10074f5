"""`w3bstream project`: from a project file to a published version."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.api.client import Client
from coordinator.cli import keyring
from coordinator.cli.lookup import project_id
from coordinator.cli.options import ApiKey, IdempotencyKey, Json, Target, connect
from coordinator.cli.output import as_dict, console, fields_table, print_json, shown_id, state_text, table, when
from coordinator.cli.user_file import read_text
from verifier.errors import InvalidInput, NotFound, Unavailable, W3bstreamError
from verifier.reading import KeyType
from w3bstream.v1 import project_pb2

app = typer.Typer(no_args_is_help=True, help="Projects: whose devices, what is proven, which assurance.")
ProjectId = Annotated[str, typer.Argument(help="Project id or name.", show_default=False)]
POLL_SECONDS = 0.5


@app.command(epilog="Example: w3bstream project init weather.yaml --name weather --devices 2")
def init(
    *,
    file: Annotated[Path, typer.Argument(help="Where to write the project file.")],
    name: Annotated[str, typer.Option(help="Project name: 3 to 64 of a-z, 0-9 and '-'.")] = "my-project",
    keys: Annotated[Path, typer.Option(help="Folder of device keys; missing ones are made there.")] = Path("keys"),
    devices: Annotated[int, typer.Option(min=1, max=1024, help="Devices to have.")] = 1,
    json_output: Json = False,
) -> None:
    """Write a commented project file, and the device keys that it names."""
    from coordinator.projects.example import example

    if file.exists():
        raise InvalidInput("W3B-7016", f"{file} exists already", next_step="Choose another name, or remove it first.")
    ring = keyring.load(keys) if keys.is_dir() else {}
    for number in range(len(ring) + 1, devices + 1):
        ring[f"device-{number}"] = keyring.generate(keys, f"device-{number}", KeyType.BABYJUBJUB)
    file.write_text(example(name, [key.registration(label) for label, key in sorted(ring.items())]), "utf-8")
    if json_output:
        print_json(
            {"file": str(file), "keys": str(keys), "devices": {n: f"0x{k.device.hex()}" for n, k in ring.items()}}
        )
        return
    console().print(f"wrote {file} for {len(ring)} device(s), their keys lie in {keys}{'/'}")
    console().print(f"next: w3bstream project create {name}, then w3bstream project publish {file}")


@app.command(epilog="Example: w3bstream project create weather")
def create(
    *,
    name: Annotated[str, typer.Argument(help="3 to 64 of a-z, 0-9 and '-', as in the project file.")],
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Create a project."""
    with connect(target, api_key) as client:
        project = client.create_project(name, idempotency_key=idempotency_key)
    if json_output:
        print_json(project)
    else:
        console().print(f"created project {project.id} ({project.name})")


def _mapping(file: Path, text: str) -> dict[str, Any]:
    """The file's fields, so that the plainest mistakes are said in a newcomer's words. Raises InvalidInput (W3B-2001)."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        problem = error.problem or error.context or "this is no YAML"
        said = "a tab; indent with spaces" if "'\\t'" in problem else f"this is no YAML: {problem}"
        raise InvalidInput("W3B-2001", f"{file}: {where}{said}") from error
    except yaml.YAMLError as error:
        raise InvalidInput("W3B-2001", f"{file}: this is no YAML: {error}") from error
    if found is None:
        raise InvalidInput("W3B-2001", f"{file}: the file is empty")
    if not isinstance(found, dict):
        raise InvalidInput(
            "W3B-2001", f"{file}: the file must be a mapping that begins with schema: w3bstream/v1", field="schema"
        )
    return found


def _by_name(client: Client, file: Path, fields: dict[str, Any]) -> int:
    """The id of the project that the file names."""
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidInput("W3B-2001", f"{file}: the field name is missing or no text", field="name")
    for project in client.projects():
        if project.name == name:
            return project.id
    raise NotFound(
        "W3B-2002", f"there is no project {name!r}", next_step=f"Run `w3bstream project create {name}` first."
    )


def _wait_published(client: Client, version: project_pb2.ProjectVersion, seconds: float) -> project_pb2.ProjectVersion:
    ends = time.monotonic() + seconds
    while version.state == project_pb2.VERSION_STATE_PENDING:
        if time.monotonic() >= ends:
            raise Unavailable("W3B-7012", f"version {version.version} was not mined within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
        found = client.get_project(version.project_id).versions
        version = next(each for each in found if each.version == version.version)
    if version.state == project_pb2.VERSION_STATE_FAILED:
        raise W3bstreamError("W3B-5002", f"version {version.version} was refused in {version.transaction_hash}")
    return version


@app.command(epilog="Example: w3bstream project publish weather.yaml")
def publish(
    *,
    file: Annotated[Path, typer.Argument(help="Project file (docs/reference/project-file.md).")],
    project: Annotated[
        str, typer.Option("--project", "-p", help="Project id or name. Default: by the file's name.")
    ] = "",
    wait: Annotated[bool, typer.Option(help="Wait until the transaction is mined.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 300.0,
    idempotency_key: IdempotencyKey = "",
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Publish the next version of a project from its file."""
    text = read_text(file)
    fields = _mapping(file, text)
    with connect(target, api_key) as client:
        number = project_id(client, project) or _by_name(client, file, fields)
        version = client.publish_version(number, text, idempotency_key=idempotency_key)
        if wait:
            version = _wait_published(client, version, timeout)
    if json_output:
        print_json(version)
        return
    out = console()
    out.print(f"version {version.version} of project {version.project_id}:", state_text(_version_state(version)))
    out.print(f"configuration {version.config_hash}", soft_wrap=True)


def _version_state(version: project_pb2.ProjectVersion) -> str:
    return project_pb2.VersionState.Name(version.state)


def _print_project(project: project_pb2.Project, *, as_json: bool) -> None:
    if as_json:
        print_json(project)
        return
    console().print(f"project {project.id} ({project.name}):", state_text(project_pb2.ProjectState.Name(project.state)))


@app.command(epilog="Example: w3bstream project pause 1")
def pause(project: ProjectId, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Stop intake and new tasks; what was accepted goes on."""
    with connect(target, api_key) as client:
        _print_project(client.pause_project(project_id(client, project)), as_json=json_output)


@app.command(epilog="Example: w3bstream project resume 1")
def resume(project: ProjectId, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Resume a paused project."""
    with connect(target, api_key) as client:
        _print_project(client.resume_project(project_id(client, project)), as_json=json_output)


@app.command(epilog="Example: w3bstream project get 1")
def get(project: ProjectId, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Show a project, its versions and its intake."""
    with connect(target, api_key) as client:
        number = project_id(client, project)
        found = client.get_project(number)
        intake = client.get_intake(number)
    if json_output:
        print_json({**as_dict(found), "intake": as_dict(intake)})
        return
    out = console()
    out.print(
        fields_table(
            [
                ("id", found.project.id),
                ("name", found.project.name),
                ("state", state_text(project_pb2.ProjectState.Name(found.project.state))),
                ("created", when(found.project.created_at)),
                ("accepted readings", str(intake.accepted)),
                ("refused", ", ".join(f"{count} {code}" for code, count in sorted(intake.refused.items()))),
                ("missing", str(sum(gap.missing for gap in intake.gaps))),
                ("open window", f"{intake.open_readings} readings from position {intake.window_start}"),
                ("intake stands still", intake.stopped),
            ]
        )
    )
    rows = table(
        "version", "state", "devices", "window", "programs", "configuration", "transaction", title="\nVersions"
    )
    for each in found.versions:
        programs = ", ".join(f"{program.name} ({program.kind})" for program in each.programs)
        window = f"{each.window_capacity} / {each.window_seconds} s"
        cells = (str(each.version), state_text(_version_state(each)), str(each.devices), window, programs)
        rows.add_row(*cells, shown_id(each.config_hash, out), shown_id(each.transaction_hash, out))
    out.print(rows)


def _took(milliseconds: project_pb2.QuoteRange) -> str:
    return f"{milliseconds.p50 / 1000:,.2f} / {milliseconds.p95 / 1000:,.2f} s"


def _ether(wei: str) -> str:
    return f"{Decimal(wei).scaleb(-18).normalize():f}"


@app.command(epilog="Example: w3bstream project quote weather")
def quote(project: ProjectId, json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """Say what a task is likely to take, from the proofs that were made before (p50 / p95)."""
    with connect(target, api_key) as client:
        found = client.get_quote(project_id(client, project))
    if json_output:
        print_json(found)
        return
    out = console()
    rows = table("kind", "proofs", "provers", "proving", "window to settlement", "gas")
    for each in found.kinds:
        figures = ("no proof of this program yet", "", "")
        if each.samples:
            figures = (_took(each.proving_ms), _took(each.total_ms), f"{each.gas.p50:,} / {each.gas.p95:,}")
        rows.add_row(each.kind, str(each.samples), str(each.provers), *figures)
    out.print(rows)
    if found.confirm_kind:
        out.print(f"{found.confirm_kind} confirms each result afterwards, within {found.confirm_within_seconds:,} s")
    if not found.estimated_kinds:
        out.print("no estimate: a kind that must verify was never proven; submit a task, then ask again")
        return
    counting = [each.kind for each in found.kinds if each.kind != found.confirm_kind]
    out.print(f"a task ({found.threshold} of {len(counting)} kinds: {', '.join(found.estimated_kinds)}):")
    out.print(f"  {_took(found.total_ms)}, {found.gas.p50:,} / {found.gas.p95:,} gas")
    if found.gas_price:
        price = f"{_ether(found.price_p50)} / {_ether(found.price_p95)}"
        out.print(f"  {price} of the chain's coin at {int(found.gas_price):,} wei a gas")
    else:
        out.print("  no price: the chain did not say what gas costs")


@app.command("list", epilog="Example: w3bstream project list --json")
def list_projects(json_output: Json = False, target: Target = None, api_key: ApiKey = None) -> None:
    """List projects."""
    with connect(target, api_key) as client:
        projects = list(client.projects())
    if json_output:
        print_json({"projects": [as_dict(project) for project in projects]})
        return
    rows = table("id", "name", "state", "version", "created")
    for each in projects:
        state = state_text(project_pb2.ProjectState.Name(each.state))
        rows.add_row(str(each.id), each.name, state, str(each.version), when(each.created_at))
    console().print(rows)
