"""`w3bstream ledger prune`: forget what is old and nobody needs."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated

import typer

from coordinator.cli.options import ApiKey, Json, Target, connect
from coordinator.cli.output import console, print_json, table
from verifier.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="The ledger's size (scope admin).")

UNIT_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_AGE = re.compile(r"([1-9][0-9]{0,5})([hdwy])")


@app.callback()
def ledger() -> None:
    """Keep `prune` a subcommand."""


def age_seconds(text: str) -> int:
    """Seconds of an age such as 90d. Raises InvalidInput (W3B-7008)."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise InvalidInput(
            "W3B-7008", f"--older-than {text[:20]!r} is not a number and h, d, w or y", field="older_than"
        )
    return int(match.group(1)) * UNIT_SECONDS[match.group(2)]


@app.command(epilog="Example: w3bstream ledger prune --older-than 90d    (then the same with --yes)")
def prune(
    *,
    older_than: Annotated[str, typer.Option("--older-than", help="Age, such as 36h, 90d, 8w or 1y; a day at least.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this it is counted only.")] = False,
    json_output: Json = False,
    target: Target = None,
    api_key: ApiKey = None,
) -> None:
    """Forget webhook bodies, failed tries, prover statuses and challenges that are old; by default only count them."""
    age = age_seconds(older_than)
    rows: Counter[str] = Counter()
    with connect(target, api_key) as client:
        has_more = True
        while has_more:
            answer = client.prune_ledger(age, act=yes)
            rows.update({each.what: each.rows for each in answer.pruned})
            has_more = answer.has_more
    if json_output:
        print_json({"acted": yes, "rows": dict(rows)})
        return
    out = console()
    shown = table("what", "forgotten" if yes else "would be forgotten")
    for what, number in rows.items():
        shown.add_row(what, str(number))
    out.print(shown)
    if not yes:
        out.print("nothing was changed; with --yes it is done")
