"""Buckets fill evenly, the audit chain shows every change, and no shape of a secret passes the log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coordinator.access.audit_chain import GENESIS, Entry, row_hash, verify
from coordinator.access.quotas import Buckets, Counter, Limit, OverQuota
from coordinator.access.redaction import HIDDEN, redact, redacted
from coordinator.api.acts import ACTIONS, OWN_RECORD, action_of
from coordinator.api.auth import SCOPES
from coordinator.api.peers import address_of
from verifier.errors import Refused


def chain(count: int) -> list[Entry]:
    entries, previous = [], GENESIS
    for number in range(1, count + 1):
        fields: dict[str, Any] = {"at": number, "actor": "key_1", "detail": {"é": [1]}, "previous_hash": previous}
        previous = row_hash(fields)
        entries.append(Entry(number, fields, previous))
    return entries


def test_a_whole_chain_holds() -> None:
    assert verify(chain(5)) == (5, chain(5)[-1].hash)
    assert verify([]) == (0, GENESIS)


@pytest.mark.parametrize("at", [0, 2, 4])
@pytest.mark.parametrize("how", ["change", "drop", "swap", "rehash"])
def test_a_chain_that_was_touched_does_not(at: int, how: str) -> None:
    entries = chain(6)
    if how == "change":
        entries[at] = replace(entries[at], fields={**entries[at].fields, "actor": "key_2"})
    elif how == "drop":
        del entries[at]
    elif how == "swap":
        entries[at], entries[at + 1] = entries[at + 1], entries[at]
    else:
        fields = {**entries[at].fields, "actor": "key_2"}
        entries[at] = Entry(entries[at].id, fields, row_hash(fields))
    with pytest.raises(Refused) as caught:
        verify(entries)
    assert caught.value.code == "W3B-7031"


def test_a_bucket_fills_evenly_and_holds_no_more() -> None:
    now = 0.0
    buckets = Buckets(clock=lambda: now)
    assert [buckets.wait("a", 3, 60.0) for _ in range(4)] == [0.0, 0.0, 0.0, 20.0]
    assert buckets.wait("b", 3, 60.0) == 0.0
    now = 20.0
    assert (buckets.wait("a", 3, 60.0), buckets.wait("a", 3, 60.0)) == (0.0, 20.0)
    now = 10_000.0
    assert buckets.empty_for("a", 3, 60.0) == 0.0
    assert [buckets.wait("a", 3, 60.0) for _ in range(4)][-1] == 20.0


def test_buckets_are_bounded() -> None:
    buckets = Buckets(most=10, clock=lambda: 0.0)
    for number in range(100):
        buckets.wait(str(number), 1, 60.0)
    assert len(buckets._levels) == 10


def test_a_counter_refuses_the_whole_of_what_is_too_much_and_starts_anew() -> None:
    counter = Counter(1, "jobs", Limit(10, 60, own=True), 61_000, (60_000, 7))
    counter.take(3)
    with pytest.raises(OverQuota) as caught:
        counter.take(1)
    assert (caught.value.code, caught.value.retry_after) == ("W3B-7028", 59.0)
    Counter(1, "jobs", Limit(10, 60, own=True), 120_000, (60_000, 10)).take(10)
    Counter(1, "jobs", Limit(0, 60, own=False), 1, None).take(10**12)


def test_every_method_is_an_act_a_read_or_its_own_record() -> None:
    for method, scope in SCOPES.items():
        name = method.rpartition("/")[2]
        if not method.startswith("/w3bstream."):
            continue
        known = method in ACTIONS or method in OWN_RECORD or name.startswith(("Get", "List", "Watch"))
        known = known or scope.endswith(":read")
        assert known, f"{method} stands in no table of coordinator/api/acts.py"
        assert bool(action_of(method)) == (method in ACTIONS)
    assert action_of("/w3bstream.v1.NewService/DestroyAll") == "NewService.DestroyAll"
    assert set(ACTIONS) | OWN_RECORD <= set(SCOPES)


SECRETS = [
    "w3b_0123456789ab_" + "A" * 43,
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiJkaWQ6a2V5In0.c2lnbmF0dXJl",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_shape_of_a_secret_passes(secret: str) -> None:
    line = redact(None, "", {"event": f"got {secret}!", "deep": {"list": [secret, secret.encode()]}, "code": "W3B-1"})
    text = str(line)
    assert secret not in text
    assert secret.encode() not in text.encode()
    assert HIDDEN in text
    assert "W3B-1" in text


def test_passwords_of_urls_and_named_fields_are_hidden() -> None:
    assert redacted("postgresql://joe:hunter2@db/x") == f"postgresql://joe:{HIDDEN}@db/x"
    assert redacted("Authorization: Bearer abcdefghijkl") == f"Authorization: Bearer {HIDDEN}"
    line = redact(None, "", {"event": "x", "password": "hunter2", "detail": {"secret": "hunter2"}, "key_id": "key_1"})
    assert "hunter2" not in str(line)
    assert line["key_id"] == "key_1"
    plain = {"event": "task 0x12 at http://127.0.0.1:8545/x", "count": 3, "ok": True, "none": None}
    assert redact(None, "", dict(plain)) == plain


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("unix:/tmp/x", "unix"),
    ],
)
def test_a_peers_address(peer: str, address: str) -> None:
    assert address_of(peer) == address
