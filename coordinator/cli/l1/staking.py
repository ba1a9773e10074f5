"""`w3bstream l1 staking`: who stakes what for whom, and who decides the blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from coordinator.cli.l1 import staking_buckets, staking_candidates
from coordinator.cli.l1.chain_node import ChainNode, Rpc
from coordinator.cli.l1.staking_contract import StakingView
from coordinator.cli.l1.units import IOTX, address, at, decimal_iotx, hexed, iotx, lasting
from coordinator.cli.options import Json
from coordinator.cli.output import console, fields_table, print_json, shown_id, table
from verifier.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from l1.staking.state import Bucket, Candidate

app = typer.Typer(no_args_is_help=True, help="Staking: candidates, buckets, rewards, and the delegates of the epoch.")
staking_buckets.add_to(app)
staking_candidates.add_to(app)


@app.command(epilog="Example: w3bstream l1 staking parameters --rpc http://127.0.0.1:8545")
def parameters(json_output: Json = False, rpc: Rpc = "") -> None:
    """Say the contract's numbers: least amounts, fees, waits, rewards and penalties."""
    found = StakingView(ChainNode.at(rpc)).constants()
    if json_output:
        print_json({name.lower(): str(value) for name, value in found.items()})
        return
    rows = [(name.lower().replace("_", " "), _number(name, value)) for name, value in found.items()]
    console().print(fields_table(rows))


def _number(name: str, value: int) -> str:
    if name == "EQUIVOCATION_SLASH_SHARE":
        return f"{value / 100:g} % of the self-stake"
    if name == "PRODUCTIVITY_THRESHOLD":
        return f"{value} %"
    if name == "WITHDRAW_WAIT":
        return lasting(value)
    units = {"BLOCKS_PER_EPOCH": " blocks", "ENDORSEMENT_WAIT": " blocks", "MAX_DAYS": " d", "EXIT_EPOCHS": " epochs"}
    return f"{value:,}{units[name]}" if name in units else f"{iotx(value)} IOTX"


@app.command(epilog="Example: w3bstream l1 staking candidates --json")
def candidates(json_output: Json = False, rpc: Rpc = "") -> None:
    """List the candidates, most votes first."""
    view = StakingView(ChainNode.at(rpc))
    state = view.state()
    found = sorted(state.candidates.values(), key=lambda each: (-each.votes, each.identity))
    if json_output:
        print_json({"candidates": [_candidate_json(each) for each in found], "pool_iotx": decimal_iotx(state.pool)})
        return
    out = console()
    rows = table("candidate", "operator", "votes", "self-stake, IOTX", "state")
    for each in found:
        names = shown_id(hexed(each.identity), out), shown_id(hexed(each.operator), out)
        rows.add_row(*names, f"{each.votes // IOTX:,}", iotx(each.self_stake), _standing(each))
    out.print(rows)
    out.print(f"reward pool: {iotx(state.pool)} IOTX", soft_wrap=True)


def _standing(candidate: Candidate) -> Text:
    if candidate.exit is not None:
        leaves = candidate.exit.leaves_at
        return Text("waits to leave" if leaves is None else f"leaves with epoch {leaves}", "yellow")
    if candidate.disqualified:
        return Text("disqualified", "red")
    return Text("candidate", "green") if candidate.self_stake else Text("no self-stake", "dim")


def _candidate_json(each: Candidate) -> dict[str, Any]:
    return {
        "candidate": hexed(each.identity),
        "operator": hexed(each.operator),
        "reward": hexed(each.reward),
        "bls_key": hexed(each.bls_key),
        "votes": str(each.votes),
        "self_stake_iotx": decimal_iotx(each.self_stake),
        "self_stake_bucket": each.self_stake_bucket,
        "disqualified": each.disqualified,
        "leaving": each.exit is not None,
        "leaves_at_epoch": each.exit.leaves_at if each.exit else None,
        "last_unproductive_epoch": each.last_unproductive or None,
    }


@app.command(epilog="Example: w3bstream l1 staking show 0x7e5f4552091a69125d5dfcb7b8c2659029395bdf    (or: show 3)")
def show(
    what: Annotated[str, typer.Argument(help="An address, or a bucket's number.", show_default=False)],
    *,
    json_output: Json = False,
    rpc: Rpc = "",
) -> None:
    """Show an account: its buckets, its rewards, and what it is as a candidate; or one bucket."""
    view = StakingView(ChainNode.at(rpc))
    if what.isascii() and what.isdigit():
        _show_bucket(view, int(what), as_json=json_output)
    else:
        _show_account(view, address(what, "what"), as_json=json_output)


