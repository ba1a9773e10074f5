"""What must hold: a signature made here is the specification's, and nothing but the exact message under a trusted key
verifies.

The vectors are published: `v1` in the reference libraries (standard-webhooks/libraries/python/tests), `v1a` in svix's
server (server/svix-server/src/worker.rs, test_asymmetric_key_signing). The second implementations are svix's library and
`standardwebhooks`, which know `v1` only, and for `v1a` the ed25519 of `cryptography` over bytes put together here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from coordinator.webhooks import receiver, signatures
from coordinator.webhooks.receiver import MAX_SIGNATURES, TOLERANCE_SECONDS
from verifier.errors import InvalidInput, Refused

ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
CONTENT = signatures.signed_bytes(ID, str(AT), BODY)


def headers(signature: str, message_id: str = ID, at: int | str = AT) -> dict[str, str]:
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signature}


def check(signature: str, key: str, *, body: bytes = BODY, message_id: str = ID, at: int = AT) -> dict[str, object]:
    return receiver.verify(headers(signature, message_id, at), body, key, now=AT)


def test_the_published_vectors() -> None:
    assert signatures.sign(SECRET, CONTENT) == V1
    assert signatures.sign(PRIVATE, CONTENT) == V1A
    assert signatures.public_key(PRIVATE) == PUBLIC
    for signature, key in ((V1, SECRET), (V1A, PUBLIC)):
        assert check(signature, key) == {"test": 2432232314}


@given(body=st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20), max_size=4), name=st.uuids())
def test_second_implementations_agree(body: dict[str, object], name: object) -> None:
    secret, private = signatures.new_secret(), signatures.new_signing_key()
    raw, at, message_id = json.dumps(body).encode(), str(int(time.time())), f"msg_{name}"
    content = signatures.signed_bytes(message_id, at, raw)
    both = signatures.sign_with_all([secret, private], content)
    given_headers = {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": both}
    SvixWebhook(secret).verify(raw, given_headers)
    Webhook(secret).verify(raw, given_headers)
    v1, v1a = (part.partition(",")[2] for part in both.split(" "))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    own = hmac.new(key, f"{message_id}.{at}.".encode() + raw, hashlib.sha256).digest()
    assert base64.b64decode(v1) == own
    public = base64.b64decode(signatures.public_key(private).removeprefix("whpk_"))
    Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(v1a), content)
    for trusted in (secret, signatures.public_key(private)):
        assert receiver.verify(given_headers, raw, trusted) == body


@pytest.mark.parametrize(("signature", "key"), [(V1, SECRET), (V1A, PUBLIC)])
def test_no_bit_of_the_message_can_change(signature: str, key: str) -> None:
    for at in range(len(BODY)):
        with pytest.raises(Refused, match="W3B-6003"):
            check(signature, key, body=BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :])
    for changed in (BODY[:-1], BODY + b" ", b"", BODY * 2):
        with pytest.raises(Refused, match="W3B-6003"):
            check(signature, key, body=changed)
    for changes in ({"message_id": ID[:-1] + "l"}, {"message_id": ID + "."}, {"at": AT - 1}, {"at": AT + 1}):
        with pytest.raises(Refused, match="W3B-6003"):
            check(signature, key, **changes)


@pytest.mark.parametrize(("signature", "key"), [(V1, SECRET), (V1A, PUBLIC)])
def test_no_bit_of_the_signature_can_change(signature: str, key: str) -> None:
    scheme, _, encoded = signature.partition(",")
    raw = base64.b64decode(encoded)
    for at in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(Refused, match="W3B-6003"):
            check(f"{scheme},{base64.b64encode(flipped).decode()}", key)
    for length in (0, 1, len(raw) // 2, len(raw) - 1):
        with pytest.raises(Refused, match="W3B-6003"):
            check(f"{scheme},{base64.b64encode(raw[:length]).decode()}", key)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        " ",
        "v1",
        "v1,",
        V1.replace("v1,", "v1a,"),
        V1.replace("v1,", "v2,"),
        V1.replace("v1,", "V1,"),
        V1.replace("v1,", ""),
        V1.replace("v1,", "v1, "),
        V1.replace("=", ""),
        V1 + "=",
        V1.replace("+", "-").replace("/", "_"),
        V1 + "\n",
        V1.replace("v1,", "v1;"),
        " ".join(["v1,AAAA"] * MAX_SIGNATURES + [V1]),
    ],
)
def test_unreadable_signatures_are_refused(signature: str) -> None:
    with pytest.raises(Refused, match="W3B-6003"):
        check(signature, SECRET)


def test_the_schemes_do_not_stand_in_for_each_other() -> None:
    for signature, key in ((V1, PUBLIC), (V1A, SECRET)):
        with pytest.raises(Refused, match="W3B-6003"):
            check(signature, key)
    forged = hmac.digest(base64.b64decode(PUBLIC.removeprefix("whpk_")), CONTENT, "sha256")
    with pytest.raises(Refused, match="W3B-6003"):
        # The public key used as if it were the secret: everybody could make that.
        check(f"v1,{base64.b64encode(forged).decode()}", PUBLIC)


def test_another_key_is_refused() -> None:
    for signature, key in ((V1, signatures.new_secret()), (V1A, signatures.public_key(signatures.new_signing_key()))):
        with pytest.raises(Refused, match="W3B-6003"):
            check(signature, key)


@pytest.mark.parametrize("seconds", [TOLERANCE_SECONDS + 1, -TOLERANCE_SECONDS - 1, 10**7])
def test_an_old_or_early_message_is_refused(seconds: int) -> None:
    with pytest.raises(Refused, match="five minutes"):
        receiver.verify(headers(V1), BODY, SECRET, now=AT + seconds)
    receiver.verify(headers(V1), BODY, SECRET, now=AT + TOLERANCE_SECONDS)
    receiver.verify(headers(V1), BODY, SECRET, now=AT - TOLERANCE_SECONDS)


@pytest.mark.parametrize(
    "at", ["", "x", "1.5e9", f"{AT}.0", f" {AT}", f"+{AT}", "-1", "nan", "inf", "0", "9" * 30, "١٦"]
)
def test_a_timestamp_is_plain_digits(at: str) -> None:
    content = signatures.signed_bytes(ID, at, BODY)
    with pytest.raises(Refused, match="W3B-6003"):
        receiver.verify(headers(signatures.sign(SECRET, content), at=at), BODY, SECRET, now=AT)


def test_a_header_that_comes_twice_is_refused() -> None:
    whole = headers(V1)
    for name in whole:
        for twice in ([*whole.items(), (name.upper(), whole[name])], CIMultiDict([*whole.items(), (name, "other")])):
            with pytest.raises(Refused, match="comes twice"):
                receiver.verify(twice, BODY, SECRET, now=AT)
        with pytest.raises(Refused, match="missing"):
            receiver.verify({key: value for key, value in whole.items() if key != name}, BODY, SECRET, now=AT)
    assert receiver.verify({name.title(): value for name, value in whole.items()}, BODY, SECRET, now=AT)


def test_one_of_several_keys_and_signatures_is_enough() -> None:
    other = signatures.new_secret()
    old = signatures.sign(other, CONTENT)
    for signature in (f"{old} {V1}", f"{V1} {old}", f"v9,abc {V1}", f"v1,garbage! {V1}", f"{V1A} {V1}"):
        assert check(signature, SECRET)
    assert receiver.verify(headers(V1), BODY, [other, SECRET], now=AT)


@pytest.mark.parametrize(
    "key", ["", "whsec_", "whsec_!!!!", "whsec_AAAA", PRIVATE, PUBLIC[:-5], "MfKQ9r8GKYqrTwjUPD8I", "v1"]
)
def test_a_key_that_is_none_is_named(key: str) -> None:
    with pytest.raises(InvalidInput, match="W3B-6005") as caught:
        check(V1, key)
    assert key.partition("_")[2] == "" or key.partition("_")[2] not in str(caught.value), "no key in a message"


def test_no_key_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput, match="W3B-6005"):
        receiver.verify(headers(V1), BODY, [], now=AT)


def test_a_private_key_whose_halves_differ_is_refused() -> None:
    raw = base64.b64decode(PRIVATE.removeprefix("whsk_"))
    mixed = raw[:32] + base64.b64decode(signatures.new_signing_key().removeprefix("whsk_"))[32:]
    with pytest.raises(InvalidInput, match="W3B-6005"):
        signatures.sign("whsk_" + base64.b64encode(mixed).decode(), CONTENT)


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b"{", b"\xff", b'{"id": "msg_other"}'])
def test_a_signed_body_that_is_no_event_of_that_id_is_refused(body: bytes) -> None:
    signature = signatures.sign(SECRET, signatures.signed_bytes(ID, str(AT), body))
    with pytest.raises(Refused, match="W3B-6003"):
        check(signature, SECRET, body=body)
