"""For those who receive webhooks in Python: check the signature and get the event.

Nothing here needs the service: the base install has all of it. Any Standard Webhooks library does the same for `v1`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coordinator.webhooks.signatures import V1, V1A, holds, require_key, signed_bytes, strict_base64
from verifier.errors import InvalidInput, Refused

TOLERANCE_SECONDS = 300
"""How far the timestamp may be from the receiver's clock; what the reference libraries take."""
MAX_SIGNATURES = 16
"""More are not looked at: two keys, each with two that are running out, make six."""
_NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")
_SECONDS = re.compile(r"[1-9][0-9]{0,11}")

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def verify(headers: Headers, body: bytes, keys: str | Sequence[str], *, now: float | None = None) -> dict[str, Any]:
    """The CloudEvents event, when a signature holds and the timestamp is within five minutes of now.

    Parameters: the request's headers (any case; a mapping or pairs), its body byte for byte, the endpoint's secret
    `whsec_…`, its public key `whpk_…`, or several of them, of which one must hold; `now` in Unix seconds for tests.
    The same `webhook-id` may come more than once: act on it once.
    Raises Refused (W3B-6003) and, for a key that is none, InvalidInput (W3B-6005).
    """
    trusted = (keys,) if isinstance(keys, str) else tuple(keys)
    if not trusted:
        raise InvalidInput("W3B-6005", "there is no key to verify with", field="key")
    for key in trusted:
        require_key(key)
    message_id, timestamp, given = _three(headers)
    _require_recent(timestamp, time.time() if now is None else now)
    content = signed_bytes(message_id, timestamp, body)
    signatures = _signatures(given)
    if not any(holds(key, scheme, raw, content) for scheme, raw in signatures for key in trusted):
        raise _refused("no signature holds", "webhook-signature")
    return _event(body, message_id)


def _refused(why: str, field: str) -> Refused:
    return Refused("W3B-6003", f"the webhook does not verify: {why}", field=field)


def _three(headers: Headers) -> tuple[str, str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        lower = name.lower()
        if lower in _NAMES:
            # Which of two a proxy or a framework takes is not known, so neither is.
            if lower in found:
                raise _refused(f"{lower} comes twice", lower)
            found[lower] = value
    for name in _NAMES:
        if not found.get(name):
            raise _refused(f"{name} is missing", name)
    return found["webhook-id"], found["webhook-timestamp"], found["webhook-signature"]


def _require_recent(timestamp: str, now: float) -> None:
    if _SECONDS.fullmatch(timestamp) is None:
        raise _refused("the timestamp is not a number of seconds", "webhook-timestamp")
    if abs(int(timestamp) - now) > TOLERANCE_SECONDS:
        raise _refused("the timestamp is more than five minutes from now", "webhook-timestamp")


def _signatures(text: str) -> list[tuple[str, bytes]]:
    """The readable signatures; others are passed over, as schemes to come must be."""
    found = []
    for part in text.split(" ")[:MAX_SIGNATURES]:
        scheme, _, encoded = part.partition(",")
        if scheme in (V1, V1A):
            try:
                found.append((scheme, strict_base64(encoded)))
            except ValueError:
                continue
    return found


def _event(body: bytes, message_id: str) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError as error:
        raise Refused("W3B-6003", "the signed body is no JSON", field="body") from error
    if not isinstance(event, dict):
        raise Refused("W3B-6003", "the signed body is no JSON object", field="body")
    if event.get("id", message_id) != message_id:
        raise Refused("W3B-6003", "the signed body is about another message", field="body")
    return event
