"""Sealed readings: the key broker's secret reaches the attested enclave alone, and opens each payload for its reading."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from eth_abi.abi import decode
from simulated_installations import installation
from tee_windows import Clock, prover_of, quiet, with_readings
from wasm_programs import program_folder

from coordinator.broker.broker import Broker, Trust
from coordinator.broker.http import Server
from coordinator.broker.vault import Secret
from provers.programs.temperature_window import OUTPUTS
from provers.protocol import Prepared, ProvingTask
from provers.tee.broker_client import HttpBroker
from provers.tee.prover import TeeProver
from tests.groth16.window import DOMAIN, KEYS, window_task
from verifier.attestation.evidence import Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.registration import Registration
from verifier.attestation.sealing import SealingKey, reading_info, seal
from verifier.attestation.secret_request import SecretRequest
from verifier.commitment import order_readings
from verifier.errors import InvalidInput, Refused, Unavailable
from verifier.reading import Reading

SECRET = b"\x21" * 32
PUBLIC = SealingKey.from_secret(SECRET).public
NOW = 1_800_000_000
TYPES = [output.split()[0] for output in OUTPUTS]
VALUES = (40, -3, 12)


class InProcess:
    """A broker without HTTP."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.asked = 0

    def challenge(self) -> bytes:
        return self.broker.challenge(NOW)

    def release(self, request: SecretRequest, registration: Registration) -> bytes:
        self.asked += 1
        return self.broker.release_by_evidence(request, registration, NOW)


def sealed_reading(value: int, number: int, *, sealed_for: int | None = None) -> Reading:
    key = KEYS[number]
    info = reading_info(7, key.device, 5 if sealed_for is None else sealed_for)
    return key.sign(7, 5, 1_000, seal(value.to_bytes(4, "big", signed=True), PUBLIC, info))


def sealed_task(prepared: Prepared, readings: list[Reading]) -> ProvingTask:
    task = window_task(prepared, [0])
    return with_readings(task, order_readings(readings, task.device_set))


def prover_and_program(folder: Path, broker: InProcess | None, now: int = NOW) -> tuple[TeeProver, Prepared]:
    prover = prover_of(Platform.SGX, clock=Clock(now), broker=broker)
    return prover, prover.prepare(program_folder(folder / "sealed", more='sealed = "weather-key"'), quiet)


@pytest.fixture
def broker(tmp_path: Path) -> InProcess:
    """Has the secret for the sealed program."""
    made = Broker(tmp_path / "broker", Trust(DOMAIN, installation(0).anchors(Platform.SGX), AppraisalPolicy()))
    _, prepared = prover_and_program(tmp_path, None)
    made.vault.put(Secret("weather-key", SECRET, frozenset({prepared.program_id}), allow_simulated=True))
    return InProcess(made)


def test_sealed_readings_are_opened_in_the_enclave_alone(broker: InProcess, tmp_path: Path) -> None:
    prover, prepared = prover_and_program(tmp_path, broker)
    task = sealed_task(prepared, [sealed_reading(value, number) for number, value in enumerate(VALUES)])
    proofs = [prover.prove(prepared, task, quiet) for _ in range(2)]
    assert decode(TYPES, proofs[1].public_output)[:4] == (3, 49, -3, 40)
    assert broker.asked == 1
    assert proofs[0].statement == proofs[1].statement
    clear, ready = prover_of(Platform.SGX), program_folder(tmp_path / "clear")
    assert clear.prepare(ready, quiet).program_id != prepared.program_id


def test_a_payload_that_is_not_sealed_for_its_reading_is_refused(broker: InProcess, tmp_path: Path) -> None:
    prover, prepared = prover_and_program(tmp_path, broker)
    copied = KEYS[1].sign(7, 5, 1_000, sealed_reading(1, 0).payload)
    for bad in (sealed_reading(1, 0, sealed_for=6), KEYS[0].sign(7, 5, 1_000, bytes(4)), copied):
        with pytest.raises(Refused, match="W3B-9121"):
            prover.prove(prepared, sealed_task(prepared, [bad]), quiet)


