"""What must hold: webhooks show by themselves that their results are final, to whoever knows the chain's genesis and its
Router, also when the installation is gone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3

from coordinator.webhooks.receiver import verify
from tests.e2e.installation import ChainView, Installation, until, with_keys
from tests.e2e.weather_project import CAPACITY, WeatherProject, temperatures, wait_final
from tests.e2e.webhook_listener import Listener
from tests.webhooks.how_to_receiver import finality_receiver
from verifier.errors import Refused
from w3bstream.v1 import task_pb2

WINDOWS = 2


@dataclass
class Left:
    """What the receiver has when the installation is gone."""

    events: list[dict[str, Any]]
    tasks: dict[str, task_pb2.Task]
    settled: Any
    rpc_url: str


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Left:
    installation = Installation(with_keys(tmp_path_factory.mktemp("final") / "home", keys), {"CHAIN_DELEGATES": "4"})
    installation.start()
    try:
        with installation.client() as client, Listener() as listener:
            project = WeatherProject(client, "final-webhook")
            secret = client.create_webhook(project.id, listener.url, ["w3bstream.task.final"]).secret
            client.ingest(project.sign(temperatures(WINDOWS * CAPACITY)))
            tasks = wait_final(client, project.id, WINDOWS)
            until(lambda: len({got.id for got in listener.got}) == WINDOWS, 30, "a webhook for each task")
            chain = ChainView(client)
            genesis = Web3.to_hex(chain.web3.eth.get_block(0)["hash"])
            receiver = finality_receiver(chain.rpc_url, genesis, chain.addresses["router"])
            events = {got.id: verify(got.headers, got.body, secret) for got in listener.got}
    finally:
        installation.stop()
    return Left(list(events.values()), {task.id: task for task in tasks}, receiver["settled"], chain.rpc_url)


def test_each_webhook_shows_its_result_final_with_nobody_left_to_ask(left: Left) -> None:
    assert not Web3(Web3.HTTPProvider(left.rpc_url)).is_connected()
    for event in left.events:
        shown, task = left.settled(event), left.tasks[event["subject"]]
        assert ("0x" + shown.task_id.hex(), shown.block_number) == (task.id, task.block_number)
        assert "0x" + shown.public_output.hex() == event["data"]["output"]["abi"]
    assert {event["subject"] for event in left.events} == left.tasks.keys()


def test_a_webhook_with_the_proof_of_another_is_refused(left: Left) -> None:
    first, second = left.events
    forged = {**first, "data": {**first["data"], "settlement": second["data"]["settlement"]}}
    with pytest.raises(Refused, match="W3B-9004"):
        left.settled(forged)
