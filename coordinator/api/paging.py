"""Page tokens: opaque to the caller, checked when they come back.

A token carries where the next page begins and a digest of the filter that it belongs to. It needs no signature: the
filter and the caller's rights are applied to every page anew, so a forged token shows nothing that a plain call would
not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from verifier.errors import InvalidInput

DEFAULT_SIZE = 50
MAX_SIZE = 200
MAX_TOKEN = 512
_DIGEST = 8
_LARGEST = (1 << 63) - 1


def page_size(asked: int) -> int:
    """The size to serve: 0 means 50. Raises InvalidInput (W3B-7008) above 200."""
    if asked > MAX_SIZE:
        raise InvalidInput("W3B-7008", f"page_size {asked} is above {MAX_SIZE}", field="page_size")
    return asked or DEFAULT_SIZE


def _digest(scope: tuple[object, ...]) -> bytes:
    return hashlib.sha256(json.dumps(scope, default=str).encode()).digest()[:_DIGEST]


def make_token(scope: tuple[object, ...], cursor: tuple[int | str, ...]) -> str:
    """The token for the page after `cursor` of the list that `scope` (method and filter) names."""
    body = _digest(scope) + json.dumps(cursor, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def read_token(scope: tuple[object, ...], token: str, kinds: tuple[type, ...]) -> tuple[int | str, ...] | None:
    """The cursor in a token, its values of `kinds`; None for the first page. Raises InvalidInput (W3B-7009)."""
    if not token:
        return None
    refusal = InvalidInput("W3B-7009", f"page_token {token[:40]!r} does not belong to this list", field="page_token")
    if len(token) > MAX_TOKEN:
        raise refusal
    try:
        body = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        cursor = json.loads(body[_DIGEST:])
    except (binascii.Error, ValueError, RecursionError) as error:
        raise refusal from error
    good = isinstance(cursor, list) and [type(value) for value in cursor] == list(kinds)
    if body[:_DIGEST] != _digest(scope) or not good:
        raise refusal
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in cursor):
        raise refusal
    return tuple(cursor)
