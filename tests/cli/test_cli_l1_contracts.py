"""`w3bstream l1 staking` and `w3bstream l1 governance` against a running chain, and what they say when refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from cli_run import Cli, Ran
from eth_account import Account
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st
from l1_chain import L1, VOTING_SECONDS, running_chain

from coordinator.cli.l1 import units
from coordinator.cli.l1.next_steps import NEXT_STEPS, next_step
from l1.governance.contract import CONTRACT as GOVERNANCE
from l1.nodes.keys import DEVNET_POWER
from l1.staking.contract import CONTRACT as STAKING
from verifier.errors import InvalidInput

FEW_SECONDS = 20.0


@pytest.fixture(scope="module")
def l1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[L1]:
    with running_chain(tmp_path_factory.mktemp("l1")) as running:
        yield running


class Ask:
    """`w3bstream l1 GROUP COMMAND …` of one chain."""

    def __init__(self, l1: L1, group: str) -> None:
        self._l1 = l1
        self._group = group

    def __call__(self, *arguments: str, who: str = "", code: int = 0) -> Ran:
        more = ["--rpc", self._l1.rpc]
        if who:
            more += ["--key", str(self._l1.operator_file if who == "operator" else self._l1.account(who)[0])]
        return Cli()("l1", self._group, *arguments, *more, code=code)

    def json(self, *arguments: str, who: str = "") -> dict[str, Any]:
        return self(*arguments, "--json", who=who).json

    def refused(self, *arguments: str, who: str = "") -> dict[str, str]:
        return self(*arguments, "--json", who=who, code=1).error


@pytest.fixture
def staking(l1: L1) -> Ask:
    return Ask(l1, "staking")


@pytest.fixture
def governance(l1: L1) -> Ask:
    return Ask(l1, "governance")


# --- amounts ---


@given(st.integers(0, units.MAX_RAU))
def test_an_amount_is_read_as_it_is_shown(amount: int) -> None:
    assert units.rau(units.iotx(amount), "amount") == amount
    assert units.rau(units.decimal_iotx(amount), "amount") == amount
    assert Fraction(units.decimal_iotx(amount)) * units.IOTX == amount


@pytest.mark.parametrize(
    ("text", "rau"),
    [("0", 0), ("1", 10**18), ("0.5", 5 * 10**17), ("400,000", 4 * 10**23), ("1_000.25", 100025 * 10**16)],
)
def test_amounts(text: str, rau: int) -> None:
    assert units.rau(text, "amount") == rau


@pytest.mark.parametrize("text", ["", "-1", "1.", ".5", "1e3", "0.1234567890123456789", "one", "1,0", "9" * 22, "٣"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(InvalidInput, match="W3B-7008"):
        units.rau(text, "amount")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800)])
def test_durations(text: str, seconds: int) -> None:
    assert units.seconds(text, "set") == seconds
    assert units.seconds(units.lasting(seconds).replace(" ", ""), "set") == seconds


@pytest.mark.parametrize("text", ["", "d", "-1", "1w", "1.5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInput, match="W3B-7008"):
        units.seconds(text, "set")


# --- errors ---


def test_every_error_of_the_contracts_has_a_next_step() -> None:
    errors = {
        entry["name"] for each in (STAKING, GOVERNANCE) for entry in each.document["abi"] if entry["type"] == "error"
    }
    assert set(NEXT_STEPS) == errors | {"Error", "Panic"}
    assert next_step("BucketStaked", "3").endswith("unstake 3")


# --- staking ---


def test_a_bucket_from_stake_to_withdrawal(l1: L1, staking: Ask) -> None:
    operator, alice = units.hexed(l1.operator.address), l1.account("alice")[1]
    made = staking.json("stake", operator, "10000.5", "--days", "0", who="alice")
    bucket = str(made["bucket"])
    assert made["sender"] == alice
    assert made["events"][0]["event"] == "BucketCreated"
    shown = staking.json("show", bucket)
    assert (shown["amount_iotx"], shown["owner"], shown["auto_stake"]) == ("10000.5", alice, False)
    assert staking.refused("deposit", bucket, "1", who="bob")["message"].startswith(
        f"the staking contract refused it: AutoStakeOff(index {bucket})"
    )
    assert "auto-stake on" in staking("restake", bucket, "--auto-stake", "--days", "7", who="alice").out
    assert "added 1 IOTX" in staking("deposit", bucket, "1", who="bob").out
    assert staking.json("show", bucket)["amount_iotx"] == "10001.5"
    assert "AutoStakeOn" in staking.refused("unstake", bucket, who="alice")["message"]
    later = staking.refused("restake", bucket, "--days", "3", who="alice")
    assert "AutoStakeOn" in later["message"]
    stranger = staking.refused("move", bucket, operator, who="bob")
    assert (stranger["code"], stranger["next_step"]) == ("W3B-5002", next_step("NotBucketOwner", bucket))
    assert alice in staking("show", alice).out

    short = str(staking.json("stake", operator, "100", who="alice")["bucket"])
    ended = staking.json("unstake", short, who="alice")
    assert ended["withdrawable_at"] > 0
    assert staking.json("show", short)["withdrawable_at"] == ended["withdrawable_at"]
    deadline = time.monotonic() + FEW_SECONDS
    # The contract knows the time of the newest block, which is behind the clock of whoever looks.
    while l1.head_time() < ended["withdrawable_at"]:
        assert time.monotonic() < deadline, "the chain's clock stands still"
        time.sleep(0.1)  # between two looks: the chain's clock is all that is waited for
    assert "is withdrawn" in staking("withdraw", short, who="alice").out
    assert "there is no bucket" in staking.refused("show", short)["message"]
    assert "BucketUnknown" in staking.refused("withdraw", short, who="alice")["message"]


def test_a_candidate_from_registration_to_leaving(l1: L1, staking: Ask) -> None:
    bob = l1.account("bob")[1]
    first, second = str(l1.registration("bob's node")), str(l1.registration("bob's second node"))
    small = staking.refused("register", first, "--stake", "5", who="bob")
    assert "SelfStakeTooSmall(amount 5 IOTX)" in small["message"]
    made = staking.json("register", first, "--stake", "400,000", who="bob")
    assert made["candidate"] == bob
    listed = {each["candidate"]: each for each in staking.json("candidates")["candidates"]}
    assert (listed[bob]["self_stake_iotx"], listed[bob]["operator"]) == ("400000", made["operator"])
    assert Decimal(listed[units.hexed(l1.operator.address)]["self_stake_iotx"]) == DEVNET_POWER // units.IOTX
    assert "CandidateExists" in staking.refused("register", second, who="bob")["message"]
    assert "OperatorTaken" in staking.refused("register", first, who="carol")["message"]
    changed = staking.json("update", "--registration", second, "--reward", l1.account("carol")[1], who="bob")
    assert changed["operator"] != made["operator"]
    again = staking.json("update", "--registration", second, who="bob")
    assert again["reward"] == l1.account("carol")[1]
    assert staking.refused("update", "--reward", bob, who="alice")["next_step"].startswith(
        "Give the key of the account"
    )
    Ask(l1, "staking")("update", who="bob", code=2)
    assert "leave" in staking("exit", who="bob").out
    assert "waits to leave" in staking("candidates").out
    assert "stays" in staking("exit", "--cancel", who="bob").out
    assert "ExitNotRequested" in staking.refused("confirm-exit", who="bob")["message"]
    assert "NothingToClaim" in staking.refused("claim", who="bob")["message"]
    own = staking.json("show", bob)["candidate"]
    assert (own["leaving"], own["operator"]) == (False, changed["operator"])
    assert "Candidate" in staking("show", bob).out


def test_an_endorsed_bucket_becomes_a_self_stake(l1: L1, staking: Ask) -> None:
    carol = l1.account("carol")[1]
    staking("register", str(l1.registration("carol's node")), who="carol")
    bucket = str(staking.json("stake", carol, "400000", "--days", "91", "--auto-stake", who="alice")["bucket"])
    assert "NotEndorsed" in staking.refused("activate", bucket, who="carol")["message"]
    assert "endorses" in staking("endorse", bucket, who="alice").out
    assert "self-stake" in staking("activate", bucket, who="carol").out
    assert staking.json("show", carol)["candidate"]["self_stake_bucket"] == int(bucket)
    assert "EndorsementActive" in staking.refused("endorse", bucket, "--revoke", who="alice")["message"]
    assert "notice" in staking("endorse", bucket, "--give-notice", who="alice").out
    staking("endorse", bucket, "--give-notice", "--revoke", who="alice", code=2)


def test_the_numbers_and_the_delegates(l1: L1, staking: Ask) -> None:
    numbers = staking.json("parameters")
    assert (numbers["withdraw_wait"], numbers["registration_fee"]) == ("1", str(100 * units.IOTX))
    assert "100 IOTX" in staking("parameters").out
    found = staking.json("delegates")
    assert (found["epoch"], found["source"]) == (1, "genesis")
    assert [each["operator"] for each in found["delegates"]] == [units.hexed(l1.operator.address)]
    assert "100.00 %" in staking("delegates").out
    assert "this is epoch 1" in staking.refused("delegates", "--epoch", "7")["message"]


# --- governance ---


def test_a_proposal_from_draft_to_life(l1: L1, governance: Ask, tmp_path: Path) -> None:
    document = tmp_path / "why.md"
    document.write_text("# Why\nVotes are too short.\n")
    about = ("--document", str(document), "--uri", "https://example.org/why.md")
    out = tmp_path / "draft.json"
    change = ("--set", "votingPeriod=30", "--set", "turnout-quorum-bps=1200")
    governance("draft", "--text", "Longer votes", *about, *change, "--out", str(out))
    written = json.loads(out.read_text())
    assert (written["kind"], written["document_hash"]) == ("technical", units.hexed(keccak(document.read_bytes())))
    identity = governance.json("submit", str(out), who="operator")["id"]
    short = identity[:12]
    assert "ProposalExists" in governance.refused("submit", str(out), who="operator")["message"]
    assert governance.json("list", "--state", "idea")["proposals"][0]["draft"]["text"] == "Longer votes"
    assert governance.json("list", "--state", "LIVE")["proposals"] == []
    assert "votingPeriod 30 s" in governance("show", short).out
    assert "NoWeight" in governance.refused("support", short, who="carol")["message"]
    assert "supported" in governance("support", short, who="operator").out
    assert governance.refused("vote", short, "yes", who="operator")["next_step"] == next_step("WrongState", identity)

    def advance(to: str) -> None:
        deadline = time.monotonic() + VOTING_SECONDS + FEW_SECONDS
        while governance.json("show", short)["due"] is None:
            assert time.monotonic() < deadline, f"{to} is never due"
            time.sleep(0.2)  # between two looks: the vote lasts some seconds of the chain's clock
        assert governance.json("advance", short, who="alice")["state"] == to

    advance("VOTING")
    assert "nothing is due: it is VOTING" in governance.refused("advance", short, who="alice")["message"]
    assert "voted yes" in governance("vote", short, "yes", who="operator").out
    again = governance.refused("vote", short, "no", who="operator")
    assert "AlreadyVoted" in again["message"]
    assert again["next_step"] == "Nothing to do: an account votes once, for good."
    assert "WrongState" in governance.refused("cancel", short, who="operator")["message"]
    governance("vote", short, "maybe", who="operator", code=2)
    for state in ("PASSED", "IMPLEMENTATION", "LIVE"):
        advance(state)
    assert governance.json("parameters")["votingPeriod"] == 30
    assert "12 %" in governance("parameters").out
    assert governance.refused("advance", short, who="alice")["message"] == "it is LIVE, which is for good"
    shown = governance("list").out
    assert "LIVE" in shown
    assert "Longer votes" in shown


def test_a_policy_is_taken_back(governance: Ask, tmp_path: Path) -> None:
    out = str(tmp_path / "policy.json")
    words = ("--text", "Split rewards evenly", "--uri", "ipfs://why", "--document-hash", "0x" + "11" * 32)
    governance("draft", *words, "--salt", "once more", "--out", out)
    assert governance("draft", *words, "--out", out, "--json", code=1).error["code"] == "W3B-7016"
    identity = governance.json("submit", out, who="operator")["id"]
    assert "NotProposer" in governance.refused("cancel", identity, who="alice")["message"]
    assert "cancelled" in governance("cancel", identity, who="operator").out
    assert governance.json("show", identity)["state"] == "ARCHIVED"


WORDS = ("--text", "x", "--uri", "u", "--out", "d.json")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (("--text", "", "--uri", "u", "--document-hash", "11" * 32, "--out", "d.json"), "text"),
        (WORDS, "documentHash"),
        ((*WORDS, "--document-hash", "11"), "document_hash"),
        ((*WORDS, "--document", "absent.md"), "file"),
        ((*WORDS, "--document-hash", "11" * 32, "--call", "0x12:00"), "call"),
        ((*WORDS, "--document-hash", "11" * 32, "--call", f"0x{'11' * 20}:zz"), "call"),
        ((*WORDS, "--document-hash", "11" * 32, "--call", f"0x{'11' * 20}:00"), "artifactHash"),
        ((*WORDS, "--document-hash", "11" * 32, "--set", "votingPeriod"), "set"),
        ((*WORDS, "--document-hash", "11" * 32, "--set", "speed=3"), "set"),
        ((*WORDS, "--document-hash", "11" * 32, "--set", "majorityBps=9999"), "set"),
    ],
)
def test_a_draft_that_no_contract_would_take(
    given: tuple[str, ...], field: str, governance: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert governance.refused("draft", *given)["field"] == field
    assert not Path("d.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"kind": "policy"}', '{"kind": "x", "more": 1}'])
def test_a_file_that_is_no_draft(text: str, governance: Ask, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    error = governance.refused("submit", str(path), who="operator")
    assert (error["code"], error["next_step"]) == ("W3B-7016", "Write one with `w3bstream l1 governance draft`.")


def test_ids_of_proposals(governance: Ask) -> None:
    assert governance.refused("show", "0x12")["code"] == "W3B-7008"
    assert governance.refused("show", "nonsense")["code"] == "W3B-7008"
    absent = governance.refused("show", "0x" + "ab" * 32)
    assert (absent["code"], absent["next_step"]) == (
        "W3B-5002",
        "List the proposals with `w3bstream l1 governance list`.",
    )
    assert "no state 'FLYING'" in governance.refused("list", "--state", "flying")["message"]


# --- chains and keys that do not do ---


def test_a_chain_without_the_contracts(tmp_path: Path) -> None:
    with running_chain(tmp_path, contracts=False) as plain:
        for group, command in (("staking", "candidates"), ("governance", "list")):
            error = Ask(plain, group).refused(command)
            assert error["code"] == "W3B-5003"
            assert f"has no {group} contract" in error["message"]
            assert "--rpc URL" in error["next_step"]
        staked = Ask(plain, "staking").refused("stake", "0x" + "11" * 20, "100", who="alice")
        assert staked["code"] == "W3B-5003"


def test_no_node_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("W3BSTREAM_L1_RPC", raising=False)
    monkeypatch.setenv("W3BSTREAM_HOME", str(tmp_path))
    command = ("l1", "staking", "candidates", "--json")
    error = Cli()(*command, code=1).error
    assert (error["code"], "no chain runs here" in error["message"]) == ("W3B-5001", True)
    assert Cli()(*command, "--rpc", "http://127.0.0.1:9", code=1).error["code"] == "W3B-5001"
    assert Cli()(*command, "--rpc", "localhost:8545", code=1).error["code"] == "W3B-7008"
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "node.json").write_text("{")
    assert Cli()(*command, code=1).error["code"] == "W3B-7016"


def test_the_service_s_chain_is_the_default(l1: L1, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "node.json").write_text(json.dumps({"rpc": l1.rpc}))
    monkeypatch.setenv("W3BSTREAM_HOME", str(tmp_path))
    assert Cli()("l1", "staking", "delegates", "--json").json["epoch"] == 1


def test_a_keystore_opens_with_its_password(l1: L1, tmp_path: Path) -> None:
    secret = keccak(b"alice")
    path, word = tmp_path / "keystore.json", tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(json.dumps(Account.encrypt(secret, "open sesame", iterations=2)))
    word.write_text("open sesame\n")
    stake = ("l1", "staking", "stake", units.hexed(l1.operator.address), "100", "--rpc", l1.rpc, "--json")
    made = Cli()(*stake, "--key", str(path), "--password-file", str(word)).json
    assert made["sender"] == l1.account("alice")[1]
    word.write_text("close sesame\n")
    wrong = Cli()(*stake, "--key", str(path), "--password-file", str(word), code=1).error
    assert (wrong["code"], wrong["next_step"]) == ("W3B-7016", "Check the password.")


@pytest.mark.parametrize("text", ["", "nonsense", "00" * 32, "ff" * 32, "11" * 31, "{", '{"version": 2}', "[1]"])
def test_a_key_file_without_a_key(text: str, l1: L1, tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.touch(mode=0o600)
    path.write_text(text)
    claim = ("l1", "staking", "claim", "--rpc", l1.rpc, "--json")
    error = Cli()(*claim, "--key", str(path), code=1).error
    assert (error["code"], error["message"]) == ("W3B-7016", f"{path} holds no key")
    path.chmod(0o640)
    assert "chmod 600" in Cli()(*claim, "--key", str(path), code=1).error["next_step"]
    assert Cli()(*claim, "--key", str(tmp_path / "absent"), code=1).error["message"].startswith("there is no file")


def test_an_account_without_coins(l1: L1, staking: Ask) -> None:
    poor, _ = l1.account("somebody without coins")
    stake = ("stake", units.hexed(l1.operator.address), "100", "--json", "--key", str(poor))
    error = staking(*stake, code=1).error
    assert error["code"] == "W3B-5002"
    assert "has 0 IOTX and would send 100" in error["message"]


def test_progress_and_its_silence(l1: L1, staking: Ask) -> None:
    operator = units.hexed(l1.operator.address)
    assert "waiting for its block" in staking("stake", operator, "100", who="alice").err
    assert staking("stake", operator, "100", "--json", who="alice").err == ""


def test_arguments_that_are_none(l1: L1, staking: Ask) -> None:
    assert staking.refused("stake", "alice", "100", who="alice")["field"] == "candidate"
    assert staking.refused("stake", "0x" + "11" * 20, "a lot", who="alice")["field"] == "amount"
    assert staking.refused("show", "0x12")["field"] == "what"
    assert "CandidateUnknown" in staking.refused("stake", "0x" + "11" * 20, "100", who="alice")["message"]
    junk = Path(str(l1.folder / "junk.json"))
    junk.write_text("{}")
    assert staking.refused("register", str(junk), who="alice")["code"] == "W3B-7016"
    staking("withdraw", "-1", who="alice", code=2)
    staking("stake", "0x" + "11" * 20, "100", "--days", "-3", who="alice", code=2)
