"""Short-lived tokens and login challenges: JWTs (RFC 7519, with the advice of RFC 8725) signed by the installation.

A challenge is a token too, of another type and use, so that asking for one stores nothing: only its use is recorded.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import GuestProtocol, OKPKey

from coordinator.access.token_keys import TokenKeys
from verifier.errors import Denied, Refused

TOKEN_SECONDS = 900
"""How long a token works."""
CHALLENGE_SECONDS = 60
LEEWAY_SECONDS = 5
"""By how much the clocks of two coordinators may differ."""
ALGORITHM = "Ed25519"
"""The one algorithm, never the header's choice (RFC 9864)."""
TOKEN_TYPE, CHALLENGE_TYPE = "w3bstream-token+jwt", "w3bstream-challenge+jwt"
MAX_TOKEN = 4096


def installation_name(chain_id: int, router: str) -> str:
    """What tokens call an installation: the chain's id and the Router's address."""
    return f"w3bstream:{chain_id}:{router.lower()}"


@dataclass(frozen=True)
class Grant:
    """What a valid token says."""

    did: str
    scopes: tuple[str, ...]
    project_id: int | None
    expires_at: int
    """Milliseconds since the Unix epoch."""
    token_id: str


class Tokens:
    """Makes and checks tokens of one installation.

    Parameters: `installation` is its `installation_name`, issuer and audience of every token.
    """

    def __init__(self, keys: TokenKeys, installation: str) -> None:
        self._keys = keys
        self.installation = installation
        """Issuer and audience."""

    def seal(self, did: str) -> str:
        """The secret that seals stored answers of this identity."""
        return self._keys.seal(did)

    def _encode(self, kind: str, claims: dict[str, Any]) -> str:
        kid, key = self._keys.signing()
        header = {"alg": ALGORITHM, "kid": kid, "typ": kind}
        whole = {"iss": self.installation, "aud": self.installation, "jti": secrets.token_hex(16), **claims}
        return str(jwt.encode(header, whole, key, algorithms=[ALGORITHM]))

    def _key(self, guest: GuestProtocol) -> OKPKey:
        kid = guest.headers().get("kid")
        key = self._keys.verifying(kid) if isinstance(kid, str) else None
        if key is None:
            raise ValueError("the key id is unknown")
        return key

    def _decode(self, kind: str, text: str, now: int) -> dict[str, Any]:
        """The claims. Raises ValueError with what is wrong, TimeoutError when it has run out."""
        if len(text) > MAX_TOKEN:
            raise ValueError("it is too long")
        try:
            token = jwt.decode(text, self._key, algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError("it is not signed by this installation") from error
        claims = token.claims
        if token.header.get("typ") != kind:
            raise ValueError("it is of another type")
        if claims.get("iss") != self.installation or claims.get("aud") != self.installation:
            raise ValueError("it is another installation's")
        numbers = [claims.get(name) for name in ("iat", "nbf", "exp")]
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
            raise ValueError("a time is missing")
        if min(claims["iat"], claims["nbf"]) > now // 1000 + LEEWAY_SECONDS or claims["nbf"] * 1000 > now + 5000:
            raise ValueError("it is not valid yet")
        if claims["exp"] * 1000 <= now:
            raise TimeoutError
        return claims

    def issue(self, did: str, scopes: Sequence[str], project_id: int | None, now: int) -> tuple[str, int]:
        """(token, when it runs out) for an identity; times are milliseconds."""
        issued = now // 1000
        claims = {"sub": did, "scopes": list(scopes), "project": project_id, "iat": issued, "nbf": issued}
        return self._encode(TOKEN_TYPE, {**claims, "exp": issued + TOKEN_SECONDS}), (issued + TOKEN_SECONDS) * 1000

    def read(self, text: str, now: int) -> Grant:
        """What a token grants. Raises Denied: W3B-7021 when it is not one of ours, W3B-7020 when it has run out."""
        try:
            claims = self._decode(TOKEN_TYPE, text, now)
        except ValueError as error:
            raise Denied("W3B-7021", f"the token cannot be used: {error}", field="authorization") from error
        except TimeoutError as error:
            raise Denied("W3B-7020", "the token has run out", field="authorization") from error
        did, scopes, project_id = claims.get("sub"), claims.get("scopes"), claims.get("project")
        return Grant(str(did), tuple(scopes or ()), project_id, claims["exp"] * 1000, str(claims["jti"]))

    def challenge(self, did: str, now: int) -> tuple[str, int]:
        """(challenge, when it runs out) for one login of a DID."""
        issued = now // 1000
        claims = {"sub": did, "iat": issued, "nbf": issued, "exp": issued + CHALLENGE_SECONDS}
        return self._encode(CHALLENGE_TYPE, claims), (issued + CHALLENGE_SECONDS) * 1000

    def read_challenge(self, did: str, text: str, now: int) -> tuple[str, int]:
        """(id, when it runs out) of a challenge that was made for this DID. Raises Refused (W3B-7022)."""
        try:
            claims = self._decode(CHALLENGE_TYPE, text, now)
        except ValueError as error:
            raise Refused("W3B-7022", f"the challenge cannot be used: {error}", field="challenge") from error
        except TimeoutError as error:
            raise Refused("W3B-7022", "the challenge has run out", field="challenge") from error
        if claims.get("sub") != did:
            raise Refused("W3B-7022", "the challenge is another DID's", field="challenge")
        return str(claims["jti"]), claims["exp"] * 1000
