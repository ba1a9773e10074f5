"""What must hold: a window of signed readings becomes a result that is proven, settled, final, told by webhook, and the
same wherever one looks: API, command line, contract, webhook."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from hexbytes import HexBytes
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from coordinator.api.client import Client
from coordinator.settlement.signer import KeyFileSigner
from tests.e2e.installation import FINAL, ChainView, Installation, outside_loopback, until, with_keys
from tests.e2e.weather_project import CAPACITY, FIRST_TIME, Result, WeatherProject, temperatures
from tests.e2e.webhook_listener import Listener
from verifier.contracts.compile import NODE_MODULES
from verifier.reading import DeviceKey, KeyType, Reading
from w3bstream.v1 import ingest_pb2, task_pb2

CAST = NODE_MODULES / "@foundry-rs" / "cast-linux-amd64" / "bin" / "cast"
VALUES = temperatures(40)
WINDOWS = [Result.of(VALUES[at : at + CAPACITY]) for at in range(0, len(VALUES), CAPACITY)]
TOTALS = Result.of(VALUES)
COMPLETE = (0, 0, 0, 0)
"""Missing, duplicates, late and reordered: the readings are sent in order and once."""
NOTHING_LACKS = dict.fromkeys(("missing", "duplicates", "late", "reordered"), 0)
OVERSIZED = 5_000
UNKNOWN_PROJECT = 4_711


@dataclass
class Light:
    """An installation that has done it all, and what was seen on the way."""

    installation: Installation
    client: Client
    chain: ChainView
    project: WeatherProject
    summary: ingest_pb2.IngestSummary
    bad: dict[int, str]
    """Index in the ingest call to the code that its reading must be refused with."""
    stranger: DeviceKey
    events: list[task_pb2.TaskEvent]
    tasks: list[task_pb2.Task]
    """Oldest first."""
    listener: Listener
    webhook_secret: str


def bad_readings(project: WeatherProject, good: bytes, stranger: DeviceKey) -> list[tuple[str, bytes]]:
    """(code, wire form): malformed, oversized, wrongly signed, of an unknown device, for an unknown project, and with a
    payload that is no temperature."""
    sound = Reading.from_wire(good)
    owner = next(key for key in project.keys if key.device == sound.device)
    payload = bytes(4)
    forged = replace(sound, payload=bytes(reversed(sound.payload)), sequence=900)
    too_long = bytearray(owner.sign(project.id, 901, FIRST_TIME, payload).to_wire())
    too_long[-8:-4] = OVERSIZED.to_bytes(4, "big")
    return [
        ("W3B-1001", b"\x01\x03 not a reading"),
        ("W3B-1002", bytes(too_long) + bytes(OVERSIZED - 4)),
        ("W3B-1003", forged.to_wire()),
        ("W3B-1003", stranger.sign(project.id, 902, FIRST_TIME, payload, device=owner.device).to_wire()),
        ("W3B-1004", stranger.sign(project.id, 1, FIRST_TIME, payload).to_wire()),
        ("W3B-1006", owner.sign(UNKNOWN_PROJECT, 903, FIRST_TIME, payload).to_wire()),
        ("W3B-1007", owner.sign(project.id, 904, FIRST_TIME, b"lukewarm").to_wire()),
    ]


def mixed(good: list[bytes], bad: list[tuple[str, bytes]]) -> tuple[list[bytes], dict[int, str]]:
    """Good readings with a bad one after every third, and where each bad one lies."""
    messages: list[bytes] = []
    places = {}
    waiting = list(bad)
    for number, reading in enumerate(good, 1):
        messages.append(reading)
        if waiting and number % 3 == 0:
            code, data = waiting.pop(0)
            places[len(messages)] = code
            messages.append(data)
    assert not waiting
    return messages, places


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Light]:
    """First light: 4 devices send 40 readings, bad ones among them, and the project's tasks end."""
    installation = Installation(
        with_keys(tmp_path_factory.mktemp("e2e") / "home", keys), {"PROVERS": "2", "CHAIN_DELEGATES": "24"}
    )
    installation.start()
    try:
        with installation.client() as client, Listener() as listener:
            project = WeatherProject(client, "first-light")
            secret = client.create_webhook(project.id, listener.url, ["w3bstream.task.final"]).secret
            stranger = DeviceKey.generate(KeyType.BABYJUBJUB)
            good = project.sign(VALUES)
            messages, bad = mixed([*good, good[0]], bad_readings(project, good[0], stranger))
            summary = client.ingest(messages, batch=10)
            client.submit_task(project.id)
            events = list(client.watch_tasks(project_id=project.id, until_settled=True))
            tasks = sorted(client.tasks(project_id=project.id), key=lambda task: task.window_start)
            until(lambda: len({got.id for got in listener.got}) >= len(WINDOWS), 30, "a webhook for each task")
            chain = ChainView(client)
            yield Light(
                installation,
                client,
                chain,
                project=project,
                summary=summary,
                bad=bad,
                stranger=stranger,
                events=events,
                tasks=tasks,
                listener=listener,
                webhook_secret=secret,
            )
    finally:
        installation.stop()


