"""That a file's blocks are final rests on the delegates' signatures, and on nobody's word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_hash.auto import keccak

from l1.consensus.certificate import bitmap_of, footer
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Vote, domain_of
from l1.consensus.parameters import IIP_51
from l1.nodes.keys import DelegateKeys, derive
from native import _native
from tests.evidence.conftest import Scene
from tests.evidence.forgery import reroot, unsigned
from verifier.errors import Refused
from verifier.evidence import rlp
from verifier.evidence.blocks import Header
from verifier.evidence.document import DelegatePart, Document, EpochPart, FinalityPart
from verifier.evidence.finality_checks import check_finality
from verifier.evidence.report import Checks, Verdict
from verifier.evidence.verification import verify_evidence

EPOCH = IIP_51.blocks_per_epoch


def refusal(document: Document) -> Refused:
    with pytest.raises(Refused) as refused:
        verify_evidence(document.encode())
    return refused.value


def part_of(scene: Scene) -> FinalityPart:
    part = scene.task.document.finality
    assert part is not None
    return part


def test_who_knows_the_genesis_needs_no_node_and_no_checkpoint(scene: Scene) -> None:
    """With the chain's genesis pinned, every block of the file is shown to be final, offline."""
    report = verify_evidence(scene.task.encoded, trust=scene.world.trust())
    assert report.verdict is Verdict.VALID
    assert "finality" in {each.name for each in report.checks}
    signed = [each for each in report.anchors if each.name.startswith("block ")]
    assert signed
    assert all(each.origin == "signed by the chain's delegates, from the genesis on" for each in signed)


def test_without_the_genesis_nothing_is_pinned_by_signatures(scene: Scene) -> None:
    report = verify_evidence(scene.task.encoded)
    assert report.verdict is Verdict.CONSISTENT
    assert {"genesis", f"block {report.block_number}"} <= {each.name for each in report.unpinned}


def test_delegates_of_one_process_are_not_for_production(scene: Scene) -> None:
    """All keys of a devnet are one process's: the reader must say that the genesis names others."""
    for holders, good in (("development", False), ("24 operators", True)):
        report = verify_evidence(scene.task.encoded, trust=scene.world.trust(delegates=holders))
        (finality,) = [each for each in report.anchors if each.name == "finality"]
        assert (finality.pinned, finality.production) == (True, good)


@pytest.mark.parametrize(
    "change",
    [
        lambda part: replace(part, footers=()),
        lambda part: replace(part, footers=part.footers * 2),
        lambda part: replace(part, footers=(part.footers[0][:-1], *part.footers[1:])),
        lambda part: replace(part, footers=(part.footers[0][:-1] + b"\x01", *part.footers[1:])),
        lambda part: replace(part, footers=(b"\x00\x00\x00\x01" + part.footers[0][4:], *part.footers[1:])),
        lambda part: replace(part, delegates=part.delegates[::-1]),
        lambda part: replace(part, delegates=part.delegates[:-1]),
        lambda part: replace(part, delegates=()),
        lambda part: replace(part, delegates=(replace(part.delegates[0], power=1), *part.delegates[1:])),
        lambda part: replace(part, genesis=part.genesis[:-1]),
        lambda part: replace(part, rules=b""),
        lambda part: replace(part, rules=part.rules + b" "),
        lambda part: replace(part, rules=part.rules.replace(b'"blocksPerEpoch":1440', b'"blocksPerEpoch":9999')),
        lambda part: replace(part, epochs=(EpochPart(part.genesis, part.footers[0], ()),)),
    ],
)
def test_signatures_that_show_nothing_are_refused(scene: Scene, change: Callable[[FinalityPart], FinalityPart]) -> None:
    error = refusal(replace(scene.task.document, finality=change(part_of(scene))))
    assert (error.code, error.field) == ("W3B-9012", "finality")


def test_a_header_that_nobody_signed_is_refused(scene: Scene) -> None:
    """Whoever can make blocks cannot make the delegates' signatures on them."""
    real = scene.task.document
    other_time = rlp.encode_int(Header.decode(real.headers[-1]).timestamp + 1)
    forged = reroot(real, len(real.headers) - 1, 11, other_time)
    assert forged == unsigned(forged)
    error = refusal(replace(forged, finality_source=real.finality_source, finality=real.finality))
    assert (error.code, error.field) == ("W3B-9012", "finality")


