"""Dead letters back into the stream, once the cause was mended.

A requeued message gets a position of its own and is judged anew; the dead letter stays as it is, marked. It is published
under a message id made of its old position and then marked, so a crash between the two costs a second publish that the
stream drops, or, after its two minutes, one more dead letter as a duplicate: never a second reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import update
from sqlmodel import col, select

from coordinator.intake.batch_rows import DEAD_LETTER_BYTES
from coordinator.intake.stream import DaStream
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow
from verifier.errors import InvalidInput, W3bstreamError
from verifier.reading import MAX_PAYLOAD, Reading

MOST = 1_000
"""Dead letters of one call."""


@dataclass(frozen=True)
class Requeued:
    """What became of one dead letter."""

    position: int
    """Its own."""
    new_position: int = 0
    """Where it lies now; 0 when it was not published."""
    code: str = ""
    """Why it was not, else empty."""
    reason: str = ""


async def choose(ledger: Ledger, project_id: int, positions: Sequence[int] = (), code: str = "") -> list[DeadLetterRow]:
    """The dead letters at these positions, or the oldest of a code that were not requeued yet; at most 1,000.

    Raises InvalidInput (W3B-7008) when neither or both are given, or too many positions.
    """
    if bool(positions) == bool(code):
        raise InvalidInput("W3B-7008", "give either positions or a code", field="positions")
    if len(positions) > MOST:
        raise InvalidInput("W3B-7008", f"{len(positions)} positions are more than {MOST}", field="positions")
    query = select(DeadLetterRow).where(DeadLetterRow.project_id == project_id)
    if code:
        query = query.where(DeadLetterRow.code == code, col(DeadLetterRow.requeued_at).is_(None))
    else:
        query = query.where(col(DeadLetterRow.position).in_(set(positions)))
    async with ledger.reading() as session:
        return list(await session.exec(query.order_by(col(DeadLetterRow.position)).limit(MOST)))


async def requeue(
    ledger: Ledger, stream: DaStream, project_id: int, positions: Sequence[int] = (), code: str = ""
) -> list[Requeued]:
    """Publish dead letters again; one that was requeued before, was cut or is no reading is named and left.

    Raises InvalidInput (W3B-7008) and Unavailable (W3B-1008, W3B-1051): what was published until then is marked.
    """
    letters = await choose(ledger, project_id, positions, code)
    found = {letter.position for letter in letters}
    done = [
        Requeued(at, code="W3B-1054", reason=f"no dead letter of project {project_id} is at position {at}")
        for at in sorted(set(positions) - found)
    ]
    for letter in letters:
        why = _refusal(letter, project_id)
        if why is not None:
            done.append(Requeued(letter.position, code=why[0], reason=why[1]))
            continue
        published = await stream.republish(project_id, letter.position, letter.wire)
        async with ledger.transaction() as session:
            await session.exec(
                update(DeadLetterRow)
                .where(
                    col(DeadLetterRow.project_id) == project_id,
                    col(DeadLetterRow.position) == letter.position,
                    col(DeadLetterRow.requeued_at).is_(None),
                )
                .values(requeued_at=ledger.clock())
            )
        done.append(Requeued(letter.position, published.position))
    return done


def _refusal(letter: DeadLetterRow, project_id: int) -> tuple[str, str] | None:
    if letter.requeued_at is not None:
        return "W3B-1054", f"the dead letter at position {letter.position} was requeued before"
    if len(letter.wire) >= DEAD_LETTER_BYTES:
        return "W3B-1054", f"the dead letter at position {letter.position} is kept in part only"
    try:
        reading = Reading.from_wire(letter.wire)
    except W3bstreamError as error:
        return (
            error.code,
            f"position {letter.position} holds no reading of at most {MAX_PAYLOAD} bytes: {error.message}",
        )
    if reading.project != project_id:
        return "W3B-1009", f"the reading at position {letter.position} is of project {reading.project}"
    return None