def test_every_task_is_final_with_the_input_s_result(light: Light) -> None:
    assert [task.state for task in light.tasks] == [FINAL] * len(WINDOWS)
    for task, window in zip(light.tasks, WINDOWS, strict=True):
        assert {field.name: int(field.value) for field in task.result} == vars(window) | NOTHING_LACKS
        assert task.completeness == task_pb2.Completeness()
        assert task.count == window.count
        assert task.provenance == "in-proof"
        assert task.finality_source == "bls"
        assert task.dapp == "processed"


def test_bad_readings_are_refused_each_with_its_code_and_stop_none_of_the_others(light: Light) -> None:
    assert {refusal.index: refusal.code for refusal in light.summary.refusals} == light.bad
    assert set(light.bad.values()) == {"W3B-1001", "W3B-1002", "W3B-1003", "W3B-1004", "W3B-1006", "W3B-1007"}
    assert (light.summary.accepted, light.summary.refused) == (len(VALUES), len(light.bad))
    assert light.summary.duplicates == 1, "the same message twice is in the stream once"
    assert light.summary.received == len(VALUES) + len(light.bad) + 1


def test_a_replayed_sequence_goes_to_the_dead_letters(light: Light) -> None:
    """Another value signed under an old sequence is an equivocation; the first one counts, both are kept."""
    before = light.client.get_intake(light.project.id)
    key = light.project.keys[0]
    replay = key.sign(light.project.id, 1, FIRST_TIME, (9_999).to_bytes(4, "big")).to_wire()
    assert light.client.ingest([replay]).accepted == 1
    until(
        lambda: light.client.get_intake(light.project.id).refused.get("W3B-1050", 0) == 1, 20, "the replay is refused"
    )
    (letter,) = light.client.list_dead_letters(light.project.id).dead_letters
    assert (letter.code, letter.reading, letter.sequence) == ("W3B-1050", replay, 1)
    assert light.client.get_intake(light.project.id).accepted == before.accepted == len(VALUES)


def test_web3_reads_the_results_from_the_dapp(light: Light) -> None:
    functions = light.chain.contract("TemperatureDapp").functions
    for task, window in zip(light.tasks, WINDOWS, strict=True):
        *own, completeness = functions.resultOf(bytes.fromhex(task.id[2:])).call()
        assert (Result(*own), completeness) == (window, COMPLETE)
        receipt = light.chain.web3.eth.get_transaction_receipt(HexBytes(task.transaction_hash))
        assert (receipt["status"], receipt["blockNumber"]) == (1, task.block_number)
    assert light.chain.totals(light.project.id) == (len(WINDOWS), *vars(TOTALS).values(), *COMPLETE)
    name, result = functions.latest(light.project.id).call()
    by_id = {task.id: window for task, window in zip(light.tasks, WINDOWS, strict=True)}
    assert Result(*result[:4]) == by_id["0x" + name.hex()]
    assert sorted(light.chain.settlements(light.project.id)) == sorted(by_id)
    assert functions.resultOf(bytes(32)).call() == (0, 0, 0, 0, COMPLETE)