def test_the_footer_of_another_file_is_refused(scene: Scene) -> None:
    other = scene.other.document.finality
    assert other is not None
    forged = replace(part_of(scene), footers=(*part_of(scene).footers[:-1], other.footers[-1]))
    assert refusal(replace(scene.task.document, finality=forged)).code == "W3B-9012"


# --- epochs: a chain of three delegate sets, by hand ---

SETS = [derive(bytes([number]) * 32, 4) for number in range(3)]
CHAIN = 4690


def parts(keys: tuple[DelegateKeys, ...]) -> tuple[DelegatePart, ...]:
    return tuple(DelegatePart(each.address, 1, each.voting.public_key().to_bytes()) for each in keys)


def header(number: int, following: tuple[DelegateKeys, ...], mix_hash: bytes = bytes(32)) -> bytes:
    fields: list[rlp.Item] = [bytes(32)] * 21
    fields[13] = mix_hash
    root = keccak(rlp.encode([[each.address, b"\x01", each.key] for each in parts(following)]))
    fields[8], fields[11], fields[12] = rlp.encode_int(number), b"\x01", root
    return rlp.encode(fields)


GENESIS = header(0, SETS[0])
DOMAIN = domain_of(CHAIN, keccak(GENESIS))


def signed(encoded: bytes, keys: tuple[DelegateKeys, ...]) -> bytes:
    vote = Vote(Header.decode(encoded).number, 0, Topic.COMMIT, keccak(encoded), 0)
    signatures = [each.voting.sign(vote.digest(DOMAIN)) for each in keys[:3]]
    return footer(Certificate(*vote[:4], bitmap_of(range(3), 4), _native.bls_aggregate(signatures)))


def epoch(number: int) -> EpochPart:
    last = header(number * EPOCH, SETS[number])
    return EpochPart(last, signed(last, SETS[number - 1]), parts(SETS[number]))


def checked(scene: Scene, numbers: list[int], epochs: list[EpochPart], signers: list[int]) -> None:
    headers = [header(number, SETS[-1]) for number in numbers]
    footers = [signed(each, SETS[which]) for each, which in zip(headers, signers, strict=True)]
    part = FinalityPart(GENESIS, parts(SETS[0]), tuple(epochs), tuple(footers))
    chain = replace(scene.task.document.chain, chain_id=CHAIN, genesis=keccak(GENESIS))
    document = replace(scene.task.document, chain=chain, finality=part)
    check_finality(document, [Header.decode(each) for each in headers], Checks())


def test_sets_are_followed_over_epochs(scene: Scene) -> None:
    checked(scene, [5, EPOCH + 5, 2 * EPOCH + 5], [epoch(1), epoch(2)], [0, 1, 2])
    checked(scene, [2 * EPOCH + 5, 2 * EPOCH + 9], [epoch(1), epoch(2)], [2, 2])
    checked(scene, [EPOCH], [], [0])


@pytest.mark.parametrize(
    ("numbers", "epochs", "signers"),
    [
        ([EPOCH + 5], [epoch(1)], [0]),  # the old set signs in the new epoch
        ([EPOCH + 5], [epoch(1)], [2]),  # the next one too soon
        ([EPOCH + 5], [], [1]),  # nobody named it
        ([2 * EPOCH + 5], [epoch(2)], [2]),  # an epoch left out
        ([2 * EPOCH + 5], [epoch(2), epoch(1)], [2]),
        ([EPOCH + 5], [epoch(1), epoch(2)], [1]),  # one too many
        ([EPOCH + 5], [replace(epoch(1), delegates=parts(SETS[2]))], [2]),  # others than were named
        ([EPOCH + 5], [replace(epoch(1), delegates=())], [0]),
        ([EPOCH + 5], [replace(epoch(1), footer=signed(epoch(1).header, SETS[1]))], [1]),  # named by itself
    ],
)
def test_epochs_that_do_not_follow_are_refused(
    scene: Scene, numbers: list[int], epochs: list[EpochPart], signers: list[int]
) -> None:
    with pytest.raises(Refused) as refused:
        checked(scene, numbers, epochs, signers)
    assert (refused.value.code, refused.value.field) == ("W3B-9012", "finality")
