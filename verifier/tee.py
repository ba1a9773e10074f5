"""The TEE adapter off chain: the same checks as contracts/tee/TeeVerifier.sol (docs/reference/tee-contracts.md).

A session key is registered once, with evidence; then its signature of a Statement digest is the proof. A platform without
session keys proves with evidence that carries the digest itself. What evidence says is appraised by
`verifier.attestation`; here it is held against the key or the Statement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from verifier import signatures
from verifier.attestation.binding import SessionKey
from verifier.errors import Refused
from verifier.opening import OPENING_BYTES, check_opening, check_output, check_ranges, decode_opening, encode_opening
from verifier.statement import Domain, Opening, Statement

SESSION_KEY = 1
"""Mode of a proof whose body is a session key's signature of the Statement digest, r ‖ s ‖ v."""
DIRECT = 2
"""Mode of a proof whose body is evidence that carries the Statement digest."""
LONGEST_LIFETIME = 366 * 86_400
"""Most seconds that any verifier lets a session key live."""
REVOCATION_TYPE = b"SessionKeyRevocation(bytes32 programId,address prover,address sessionKey)"
_WORD = 32
_HEAD = OPENING_BYTES + 3 * _WORD
_BODY_OFFSET = OPENING_BYTES + 2 * _WORD


def _malformed(why: str, name: str = "proof") -> Refused:
    return Refused("W3B-4010", why, field=name)


@dataclass(frozen=True)
class TeeProof:
    """A proof of a `tee.…` kind as the contract takes it."""

    opening: Opening
    """What the Statement's `inputs` commits to."""
    mode: int
    """`SESSION_KEY` or `DIRECT`."""
    body: bytes
    """65 bytes of signature, or evidence in the encoding of the verifier's attestation adapter."""

    def encode(self) -> bytes:
        """`abi.encode(Opening, uint8, bytes)`."""
        numbers = (self.mode, _BODY_OFFSET, len(self.body))
        head = encode_opening(self.opening) + b"".join(each.to_bytes(_WORD, "big") for each in numbers)
        return head + self.body + bytes(-len(self.body) % _WORD)

    @classmethod
    def decode(cls, data: bytes) -> TeeProof:
        """Exactly what `encode` writes. Raises Refused W3B-4010 for anything else."""
        if len(data) < _HEAD:
            raise _malformed(f"the proof has {len(data)} bytes, fewer than {_HEAD}")
        words = [data[at : at + _WORD] for at in range(OPENING_BYTES, _HEAD, _WORD)]
        mode, _, length = (int.from_bytes(word, "big") for word in words)
        if mode not in (SESSION_KEY, DIRECT):
            raise _malformed(f"the mode is {mode}, neither {SESSION_KEY} nor {DIRECT}", "mode")
        proof = cls(decode_opening(data[:OPENING_BYTES]), mode, data[_HEAD : _HEAD + length])
        if proof.encode() != data:
            raise _malformed("the proof is not the canonical encoding of its body", "body")
        return proof


def key_address(public_key: bytes) -> bytes:
    """The address that a session key's signatures recover to, 20 bytes, of its x ‖ y (64 bytes)."""
    return keccak(public_key)[-20:]


def revocation_digest(domain: Domain, program_id: bytes, prover: bytes, session_key: bytes) -> bytes:
    """EIP-712 digest that a session key signs to revoke itself, 32 bytes."""
    types = ["bytes32", "bytes32", "address", "address"]
    struct = keccak(abi_encode(types, [keccak(REVOCATION_TYPE), program_id, prover, session_key]))
    return keccak(b"\x19\x01" + domain.separator() + struct)


@dataclass(frozen=True)
class Registration:
    """A session key as the verifier keeps it."""

    expiry: int
    """Unix seconds from which on it does not count; 0 where it was never registered."""
    revoked: bool = False


class Keys(Protocol):
    """Where registered session keys are looked up: the contract, or `SessionKeys`."""

    def find(self, program_id: bytes, prover: bytes, session_key: bytes) -> Registration:
        """The registration of an address (20 bytes)."""


