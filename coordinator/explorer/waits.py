"""Where a task is and why, in plain words: one pure function of what the ledger says now."""

from __future__ import annotations

from dataclasses import dataclass, replace

from coordinator.ledger.transitions import TERMINAL_TASK_STATES, AttemptState, Confirmation, TaskState
from verifier.error_codes import CODES


@dataclass(frozen=True)
class TxSituation:
    """A transaction that something waits for."""

    id: int
    state: str
    """Its step of the finality ladder."""
    ahead: int = 0
    """Transactions of the outbox that come before it, while it is QUEUED."""
    tries: int = 0
    block_number: int | None = None
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class AttemptSituation:
    """A live attempt."""

    state: AttemptState
    kind: str
    prover_id: str
    stage: str
    progress: float
    """0 to 1."""
    lease_seconds: float
    """Until its lease runs out."""
    assign: TxSituation | None
    settle: TxSituation | None


@dataclass(frozen=True)
class Situation:
    """All that the answer depends on."""

    state: TaskState
    code: str
    reason: str
    kinds: tuple[str, ...]
    threshold: int
    proofs: int
    """Attempts that are PROVED, POSTED or VERIFIED."""
    pause_seconds: float
    """Until the next attempt may be made; 0 or less when it may be made now."""
    deadline_seconds: float
    """Until the task's deadline."""
    attempts_used: int
    attempt_cap: int
    project_paused: bool
    queue_ahead: int
    """OPEN tasks that were made before it and have no prover either."""
    idle: int
    """Idle provers of its kinds that are not draining."""
    busy: int
    offline: int
    record: TxSituation | None
    live: tuple[AttemptSituation, ...]
    block_number: int | None
    head: int | None
    """Number of the chain's newest block; None when it is not known."""
    final: int | None
    finality_depth: int
    """Blocks that must be on top; 0 where the chain itself says what is final."""
    finality_source: str = ""
    confirmation: str = ""
    """Where its second stage is; empty where it has none or the first one is not through."""
    confirm_kind: str = ""
    confirm_seconds: float = 0.0
    """Until it should be confirmed."""


@dataclass(frozen=True)
class Why:
    """The answer."""

    headline: str
    """One sentence: what it waits for, or how it ended."""
    detail: str = ""
    """What that means, with the figures."""
    action: str = ""
    """What a person can do; empty when there is nothing to do."""
    tone: str = "wait"
    """`wait`, `work`, `good`, `bad` or `stuck`: waiting for something that does not come by itself."""


