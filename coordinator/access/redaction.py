"""Takes what looks like a secret out of a log line. A second line of defence: no room hands a secret to a log.

It knows shapes, not meanings: API keys, webhook secrets and keys, bearer tokens, JWTs, private keys in PEM, and the
password of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

HIDDEN = "[secret]"
_SHAPES = (
    (re.compile(r"w3b_[0-9a-f]{12}_[A-Za-z0-9_-]{20,}"), HIDDEN),
    (re.compile(r"wh(?:sec|sk)_[A-Za-z0-9+/=_-]{8,}"), HIDDEN),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), HIDDEN),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://[^/\s:@'\"]*):[^/\s@'\"]+@"), rf"\1:{HIDDEN}@"),
)
_NAMES = re.compile(r"(?i)(^|_)(secret|password|passwd|private_key|api_key|token|authorization|signing_key|seal)$")
"""Fields whose value is hidden whatever it looks like."""


def redacted(text: str) -> str:
    """The text without what looks like a secret."""
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, bytes | bytearray):
        return redacted(repr(bytes(value)))
    if isinstance(value, Mapping):
        return {key: HIDDEN if _NAMES.search(str(key)) and each else _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(each) for each in value]
    return value if isinstance(value, int | float | type(None)) else redacted(str(value))


def redact(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the last one before the line is rendered, with every exception already text."""
    for key in list(event):
        if not key.startswith("_"):  # structlog's own
            event[key] = HIDDEN if _NAMES.search(key) and event[key] else _clean(event[key])
    return event
