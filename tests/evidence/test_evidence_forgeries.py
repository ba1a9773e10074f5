"""Forged files: blocks that never were, events of others, keys, readings and devices that do not belong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_hash.auto import keccak

from tests.evidence.conftest import Scene
from tests.evidence.evidence_world import DEVICES, KEYS, OTHER, PROGRAMS, ZKP
from tests.evidence.forgery import LOGS, RECEIPTS_ROOT, STATUS, forge, reroot
from verifier import bindings
from verifier.commitment import device_paths, readings_root
from verifier.errors import Refused, W3bstreamError
from verifier.evidence.document import DevicePart, Document, IncludedReading
from verifier.evidence.report import Verdict
from verifier.evidence.verification import verify_evidence
from verifier.groth16 import groth16_program_id
from verifier.reading import DeviceKey, KeyType
from verifier.statement import Statement


def refusal(document: Document, **options: Any) -> W3bstreamError:
    """Why the file is refused; fails where it is not."""
    with pytest.raises(W3bstreamError) as refused:
        verify_evidence(document.encode(), programs=PROGRAMS, **options)
    return refused.value


def settlement(document: Document) -> int:
    return document.proofs[-1].settlement


def test_a_forged_receipt_does_not_fit_the_real_header(scene: Scene) -> None:
    real = scene.task.document
    forged = forge(real, settlement(real), "receipt", lambda fields: fields[LOGS].pop(), headers=False)
    error = refusal(forged)
    assert (error.code, error.field) == ("W3B-9003", f"transactions[{settlement(real)}]")


def test_a_receipt_of_another_block_does_not_fit(scene: Scene) -> None:
    real, other = scene.task.document, scene.other.document
    at = settlement(real)
    borrowed = replace(real.transactions[at], receipt=other.transactions[settlement(other)].receipt)
    transactions = [*real.transactions[:at], borrowed]
    assert refusal(replace(real, transactions=tuple(transactions))).code == "W3B-9003"


def test_a_failed_transaction_shows_nothing(scene: Scene) -> None:
    real = scene.task.document
    forged = forge(real, settlement(real), "receipt", lambda fields: fields.__setitem__(STATUS, b""))
    error = refusal(forged)
    assert (error.code, error.field) == ("W3B-9003", f"transactions[{settlement(real)}]")
    assert "failed" in error.message


@pytest.mark.parametrize("which", ["publication", "record", "assignment", "settlement"])
def test_events_count_only_when_the_contract_wrote_them(scene: Scene, which: str) -> None:
    real = scene.task.document
    index = getattr(real, which, None)
    index = getattr(real.proofs[0], which) if index is None else index

    def move(fields: list[Any]) -> None:
        for log in fields[LOGS]:
            log[0] = b"\x66" * 20

    error = refusal(forge(real, index, "receipt", move))
    assert error.code == "W3B-9004"
    assert error.field.startswith(which)


def test_the_event_of_another_task_is_not_this_tasks(scene: Scene) -> None:
    """Same contract, same event, another task id: as if the first log of the receipt were taken for ours."""
    real = scene.task.document

    def rename(fields: list[Any]) -> None:
        for log in fields[LOGS]:
            log[1][1] = keccak(b"another task")

    error = refusal(forge(real, settlement(real), "receipt", rename))
    assert (error.code, error.field) == ("W3B-9004", f"settlement.{ZKP}")


def test_other_logs_around_do_not_confuse(scene: Scene) -> None:
    """A batch settles several tasks: ours is found wherever it stands, and only once."""
    real = scene.task.document

    def surround(fields: list[Any]) -> None:
        strangers = [[b"\x77" * 20, list(log[1]), log[2]] for log in fields[LOGS]]
        fields[LOGS] = strangers + fields[LOGS] + strangers

    assert verify_evidence(forge(real, settlement(real), "receipt", surround).encode()).verdict is Verdict.CONSISTENT

    def double(fields: list[Any]) -> None:
        fields[LOGS] = fields[LOGS] * 2

    assert refusal(forge(real, settlement(real), "receipt", double)).code == "W3B-9004"


@pytest.mark.parametrize("data", [b"", b"\xff" * 32, b"\xff" * 320, bytes(31)])
def test_a_log_that_cannot_be_read_is_refused_in_words(scene: Scene, data: bytes) -> None:
    real = scene.task.document

    def spoil(fields: list[Any]) -> None:
        for log in fields[LOGS]:
            log[2] = data

    for index in (real.publication, settlement(real)):
        assert refusal(forge(real, index, "receipt", spoil)).code == "W3B-9004"


def test_text_that_is_no_utf8_in_an_event_is_refused(scene: Scene) -> None:
    real = scene.task.document

    def spoil(fields: list[Any]) -> None:
        for log in fields[LOGS]:
            if ZKP.encode() in log[2]:
                log[2] = log[2].replace(ZKP.encode(), b"\xff" * len(ZKP))

    assert refusal(forge(real, real.publication, "receipt", spoil)).code == "W3B-9004"


def test_forged_blocks_are_consistent_only_until_one_is_pinned(scene: Scene) -> None:
    """Whoever makes all blocks can make them say anything: that is why blocks are an anchor."""
    real = scene.task.document
    forged = forge(real, settlement(real), "receipt", lambda fields: fields.__setitem__(1, b"\x01"))
    assert verify_evidence(forged.encode()).verdict is Verdict.CONSISTENT
    error = refusal(forged, trust=scene.pinned(scene.task))
    assert (error.code, error.field) == ("W3B-9008", "trust")
    error = refusal(forged, block_hash=scene.world.block_hash)
    assert error.code == "W3B-9008"
    assert "your node has 0x" in error.message


def test_a_header_with_another_receipts_root_is_refused(scene: Scene) -> None:
    real = scene.task.document
    at = real.transactions[settlement(real)].header
    assert refusal(reroot(real, at, RECEIPTS_ROOT, keccak(b"forged"))).code == "W3B-9003"


def test_links_between_blocks_are_checked(scene: Scene) -> None:
    real = scene.task.document
    assert len(real.headers) > 2
    assert refusal(replace(real, headers=real.headers[::-1])).field == "blocks.headers"
    extra = (*scene.other.document.headers[-1:],)
    assert refusal(replace(real, headers=real.headers + extra)).field == "blocks.headers"


def test_a_transaction_of_another_chain_is_refused(scene: Scene) -> None:
    real = scene.task.document
    forged = forge(real, 0, "transaction", lambda fields: fields.__setitem__(0, b"\x01"))
    error = refusal(forged)
    assert error.code == "W3B-9003"
    assert "chain 1" in error.message


def test_a_settlement_that_carried_another_proof_is_refused(scene: Scene) -> None:
    real = scene.task.document
    other = scene.other.document.proofs[0].proof

    def swap(fields: list[Any]) -> None:
        fields[7] = fields[7].replace(real.proofs[0].proof, other)

    error = refusal(forge(real, settlement(real), "transaction", swap))
    assert (error.code, error.field) == ("W3B-9004", f"settlement.{ZKP}")


def test_a_relayed_settlement_counts_but_not_for_a_kind_unknown_here(scene: Scene) -> None:
    """A relay hands the proof to the Router: its call data are its own, so the proof itself must be checkable."""

    def relay(fields: list[Any]) -> None:
        fields[5], fields[7] = b"\x88" * 20, b"relay"

    real = scene.task.document
    assert verify_evidence(forge(real, settlement(real), "transaction", relay).encode()).verdict is Verdict.CONSISTENT
    double = scene.twice.document
    error = refusal(forge(double, settlement(double), "transaction", relay))
    assert (error.code, error.field) == ("W3B-9006", f"proof.{OTHER}")


def test_another_key_with_its_own_program_id_clashes_with_the_published_version(scene: Scene) -> None:
    """The forger knows that key's trapdoor and proves whatever they like."""
    real, world = scene.task.document, scene.world
    task, key = real.task, KEYS[OTHER]
    statement = Statement(
        task.project_id,
        task.version,
        task.id,
        task.opening.commitment(),
        keccak(task.public_output),
        groth16_program_id(key.encoded()),
        real.proofs[0].prover,
    )
    _, proof = world.prove(task.project_id, task.id, task.opening, OTHER, task.public_output)
    forged = replace(
        real.proofs[0],
        verifying_key=key.encoded(),
        program_id=statement.program_id,
        statement_digest=statement.digest(world.domain),
        proof=proof,
    )
    error = refusal(replace(real, proofs=(forged,)))
    assert (error.code, error.field) == ("W3B-9004", f"program.{ZKP}")


