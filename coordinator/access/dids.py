"""The DIDs that may log in, and the proof that a login carries.

`did:key` (https://w3c-ccg.github.io/did-method-key/, W3C CCG) holds the public key itself: multibase base58btc of a
multicodec prefix and the key. `did:pkh:eip155` (CAIP-10) names an Ethereum account. Neither needs a resolver, so a
login asks nobody else. docs/reference/encodings.md §7 has the bytes.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass

import coincurve
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey

from verifier import signatures
from verifier.errors import InvalidInput, Refused

# A client library may still call Ed25519 by its older name; it is the same signature.
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)

MAX_DID = 200
MAX_PROOF = 4096
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PKH = re.compile(r"did:pkh:eip155:([1-9][0-9]{0,18}):(0x[0-9a-fA-F]{40})")
_ED25519, _SECP256K1, _P256 = b"\xed\x01", b"\xe7\x01", b"\x80\x24"
"""Multicodec prefixes (https://github.com/multiformats/multicodec), as varints."""
_ALGORITHMS = {_ED25519: ("Ed25519", "EdDSA"), _SECP256K1: ("ES256K",), _P256: ("ES256",)}
"""The JWS algorithm of each key, under its names: a proof's header never chooses it (RFC 8725 §3.1)."""
_BYTES = {_ED25519: 32, _SECP256K1: 33, _P256: 33}


def base58(data: bytes) -> str:
    """base58btc."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def _unbase58(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * 58 + _ALPHABET.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


@dataclass(frozen=True)
class KeyDid:
    """A `did:key`."""

    did: str
    prefix: bytes
    """Multicodec prefix, which says the key's type."""
    key: bytes
    """Ed25519: 32 bytes; P-256 and secp256k1: 33 bytes, compressed."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The JWS algorithm of its proofs; Ed25519 has an older name too, EdDSA (RFC 9864)."""
        return _ALGORITHMS[self.prefix]

    def check(self, claims: LoginClaims, proof: str) -> None:
        """Raises Refused (W3B-7022) unless `proof` is a compact JWS of this key over exactly these claims."""
        try:
            found = jws.deserialize_compact(proof, _jwk(self), algorithms=self.algorithms)
            payload = json.loads(found.payload)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise Refused("W3B-7022", "the proof is no JWS of the DID's key", field="proof") from error
        if not isinstance(payload, dict) or {name: payload.get(name) for name in claims.payload()} != claims.payload():
            raise Refused("W3B-7022", "the proof is about another login", field="proof")


@dataclass(frozen=True)
class AccountDid:
    """A `did:pkh:eip155`, its address in lower case."""

    did: str
    chain_id: int
    address: bytes
    """20 bytes."""

    def check(self, claims: LoginClaims, proof: str) -> None:
        """Raises Refused (W3B-7022) unless `proof` is the account's EIP-191 signature over the login's text."""
        try:
            signature = bytes.fromhex(proof.removeprefix("0x"))
        except ValueError as error:
            raise Refused("W3B-7022", "the proof is not hex", field="proof") from error
        digest = signatures.personal_digest(claims.text())
        if signatures.recover(digest, signature, code="W3B-7022") != self.address:
            raise Refused("W3B-7022", "the proof is another account's", field="proof")


Did = KeyDid | AccountDid


@dataclass(frozen=True)
class LoginClaims:
    """What a login's proof is over."""

    did: str
    audience: str
    """The installation: `w3bstream:<chain id>:<Router>`."""
    target: str
    """The host:port that the client dialled."""
    challenge: str

    def payload(self) -> dict[str, str]:
        """The claims of the JWS that a did:key signs."""
        return {"iss": self.did, "aud": self.audience, "target": self.target, "nonce": self.challenge}

    def text(self) -> str:
        """The text that a wallet shows and signs."""
        return (
            "W3bstream login\n"
            f"DID: {self.did}\nInstallation: {self.audience}\nServer: {self.target}\nChallenge: {self.challenge}"
        )


def key_did(prefix: bytes, key: bytes) -> str:
    """The did:key of a public key."""
    return f"did:key:z{base58(prefix + key)}"


def ed25519_did(key: Ed25519PublicKey) -> str:
    """The did:key of an Ed25519 key."""
    return key_did(_ED25519, key.public_bytes_raw())


def ec_did(compressed: bytes, *, p256: bool) -> str:
    """The did:key of a P-256 (else secp256k1) key, 33 bytes compressed."""
    return key_did(_P256 if p256 else _SECP256K1, compressed)


def account_did(chain_id: int, address: bytes) -> str:
    """The did:pkh of an account."""
    return f"did:pkh:eip155:{chain_id}:0x{address.hex()}"


def parse(text: str) -> Did:
    """The DID in its one spelling. Raises InvalidInput (W3B-7024)."""
    refusal = InvalidInput("W3B-7024", f"{text[:80]!r} is not a DID that can log in", field="did")
    account = _PKH.fullmatch(text)
    if account is not None:
        address = bytes.fromhex(account.group(2)[2:])
        return AccountDid(account_did(int(account.group(1)), address), int(account.group(1)), address)
    if not text.startswith("did:key:z") or len(text) > MAX_DID or set(text[9:]) - set(_ALPHABET):
        raise refusal
    data = _unbase58(text[9:])
    prefix, key = data[:2], data[2:]
    if len(key) != _BYTES.get(prefix) or key_did(prefix, key) != text:
        raise refusal
    did = KeyDid(text, prefix, key)
    try:
        _jwk(did)
    except ValueError as error:  # not a point of the curve
        raise refusal from error
    return did


def _jwk(did: KeyDid) -> ECKey | OKPKey:
    """The public key as joserfc takes it. Raises ValueError when it is no point of its curve."""
    if did.prefix == _ED25519:
        return OKPKey.import_key(Ed25519PublicKey.from_public_bytes(did.key))
    if did.prefix == _P256:
        return ECKey.import_key(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), did.key))
    coincurve.PublicKey(did.key)
    return ECKey.import_key(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), did.key))


def check_login(did: Did, claims: LoginClaims, proof: str) -> None:
    """Raises Refused (W3B-7022) unless the DID's key signed these claims."""
    if len(proof) > MAX_PROOF:
        raise Refused("W3B-7022", f"the proof has {len(proof)} characters", field="proof")
    did.check(claims, proof)
