"""Test only: a project with devices that sign temperatures, and what must come of the readings they sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordinator.api.client import Client
from coordinator.projects.example import example
from tests.e2e.installation import FINAL, ChainView, Installation, until
from tests.patience import PATIENCE
from verifier.reading import DeviceKey, KeyType
from w3bstream.v1 import project_pb2, task_pb2

CAPACITY = 16
"""Readings that fill a window of the sample program."""
FIRST_TIME = 1_700_000_000_000
PUBLISH_SECONDS = 120.0
ENDED = frozenset(task_pb2.TaskState.Value(f"TASK_STATE_{name}") for name in ("FINAL", "FAILED", "EXPIRED", "FROZEN"))


@dataclass(frozen=True)
class Result:
    """What the sample program says of a window, or the dApp of many."""

    count: int
    sum: int
    minimum: int
    maximum: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Result:
        """Computed from the values."""
        return cls(len(values), sum(values), min(values), max(values))


def temperatures(number: int) -> list[int]:
    """Different values in tenths of a degree, below zero too, without any order."""
    return [(index * 7919 + 31) % 1201 - 400 for index in range(number)]


class WeatherProject:
    """A published project; its devices take turns.

    Parameters: `more` are further lines under `programs`, `assurance` what the file says instead of its default.
    """

    def __init__(
        self, client: Client, name: str, devices: int = 4, *, more: str = "", assurance: str = "zkp(groth16)"
    ) -> None:
        self.keys = [DeviceKey.generate(KeyType.BABYJUBJUB) for _ in range(devices)]
        file = example(name, [key.registration(f"station {index}") for index, key in enumerate(self.keys)])
        file = file.replace("    program: temperature_window\n", f"    program: temperature_window\n{more}")
        self.file = file.replace("\nassurance: zkp(groth16)\n", f"\nassurance: {assurance}\n")
        self.id = client.create_project(name).id
        client.publish_version(self.id, self.file)
        until(
            lambda: client.get_project(self.id).versions[-1].state == project_pb2.VERSION_STATE_PUBLISHED,
            PUBLISH_SECONDS,
            f"project {name} is published",
        )
        self._signed = 0

    def sign(self, values: Iterable[int]) -> list[bytes]:
        """The next readings in wire form, each signed by the device whose turn it is."""
        made = []
        for value in values:
            key = self.keys[self._signed % len(self.keys)]
            sequence = self._signed // len(self.keys) + 1
            payload = value.to_bytes(4, "big", signed=True)
            made.append(key.sign(self.id, sequence, FIRST_TIME + self._signed, payload).to_wire())
            self._signed += 1
        return made


def wait_final(client: Client, project_id: int, number: int, seconds: float = 180.0) -> list[task_pb2.Task]:
    """Wait until the project has `number` tasks that all ended, require that all are FINAL; returns them, oldest
    first."""
    ends = time.monotonic() + seconds * PATIENCE
    while True:
        tasks = sorted(client.tasks(project_id=project_id), key=lambda task: task.window_start)
        if len(tasks) >= number and all(task.state in ENDED for task in tasks):
            break
        assert time.monotonic() < ends, f"not FINAL within {seconds:g} s: {tasks}"
        time.sleep(0.05)
    assert [task.state for task in tasks] == [FINAL] * number, tasks
    return tasks


def require_exactly_once(installation: Installation, project_id: int, values: Sequence[int]) -> None:
    """Each accepted reading is in exactly one window, windows do not overlap, each task became FINAL once, each has one
    TaskSettled event on chain, and the dApp's totals are those of `values`."""
    with installation.client() as client:
        tasks = sorted(client.tasks(project_id=project_id), key=lambda task: task.window_start)
        chain = ChainView(client)
    readings = installation.rows("select * from reading where project_id = ? order by position", project_id)
    assert len(readings) == len(values)
    assert len({(row["device"], row["sequence"]) for row in readings}) == len(values)
    for row in readings:
        holding = [task.id for task in tasks if task.window_start <= row["position"] < task.window_end]
        assert holding == [row["task_id"]]
    dead = installation.rows("select position, code from dead_letter where project_id = ?", project_id)
    positions = [row["position"] for row in readings] + [row["position"] for row in dead]
    assert sorted(positions) == list(range(1, len(positions) + 1)), "each message of the stream is in one place"
    assert all(row["code"] for row in dead)
    assert sum(task.count for task in tasks) == len(values)
    finals = installation.rows(
        "select task_id from task_event where project_id = ? and subject = 'task' and target = 'FINAL'", project_id
    )
    ids = sorted(task.id for task in tasks)
    assert sorted(row["task_id"] for row in finals) == ids
    assert sorted(chain.settlements(project_id)) == ids
    totals = chain.totals(project_id)
    assert totals[:5] == (len(tasks), len(values), sum(values), min(values), max(values))
    stated = [task.completeness for task in tasks]
    assert totals[5:] == tuple(
        sum(getattr(each, name) for each in stated) for name in ("missing", "duplicates", "late", "reordered")
    )
