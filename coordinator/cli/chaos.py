"""`w3bstream chaos`: whether the invariants hold while parts of an installation are killed and frozen under load."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli.options import Json
from coordinator.cli.output import console
from verifier.errors import InvalidInput, Unavailable


def chaos(
    *,
    seed: Annotated[int, typer.Option(help="Draws faults and load; the same seed gives the same schedule.")] = 1,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long faults strike under load.")] = 2.0,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="Only this fault, such as nats-killed; give it once for each. Default: all."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Readings a second.")] = 2.0,
    projects: Annotated[int, typer.Option(min=1, max=16, help="Projects that the readings belong to.")] = 2,
    drain: Annotated[float, typer.Option(min=1, help="Seconds to finish everything after the last fault.")] = 600.0,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Scratch home folder, new or of an earlier run. Default: a temporary one, removed if all holds."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Kill and freeze parts of a scratch installation under load, then check that nothing is lost or doubled.

    Your own installation is not touched. Exit code 0 when every invariant holds; docs/how-to/chaos.md says more.
    """
    try:
        from coordinator.chaos.faults import ALL, FaultKind
        from coordinator.chaos.report import Report
        from coordinator.chaos.run import Plan, run_to_the_end
    except ImportError as error:
        raise Unavailable(
            "W3B-8003",
            f"module {error.name} is not installed",
            next_step="Install the service: pip install 'w3bstream[coordinator]'",
        ) from error
    known = {kind.value: kind for kind in FaultKind}
    if unknown := sorted(set(fault or ()) - set(known)):
        raise InvalidInput("W3B-7008", f"faults {unknown} are unknown; there are {list(known)}", field="fault")
    kinds = [known[name] for name in fault] if fault else list(ALL)
    folder = home.absolute() if home else Path(tempfile.mkdtemp(prefix="w3bstream-chaos-"))
    plan = Plan(folder, seed=seed, seconds=minutes * 60, kinds=kinds, rate=rate, projects=projects, drain_seconds=drain)
    outcome = run_to_the_end(plan, Report(as_json=json_output))
    if outcome.holds and home is None:
        shutil.rmtree(folder)
    else:
        console(stderr=True).print(f"Ledger, logs and streams of the run are in {folder}", soft_wrap=True)
    if not outcome.holds:
        raise typer.Exit(1)