def test_without_a_broker_or_its_consent_nothing_is_opened(
    broker: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("W3BSTREAM_BROKER_URL", raising=False)
    prover, prepared = prover_and_program(tmp_path, None)
    task = sealed_task(prepared, [sealed_reading(1, 0)])
    with pytest.raises(Unavailable, match=r"W3B-4034.*W3BSTREAM_BROKER_URL"):
        prover.prove(prepared, task, quiet)
    broker.broker.vault.put(Secret("weather-key", SECRET, frozenset({bytes(32)}), allow_simulated=True))
    prover, prepared = prover_and_program(tmp_path, broker)
    with pytest.raises(Refused, match="W3B-9126"):
        prover.prove(prepared, task, quiet)
    assert prepared.state.enclave.wants_secret


def test_an_answer_is_taken_once_and_for_its_request(broker: InProcess, tmp_path: Path) -> None:
    prover, prepared = prover_and_program(tmp_path, broker)
    enclave = prepared.state.enclave
    opened = prover._session  # the session is opened before the secret is asked for
    with pytest.raises(Refused, match="W3B-4015"):
        enclave.ask_secret(DOMAIN, b"\x22" * 20, bytes(32))
    task = sealed_task(prepared, [sealed_reading(1, 0)])
    prover.prove(prepared, task, quiet)
    live = opened(prepared, task)
    nonce = broker.challenge()
    request = enclave.ask_secret(DOMAIN, b"\x22" * 20, nonce)
    answer = broker.release(request, live.registration)
    with pytest.raises(Refused, match="W3B-9122"):
        enclave.take_secret(bytes(32), answer)
    enclave.take_secret(nonce, answer)
    with pytest.raises(Refused, match="W3B-9122"):
        enclave.take_secret(nonce, answer)
    enclave.ask_secret(DOMAIN, b"\x22" * 20, nonce)
    with pytest.raises(Refused, match="W3B-9121"):
        enclave.take_secret(nonce, answer)


def test_legacy_sev_takes_no_sealed_readings(tmp_path: Path) -> None:
    folder = program_folder(tmp_path / "p", kinds=["tee.sev"], more='sealed = "weather-key"')
    with pytest.raises(InvalidInput, match="W3B-4030"):
        prover_of(Platform.SEV).prepare(folder, quiet)
    odd = program_folder(tmp_path / "q", more='sealed = "../key"')
    with pytest.raises(InvalidInput, match="W3B-9120"):
        prover_of(Platform.SGX).prepare(odd, quiet)


def test_the_secret_comes_over_http(broker: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prove() -> bytes:
        async with Server(broker.broker, "127.0.0.1", 0) as server:
            monkeypatch.setenv("W3BSTREAM_BROKER_URL", server.announcement()["url"])
            prover, prepared = prover_and_program(tmp_path, None, int(time.time()))
            task = sealed_task(prepared, [sealed_reading(value, number) for number, value in enumerate(VALUES)])
            return (await asyncio.to_thread(prover.prove, prepared, task, quiet)).public_output

    assert decode(TYPES, asyncio.run(prove()))[:2] == (3, 49)


class Liar(BaseHTTPRequestHandler):
    """Answers what it is told to."""

    answer: tuple[int, bytes] = (200, b"")

    def do_POST(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def liar() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"", "W3B-4034"),
        (200, b"[]", "W3B-4034"),
        (200, b"{}", "W3B-4034"),
        (200, b'{"nonce": "0xzz"}', "W3B-4034"),
        (200, b'{"nonce": 7}', "W3B-4034"),
        (500, b'{"error": {"code": "W3B-9126", "message": "x"}}', "W3B-4034"),
        (403, b"oops", "W3B-4034"),
        (403, b'{"error": "no"}', "W3B-4034"),
        (403, b'{"error": {"code": "W3B-0000", "message": "x"}}', "W3B-4034"),
        (403, b'{"error": {"code": "W3B-9122", "message": "x"}}', "W3B-9122"),
    ],
)
def test_whatever_a_broker_answers_is_a_coded_error(liar: str, status: int, body: bytes, code: str) -> None:
    Liar.answer = (status, body)
    with pytest.raises((Unavailable, Refused), match=code):
        HttpBroker(liar).challenge()


def test_a_broker_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="W3B-4034"):
        HttpBroker("http://127.0.0.1:9").challenge()
    with pytest.raises(Unavailable, match="W3B-4034"):
        HttpBroker("file:///etc/passwd")
