"""A Ray cluster of several nodes on this machine, on loopback and with a token, as `ray.cluster_utils` simulates it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.spine.noop import KIND, WAIT_FILE
from benchmarks.spine.peers import WORKERS
from coordinator.dispatch.ray_runtime import SOURCE_ROOT, prepare_environment, resource_name
from provers.installation import HOME_VARIABLE

STORE_BYTES = 80 * 1024 * 1024
"""Object store of a node: proofs and tasks are kilobytes, and Ray asks for no less."""


class Nodes:
    """The cluster; each node has room for `WORKERS` workers."""

    def __init__(self, cluster: Any, home: Path) -> None:
        self._cluster = cluster
        self._home = home
        self.count = 0

    @property
    def address(self) -> str:
        """Where its head is."""
        return str(self._cluster.address)

    def wait(self, milliseconds: int) -> None:
        """How long `WaitingProver` waits from now on."""
        (self._home / WAIT_FILE).write_text(str(milliseconds))

    def grow(self, count: int) -> None:
        """Add nodes until there are so many. Call it in the main thread: Ray sets a signal handler for each."""
        while self.count < count:
            self._cluster.add_node(
                resources={resource_name(KIND): WORKERS}, num_cpus=1, object_store_memory=STORE_BYTES
            )
            self.count += 1


def keep_bytecode(home: Path) -> None:
    """Let processes that are started from here keep compiled modules, as those of an installation do: where they must not
    write beside the sources, each start would compile everything again, for seconds."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(home / "bytecode")


@contextmanager
def cluster(home: Path) -> Iterator[Nodes]:
    """A head without room for workers, until the block ends; `home` is its workers' data folder."""
    prepare_environment(home, local=True)
    keep_bytecode(home)
    # What the image and the pod's environment are on a real cluster.
    os.environ |= {"PYTHONPATH": str(SOURCE_ROOT), HOME_VARIABLE: str(home)}
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 1,
        "node_ip_address": "127.0.0.1",
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
    }
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield Nodes(made, home)
    finally:
        made.shutdown()  # type: ignore[no-untyped-call]