def cast_call(light: Light, signature: str, *arguments: str) -> list[int]:
    """What `cast call` prints for a function that returns one struct of numbers."""
    dapp = light.chain.addresses["temperature_dapp"]
    command = [str(CAST), "call", "--rpc-url", light.chain.rpc_url, dapp, signature, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    # cast prints `(16, 12345 [1.234e4], -400, 800, (0, 0, 0, 0))`.
    return [int(part.split()[0]) for part in printed.replace("(", "").replace(")", "").split(",")]


def test_cast_reads_the_same(light: Light) -> None:
    signature = "resultOf(bytes32)((uint32,int64,int32,int32,(uint64,uint32,uint32,uint32)))"
    for task, window in zip(light.tasks, WINDOWS, strict=True):
        assert cast_call(light, signature, task.id) == [*vars(window).values(), *COMPLETE]
    words = "uint64,uint128,int128,int32,int32,uint128,uint64,uint64,uint64"
    totals = cast_call(light, f"totalsOf(uint256)(({words}))", str(light.project.id))
    assert totals == [len(WINDOWS), *vars(TOTALS).values(), *COMPLETE]


def test_each_task_is_told_by_one_webhook_that_two_libraries_verify(light: Light) -> None:
    ids: dict[str, str] = {}
    for got in light.listener.got:
        event = Webhook(light.webhook_secret).verify(got.body, got.headers)
        SvixWebhook(light.webhook_secret).verify(got.body, got.headers)
        assert event["id"] == got.id
        assert event["type"] == "w3bstream.task.final"
        assert ids.setdefault(event["subject"], got.id) == got.id
        task = next(task for task in light.tasks if task.id == event["subject"])
        assert event["data"]["settlement"]["transaction_hash"] == task.transaction_hash
        fields = {name: int(value) for name, value in event["data"]["output"]["fields"].items()}
        assert fields == {field.name: int(field.value) for field in task.result}
    assert sorted(ids) == sorted(task.id for task in light.tasks)


def test_get_task_tells_the_whole_story(light: Light) -> None:
    for task in light.tasks:
        found = light.client.get_task(task.id)
        assert found.task == task
        states = [event.target for event in found.timeline if event.subject == "task"]
        assert states == ["RECEIVED", "OPEN", "SATISFIED", "SETTLED", "FINAL"]
        (attempt,) = found.attempts
        walked = [event.target for event in found.timeline if event.attempt_id == attempt.id]
        assert walked == ["ASSIGNED", "PROVING", "PROVED", "POSTED", "VERIFIED"]
        assert (attempt.state, attempt.kind, len(attempt.proof)) == ("VERIFIED", "zkp.groth16", 544)
        assert attempt.seconds["prove"] > 0
        sent = {transaction.purpose: transaction for transaction in found.transactions}
        assert set(sent) == {"record", "assign", "settle"}
        assert sent["settle"].hash == task.transaction_hash
        assert all(each.state == "FINAL" and each.gas_used > 21_000 for each in sent.values())
        watched = [event for event in light.events if event.task_id == task.id]
        assert watched == list(found.timeline), "the watch told the same timeline"


def test_the_command_line_works_against_it(light: Light) -> None:
    run = light.installation.run_command
    status = json.loads(run("status", "--json"))
    assert {part["name"] for part in status["components"]} >= {"ledger", "nats", "chain", "ray", "settlement"}
    assert all(part["healthy"] for part in status["components"]), status
    assert status["contracts"] == light.chain.addresses
    listed = json.loads(run("task", "list", "--project", str(light.project.id), "--json"))
    assert {task["id"] for task in listed["tasks"]} == {task.id for task in light.tasks}
    made = [task["created_at"] for task in listed["tasks"]]
    assert made == sorted(made, reverse=True), "newest first"
    assert listed["counts"] == {"FINAL": str(len(WINDOWS))}
    one = json.loads(run("task", "get", light.tasks[0].id, "--json"))
    assert {field["name"]: int(field["value"]) for field in one["task"]["result"]} == vars(WINDOWS[0]) | NOTHING_LACKS
    provers = json.loads(run("prover", "list", "--json"))["provers"]
    assert sum(int(prover["verified"]) for prover in provers) == len(WINDOWS)
    deliveries = json.loads(run("webhook", "deliveries", "--project", str(light.project.id), "--json"))
    assert {message["state"] for message in deliveries["messages"]} == {"DELIVERED"}
    people = run("task", "list", "--project", str(light.project.id))
    assert all(task.id[:10] in people for task in light.tasks)


def test_nothing_listens_off_loopback(light: Light) -> None:
    names, outside = outside_loopback(light.installation.process)
    assert {"nats-server", "raylet", "gcs_server", "w3bstream"} <= names, "every part's sockets were seen"
    assert outside == []


def secrets_of(light: Light) -> dict[str, str]:
    """Every secret of the installation by a name for people; hex without 0x, lower case."""
    home = light.installation.home
    found = {
        "admin key": (home / "admin.key").read_text().strip().split("_", 2)[2].lower(),
        "webhook secret": light.webhook_secret.removeprefix("whsec_").lower(),
        "NATS password": json.loads((home / "nats" / "endpoint.json").read_text())["password"],
        "Ray token": (home / "ray" / "auth_token").read_text().strip(),
        "coordinator key": json.loads((home / "keys" / "coordinator.json").read_text())["private_key"][2:],
    }
    for path in (home / "keys" / "provers").glob("*.json"):
        found[f"key of prover {path.stem}"] = json.loads(path.read_text())["private_key"][2:]
    for index, key in enumerate(light.project.keys):
        found[f"key of device {index}"] = key.private_key.hex()
    return found


def log_files(light: Light) -> list[Path]:
    """What the service, NATS, the chain and Ray's processes of this installation wrote."""
    home = light.installation.home
    raylet = next(each for each in light.installation.process.children(recursive=True) if each.name() == "raylet")
    session = next(part for part in raylet.cmdline() if part.startswith("--session_dir=")).partition("=")[2]
    found = [*(home / "logs").iterdir(), home / "nats" / "server.log", home / "chain" / "node.log"]
    found += [light.installation.output, *(Path(session) / "logs").rglob("*")]
    return [path for path in found if path.is_file()]


def test_no_secret_is_in_a_log(light: Light) -> None:
    secrets = secrets_of(light)
    assert sum(name.startswith("key of prover") for name in secrets) == 2
    assert all(len(secret) >= 32 for secret in secrets.values())
    files = log_files(light)
    texts = {path.name: path.read_bytes().decode(errors="replace").lower() for path in files}
    assert "service_started" in texts["service.log"]
    leaks = [(name, file) for name, secret in secrets.items() for file, text in texts.items() if secret in text]
    assert leaks == []
    signer = KeyFileSigner.at(light.installation.home / "keys" / "coordinator.json")
    assert light.chain.web3.eth.get_transaction_count(light.chain.web3.to_checksum_address(signer.address)) > 0


def test_no_secret_is_in_a_command_line_or_an_environment(light: Light) -> None:
    secrets = secrets_of(light)
    process = light.installation.process
    leaks = []
    for each in [process, *process.children(recursive=True)]:
        try:
            text = " ".join([*each.cmdline(), *(f"{name}={value}" for name, value in each.environ().items())]).lower()
        except psutil.NoSuchProcess:
            continue
        leaks += [(name, each.name()) for name, secret in secrets.items() if secret in text]
    assert leaks == []
