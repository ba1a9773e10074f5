"""Nothing in an evidence file can be changed: every leaf and every part of it, every bit and every length."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.evidence.gathering import Evidence
from tests.evidence.conftest import Scene
from tests.evidence.evidence_world import PROGRAMS
from tests.evidence.mutations import Mutation, branch_mutations, canonical, leaf_mutations
from verifier.errors import InvalidInput, Refused
from verifier.evidence.verification import verify_evidence

CODES = re.compile(r"W3B-(900[2-689]|901[12]|4\d{3}|10\d{2}|2001)")
UNPINNED = re.compile(r"\('chain', 'genesis'\)|\('finality', 'source'\)|\('proofs', \d, 'program'\)|\('headers', \d\)")
"""What a reader who pins nothing takes on the file's own word; `verify` lists each of them as an anchor."""


def _mutations(evidence: Evidence, other: Evidence) -> Iterator[Mutation]:
    document, foreign = json.loads(evidence.encoded), json.loads(other.encoded)
    assert canonical(document) == evidence.encoded
    yield from leaf_mutations(document, foreign)
    yield from branch_mutations(document, foreign)


@pytest.mark.parametrize("name", ["task", "commitments", "receipt", "twice"])
def test_every_change_is_refused_by_a_named_check(scene: Scene, name: str) -> None:
    found: Evidence = getattr(scene, name)
    trust, tried = scene.pinned(found), 0
    survived: list[str] = []
    unnamed: list[tuple[str, str]] = []
    for what, data in _mutations(found, scene.other):
        tried += 1
        try:
            verify_evidence(data, trust=trust, programs=PROGRAMS)
        except (InvalidInput, Refused) as error:
            named = bool(error.field) or error.code == "W3B-9002"
            if not (CODES.fullmatch(error.code) and named):
                unnamed.append((what, str(error)))
        else:
            survived.append(what)
    assert tried > 300
    assert (survived, unnamed) == ([], [])


def test_without_pins_only_anchors_can_be_changed(scene: Scene) -> None:
    survived = set()
    for what, data in _mutations(scene.receipt, scene.other):
        try:
            report = verify_evidence(data, programs=PROGRAMS)
        except (InvalidInput, Refused):
            continue
        assert report.unpinned, what
        survived.add(what)
    assert all(UNPINNED.match(what) for what in survived), survived


def test_bits_and_lengths(scene: Scene) -> None:
    source, data, trust = random.Random(7), scene.task.encoded, scene.pinned(scene.task)
    for _ in range(300):
        at = source.randrange(len(data))
        flipped = data[:at] + bytes((data[at] ^ 1 << source.randrange(8),)) + data[at + 1 :]
        with pytest.raises((InvalidInput, Refused)):
            verify_evidence(flipped, trust=trust, programs=PROGRAMS)
    for cut in (0, 1, len(data) // 2, len(data) - 1):
        with pytest.raises(InvalidInput):
            verify_evidence(data[:cut], trust=trust)
    for tail in (b"\n", b" ", b"0", data):
        with pytest.raises(InvalidInput):
            verify_evidence(data + tail, trust=trust)


def test_another_spelling_of_the_same_document_is_refused(scene: Scene) -> None:
    document = json.loads(scene.task.encoded)
    spellings = [
        json.dumps(document).encode(),
        json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b" ",
        canonical(document).replace(b"0x", b"0X", 1),
        canonical({**document, "task": {**document["task"], "project_id": "01"}}),
        canonical(document).replace(b'"publication":0', b'"publication":0.0'),
        canonical(document).replace(b'"publication":0', b'"publication":false'),
        canonical(document).replace(b'"publication":0', b'"publication":0,"publication":0'),
    ]
    for data in spellings:
        assert data != scene.task.encoded
        with pytest.raises(InvalidInput) as refused:
            verify_evidence(data)
        assert refused.value.code == "W3B-9002"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'["]",' * 100_000,
        b'["\\"]",' * 100_000,
        ('["]",' * 100_000).encode("utf-16"),
        b'{"format":' + b"9" * 10_000 + b"}",
        b'{"format":NaN}',
        b'{"format":"w3bstream-evidence-v2"}',
        b"\x1f\x8b\x08\x00",
        b"\x80\x04\x95cos\nsystem\n",
        b" " * (33 << 20),
    ],
)
def test_what_is_no_evidence_file_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        verify_evidence(data)
    assert refused.value.code in ("W3B-9002", "W3B-9011")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(data=st.binary(max_size=300) | _json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_refused_with_a_code(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        verify_evidence(data)


@settings(max_examples=150)
@given(st.data())
def test_any_value_at_any_place_is_refused(scene: Scene, data: st.DataObject) -> None:
    document = json.loads(scene.receipt.encoded)
    parent = document
    while True:
        key = data.draw(st.sampled_from(list(parent) if isinstance(parent, dict) else list(range(len(parent)))))
        if not isinstance(parent[key], dict | list) or not parent[key] or data.draw(st.booleans()):
            break
        parent = parent[key]
    before = parent[key]
    parent[key] = data.draw(_json | st.binary(max_size=80).map(lambda value: "0x" + value.hex()))
    if parent[key] != before:
        with pytest.raises((InvalidInput, Refused)):
            verify_evidence(canonical(document), trust=scene.pinned(scene.receipt), programs=PROGRAMS)
