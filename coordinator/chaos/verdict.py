"""The verdict: a pure function of the facts and of the service's own comparison of ledger, chain and streams.

The invariants, in the design's words: every accepted reading is in exactly one window or in the dead letters with its
reason; one accepted proof per required kind; one settlement per task; at least one 2xx per webhook-id, which is stable
across retries. Proofs and settlements are compared by `coordinator.reconcile`; what nobody but the devices and the
receiver can know is compared here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from coordinator.chaos.facts import FINAL, Facts
from coordinator.reconcile.report import Break

LOST = frozenset(
    {
        "W3B-8110",
        "W3B-8112",
        "W3B-8113",
        "W3B-5020",
        "W3B-5022",
        "W3B-5024",
        "W3B-5025",
        "W3B-5028",
        "W3B-5030",
    }
)
"""Breaks that say: something is not where it must be."""
DOUBLED = frozenset({"W3B-8111", "W3B-8114", "W3B-5021", "W3B-5026", "W3B-5029"})
"""Breaks that say: something counts twice, or counts without anybody's order."""


@dataclass(frozen=True)
class Verdict:
    """What came of a run. The counts are readings."""

    accepted: int
    """In the ledger."""
    proven: int
    """In a window whose assurance was reached."""
    settled: int
    """In a window that the Router finalised."""
    notified: int
    """In a window whose webhook the receiver verified and answered with 2xx."""
    breaks: tuple[Break, ...]
    """Everything that does not hold."""

    @property
    def lost(self) -> int:
        """Breaks of `LOST`."""
        return sum(each.code in LOST for each in self.breaks)

    @property
    def doubled(self) -> int:
        """Breaks of `DOUBLED`."""
        return sum(each.code in DOUBLED for each in self.breaks)

    @property
    def holds(self) -> bool:
        """Whether the invariants hold, and there was something to hold them for."""
        return not self.breaks and self.accepted > 0


def judge(facts: Facts, compared: Sequence[Break] = ()) -> Verdict:
    """The verdict on a run that has come to rest, or was given up. `compared` are the service's own comparison's."""
    found = (*_readings(facts), *_dead_letters(facts), *_tasks(facts), *_webhooks(facts), *compared)
    return Verdict(**facts.counts(), breaks=found)


def _readings(facts: Facts) -> Iterator[Break]:
    for project_id, wire in sorted(facts.missing()):
        message = "it was acknowledged, and is neither a reading nor a dead letter"
        yield Break("W3B-8110", f"message {wire[:70].hex()}…", message, project_id)
    for (project_id, wire), times in _repeated((each.project_id, each.wire) for each in facts.readings):
        yield Break("W3B-8111", f"message {wire[:70].hex()}…", f"it was accepted {times} times", project_id)
    for each in facts.readings:
        if each.task_id is None:
            yield Break("W3B-8112", f"reading {each.wire[:70].hex()}…", "its window never closed", each.project_id)
        elif each.task_id not in facts.tasks:
            message = f"its window {each.task_id} is no task"
            yield Break("W3B-8112", f"reading {each.wire[:70].hex()}…", message, each.project_id)


def _dead_letters(facts: Facts) -> Iterator[Break]:
    for project_id, position in sorted(facts.unread()):
        message = "NATS acknowledged it, it is no reading, and it is no dead letter"
        yield Break("W3B-8110", f"position {position}", message, project_id)
    for each in facts.dead:
        if not each.code:
            yield Break("W3B-8110", f"dead letter at {each.position}", "it has no reason", each.project_id)


def _tasks(facts: Facts) -> Iterator[Break]:
    for task, state in sorted(facts.tasks.items()):
        if state != FINAL:
            yield Break("W3B-8112", f"task {task}", f"it is {state}, with {facts.readings_in({task})} readings")


def _webhooks(facts: Facts) -> Iterator[Break]:
    heard = facts.notified()
    for task, state in sorted(facts.tasks.items()):
        if state == FINAL and task not in heard:
            yield Break("W3B-8113", f"task {task}", "it is FINAL, and the receiver has no verified message about it")
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in facts.deliveries:
        if each.status == 401:
            yield Break("W3B-8114", f"webhook {each.id}", "its signature does not verify")
        else:
            ids[each.subject, each.type].add(each.id)
    for (task, kind), known in sorted(ids.items()):
        if len(known) > 1:
            yield Break("W3B-8114", f"task {task}", f"{kind} came under {len(known)} ids: {', '.join(sorted(known))}")
        if task not in facts.tasks:
            yield Break("W3B-8114", f"task {task}", f"{kind} came for a task that the ledger does not have")


def _repeated(keys: Iterable[tuple[int, bytes]]) -> list[tuple[tuple[int, bytes], int]]:
    return sorted((key, times) for key, times in Counter(keys).items() if times > 1)