@dataclass
class SessionKeys:
    """The registered keys of one kind, in memory, by the contract's rules."""

    domain: Domain
    max_lifetime: int
    """Seconds."""
    _keys: dict[tuple[bytes, bytes, bytes], Registration] = field(default_factory=dict)
    _nonces: set[tuple[bytes, bytes, bytes]] = field(default_factory=set)

    def find(self, program_id: bytes, prover: bytes, session_key: bytes) -> Registration:
        """The registration of an address (20 bytes)."""
        return self._keys.get((program_id, prover, session_key), Registration(0))

    def register(self, key: SessionKey, measured: bytes, valid_until: int, now: int) -> bytes:
        """Register a key whose evidence was appraised with the caller data of `binding.register_key`.

        Parameters: `measured` is the program id of the evidence's own measurements (`identity.tee_program_id`),
        `valid_until` its result's (0: nothing has a date), `now` Unix seconds.

        Returns the key's address. Raises Refused: W3B-4012 another program, W3B-4015 expired, W3B-4016 a nonce that was
        used, a lifetime beyond the longest, or a revoked key.
        """
        address = key_address(key.public_key)
        if key.expiry > now + self.max_lifetime:
            why = f"expiry {key.expiry} is more than {self.max_lifetime} seconds from now"
            raise Refused("W3B-4016", why, field="expiry")
        used = (key.program_id, key.prover, key.nonce)
        if used in self._nonces:
            raise Refused("W3B-4016", f"nonce {key.nonce.hex()} was accepted before", field="nonce")
        known = self.find(key.program_id, key.prover, address)
        if known.revoked:
            raise Refused("W3B-4016", f"session key 0x{address.hex()} was revoked", field="publicKey")
        if measured != key.program_id:
            why = f"the evidence is of program {measured.hex()}, not {key.program_id.hex()}"
            raise Refused("W3B-4012", why, field="programId")
        expiry = min(key.expiry, valid_until or key.expiry)
        if expiry <= now:
            raise Refused("W3B-4015", f"session key 0x{address.hex()} expired at {expiry}", field="expiry")
        self._nonces.add(used)
        self._keys[(key.program_id, key.prover, address)] = Registration(max(expiry, known.expiry))
        return address

    def revoke(self, program_id: bytes, prover: bytes, session_key: bytes, signature: bytes) -> None:
        """Revoke a key for good by its own signature of `revocation_digest`.

        Raises Refused: W3B-4010 a malformed signature, W3B-4015 another key's, W3B-4016 revoked already.
        """
        digest = revocation_digest(self.domain, program_id, prover, session_key)
        signer = signatures.recover(digest, signature, code="W3B-4010")
        if signer != session_key:
            raise Refused("W3B-4015", f"0x{signer.hex()} signed, not 0x{session_key.hex()}", field="signature")
        known = self.find(program_id, prover, session_key)
        if known.revoked:
            raise Refused("W3B-4016", f"session key 0x{session_key.hex()} was revoked before", field="publicKey")
        self._keys[(program_id, prover, session_key)] = Registration(known.expiry, revoked=True)


Direct = Callable[[bytes, Statement], bytes]
"""Appraises direct evidence for a Statement (caller data by `binding.direct`) and returns the program id that its
measurements make; raises Refused or InvalidInput for what is not accepted."""


def verify_tee(
    domain: Domain,
    statement: Statement,
    public_output: bytes,
    proof: bytes,
    *,
    keys: Keys,
    now: int,
    direct: Direct | None = None,
) -> Opening:
    """Check a proof of `statement` with `public_output`; returns the opening that it proved.

    Parameters: `keys` are the registered session keys; `now` is the time, Unix seconds; `direct` appraises evidence of
    mode `DIRECT` (None: that mode is refused).

    Raises Refused: W3B-4010 malformed proof or signature, W3B-4011 other inputs, W3B-4012 another task or program,
    W3B-4013 another output or completeness, W3B-4014 no direct evidence is taken here, W3B-4015 no live session key
    signed, W3B-4020 a field of the Statement of another length or out of its range; and what `direct` raises.
    """
    check_ranges(statement)
    decoded = TeeProof.decode(proof)
    check_output(statement, public_output)
    check_opening(statement, decoded.opening)
    decoded.opening.completeness.require_stated(public_output)
    if decoded.mode == SESSION_KEY:
        signer = signatures.recover(statement.digest(domain), decoded.body, code="W3B-4010")
        _require_live(keys.find(statement.program_id, statement.prover, signer), signer, now)
    elif direct is None:
        raise Refused("W3B-4014", "the proof is evidence; only session keys' signatures are taken", field="mode")
    else:
        measured = direct(decoded.body, statement)
        if measured != statement.program_id:
            why = f"the evidence is of program {measured.hex()}, not {statement.program_id.hex()}"
            raise Refused("W3B-4012", why, field="programId")
    return decoded.opening


def _require_live(found: Registration, signer: bytes, now: int) -> None:
    name = f"session key 0x{signer.hex()}"
    if found.revoked:
        raise Refused("W3B-4015", f"{name} was revoked", field="sessionKey")
    if not found.expiry:
        raise Refused("W3B-4015", f"{name} is not registered for this program and prover", field="sessionKey")
    if found.expiry <= now:
        raise Refused("W3B-4015", f"{name} expired at {found.expiry}", field="sessionKey")
