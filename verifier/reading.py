"""A device's signed reading: its bytes, its identity and its signature (docs/reference/encodings.md §1)."""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property, lru_cache

import coincurve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from eth_hash.auto import keccak

from verifier import babyjubjub
from verifier.errors import InvalidInput, Refused
from verifier.poseidon import poseidon

CANONICAL_PREFIX = b"W3bstream reading v1"
WIRE_VERSION = 1
MAX_PAYLOAD = 4096
"""Bytes of payload that a reading may carry."""
UINT64 = 1 << 64
SIGNATURE_BYTES = 64
DEVICE_BYTES = 20
_HEAD = struct.Struct(f">BB{SIGNATURE_BYTES}sQ{DEVICE_BYTES}sQQI")
"""Version, key type, signature, project, device, sequence, timestamp, payload length (encodings.md §1.1)."""
_CHUNK = 31

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class KeyType(IntEnum):
    """Which signature a device makes; the number is the wire's byte."""

    SECP256K1 = 1
    P256 = 2
    BABYJUBJUB = 3

    @property
    def label(self) -> str:
        """The name in project and key files: `secp256k1`, `p256`, `babyjubjub`."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> KeyType:
        """The key type of a name. Raises InvalidInput (W3B-1010)."""
        for key_type in cls:
            if key_type.label == label:
                return key_type
        known = ", ".join(k.label for k in cls)
        raise InvalidInput("W3B-1010", f"key type {label!r} is unknown; known: {known}", field="key_type")


_KEY_TYPES = {int(key_type): key_type for key_type in KeyType}


@dataclass(frozen=True)
class Reading:
    """One signed reading. Construction checks every range: InvalidInput W3B-1001, W3B-1002 for the payload's size."""

    project: int
    """Project id, uint64."""
    device: bytes
    """Device id, 20 bytes."""
    sequence: int
    """Strictly increasing per device, uint64."""
    timestamp: int
    """Milliseconds since the Unix epoch by the device's clock, uint64."""
    payload: bytes
    """What the program reads, 0 to 4,096 bytes."""
    key_type: KeyType
    """Which signature."""
    signature: bytes
    """64 bytes, §1.2."""

    def __post_init__(self) -> None:
        for name in ("project", "sequence", "timestamp"):
            value = getattr(self, name)
            if not 0 <= value < UINT64:
                raise InvalidInput("W3B-1001", f"{name} {value} is not a uint64", field=name)
        for name, length in (("device", DEVICE_BYTES), ("signature", SIGNATURE_BYTES)):
            if len(getattr(self, name)) != length:
                raise InvalidInput("W3B-1001", f"{name} has {len(getattr(self, name))} bytes, not {length}", field=name)
        if len(self.payload) > MAX_PAYLOAD:
            raise InvalidInput("W3B-1002", f"payload has {len(self.payload)} bytes", field="payload")

    def _tail(self) -> bytes:
        return b"".join(
            (
                self.project.to_bytes(8, "big"),
                self.device,
                self.sequence.to_bytes(8, "big"),
                self.timestamp.to_bytes(8, "big"),
                len(self.payload).to_bytes(4, "big"),
                self.payload,
            )
        )

    def canonical(self) -> bytes:
        """The bytes that secp256k1 and P-256 devices sign (§1.1)."""
        return CANONICAL_PREFIX + self._tail()

    @cached_property
    def _wire(self) -> bytes:
        return bytes((WIRE_VERSION, self.key_type)) + self.signature + self._tail()

    def to_wire(self) -> bytes:
        """The message on NATS and in the ledger (§1.1)."""
        return self._wire

    @classmethod
    def from_wire(cls, data: bytes) -> Reading:
        """Decode exactly what `to_wire` writes. Raises InvalidInput W3B-1001 (malformed) or W3B-1002 (too large)."""
        if len(data) < _HEAD.size:
            raise InvalidInput("W3B-1001", f"{len(data)} bytes are too few for a reading ({_HEAD.size} or more)")
        version, key_type, signature, project, device, sequence, timestamp, size = _HEAD.unpack_from(data)
        if version != WIRE_VERSION:
            raise InvalidInput("W3B-1001", f"wire version {version} is unknown", field="version")
        if key_type not in _KEY_TYPES:
            raise InvalidInput("W3B-1001", f"key type {key_type} is unknown", field="key_type")
        if size > MAX_PAYLOAD:
            raise InvalidInput("W3B-1002", f"payload length says {size} bytes", field="payload")
        if len(data) != _HEAD.size + size:
            raise InvalidInput("W3B-1001", f"{len(data)} bytes where the payload length asks for {_HEAD.size + size}")
        # Every field has its range by its width or by the checks above, so that construction need not ask again.
        reading = object.__new__(cls)
        reading.__dict__.update(
            project=project,
            device=device,
            sequence=sequence,
            timestamp=timestamp,
            payload=bytes(data[_HEAD.size :]),
            key_type=_KEY_TYPES[key_type],
            signature=signature,
            _wire=bytes(data),
        )
        return reading

    def subject(self) -> str:
        """The NATS subject `da.<project>.<device>`."""
        return f"da.{self.project}.{self.device.hex()}"

    def message_id(self) -> str:
        """The header `Nats-Msg-Id`: project, device, sequence and the first 8 bytes of keccak256(wire) in hex."""
        return f"{self.project}-{self.device.hex()}-{self.sequence}-{keccak(self.to_wire())[:8].hex()}"

    @cached_property
    def _message(self) -> int:
        device = int.from_bytes(self.device, "big")
        return poseidon((self.project, device, self.sequence, self.timestamp, payload_fold(self.payload)))

    def message(self) -> int:
        """The field element `m` that a circuit sees and a Baby Jubjub device signs (§1.3)."""
        return self._message

    @property
    def knows_message(self) -> bool:
        """Whether `message` answers without computing anything."""
        return "_message" in self.__dict__

    def remember_message(self, message: int) -> None:
        """Spare `message` its milliseconds: the caller computed the same element in Rust, from the same bytes."""
        self.__dict__["_message"] = message