def plural(count: int, word: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def seconds_text(seconds: float) -> str:
    """A length of time in plain units: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def explain(now: Situation) -> Why:
    """Where the task is and why, and where its confirmation is."""
    why = _first_stage(now)
    said = _second_stage(now)
    return replace(why, detail=" ".join(part for part in (why.detail, said) if part)) if said else why


def _second_stage(now: Situation) -> str:
    match Confirmation(now.confirmation):
        case Confirmation.AWAITED:
            over = now.confirm_seconds <= 0
            left = "its time is over" if over else f"within {seconds_text(now.confirm_seconds)}"
            return f"{now.confirm_kind} is to confirm it: {left}."
        case Confirmation.CONFIRMED:
            return f"{now.confirm_kind} has confirmed it."
        case Confirmation.MISSED:
            return f"{now.confirm_kind} has not confirmed it in time."
        case Confirmation.CONTRADICTED:
            return f"{now.confirm_kind} has proven another output: a person must look."
    return ""


def _first_stage(now: Situation) -> Why:
    if now.state in TERMINAL_TASK_STATES:
        return _ended(now)
    if now.state is TaskState.RECEIVED:
        return _transaction(now.record, "its record in FleetManagement", "No prover may start before it is recorded.")
    if now.state is TaskState.SETTLED:
        return _finality(now)
    if now.state is TaskState.SATISFIED:
        posted = [each for each in now.live if each.settle is not None]
        settle = posted[0].settle if posted else None
        return _transaction(settle, "its settlement by the Router", "The proofs are made and were verified off chain.")
    if now.live:
        return _attempt(now)
    return _queue(now)


def _ended(now: Situation) -> Why:
    if now.state is TaskState.FINAL:
        by = f" (source: {now.finality_source})" if now.finality_source else ""
        return Why(
            "Done: proven, verified on chain, and final.", f"Settled in block {now.block_number}{by}.", tone="good"
        )
    words = {
        TaskState.FAILED: "It failed",
        TaskState.EXPIRED: "Its deadline passed",
        TaskState.CANCELLED: "It was cancelled",
        TaskState.FROZEN: "It is frozen: two different outputs were proven",
    }[now.state]
    action = CODES[now.code].next_step if now.code in CODES else ""
    tone = "wait" if now.state is TaskState.CANCELLED else "bad"
    return Why(f"{words}: {now.reason}" if now.reason else f"{words}.", now.code, action, tone)


def _transaction(tx: TxSituation | None, what: str, meaning: str) -> Why:
    if tx is None:
        return Why(f"Waiting for {what} to be put into a transaction.", f"{meaning} This takes a moment.")
    if tx.state == "QUEUED":
        ahead = f"{plural(tx.ahead, 'transaction')} before it." if tx.ahead else "It is the next one."
        if tx.code:
            return Why(
                f"Waiting to send {what}: {tx.reason}",
                f"{tx.code}. {ahead} {plural(tx.tries, 'try') if tx.tries == 1 else f'{tx.tries} tries'} so far.",
                CODES[tx.code].next_step if tx.code in CODES else "",
                "stuck",
            )
        return Why(f"{what.capitalize()} waits in the outbox.", f"{ahead} {meaning}")
    if tx.state == "SENT":
        return Why(f"{what.capitalize()} was sent and is not mined yet.", f"{meaning} Tries: {tx.tries}.")
    if tx.state == "REFUSED":
        next_step = CODES[tx.code].next_step if tx.code in CODES else ""
        return Why(f"The chain refused {what}: {tx.reason}", tx.code, next_step, "stuck")
    return Why(
        f"{what.capitalize()} is mined in block {tx.block_number}.", "The ledger follows in a moment.", tone="work"
    )


def _finality(now: Situation) -> Why:
    if now.block_number is None:
        return Why("Settled; its block is not known yet.")
    if now.head is None:
        return Why(
            f"Settled in block {now.block_number}; how final it is is not known.",
            "The chain does not answer at the moment; nothing is lost.",
            CODES["W3B-5001"].next_step,
            "stuck",
        )
    on_top = max(0, now.head - now.block_number)
    if now.finality_depth:
        said = f"Finality: {min(on_top, now.finality_depth)} of {plural(now.finality_depth, 'block')} on top."
    else:
        final = "none yet" if now.final is None else f"block {now.final}"
        said = f"The chain's newest final block: {final}; {plural(on_top, 'block')} on top."
    return Why(f"Settled in block {now.block_number}, waiting for finality.", said, tone="work")


def _attempt(now: Situation) -> Why:
    leading = max(now.live, key=lambda each: (list(AttemptState).index(each.state), each.progress))
    of = f" Proof {now.proofs + 1} of {now.threshold}." if now.threshold > 1 else ""
    if leading.state is AttemptState.ASSIGNED:
        why = _transaction(leading.assign, "its assignment", f"Prover {leading.prover_id} is leased and starts then.")
        return Why(why.headline, why.detail + of, why.action, why.tone)
    if leading.state is AttemptState.PROVING:
        stage = f" {leading.stage}," if leading.stage else ""
        headline = f"Prover {leading.prover_id} works on it:{stage} {leading.progress:.0%}."
        if leading.lease_seconds <= 0:
            silent = f"It has not been heard of; its lease ran out {seconds_text(-leading.lease_seconds)} ago."
            return Why(headline, f"{silent} Another prover gets the task.{of}", tone="stuck")
        holds = f"Its lease is renewed with each heartbeat; it holds for {seconds_text(leading.lease_seconds)} now."
        return Why(headline, holds + of, tone="work")
    if now.proofs < now.threshold:
        missing = now.threshold - now.proofs
        kinds = ", ".join(now.kinds)
        return Why(
            f"Waiting for {plural(missing, 'more proof')} of another kind ({kinds}).", _provers(now), tone="wait"
        )
    return _transaction(leading.settle, "its settlement by the Router", "The proof is made and was verified off chain.")


def _provers(now: Situation) -> str:
    return f"Provers of its kinds: {now.idle} idle, {now.busy} busy, {now.offline} offline."


def _queue(now: Situation) -> Why:
    kinds = ", ".join(now.kinds)
    spent = f"{now.attempts_used} of {now.attempt_cap} attempts were lost. " if now.attempts_used else ""
    if now.project_paused:
        return Why("The project is paused.", "The chain refuses its assignments.", "w3bstream project resume", "stuck")
    if now.pause_seconds > 0:
        wait = seconds_text(now.pause_seconds)
        return Why(f"Waits {wait} before the next attempt.", f"{spent}The last one: {now.reason}")
    if now.idle + now.busy == 0:
        return Why(
            f"No prover of kind {kinds} is online.",
            f"{spent}{_provers(now)} It expires in {seconds_text(now.deadline_seconds)}.",
            "Start a prover of that kind, or look at the provers page for why they are offline.",
            "stuck",
        )
    place = f"Place {now.queue_ahead + 1:,} in the queue."
    if now.idle == 0:
        return Why(f"All {plural(now.busy, 'prover')} of kind {kinds} are busy.", f"{place} {spent}")
    return Why("A prover is idle: the next round of the dispatcher takes it.", f"{place} {spent}", tone="work")
