"""The whole verification of an evidence file: format, chain, proofs, output, readings, anchors, verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from verifier.evidence.chain_checks import Recorded, check_chain
from verifier.evidence.data_checks import KnownProgram, check_output, check_proofs, check_readings
from verifier.evidence.decoding import decode
from verifier.evidence.document import COMMITMENTS, READING, Document
from verifier.evidence.finality_checks import check_finality
from verifier.evidence.report import Checks, Report, Verdict
from verifier.evidence.trust import BlockHash, Trust, find_anchors
from verifier.reading import Reading


def verify_evidence(
    data: bytes,
    *,
    trust: Trust | None = None,
    programs: Mapping[str, KnownProgram] | None = None,
    block_hash: BlockHash | None = None,
) -> Report:
    """Check an evidence file of any origin.

    Parameters: `data` are the file's bytes; `trust` is what the reader vouches for (default: nothing); `programs` are
    those known here by name, to name the outputs and to compute them once more; `block_hash` asks a node of the
    reader's own.

    Returns the report of a file in which everything holds; it is VALID when every anchor is pinned, else CONSISTENT.
    Raises InvalidInput (W3B-9002, W3B-9011) for what is no evidence file, and Refused with the failed check's name in
    `field`: W3B-9003 blocks, W3B-9004 events, W3B-9005 readings and devices, W3B-9006 programs and proofs, W3B-9008
    anchors, W3B-9012 the delegates' signatures, and the codes of what was checked (W3B-1xxx readings, W3B-4xxx proofs).
    """
    known, checks = programs or {}, Checks()
    document = decode(data)
    recorded = check_chain(document, checks)
    check_finality(document, recorded.headers, checks)
    unchecked = check_proofs(document, recorded, checks)
    output = check_output(document, known, checks)
    check_readings(document, recorded, known, checks)
    anchors = find_anchors(document, recorded, unchecked, trust or Trust(), checks=checks, block_hash=block_hash)
    if document.subject == COMMITMENTS:
        checks.notes.append("the file holds no readings: that the proofs are about real ones rests on the proofs alone")
    pinned = all(anchor.pinned for anchor in anchors)
    task, opening, settled = document.task, document.task.opening, recorded.settlement
    return Report(
        verdict=Verdict.VALID if pinned else Verdict.CONSISTENT,
        subject=document.subject,
        digest="0x" + hashlib.sha256(data).hexdigest(),
        summary=_summary(document, recorded),
        task_id="0x" + task.id.hex(),
        project_id=task.project_id,
        project_version=task.version,
        window_start=opening.window_start,
        window_end=opening.window_end,
        count=opening.count,
        output=output,
        public_output="0x" + task.public_output.hex(),
        kinds=tuple(each.kind for each in document.proofs),
        transaction="0x" + settled.transaction.hash.hex(),
        block_number=settled.header.number,
        block_hash="0x" + settled.header.hash.hex(),
        settled_at=settled.header.timestamp,
        dapp=recorded.dapp,
        config_hash="0x" + recorded.config_hash.hex(),
        checks=tuple(checks.held),
        anchors=anchors,
        notes=tuple(dict.fromkeys(checks.notes)),
    )


def _summary(document: Document, recorded: Recorded) -> str:
    """What the file shows, in one sentence."""
    opening, header = document.task.opening, recorded.settlement.header
    window = f"the window [{opening.window_start}, {opening.window_end}) of project {document.task.project_id}"
    task = f"task 0x{document.task.id.hex()}"
    settled = "final" if document.finality_source else "settled"
    if document.subject == READING and document.reading is not None:
        reading = Reading.from_wire(document.reading.wire)
        return (
            f"Reading {reading.sequence} of device 0x{reading.device.hex()} was counted in {window}, {task}, "
            f"{settled} in block {header.number}."
        )
    return f"{opening.count} readings of {window} were proven as {task}, {settled} in block {header.number}."
