"""The broker as its owner runs it: made, filled, served and audited by the command; asked over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import coincurve
import pytest
from simulated_installations import MEASURED, installation

from provers.tee.simulation.attester import attest
from verifier import signatures
from verifier.attestation.binding import SessionKey, register_key
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import artifact, kind_of, tee_program_id
from verifier.attestation.registration import Attachment, Registration
from verifier.attestation.sealing import SealingKey
from verifier.attestation.secret_request import SecretRequest
from verifier.statement import Domain

SECRET = b"the key of the weather station's data"
DOMAIN = Domain(4690, bytes([7] * 20))
KEY = bytes([1] * 32)
W3BSTREAM = str(Path(sys.executable).with_name("w3bstream"))


def command(*arguments: str, code: int = 0) -> str:
    done = subprocess.run([W3BSTREAM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def enclave() -> tuple[SessionKey, Registration]:
    """Attested now, by the first installation's simulated SGX."""
    now, attester = int(time.time()), installation(1).attester(Platform.SGX)
    program = tee_program_id(kind_of(Platform.SGX), artifact(Platform.SGX, attester.measurements(MEASURED)))
    point = coincurve.PrivateKey(KEY).public_key.format(compressed=False)[1:]
    session = SessionKey(point, program, bytes([9] * 20), bytes([3] * 32), now + 3600)
    made = attest(
        attester,
        MEASURED,
        session.digest(DOMAIN),
        lambda gpus: register_key(Platform.SGX, DOMAIN, session, gpus),
        now=now,
    )
    return session, Registration("tee.sgx", session, Attachment(made.evidence, made.endorsements))


@dataclass(frozen=True)
class Running:
    """A broker that answers."""

    url: str
    home: Path
    session: SessionKey
    registration: Registration

    def post(self, path: str, body: bytes | dict[str, Any]) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urlopen(Request(self.url + path, data, {"Content-Type": "application/json"}), timeout=30) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("broker")
    home, root, secret = folder / "home", folder / "root.der", folder / "key.bin"
    root.write_bytes(installation(1).attester(Platform.SGX).roots[Platform.SGX][0])
    secret.write_bytes(SECRET)
    session, registration = enclave()
    router = "0x" + DOMAIN.router.hex()
    made = command(
        *(
            "broker",
            "init",
            "--home",
            str(home),
            "--chain-id",
            "4690",
            "--router",
            router,
            "--simulated-root",
            f"sgx={root}",
        )
    )
    assert "SIMULATED roots of sgx" in made
    program = "0x" + session.program_id.hex()
    command(
        *("broker", "secret", "add", "weather-key", str(secret), "--program", program, "--allow-simulated"),
        *("--home", str(home)),
    )
    listed = command("broker", "secret", "list", "--home", str(home), "--json")
    assert json.loads(listed)["secrets"] == [{"name": "weather-key", "programs": [program], "allow_simulated": True}]
    assert SECRET.hex() not in listed
    process = subprocess.Popen(
        [W3BSTREAM, "broker", "serve", "--home", str(home)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        yield Running(url, home, session, registration)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_from_challenge_to_secret(broker: Running) -> None:
    status, challenge = broker.post("/v1/challenge", {})
    assert (status, challenge["expires_in"]) == (200, 300)
    sealing = SealingKey()
    unsigned = SecretRequest("weather-key", bytes.fromhex(challenge["nonce"][2:]), sealing.public, broker.session)
    request = SecretRequest(
        *(unsigned.name, unsigned.nonce, unsigned.sealing_key, unsigned.session_key),
        signature=signatures.sign(unsigned.digest(DOMAIN), KEY),
    )
    body = {"request": request.to_json(), "registration": broker.registration.to_json()}
    status, answer = broker.post("/v1/release", body)
    assert (status, list(answer)) == (200, ["sealed"])
    assert sealing.open(bytes.fromhex(answer["sealed"][2:]), request.info(DOMAIN)) == SECRET
    status, refused = broker.post("/v1/release", body)
    assert (status, refused["error"]["code"], refused["error"]["field"]) == (403, "W3B-9122", "nonce")
    audit = json.loads(command("broker", "audit", "--home", str(broker.home), "--json"))["requests"]
    assert [(each["code"], each["anchor"]) for each in audit] == [("W3B-9122", ""), ("", "simulated")]
    assert "SIMULATED" in command("broker", "audit", "--home", str(broker.home))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/release", b"", 400),
        ("/v1/release", b"{", 400),
        ("/v1/release", b"[" * 100_000, 400),
        ("/v1/release", b'{"request": {}}', 400),
        ("/v1/release", b'{"request": {}, "passport": ""}', 400),
        ("/v1/release", b'{"request": {}, "request": {}, "passport": ""}', 400),
        ("/v1/release", b"\xff" * 100, 400),
        ("/v1/release", b" " * (5 << 20), 413),
        ("/v1/nothing", b"{}", 404),
    ],
)
def test_bad_input_is_a_coded_error(broker: Running, path: str, body: bytes, status: int) -> None:
    found, answer = broker.post(path, body)
    assert found == status
    assert answer["error"]["code"] == "W3B-9120"
    assert answer["error"]["next_step"]


def test_a_folder_is_made_once_and_must_be_one(broker: Running, tmp_path: Path) -> None:
    again = ("broker", "init", "--home", str(broker.home), "--chain-id", "1", "--router", "0x" + "00" * 20)
    assert "W3B-7016" in command(*again, code=1)
    assert "W3B-9125" in command("broker", "audit", "--home", str(tmp_path), code=1)
    assert "W3B-9115" in command(
        "broker", "init", "--home", str(tmp_path / "x"), "--chain-id", "1", "--router", "0x1", code=1
    )
    (tmp_path / "broker.json").write_text('{"chain_id": 0}')
    assert "chain_id" in command("broker", "audit", "--home", str(tmp_path), code=1)
