"""What must hold: API keys travel in clear on loopback only, unless the operator says so."""

from __future__ import annotations

import datetime
import ipaddress
import json
from pathlib import Path

import pytest
from api_live import Live
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from coordinator.api.client import Client
from coordinator.api.server import ApiServer
from coordinator.api.tls import server_credentials
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.settings import Settings
from verifier.errors import InvalidInput, Unavailable


def write_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "w3bstream test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def server(live: Live, **changes: object) -> ApiServer:
    """Another server of the installation, with changed settings and the TLS that these name."""
    settings = live.settings.model_copy(update=changes)
    return ApiServer(
        live.ledger,
        settings,
        intake=live.intake,
        installation=live.site,
        signatures=CryptoPool(0),
        tls=server_credentials(settings),
    )


@pytest.fixture
def idle(live: Live) -> Live:
    """An installation whose own server has stopped."""
    live.run(live.server.stop(0))
    return live


def test_a_network_address_in_clear_is_refused(idle: Live) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "api.example"):
        with pytest.raises(InvalidInput) as caught:
            idle.run(server(idle, api_host=host).start())
        assert caught.value.code == "W3B-7019"
    assert not (idle.home / "api.json").exists()
    insecure = server(idle, api_host="0.0.0.0", api_insecure=True)
    _, port = idle.run(insecure.start())
    with Client(f"127.0.0.1:{port}", idle.admin_key) as client:
        assert client.get_status().chain_id == 4690
    idle.run(insecure.stop(0))


def test_tls_serves_who_trusts_its_certificate_and_says_so_in_the_address(idle: Live, tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "api")
    other, _ = write_pair(tmp_path, "other")
    secure = server(idle, api_host="0.0.0.0", api_tls_cert=certificate, api_tls_key=key)
    _, port = idle.run(secure.start())
    assert json.loads((idle.home / "api.json").read_text()) == {"target": f"https://0.0.0.0:{port}"}
    with Client(f"https://127.0.0.1:{port}", idle.admin_key, ca=certificate.read_bytes()) as client:
        assert client.get_status().chain_id == 4690
    for target, ca in ((f"https://127.0.0.1:{port}", other.read_bytes()), (f"127.0.0.1:{port}", None)):
        with Client(target, idle.admin_key, ca=ca, timeout=2) as client, pytest.raises(Unavailable):
            client.get_status()
    idle.run(secure.stop(0))


def test_half_a_pair_and_a_wrong_pair_are_refused(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "api")
    _, wrong = write_pair(tmp_path, "other")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for cert, private, code in (
        (certificate, None, "W3B-7019"),
        (None, key, "W3B-7019"),
        (certificate, wrong, "W3B-7016"),
        (certificate, tmp_path / "absent", "W3B-7016"),
        (empty, key, "W3B-7016"),
        (key, certificate, "W3B-7016"),
    ):
        with pytest.raises(InvalidInput) as caught:
            server_credentials(Settings(home=tmp_path, api_tls_cert=cert, api_tls_key=private))
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"api_host": "::1"}, True),
        ({"api_host": "0.0.0.0"}, False),
        ({"chain_rpc_url": "http://127.0.0.1:8545"}, False),
        ({"nats_url": "nats://127.0.0.1:4222"}, False),
        ({"ray_address": "10.0.0.1:6379"}, False),
        ({"api_host": "0.0.0.0", "allow_loopback_webhooks": True}, True),
        ({"allow_loopback_webhooks": False}, False),
    ],
)
def test_loopback_webhooks_follow_the_installation(tmp_path: Path, changes: dict[str, object], allowed: bool) -> None:
    assert Settings(home=tmp_path, **changes).loopback_webhooks is allowed  # type: ignore[arg-type]
