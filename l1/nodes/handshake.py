"""How two nodes come to know each other: a challenge that both sign, before anything else is read from a connection.

Each side sends a greeting (its address, a fresh nonce, the chain's domain) and then a signature, by the secret of that
address, over both greetings and the signer's side. So each knows who answered it, on this chain, now: a recorded
handshake has another nonce in it, one for another chain another domain, and one that is sent back has the wrong side.

What that gives: peers are counted, limited and banned by a key that they hold, and delegates have a place whoever else
crowds in. What it does not give: frames that follow are neither encrypted nor authenticated one by one. Whoever is on
the path can read them, drop them or put in others. That cannot forge a vote, a block or a transaction, since each of
those carries its own signature, but it can have a peer banned. Run it over a private network, a VPN or TLS.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Final, NamedTuple

from coincurve import PrivateKey, PublicKey
from eth_hash.auto import keccak

MAGIC: Final = b"W3BL1\x00\x00\x01"
"""What every greeting begins with: the protocol and its version, 8 bytes."""
NONCE_BYTES: Final = 32
HELLO_BYTES: Final = 8 + 32 + 20 + NONCE_BYTES
SIGNATURE_BYTES: Final = 65
REMEMBERED: Final = 1_024
"""Own nonces that are known again: by them a node sees that it has dialed itself."""
_CONTEXT: Final = b"w3bstream/l1/handshake/1"


class HandshakeError(Exception):
    """The other side is not let in. `args` is (reason, text): `protocol`, `domain`, `signature`, `self`, `twin`,
    `closed`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason


class Hello(NamedTuple):
    """What a side says first."""

    domain: bytes
    """`messages.domain_of` the chain, 32 bytes."""
    address: bytes
    """Its address, 20 bytes: a delegate's operator address, or that of a node's own key."""
    nonce: bytes
    """32 random bytes that are used once."""

    def encode(self) -> bytes:
        """92 bytes."""
        return MAGIC + self.domain + self.address + self.nonce


def decode_hello(raw: bytes) -> Hello:
    """A greeting's parts. Raises HandshakeError `protocol`."""
    if len(raw) != HELLO_BYTES or not raw.startswith(MAGIC):
        raise HandshakeError("protocol", "not a greeting of this protocol")
    return Hello(raw[8:40], raw[40:60], raw[60:])


def address_of(secret: PrivateKey) -> bytes:
    """The account of a secp256k1 secret, 20 bytes."""
    return bytes(keccak(secret.public_key.format(compressed=False)[1:])[12:])


def digest(dialer: Hello, listener: Hello, *, by_dialer: bool) -> bytes:
    """What a side signs, 32 bytes: keccak256 of the context, the signer's side, and both greetings."""
    side = b"d" if by_dialer else b"l"
    return bytes(keccak(_CONTEXT + side + dialer.encode() + listener.encode()))


def sign(secret: PrivateKey, dialer: Hello, listener: Hello, *, by_dialer: bool) -> bytes:
    """A side's answer to the other's challenge: r, s and recovery id, 65 bytes."""
    return secret.sign_recoverable(digest(dialer, listener, by_dialer=by_dialer), hasher=None)


def check(signature: bytes, dialer: Hello, listener: Hello, *, by_dialer: bool) -> None:
    """Check the answer of the other side. Raises HandshakeError `signature`."""
    who = (dialer if by_dialer else listener).address
    try:
        public = PublicKey.from_signature_and_message(
            signature, digest(dialer, listener, by_dialer=by_dialer), hasher=None
        )
    except Exception as error:  # coincurve raises its own, ValueError and bare Exception for what is no signature
        raise HandshakeError("signature", f"no signature: {error}") from error
    if keccak(public.format(compressed=False)[1:])[12:] != who:
        raise HandshakeError("signature", f"the signature is not that of 0x{who.hex()}")


class Identity:
    """This side: its secret, its chain, and the challenges that it gave last."""

    def __init__(self, secret: bytes, domain: bytes) -> None:
        """`secret` is secp256k1, 32 bytes; `domain` is `messages.domain_of` the chain."""
        self._secret = PrivateKey(secret)
        self._domain = domain
        self._given: deque[bytes] = deque(maxlen=REMEMBERED)
        self.address = address_of(self._secret)
        """This side's address, 20 bytes."""

    async def shake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, dialed: bool) -> bytes:
        """Go through the handshake; returns the other side's address. The caller limits the time.

        Raises
        ------
        HandshakeError
            When the other side is not to be let in, or hangs up.
        """
        mine = Hello(self._domain, self.address, secrets.token_bytes(NONCE_BYTES))
        self._given.append(mine.nonce)
        writer.write(mine.encode())
        theirs = decode_hello(await _exactly(reader, HELLO_BYTES))
        self._admit(theirs)
        dialer, listener = (mine, theirs) if dialed else (theirs, mine)
        writer.write(sign(self._secret, dialer, listener, by_dialer=dialed))
        check(await _exactly(reader, SIGNATURE_BYTES), dialer, listener, by_dialer=not dialed)
        if theirs.address == self.address:
            raise HandshakeError("twin", "another node runs with this node's key")
        return theirs.address

    def _admit(self, theirs: Hello) -> None:
        if theirs.domain != self._domain:
            raise HandshakeError("domain", "the other side is of another chain: its genesis differs")
        if theirs.nonce in self._given:
            raise HandshakeError("self", "this node dialed itself")


async def _exactly(reader: asyncio.StreamReader, count: int) -> bytes:
    try:
        return await reader.readexactly(count)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise HandshakeError("closed", "the other side hung up") from error
