"""Wall and CPU time of a step."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Seconds(NamedTuple):
    """What a step took."""

    wall: float
    cpu: float


def cpu_seconds() -> float:
    """CPU seconds of this process and of the children that it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(work: Callable[[], T]) -> tuple[Seconds, T]:
    """Seconds and the result."""
    started, used = time.perf_counter(), cpu_seconds()
    result = work()
    return Seconds(time.perf_counter() - started, cpu_seconds() - used), result
