"""An embedded chain whose blocks many delegates decide: every block has a certificate that a stranger can check."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from l1_wallet import key, send
from web3 import Web3

from l1.chain.genesis import Genesis, GenesisInvalid, load_genesis, parse_genesis
from l1.consensus.delegates import Delegate, DelegateSet
from l1.consensus.parameters import DEVNET
from l1.light.client import Checkpoint, LightClient, NotFinal
from l1.nodes.devnet_genesis import with_devnet
from l1.nodes.keys import derive
from l1.process import ChainProcess, ChainProcessError

DELEGATES = 7
OPTIONS = ["--delegates", str(DELEGATES), "--min-interval", "0.05", "--block-time", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("devnet")


@pytest.fixture(scope="module")
def node(folder: Path, genesis_path: Path) -> Iterator[ChainProcess]:
    with ChainProcess(folder, genesis_path, options=OPTIONS) as running:
        yield running


@pytest.fixture(scope="module")
def web3(node: ChainProcess) -> Web3:
    return Web3(Web3.HTTPProvider(node.rpc_url))


def ask(web3: Web3, method: str, *parameters: object) -> Any:
    answer = web3.provider.make_request(method, list(parameters))  # type: ignore[arg-type]
    return answer["result"]


def named_set(web3: Web3) -> DelegateSet:
    named = ask(web3, "w3b_getDelegates", "latest")
    return DelegateSet(
        tuple(
            Delegate(bytes.fromhex(each["address"][2:]), int(each["power"], 16), bytes.fromhex(each["blsKey"][2:]))
            for each in named
        )
    )


def client_at_genesis(web3: Web3) -> LightClient:
    """A client that trusts block 0, rebuilt from what the node says of it."""
    genesis_hash = bytes(web3.eth.get_block(0)["hash"])
    # The node serves no certificate of block 0: nobody decided it. Its header is what the hash is of.
    checkpoint = Checkpoint(web3.eth.chain_id, genesis_hash, genesis_header(web3), named_set(web3))
    return LightClient(checkpoint, DEVNET, int(time.time()))


def genesis_header(web3: Web3) -> bytes:
    return bytes.fromhex(ask(web3, "w3b_getHeader", "0x0")[2:])


def certified(web3: Web3, number: int) -> tuple[bytes, bytes]:
    found = ask(web3, "w3b_getCertificate", hex(number))
    return bytes.fromhex(found["header"][2:]), bytes.fromhex(found["footer"][2:])


def test_a_transaction_is_final_at_once_and_by_whom(web3: Web3) -> None:
    """A receipt's block is final when the receipt is there, by the votes of more than two thirds of the delegates."""
    receipt = send(web3, key(1), to=key(2).address, value=1)
    finality = ask(web3, "w3b_finality")
    assert finality["source"] == "bls"
    assert int(finality["finalized"], 16) >= receipt["blockNumber"]
    header, footer = certified(web3, receipt["blockNumber"])
    seen = client_at_genesis(web3).require_final(header, footer)
    assert seen.hash == bytes(receipt["blockHash"])
    assert len(footer) <= 100 + (DELEGATES + 7) // 8


def test_every_block_is_certified_and_proposers_take_turns(web3: Web3) -> None:
    start = web3.eth.block_number
    for value in range(1, 2 * DELEGATES):
        send(web3, key(3), to=key(4).address, value=value)
    client = client_at_genesis(web3)
    miners = []
    for number in range(start + 1, web3.eth.block_number + 1):
        client.advance(*certified(web3, number))
        miners.append(web3.eth.get_block(number)["miner"])
    assert client.head.number >= start + 2 * DELEGATES - 1
    assert set(miners) == {Web3.to_checksum_address(each.address) for each in named_set(web3).members}
    assert all(before != after for before, after in pairwise(miners))


def test_a_certificate_of_another_block_is_refused(web3: Web3) -> None:
    send(web3, key(5), to=key(6).address, value=1)
    send(web3, key(5), to=key(6).address, value=2)
    number = web3.eth.block_number
    header, footer = certified(web3, number)
    _, other = certified(web3, number - 1)
    with pytest.raises(NotFinal) as refused:
        client_at_genesis(web3).require_final(header, other)
    assert refused.value.reason == "signature"
    client_at_genesis(web3).require_final(header, footer)