def test_the_right_program_id_with_another_key_is_refused(scene: Scene) -> None:
    real = scene.task.document
    forged = replace(real.proofs[0], verifying_key=KEYS[OTHER].encoded())
    assert refusal(replace(real, proofs=(forged,))).field == f"verifying_key.{ZKP}"
    long = replace(real.proofs[0], verifying_key=bytes(9000))
    assert refusal(replace(real, proofs=(long,))).code == "W3B-9006"


# --- readings and devices ---


def _with_wire(document: Document, at: int, wire: bytes) -> Document:
    return replace(document, readings=(*document.readings[:at], wire, *document.readings[at + 1 :]))


def test_two_readings_swapped(scene: Scene) -> None:
    first, second, *rest = scene.task.document.readings
    error = refusal(replace(scene.task.document, readings=(second, first, *rest)))
    assert (error.code, error.field) == ("W3B-9005", "readings")


def test_a_replayed_reading(scene: Scene) -> None:
    real = scene.task.document
    error = refusal(_with_wire(real, 1, real.readings[0]))
    assert (error.code, error.field) == ("W3B-1005", "readings")


def _stranger() -> DeviceKey:
    return DeviceKey.from_private(KeyType.BABYJUBJUB, bytes([9]) * 32)


def test_a_reading_of_a_device_outside_the_set(scene: Scene) -> None:
    real = scene.task.document
    wire = _stranger().sign(real.task.project_id, 7, 1, bytes(4)).to_wire()
    error = refusal(_with_wire(real, 0, wire))
    assert (error.code, error.field) == ("W3B-1004", "readings[0]")