def payload_fold(payload: bytes) -> int:
    """Fold a payload into one field element (§1.3): its length, then each 31-byte chunk, by P2."""
    state = len(payload)
    for at in range(0, len(payload), _CHUNK):
        state = poseidon((state, int.from_bytes(payload[at : at + _CHUNK], "big")))
    return state


@dataclass(frozen=True)
class Device:
    """A registered device. Construction checks lengths only; `check_key` checks the point."""

    device: bytes
    """Device id, 20 bytes."""
    key_type: KeyType
    """Which signature it makes."""
    public_key: bytes
    """x ‖ y, 64 bytes, big-endian."""
    label: str = ""
    """What its owner calls it; in no hash."""

    def __post_init__(self) -> None:
        for name, length in (("device", DEVICE_BYTES), ("public_key", 64)):
            if len(getattr(self, name)) != length:
                raise InvalidInput("W3B-1010", f"{name} has {len(getattr(self, name))} bytes, not {length}", field=name)

    def check_key(self) -> None:
        """Require a point of the curve, of prime order for Baby Jubjub. Raises InvalidInput W3B-1010."""
        if not _key_is_valid(self.key_type, self.public_key):
            raise InvalidInput(
                "W3B-1010",
                f"device {self.device.hex()} has no valid {self.key_type.label} public key: {self.public_key.hex()}",
                field="public_key",
            )


def device_id(public_key: bytes) -> bytes:
    """The default device id: the last 20 bytes of keccak256 of the public key (64 bytes)."""
    return keccak(public_key)[-DEVICE_BYTES:]


@lru_cache(maxsize=4096)
def _secp256k1_key(public_key: bytes) -> coincurve.PublicKey:
    return coincurve.PublicKey(b"\x04" + public_key)


@lru_cache(maxsize=4096)
def _p256_key(public_key: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public_key)


def _key_is_valid(key_type: KeyType, public_key: bytes) -> bool:
    if key_type is KeyType.BABYJUBJUB:
        return babyjubjub.decode_public_key(public_key) is not None
    try:
        (_secp256k1_key if key_type is KeyType.SECP256K1 else _p256_key)(public_key)
    except ValueError:
        return False
    return True


