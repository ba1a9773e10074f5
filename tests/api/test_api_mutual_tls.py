"""Mutual TLS: without a certificate of the right authority nothing is served, and the audit log names whose it was."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from api_live import Live
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_api_tls import server, write_pair

from coordinator.api.client import Certificate, Client
from coordinator.api.tls import server_credentials
from coordinator.settings import Settings
from verifier.errors import Denied, InvalidInput, Unavailable


class Authority:
    """Issues client certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients")])
        self.pem = self._issue(self._key, self._name, 1, ca=True)

    def _issue(self, key: ec.EllipticCurvePrivateKey, subject: x509.Name, days: int, *, ca: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        uri = x509.UniformResourceIdentifier("spiffe://example.org/gateway-7")
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def client(self, days: int = 1) -> Certificate:
        """A client certificate that ends in so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway-7")])
        form = serialization.PrivateFormat.PKCS8
        pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return Certificate(self._issue(key, subject, days, ca=False), pem)


def test_only_clients_of_the_authority_are_served(live: Live, tmp_path: Path) -> None:
    live.run(live.server.stop(0))
    certificate, key = write_pair(tmp_path, "api")
    ours, others = Authority(), Authority()
    bundle = tmp_path / "clients.pem"
    bundle.write_bytes(ours.pem)
    secure = server(live, api_tls_cert=certificate, api_tls_key=key, api_client_ca=bundle)
    _, port = live.run(secure.start())
    target, ca = f"https://127.0.0.1:{port}", certificate.read_bytes()
    try:
        with Client(target, live.admin_key, ca=ca, certificate=ours.client()) as client:
            assert client.get_status().chain_id == 4690
            client.create_api_key("made over mutual TLS", ["tasks:read"])
            (entry,) = client.audit(action="api_key.create")
            assert entry.peer == "127.0.0.1 certificate spiffe://example.org/gateway-7"
        for wrong in (None, others.client(), ours.client(days=-1)):
            with Client(target, live.admin_key, ca=ca, certificate=wrong, timeout=3) as client:
                with pytest.raises(Unavailable) as caught:
                    client.get_status()
                assert caught.value.code in ("W3B-7011", "W3B-7012")
        with Client(target, "", ca=ca, certificate=ours.client()) as client, pytest.raises(Denied) as keyless:
            client.get_status()
        assert keyless.value.code == "W3B-7001"
    finally:
        live.run(secure.stop(0))


def test_a_client_authority_needs_tls_and_a_certificate(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "api")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for ca in (empty, tmp_path / "absent.pem", key):
        with pytest.raises(InvalidInput) as caught:
            server_credentials(Settings(home=tmp_path, api_tls_cert=certificate, api_tls_key=key, api_client_ca=ca))
        assert (caught.value.code, caught.value.field) == ("W3B-7016", "api_client_ca")
    with pytest.raises(InvalidInput) as clear:
        server_credentials(Settings(home=tmp_path, api_client_ca=certificate))
    assert clear.value.code == "W3B-7019"


def test_a_private_key_stays_out_of_what_is_printed() -> None:
    assert "PRIVATE" not in repr(Authority().client())