def test_a_device_that_was_put_into_the_file_only(scene: Scene) -> None:
    real, key = scene.task.document, _stranger()
    wire = key.sign(real.task.project_id, 7, 1, bytes(4)).to_wire()
    devices = [each.registration() for each in DEVICES] + [key.registration()]
    (path,) = device_paths(devices, [4])
    added = DevicePart(4, key.device, int(key.key_type), key.public_key, path)
    error = refusal(replace(_with_wire(real, 4, wire), devices=(*real.devices, added)))
    assert (error.code, error.field) == ("W3B-9005", "devices[4]")


def test_a_registered_device_that_did_not_sign(scene: Scene) -> None:
    real, key = scene.task.document, DEVICES[0]
    reading = scene.first.readings[0]
    forged = replace(reading, payload=(99).to_bytes(4, "big"))
    assert reading.device == key.device
    error = refusal(_with_wire(real, 0, forged.to_wire()))
    assert (error.code, error.field) == ("W3B-1003", "readings[0]")


@pytest.mark.parametrize("key", DEVICES[:3], ids=lambda key: key.key_type.label)
def test_a_reading_that_was_signed_but_not_committed_to(scene: Scene, key: DeviceKey) -> None:
    real = scene.task.document
    at = next(at for at, each in enumerate(scene.first.readings) if each.device == key.device)
    sequence = scene.first.readings[at].sequence
    wire = key.sign(real.task.project_id, sequence, 1, (99).to_bytes(4, "big")).to_wire()
    error = refusal(_with_wire(real, at, wire))
    assert (error.code, error.field) == ("W3B-9005", "readings_root")


def test_a_reading_of_another_project(scene: Scene) -> None:
    wire = DEVICES[0].sign(77, scene.first.readings[0].sequence, 1, bytes(4)).to_wire()
    error = refusal(_with_wire(scene.task.document, 0, wire))
    assert (error.code, error.field) == ("W3B-9005", "readings[0]")


def test_a_device_without_a_reading_is_not_shown(scene: Scene) -> None:
    real = scene.task.document
    devices = [each.registration() for each in DEVICES]
    (path,) = device_paths(devices, [3])
    silent = DevicePart(3, devices[3].device, int(devices[3].key_type), devices[3].public_key, path)
    error = refusal(replace(real, devices=(*real.devices, silent)))
    assert (error.code, error.field) == ("W3B-9005", "readings")


@pytest.mark.parametrize(
    "change",
    [
        lambda part: replace(part, index=part.index ^ 1),
        lambda part: replace(part, index=part.index + 16),
        lambda part: replace(part, path=part.path[:-1]),
        lambda part: replace(part, path=(*part.path, bytes(32))),
        lambda part: replace(part, path=tuple(reversed(part.path))),
        lambda part: replace(part, path=(b"\xff" * 32, *part.path[1:])),
    ],
)
def test_a_reading_at_another_place(scene: Scene, change: Callable[[IncludedReading], IncludedReading]) -> None:
    real = scene.receipt.document
    assert real.reading is not None
    error = refusal(replace(real, reading=change(real.reading)))
    assert (error.code, error.field) == ("W3B-9005", "inclusion")


def test_a_reading_that_was_never_counted_has_no_receipt(scene: Scene) -> None:
    """Signed by a registered device, with the path of its neighbour."""
    real = scene.receipt.document
    assert real.reading is not None
    counted = scene.first.readings[2]
    key = next(key for key in DEVICES if key.device == counted.device)
    wire = key.sign(counted.project, counted.sequence + 1, counted.timestamp, counted.payload).to_wire()
    assert refusal(replace(real, reading=replace(real.reading, wire=wire))).field == "inclusion"


def test_a_program_that_computes_something_else_is_noticed(scene: Scene) -> None:
    """The second check owes nothing to the proof: here it is the installed program that lies."""

    class Liar:
        outputs = PROGRAMS["temperature_window"].outputs

        def output_of(self, window: Any) -> bytes:
            return bytes(256)

    with pytest.raises(Refused) as refused:
        verify_evidence(scene.task.encoded, programs={"temperature_window": Liar()})
    assert (refused.value.code, refused.value.field) == ("W3B-9006", f"recomputed.{ZKP}")


def test_the_roots_are_those_of_the_commitment_room(scene: Scene) -> None:
    opening = scene.first.opening
    assert readings_root(scene.first.readings, 16) == opening.readings_root
    assert bindings.kind_hash(ZKP) == keccak(ZKP.encode())