def _show_bucket(view: StakingView, index: int, *, as_json: bool) -> None:
    bucket = view.bucket(index)
    if bucket is None:
        raise NotFound(
            "W3B-5002",
            f"there is no bucket {index}: it never was, or was withdrawn",
            field="what",
            next_step="List an account's buckets with `w3bstream l1 staking show ADDRESS`.",
        )
    if as_json:
        print_json(_bucket_json(view, bucket))
        return
    console().print(
        fields_table(
            [
                ("bucket", str(bucket.index)),
                ("owner", hexed(bucket.owner)),
                ("votes for", hexed(bucket.candidate)),
                ("amount", f"{iotx(bucket.amount)} IOTX"),
                ("duration", f"{bucket.days} d"),
                ("auto-stake", "on" if bucket.auto_stake else "off"),
                ("since", at(bucket.started_at)),
                ("state", _bucket_state(view, bucket)),
            ]
        )
    )


def _bucket_state(view: StakingView, bucket: Bucket) -> str:
    if bucket.unstaked_at is not None:
        return f"unstaked; may be withdrawn from {at(view.withdrawable_at(bucket) or 0)}"
    if bucket.endorsed_until is not None:
        return "staked, and endorses its candidate"
    return "staked" if bucket.auto_stake else f"staked; may be unstaked from {at(bucket.matures_at)}"


def _bucket_json(view: StakingView, each: Bucket) -> dict[str, Any]:
    return {
        "bucket": each.index,
        "owner": hexed(each.owner),
        "candidate": hexed(each.candidate),
        "amount_iotx": decimal_iotx(each.amount),
        "days": each.days,
        "auto_stake": each.auto_stake,
        "started_at": each.started_at,
        "unstaked_at": each.unstaked_at,
        "withdrawable_at": view.withdrawable_at(each),
        "endorses": each.endorsed_until is not None,
    }


def _show_account(view: StakingView, account: bytes, *, as_json: bool) -> None:
    state = view.state(with_buckets=True)
    buckets = [each for each in state.buckets.values() if each.owner == account]
    candidate, rewards = state.candidates.get(account), view.unclaimed(account)
    votes = view.votes(account)
    if as_json:
        print_json(
            {
                "account": hexed(account),
                "rewards_iotx": decimal_iotx(rewards),
                "voting_weight": str(votes),
                "buckets": [_bucket_json(view, each) for each in buckets],
                "candidate": None if candidate is None else _candidate_json(candidate),
            }
        )
        return
    out = console()
    staked = sum(each.amount for each in buckets)
    out.print(
        fields_table(
            [
                ("account", hexed(account)),
                ("staked", f"{iotx(staked)} IOTX in {len(buckets)} buckets"),
                ("weight in votes", f"{votes // IOTX:,}"),
                ("rewards", f"{iotx(rewards)} IOTX to claim"),
            ]
        )
    )
    if candidate is not None:
        rows = [
            ("operator", hexed(candidate.operator)),
            ("rewards go to", hexed(candidate.reward)),
            ("voting key", hexed(candidate.bls_key)),
            ("votes", f"{candidate.votes // IOTX:,}"),
            ("self-stake", f"{iotx(candidate.self_stake)} IOTX"),
            ("state", _standing(candidate)),
        ]
        out.print("\nCandidate", style="bold")
        out.print(fields_table(rows))
    if buckets:
        listed = table("bucket", "amount, IOTX", "days", "auto", "votes for", "state", title="\nBuckets")
        for each in buckets:
            auto = "on" if each.auto_stake else "off"
            goes_to = shown_id(hexed(each.candidate), out)
            listed.add_row(str(each.index), iotx(each.amount), str(each.days), auto, goes_to, _bucket_state(view, each))
        out.print(listed)


@app.command(epilog="Example: w3bstream l1 staking delegates")
def delegates(
    epoch: Annotated[
        int | None, typer.Option(min=1, help="The epoch, of which this or the last one is known. Default: this one.")
    ] = None,
    *,
    json_output: Json = False,
    rpc: Rpc = "",
) -> None:
    """List the delegates of an epoch, who decide its blocks, in their order."""
    view = StakingView(ChainNode.at(rpc))
    number = epoch or view.epoch
    seats = view.seats(number)
    if epoch is not None and not seats:
        raise InvalidInput(
            "W3B-7008",
            f"no election is known for epoch {epoch}; this is epoch {view.epoch}",
            field="epoch",
            next_step="Leave --epoch out for the delegates of now.",
        )
    source = "election" if seats else "genesis"
    found = seats or view.deciding()
    total = sum(each.power for each in found) or 1
    if json_output:
        listed = [
            {
                "candidate": hexed(each.candidate) if each.candidate else None,
                "operator": hexed(each.operator),
                "power": str(each.power),
                "bls_key": hexed(each.bls_key),
            }
            for each in found
        ]
        print_json({"epoch": number, "source": source, "delegates": listed})
        return
    out = console()
    rows = table("place", "operator", "candidate", "power", "share")
    for place, each in enumerate(found):
        names = (
            shown_id(hexed(each.operator), out),
            shown_id(hexed(each.candidate), out) if each.candidate else "",
        )
        rows.add_row(str(place), *names, f"{each.power // IOTX:,}", f"{100 * each.power / total:.2f} %")
    out.print(rows)
    out.print(f"epoch {number}, {len(found)} delegates, named by the {source}", soft_wrap=True)