def test_nobody_decided_block_0_or_a_block_that_is_not_there(web3: Web3) -> None:
    assert ask(web3, "w3b_getCertificate", "0x0") is None
    assert ask(web3, "w3b_getCertificate", hex(10**9)) is None
    assert ask(web3, "w3b_getCertificate", "pending") is None


def test_it_goes_on_after_a_kill(folder: Path, genesis_path: Path, tmp_path: Path) -> None:
    """No announced block is lost by SIGKILL, and the same delegates go on."""
    with ChainProcess(tmp_path, genesis_path, options=OPTIONS) as first:
        web3 = Web3(Web3.HTTPProvider(first.rpc_url))
        receipt = send(web3, key(7), to=key(8).address, value=1)
        named = named_set(web3)
        first.kill()
    with ChainProcess(tmp_path, genesis_path, options=OPTIONS) as second:
        web3 = Web3(Web3.HTTPProvider(second.rpc_url))
        assert web3.eth.get_block(receipt["blockNumber"])["hash"] == receipt["blockHash"]
        assert named_set(web3) == named
        later = send(web3, key(7), to=key(8).address, value=2)
        client = client_at_genesis(web3)
        client.advance(*certified(web3, receipt["blockNumber"]))
        client.advance(*certified(web3, later["blockNumber"]))


def test_without_the_keys_nothing_starts(genesis_path: Path, tmp_path: Path) -> None:
    with ChainProcess(tmp_path, genesis_path, options=OPTIONS):
        pass
    (tmp_path / "delegates.seed").write_text("00" * 32 + "\n")
    with pytest.raises(ChainProcessError, match="keys in this folder are not those"):
        ChainProcess(tmp_path, options=OPTIONS)
    (tmp_path / "delegates.seed").write_text("nonsense\n")
    with pytest.raises(ChainProcessError, match="is no seed"):
        ChainProcess(tmp_path, options=OPTIONS)


def test_the_seed_is_nobody_elses_to_read(folder: Path, node: ChainProcess) -> None:
    assert (folder / "delegates.seed").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("count", [-1, 1_025])
def test_a_number_of_delegates_out_of_range(count: int, genesis_path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "l1", "--data-dir", str(tmp_path), "--genesis", str(genesis_path)]
    ended = subprocess.run([*command, "--delegates", str(count)], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--delegates" in ended.stderr


def test_a_genesis_names_delegates_and_commits_to_them(tmp_path: Path, genesis_path: Path) -> None:
    genesis = with_devnet(load_genesis(genesis_path), tmp_path, 4)
    assert parse_genesis(json.loads(genesis.to_json())) == genesis
    _, block = genesis.executor()
    _, other = with_devnet(load_genesis(genesis_path), tmp_path / "other", 4).executor()
    assert block.hash != other.hash


def _document(**changes: object) -> dict[str, Any]:
    document = json.loads(
        Genesis(chain_id=1, delegates=tuple(each.registration(5) for each in derive(b"s" * 32, 2))).to_json()
    )
    document["delegates"][1] |= changes
    return dict(document)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"power": "0x0"}, "power 0"),
        ({"power": "many"}, "expected an integer"),
        ({"address": "0x12"}, "20 bytes"),
        ({"blsKey": "0x" + "00" * 48}, "delegates: "),
        ({"blsProof": "0x" + "00" * 96}, "delegates: "),
        ({"blsKey": 7}, "expected a 0x string"),
        ({"surprise": 1}, "expected an object"),
    ],
)
def test_a_genesis_with_bad_delegates_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(GenesisInvalid, match=said):
        parse_genesis(_document(**changes))


def test_a_key_with_anothers_proof_is_refused() -> None:
    """A rogue key is one whose owner cannot prove that he has the secret."""
    document = _document()
    document["delegates"][1]["blsProof"] = document["delegates"][0]["blsProof"]
    with pytest.raises(GenesisInvalid, match="delegates: "):
        parse_genesis(document)


def test_a_delegate_twice_is_refused() -> None:
    document = _document()
    document["delegates"][1] = document["delegates"][0]
    with pytest.raises(GenesisInvalid, match="twice"):
        parse_genesis(document)


def test_delegates_and_extra_data_exclude_each_other() -> None:
    with pytest.raises(GenesisInvalid, match="extraData"):
        parse_genesis(_document() | {"extraData": "0x01"})
