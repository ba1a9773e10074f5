"""`w3bstream l1 staking register|update|activate|exit|confirm-exit|claim`: what a candidate does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coordinator.cli.l1.account import Key, Password
from coordinator.cli.l1.chain_node import ChainNode, Rpc
from coordinator.cli.l1.sending import Sender, Wait, report
from coordinator.cli.l1.staking_contract import StakingView, sender
from coordinator.cli.l1.units import address, hexed, iotx, rau
from coordinator.cli.options import Json
from coordinator.cli.user_file import read_text
from verifier.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from l1.chain.genesis_delegates import GenesisDelegate

_KEYED = "--key owner.key"
Registration = Annotated[
    Path,
    typer.Argument(
        help="What `w3bstream l1 keygen` printed: operator, voting key, and proof of its possession.",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command(epilog=f"Example: w3bstream l1 staking register alice.json --stake 400000 {_KEYED}")(register)
    app.command(epilog=f"Example: w3bstream l1 staking update --registration new.json {_KEYED}")(update)
    app.command(epilog=f"Example: w3bstream l1 staking activate 3 {_KEYED}")(activate)
    app.command("exit", epilog=f"Example: w3bstream l1 staking exit {_KEYED}")(leave)
    app.command("confirm-exit", epilog=f"Example: w3bstream l1 staking confirm-exit {_KEYED}")(confirm_exit)
    app.command(epilog=f"Example: w3bstream l1 staking claim {_KEYED}")(claim)


def register(
    registration: Registration,
    *,
    key: Key,
    stake: Annotated[str, typer.Option(help="Self-stake in IOTX, beside the fee.")] = "0",
    days: Annotated[int, typer.Option(min=0, max=0xFFFF_FFFF, help="Duration of the self-stake.")] = 91,
    auto_stake: Annotated[
        bool, typer.Option("--auto-stake/--no-auto-stake", help="Whether its duration does not run down.")
    ] = True,
    reward: Annotated[
        str, typer.Option(help="Address that earns the rewards. Default: that of --key.", show_default=False)
    ] = "",
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Become a candidate. The account of --key owns it; the registration's operator makes its blocks."""
    named, own = read_registration(registration), rau(stake, "stake")
    node = ChainNode.at(rpc)
    fee = StakingView(node).constant("REGISTRATION_FEE")
    who = sender(rpc, key, password_file)
    earns = address(reward, "reward") if reward else who.address
    point, possession = _points(named)
    data = who.contract.artifact.encode_call("register", named.address, earns, point, possession, days, auto_stake)
    sent = who.send(data, fee + own, timeout=timeout, quiet=json_output)
    words = f"{hexed(who.address)} is a candidate; fee {iotx(fee)} IOTX, self-stake {iotx(own)} IOTX"
    facts = {"candidate": who.address, "operator": named.address}
    bucket = sent.event("BucketCreated").get("index")
    report(sent, words, as_json=json_output, facts=facts | ({} if bucket is None else {"bucket": bucket}))


def update(
    *,
    key: Key,
    registration: Annotated[
        Path | None, typer.Option(help="A registration with another operator and voting key.", show_default=False)
    ] = None,
    operator: Annotated[str, typer.Option(help="Another operator's address.", show_default=False)] = "",
    reward: Annotated[str, typer.Option(help="Another address that earns the rewards.", show_default=False)] = "",
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Change a candidate's operator, voting key or reward account; what is not named stays."""
    if registration is None and not operator and not reward:
        raise typer.BadParameter("give --registration, --operator or --reward")
    named = None if registration is None else read_registration(registration)
    chosen = address(operator, "operator") if operator else None if named is None else named.address
    earns = address(reward, "reward") if reward else None
    who = sender(rpc, key, password_file)
    now = StakingView(who.node).state().candidates.get(who.address)
    if now is None:
        raise NotFound(
            "W3B-5002",
            f"{hexed(who.address)} is no candidate",
            field="key",
            next_step="Give the key of the account that registered it, or register: w3bstream l1 staking register",
        )
    # A key is registered once: the one that it has already is not given again.
    points = (b"", b"") if named is None or named.key == now.bls_key else _points(named)
    data = who.contract.artifact.encode_call("update", chosen or now.operator, earns or now.reward, *points)
    sent = who.send(data, 0, timeout=timeout, quiet=json_output)
    facts = {"operator": chosen or now.operator, "reward": earns or now.reward}
    report(sent, "the candidate is changed, from the next election on", as_json=json_output, facts=facts)


def activate(
    bucket: Annotated[int, typer.Argument(min=0, help="The bucket's number.", show_default=False)],
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Make a bucket that votes for the candidate its self-stake: its own, or an endorsed one."""
    who = sender(rpc, key, password_file)
    data = who.contract.artifact.encode_call("activate", bucket)
    sent = who.send(data, 0, timeout=timeout, quiet=json_output)
    report(sent, f"bucket {bucket} is the self-stake of {hexed(who.address)}", as_json=json_output)


def leave(
    *,
    key: Key,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stay after all, before the exit is admitted.")] = False,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Ask to leave: the candidate serves until its place in the queue is over."""
    words = "the candidate stays" if cancel else "the candidate waits to leave"
    _plain_call("cancelExit" if cancel else "requestExit", words, sender(rpc, key, password_file), timeout, json_output)


def confirm_exit(
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Finish an exit that is over: the self-stake becomes an ordinary bucket."""
    words = "the candidate has left; its self-stake is an ordinary bucket"
    _plain_call("confirmExit", words, sender(rpc, key, password_file), timeout, json_output)


def claim(
    *,
    key: Key,
    timeout: Wait = 120,
    json_output: Json = False,
    rpc: Rpc = "",
    password_file: Password = None,
) -> None:
    """Take out the rewards of the account of --key."""
    _plain_call("claim", "the rewards are paid out", sender(rpc, key, password_file), timeout, json_output)


def _plain_call(name: str, words: str, who: Sender, timeout: float, json_output: bool) -> None:
    sent = who.send(who.contract.artifact.encode_call(name), 0, timeout=timeout, quiet=json_output)
    amount = sent.event("Claimed").get("amount")
    report(sent, words, as_json=json_output, facts={} if amount is None else {"amount": amount})


def read_registration(path: Path) -> GenesisDelegate:
    """A delegate's registration. Raises InvalidInput (W3B-7016)."""
    from l1.chain.genesis_delegates import GenesisDelegatesInvalid, parse_delegates

    try:
        return parse_delegates([json.loads(read_text(path))])[0]
    except (json.JSONDecodeError, GenesisDelegatesInvalid) as error:
        raise InvalidInput(
            "W3B-7016",
            f"{path} is no registration: {error}",
            field="registration",
            next_step="Give what `w3bstream l1 keygen --out FILE` printed.",
        ) from error


def _points(named: GenesisDelegate) -> tuple[bytes, bytes]:
    """Voting key and proof as the contract takes them."""
    from l1.staking.contract import encode_key

    return encode_key(named.key, named.proof)
