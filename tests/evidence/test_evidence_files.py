"""Evidence of a real run holds, says what it rests on, and is the same whenever it is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from coordinator.evidence.gathering import Evidence, EvidenceMaker
from coordinator.evidence.known_programs import known_programs
from coordinator.evidence.ledger_facts import load_facts
from tests.evidence.conftest import Scene, last_block
from tests.evidence.evidence_world import DEVICES, OTHER, PROGRAMS
from tests.evidence.forgery import unsigned
from verifier.errors import InvalidInput, Refused, Unavailable, W3bstreamError
from verifier.evidence.blocks import Header
from verifier.evidence.decoding import decode
from verifier.evidence.document import COMMITMENTS
from verifier.evidence.report import Verdict
from verifier.evidence.trust import read_trust, trust_text
from verifier.evidence.verification import verify_evidence


def test_a_settled_task_gives_evidence_that_holds(scene: Scene) -> None:
    report = verify_evidence(scene.task.encoded, programs=PROGRAMS)
    assert report.verdict is Verdict.CONSISTENT
    assert [each.value for each in report.output] == ["5", "563", "-40", "300", "10", "2", "1", "2"]
    assert report.digest == "0x" + hashlib.sha256(scene.task.encoded).hexdigest()
    assert report.digest == "0x" + scene.task.document.digest().hex()
    assert {"recomputed.zkp.groth16", "proof.zkp.groth16", "readings_root", "settlement"} <= {
        each.name for each in report.checks
    }


def test_what_nobody_pinned_is_listed(scene: Scene) -> None:
    report = verify_evidence(scene.task.encoded)
    names = [each.name for each in report.unpinned]
    block = f"block {report.block_number}"
    assert names == ["chain id", "genesis", "registry", "fleet", "router", block, "finality", "set-up of zkp.groth16"]
    assert all("not pinned" in each.origin for each in report.unpinned)
    assert not next(each for each in report.anchors if each.name.startswith("set-up")).production


@pytest.mark.parametrize("name", ["task", "commitments", "receipt", "twice"])
def test_with_every_anchor_pinned_it_is_valid(scene: Scene, name: str) -> None:
    found: Evidence = getattr(scene, name)
    report = verify_evidence(found.encoded, trust=scene.pinned(found), programs=PROGRAMS)
    assert (report.verdict, report.unpinned) == (Verdict.VALID, ())


def test_an_own_node_pins_blocks_and_genesis(scene: Scene) -> None:
    report = verify_evidence(scene.task.encoded, block_hash=scene.world.block_hash)
    pinned = {each.name for each in report.anchors if each.pinned}
    assert {"genesis", f"block {report.block_number}"} <= pinned
    with pytest.raises(Refused, match="your node has no such block"):
        verify_evidence(scene.task.encoded, block_hash=lambda number: scene.world.block_hash(0) if not number else None)
    with pytest.raises(Refused, match="your node has 0x"):
        verify_evidence(scene.task.encoded, block_hash=lambda _: scene.world.genesis)


def test_a_trust_file_written_from_a_good_file_accepts_the_next_one(scene: Scene) -> None:
    trust = read_trust(trust_text(scene.task.document))
    report = verify_evidence(scene.other.encoded, trust=trust, block_hash=scene.world.block_hash, programs=PROGRAMS)
    assert report.verdict is Verdict.VALID


def test_production_refuses_development_keys_and_what_is_not_pinned(scene: Scene) -> None:
    trust = scene.pinned(scene.task).model_copy(update={"require_production": True})
    with pytest.raises(Refused, match=r"finality \(bls\) is a development or simulated one") as refused:
        verify_evidence(scene.task.encoded, trust=trust)
    assert refused.value.code == "W3B-9008"
    with pytest.raises(Refused, match=r"chain id .* is not pinned"):
        verify_evidence(scene.task.encoded, trust=read_trust("require_production: true"))


def test_a_kind_without_a_verifier_here_rests_on_its_contract(scene: Scene) -> None:
    report = verify_evidence(scene.twice.encoded, programs=PROGRAMS)
    assert report.kinds == ("zkp.groth16", OTHER)
    anchor = next(each for each in report.anchors if each.name == f"verifier of {OTHER}")
    assert (anchor.pinned, anchor.production) == (False, False)
    assert anchor.value == scene.world.deployment.groth16.lower()


def test_evidence_is_the_same_whenever_it_is_asked_for(scene: Scene) -> None:
    again = scene.world.make(lambda maker: maker.of_task(scene.first.id))
    assert again.encoded == scene.task.encoded
    assert scene.task.final
    assert decode(scene.task.encoded) == scene.task.document


def test_a_receipt_shows_one_reading_and_no_other(scene: Scene) -> None:
    reading = scene.first.readings[2]
    report = verify_evidence(scene.receipt.encoded, programs=PROGRAMS)
    assert report.summary == (
        f"Reading {reading.sequence} of device 0x{reading.device.hex()} was counted in the window "
        f"[{report.window_start}, {report.window_end}) of project 1, task {scene.first.id}, "
        f"final in block {report.block_number}."
    )
    text = scene.receipt.encoded.decode()
    others = [each for each in scene.first.readings if each is not reading]
    assert all(each.to_wire().hex() not in text and each.signature.hex() not in text for each in others)
    assert all(key.public_key.hex() not in text for key in DEVICES if key.device != reading.device)


@pytest.mark.parametrize("at", range(5))
def test_every_reading_has_a_receipt_by_device_and_sequence(scene: Scene, at: int) -> None:
    reading = scene.first.readings[at]
    found = scene.world.make(
        lambda maker: maker.of_reading(
            scene.first.project_id,
            device="0x" + reading.device.hex(),
            sequence=reading.sequence,
            wire_hash=keccak(reading.to_wire()),
        )
    )
    assert f"Reading {reading.sequence} " in verify_evidence(found.encoded).summary


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda maker: maker.of_task("0x" + "00" * 32), "W3B-3003"),
        (lambda maker: maker.of_reading(1, position=99_999), "W3B-9010"),
        (lambda maker: maker.of_reading(1, device="0x" + "00" * 20, sequence=1), "W3B-9010"),
        (lambda maker: maker.of_reading(99, position=1), "W3B-9010"),
        (lambda maker: maker.of_reading(1, position=1, wire_hash=bytes(32)), "W3B-9010"),
    ],
)
def test_what_is_not_there_is_named(scene: Scene, ask: Any, code: str) -> None:
    with pytest.raises(W3bstreamError) as refused:
        scene.world.make(ask)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "text",
    [
        "chain_id: x",
        "nonsense: 1",
        "genesis: 0x12",
        "contracts: {router: '0x00'}",
        "[1, 2",
        "checkpoints: ['0xzz']",
        "- 1",
        "programs: [{name: x}]",
        "[" * 300,
    ],
)
def test_a_bad_trust_file_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_trust(text)
    assert refused.value.code == "W3B-9009"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chain_id": 1}, "chain id is 4690, your trust names 1"),
        ({"genesis": "0x" + "11" * 32}, "genesis is 0x"),
        ({"contracts": dict.fromkeys(("registry", "fleet", "router"), "0x" + "11" * 20)}, "registry is 0x"),
        ({"finality_sources": ["rpc-finalized"]}, "finality is by 'bls'"),
        ({"programs": [{"program_id": "0x" + "11" * 32, "name": "temperature_window"}]}, "your trust names no program"),
        ({"projects": [{"id": 1, "version": 1, "device_set_root": "0x" + "11" * 32}]}, "the device set is 0x"),
        ({"required_checkpoints": ["0x" + "11" * 32]}, "does not hold your checkpoint"),
    ],
)
def test_an_anchor_that_contradicts_the_trust_file_is_refused(
    scene: Scene, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused) as refused:
        verify_evidence(scene.task.encoded, trust=scene.world.trust(**changes))
    assert (refused.value.code, refused.value.field) == ("W3B-9008", "trust")
    assert words in refused.value.message


@pytest.mark.parametrize(("source", "good"), [("bls", False), ("single-producer", False), ("rpc-finalized", True)])
def test_a_source_that_the_file_only_claims_is_not_for_production(scene: Scene, source: str, good: bool) -> None:
    claimed = replace(scene.task.document, finality_source=source, finality=None).encode()
    report = verify_evidence(claimed, trust=scene.world.trust(finality_sources=[source]))
    (finality,) = [each for each in report.anchors if each.name == "finality"]
    assert (finality.pinned, finality.production) == (True, good)


def test_blocks_of_another_branch_are_not_made_into_evidence(scene: Scene) -> None:
    """A server that shows other blocks than those in which the ledger saw the task settled and final."""

    async def of_facts(maker: EvidenceMaker) -> None:
        async with scene.world.ledger.reading() as session:
            facts = await load_facts(session, scene.first.id, readings=False)
        facts.task.block_hash = "0x" + "11" * 32
        await maker._make(facts, COMMITMENTS, None)

    with pytest.raises(Unavailable, match=r"W3B-9007.*the ledger's settlement is in 0x1111"):
        scene.world.make(of_facts)


def test_a_named_set_up_and_a_known_device_set_are_told(scene: Scene) -> None:
    (proof,) = scene.task.document.proofs
    program = {"program_id": "0x" + proof.program_id.hex(), "name": proof.program, "set_up": "ceremony of 2026"}
    root = "0x" + scene.first.opening.device_set_root.hex()
    trust = scene.world.trust(programs=[program], projects=[{"id": 1, "version": 1, "device_set_root": root}])
    anchors = {each.name: each for each in verify_evidence(scene.task.encoded, trust=trust).anchors}
    assert anchors["set-up of zkp.groth16"].production
    assert "ceremony of 2026" in anchors["set-up of zkp.groth16"].meaning
    assert anchors["device registry"].origin == "your trust file, and the chain"


def test_a_checkpoint_pins_what_is_before_it_only(scene: Scene) -> None:
    first = "0x" + Header.decode(scene.task.document.headers[0]).hash.hex()
    last, elsewhere = last_block(scene.task.document), "0x" + "11" * 32
    said, allowed = unsigned(scene.task.document).encode(), ["rpc-finalized"]
    trust = scene.world.trust(checkpoints=[first, elsewhere], finality_sources=allowed)
    report = verify_evidence(said, trust=trust)
    assert [each.name for each in report.unpinned] == [f"block {report.block_number}"]
    trust = scene.world.trust(checkpoints=[first, elsewhere, last], finality_sources=allowed)
    report = verify_evidence(said, trust=trust)
    assert report.unpinned == ()


def test_the_file_of_a_real_run_still_holds() -> None:
    """A task of `w3bstream demo`: the real circuit, a real key, real readings. Whoever changes what this file is made of
    makes a new format (and a new vector, by `w3bstream evidence get`)."""
    data = (Path(__file__).parents[1] / "vectors" / "demo-task.w3bevidence").read_bytes()
    report = verify_evidence(data, programs=known_programs())
    assert report.digest == "0x0812dafa0b8bfb83f1f6879158fb9b03edd09130e3da49cfbe869f70ab564f9b"
    assert [each.value for each in report.output] == ["14", "5963", "386", "474", "0", "0", "0", "0"]
    assert "recomputed.zkp.groth16" in {each.name for each in report.checks}
