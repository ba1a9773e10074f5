"""Asking a key broker for a secret (docs/how-to/release-secrets.md): two calls, by the operator's own URL."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Protocol

from verifier.attestation.registration import Registration
from verifier.attestation.secret_request import SecretRequest
from verifier.error_codes import CODES
from verifier.errors import Refused, Unavailable

BROKER_VARIABLE = "W3BSTREAM_BROKER_URL"
"""Environment variable of a worker: where its key broker is."""
_TIMEOUT_SECONDS = 20
_MAX_ANSWER = 1 << 20


class Broker(Protocol):
    """Who releases secrets."""

    def challenge(self) -> bytes:
        """A nonce, 32 bytes. Raises Unavailable (W3B-4034)."""

    def release(self, request: SecretRequest, registration: Registration) -> bytes:
        """The sealed secret. Raises Refused with the broker's code, Unavailable (W3B-4034)."""


class HttpBroker:
    """A broker at a URL. Raises Unavailable (W3B-4034) for one that is no http or https URL."""

    def __init__(self, url: str) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise Unavailable("W3B-4034", f"{BROKER_VARIABLE} is {url[:100]!r}, no http or https URL", field="broker")
        self._url = url.rstrip("/")

    def challenge(self) -> bytes:
        """A nonce, 32 bytes. Raises Unavailable (W3B-4034)."""
        return _hex(self._post("/v1/challenge", {}), "nonce")

    def release(self, request: SecretRequest, registration: Registration) -> bytes:
        """The sealed secret. Raises Refused with the broker's code, Unavailable (W3B-4034)."""
        asked = {"request": request.to_json(), "registration": registration.to_json()}
        return _hex(self._post("/v1/release", asked), "sealed")

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
                return _object(answer.read(_MAX_ANSWER))
        except urllib.error.HTTPError as error:
            raise _refusal(error.read(_MAX_ANSWER), error.code) from error
        except OSError as error:
            raise Unavailable("W3B-4034", f"the key broker does not answer: {error}", field="broker") from error


def broker_of_environment() -> Broker | None:
    """The broker that the worker was told of, or None. Raises Unavailable (W3B-4034)."""
    url = os.environ.get(BROKER_VARIABLE, "")
    return HttpBroker(url) if url else None


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Unavailable("W3B-4034", "the key broker's answer is no JSON", field="broker") from error
    if not isinstance(found, dict):
        raise Unavailable("W3B-4034", "the key broker's answer is no object", field="broker")
    return found


def _refusal(data: bytes, status: int) -> Refused | Unavailable:
    error = _object(data).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if status >= 500 or not isinstance(error, dict) or code not in CODES:
        return Unavailable("W3B-4034", f"the key broker answers {status}", field="broker")
    return Refused(str(code), f"the key broker: {str(error.get('message'))[:300]}", field="broker")


def _hex(found: dict[str, Any], name: str) -> bytes:
    text = found.get(name)
    try:
        if isinstance(text, str) and text.startswith("0x"):
            return bytes.fromhex(text[2:])
    except ValueError as error:
        raise Unavailable("W3B-4034", f"the key broker's {name} is no hex", field="broker") from error
    raise Unavailable("W3B-4034", f"the key broker's answer has no {name}", field="broker")
