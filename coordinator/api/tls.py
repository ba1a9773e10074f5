"""Transport security of the API: the certificate of the settings, and when serving in clear is refused."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
from cryptography import x509

from coordinator.settings import Settings, is_loopback_host
from verifier.errors import InvalidInput


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """The credentials of `api_tls_cert` and `api_tls_key`, or None where the settings name none.

    With `api_client_ca` only clients with a certificate of these authorities get past the handshake. Raises
    InvalidInput: W3B-7019 when one of the first two is missing, W3B-7016 when they cannot be read or do not match.
    """
    certificate, key, client_ca = settings.api_tls_cert, settings.api_tls_key, settings.api_client_ca
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        missing = "api_tls_cert" if certificate is None else "api_tls_key"
        raise InvalidInput("W3B-7019", f"{missing} is missing; TLS needs the certificate and its key", field=missing)
    _require_pair(certificate, key)
    pair = [(key.read_bytes(), certificate.read_bytes())]
    if client_ca is None:
        return grpc.ssl_server_credentials(pair)
    _require_bundle(client_ca)
    return grpc.ssl_server_credentials(pair, client_ca.read_bytes(), require_client_auth=True)


def _require_pair(certificate: Path, key: Path) -> None:
    """gRPC itself says of a bad file only that the port cannot be had."""
    try:
        # An encrypted key would otherwise ask for its password on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise InvalidInput(
            "W3B-7016", f"{certificate} and {key} are no PEM certificate and its key: {error}", field="api_tls_cert"
        ) from error


def _require_bundle(path: Path) -> None:
    """With an empty bundle gRPC would trust the system's authorities."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput("W3B-7016", f"{path} holds no PEM certificate: {error}", field="api_client_ca") from error
    if not found:
        raise InvalidInput("W3B-7016", f"{path} holds no PEM certificate", field="api_client_ca")


def require_safe(settings: Settings, *, tls: bool) -> None:
    """Refuse to send API keys in clear over a network. Raises InvalidInput (W3B-7019)."""
    if not (tls or settings.api_insecure or is_loopback_host(settings.api_host)):
        raise InvalidInput(
            "W3B-7019", f"api_host {settings.api_host} is not loopback, and there is no TLS", field="api_host"
        )
