"""`w3bstream l1 staking stake|deposit|restake|move|unstake|withdraw|endorse`: what the owner of a bucket does."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.cli.l1 import units
from coordinator.cli.l1.account import Key, Password
from coordinator.cli.l1.chain_node import ChainNode, Rpc
from coordinator.cli.l1.sending import Wait, report
from coordinator.cli.l1.staking_contract import StakingView, sender
from coordinator.cli.l1.units import address, hexed, iotx, rau
from coordinator.cli.options import Json
from verifier.errors import NotFound

_KEYED = "--key alice.key"
Bucket = Annotated[int, typer.Argument(min=0, help="The bucket's number.", show_default=False)]
Candidate = Annotated[
    str, typer.Argument(help="The candidate: the address of the account that registered it.", show_default=False)
]
Amount = Annotated[str, typer.Argument(help="IOTX, such as 100 or 0.5.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command(epilog=f"Example: w3bstream l1 staking stake 0x7e5f… 10000 --days 91 --auto-stake {_KEYED}")(stake)
    app.command(epilog=f"Example: w3bstream l1 staking deposit 3 500 {_KEYED}")(deposit)
    app.command(epilog=f"Example: w3bstream l1 staking restake 3 --days 7 --no-auto-stake {_KEYED}")(restake)
    app.command(epilog=f"Example: w3bstream l1 staking move 3 0x7e5f… {_KEYED}")(move)
    app.command(epilog=f"Example: w3bstream l1 staking unstake 3 {_KEYED}")(unstake)
    app.command(epilog=f"Example: w3bstream l1 staking withdraw 3 {_KEYED}")(withdraw)
    app.command(epilog=f"Example: w3bstream l1 staking endorse 3 {_KEYED}")(endorse)


def stake(
    candidate: Candidate,
    amount: Amount,
    *,
    key: Key,
    days: Annotated[int, typer.Option(min=0, max=0xFFFF_FFFF, help="How long; longer weighs more.")] = 0,
    auto_stake: Annotated[
        bool, typer.Option("--auto-stake/--no-auto-stake", help="Whether the duration does not run down.")
    ] = False,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Stake for a candidate, in a bucket of its own."""
    to, value = address(candidate, "candidate"), rau(amount, "amount")
    who = sender(rpc, key, password_file)
    data = who.contract.artifact.encode_call("createBucket", to, days, auto_stake)
    sent = who.send(data, value, timeout=timeout, quiet=json_output)
    index = sent.event("BucketCreated").get("index")
    report(sent, f"staked {iotx(value)} IOTX for {hexed(to)}", as_json=json_output, facts={"bucket": index})


def deposit(
    bucket: Bucket,
    amount: Amount,
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Add to a bucket with auto-stake; anybody may."""
    value = rau(amount, "amount")
    who = sender(rpc, key, password_file)
    data = who.contract.artifact.encode_call("deposit", bucket)
    sent = who.send(data, value, timeout=timeout, quiet=json_output)
    report(sent, f"added {iotx(value)} IOTX to bucket {bucket}", as_json=json_output)


def restake(
    bucket: Bucket,
    *,
    key: Key,
    days: Annotated[
        int | None, typer.Option(min=0, max=0xFFFF_FFFF, help="The new duration. Default: as it is.")
    ] = None,
    auto_stake: Annotated[
        bool | None, typer.Option("--auto-stake/--no-auto-stake", help="Default: as it is.", show_default=False)
    ] = None,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Begin a bucket's duration again, with other terms; a shorter one only when the old one is over."""
    if days is None or auto_stake is None:
        found = StakingView(ChainNode.at(rpc)).bucket(bucket)
        if found is None:
            raise NotFound("W3B-5002", f"there is no bucket {bucket}", field="bucket")
        days = found.days if days is None else days
        auto_stake = found.auto_stake if auto_stake is None else auto_stake
    who = sender(rpc, key, password_file)
    data = who.contract.artifact.encode_call("restake", bucket, days, auto_stake)
    sent = who.send(data, 0, timeout=timeout, quiet=json_output)
    words = f"bucket {bucket} lasts {days} d, auto-stake {'on' if auto_stake else 'off'}"
    report(sent, words, as_json=json_output)


def move(
    bucket: Bucket,
    candidate: Candidate,
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Let a bucket vote for another candidate."""
    to = address(candidate, "candidate")
    who = sender(rpc, key, password_file)
    data = who.contract.artifact.encode_call("changeCandidate", bucket, to)
    sent = who.send(data, 0, timeout=timeout, quiet=json_output)
    report(sent, f"bucket {bucket} votes for {hexed(to)}", as_json=json_output)


def unstake(
    bucket: Bucket,
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Stop a bucket's vote and begin the wait for its withdrawal."""
    who = sender(rpc, key, password_file)
    sent = who.send(who.contract.artifact.encode_call("unstake", bucket), 0, timeout=timeout, quiet=json_output)
    when = int(sent.event("Unstaked").get("withdrawableAt", 0))
    words = f"bucket {bucket} votes no more; withdraw it from {units.at(when)}"
    report(sent, words, as_json=json_output, facts={"withdrawable_at": when} if json_output else None)


def withdraw(
    bucket: Bucket,
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Take an unstaked bucket out, when its wait is over."""
    who = sender(rpc, key, password_file)
    sent = who.send(who.contract.artifact.encode_call("withdraw", bucket), 0, timeout=timeout, quiet=json_output)
    report(sent, f"bucket {bucket} is withdrawn", as_json=json_output)


def endorse(
    bucket: Bucket,
    *,
    key: Key,
    give_notice: Annotated[bool, typer.Option("--give-notice", help="Announce the end of the endorsement.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="End it, after notice.")] = False,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Vouch with a bucket for the candidate that it votes for, who may take it for a self-stake."""
    if give_notice and revoke:
        raise typer.BadParameter("give --give-notice or --revoke, first the one and later the other")
    name = "giveNotice" if give_notice else "revokeEndorsement" if revoke else "endorse"
    who = sender(rpc, key, password_file)
    sent = who.send(who.contract.artifact.encode_call(name, bucket), 0, timeout=timeout, quiet=json_output)
    words = {"endorse": "endorses its candidate", "giveNotice": "has given notice"}.get(name, "endorses nobody")
    report(sent, f"bucket {bucket} {words}", as_json=json_output)