def _ecdsa_verifies(reading: Reading, public_key: bytes) -> bool:
    """ECDSA over the canonical bytes with r and s in [1, n) and s <= n/2."""
    r, s = int.from_bytes(reading.signature[:32], "big"), int.from_bytes(reading.signature[32:], "big")
    order = SECP256K1_ORDER if reading.key_type is KeyType.SECP256K1 else P256_ORDER
    if not 1 <= r < order or not 1 <= s <= order // 2:
        return False
    der = encode_dss_signature(r, s)
    if reading.key_type is KeyType.SECP256K1:
        return _secp256k1_key(public_key).verify(der, keccak(reading.canonical()), hasher=None)
    try:
        _p256_key(public_key).verify(der, reading.canonical(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def verify_signature(reading: Reading, device: Device) -> None:
    """Require that `device` signed `reading`. Raises Refused W3B-1003 (also for a device of another id or key type)."""
    name = f"reading {reading.sequence} of device {reading.device.hex()}"
    if reading.device != device.device or reading.key_type is not device.key_type:
        who = f"{device.device.hex()} ({device.key_type.label})"
        raise Refused("W3B-1003", f"{name} ({reading.key_type.label}) was checked against {who}", field="device")
    if not _key_is_valid(device.key_type, device.public_key):
        raise Refused("W3B-1003", f"{name}: the registered {device.key_type.label} key is not valid", field="device")
    if device.key_type is KeyType.BABYJUBJUB:
        good = babyjubjub.verify(device.public_key, reading.message(), reading.signature)
    else:
        good = _ecdsa_verifies(reading, device.public_key)
    if not good:
        raise Refused("W3B-1003", f"the signature of {name} does not verify", field="signature")


@dataclass(frozen=True)
class DeviceKey:
    """A device's private key. Raises InvalidInput W3B-1010 for a value that is no key."""

    key_type: KeyType
    """Which signature it makes."""
    private_key: bytes = field(repr=False)
    """32 bytes: the ECDSA scalar big-endian, or Baby Jubjub's secret."""

    def __post_init__(self) -> None:
        scalar = int.from_bytes(self.private_key, "big")
        order = {KeyType.SECP256K1: SECP256K1_ORDER, KeyType.P256: P256_ORDER}.get(self.key_type)
        if len(self.private_key) != 32 or (order is not None and not 1 <= scalar < order):
            raise InvalidInput("W3B-1010", f"not a {self.key_type.label} private key of 32 bytes", field="private_key")

    @classmethod
    def generate(cls, key_type: KeyType) -> DeviceKey:
        """A new key from the system's randomness."""
        while True:
            try:
                return cls(key_type, secrets.token_bytes(32))
            except InvalidInput:  # the scalar was 0 or not below the order, 1 time in 2^32 or rarer
                continue

    @classmethod
    def from_private(cls, key_type: KeyType, private_key: bytes) -> DeviceKey:
        """The key of 32 bytes of secret."""
        return cls(key_type, private_key)

    @classmethod
    def from_json(cls, text: str) -> DeviceKey:
        """Read a key file, `{"key_type": ..., "private_key": hex}`. Raises InvalidInput W3B-1010."""
        try:
            row = json.loads(text)
            key_type, private_key = row["key_type"], bytes.fromhex(row["private_key"].removeprefix("0x"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput("W3B-1010", 'a key file is {"key_type": …, "private_key": 64 hex digits}') from error
        return cls(KeyType.from_label(key_type), private_key)

    def to_json(self) -> str:
        """What `from_json` reads; the caller writes it with mode 600."""
        return json.dumps({"key_type": self.key_type.label, "private_key": self.private_key.hex()})

    @cached_property
    def public_key(self) -> bytes:
        """x ‖ y, 64 bytes."""
        if self.key_type is KeyType.BABYJUBJUB:
            return babyjubjub.public_key(self.private_key)
        if self.key_type is KeyType.SECP256K1:
            return coincurve.PrivateKey(self.private_key).public_key.format(compressed=False)[1:]
        numbers = self._p256().public_key().public_numbers()
        return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    @property
    def device(self) -> bytes:
        """The default device id, 20 bytes."""
        return device_id(self.public_key)

    def registration(self, label: str = "") -> Device:
        """The device as a project's set holds it."""
        return Device(self.device, self.key_type, self.public_key, label)

    def _p256(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(self.private_key, "big"), ec.SECP256R1())

    def sign(
        self, project: int, sequence: int, timestamp: int, payload: bytes, *, device: bytes | None = None
    ) -> Reading:
        """A signed reading; `device` is the id in the project file where that is not the default one."""
        name = self.device if device is None else device
        draft = Reading(project, name, sequence, timestamp, payload, self.key_type, bytes(SIGNATURE_BYTES))
        return Reading(project, name, sequence, timestamp, payload, self.key_type, self._signature(draft))

    def _signature(self, draft: Reading) -> bytes:
        if self.key_type is KeyType.BABYJUBJUB:
            return babyjubjub.sign(self.private_key, draft.message())
        if self.key_type is KeyType.SECP256K1:  # RFC 6979 nonce, low s
            recoverable = coincurve.PrivateKey(self.private_key).sign_recoverable(
                keccak(draft.canonical()), hasher=None
            )
            return recoverable[:SIGNATURE_BYTES]
        der = self._p256().sign(draft.canonical(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big")


def p256_digest(reading: Reading) -> bytes:
    """What a P-256 device signs: SHA-256 of the canonical bytes, 32 bytes (RIP-7212's precompile takes it)."""
    return hashlib.sha256(reading.canonical()).digest()
