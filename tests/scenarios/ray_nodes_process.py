"""Test only: a Ray cluster on this machine, a head without provers and nodes with room for one each.

A program, for a process has one Ray: `python -m tests.scenarios.ray_nodes_process HOME NODES` prints one line of JSON
with the cluster's address and what a driver's environment needs, and ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from coordinator.dispatch.ray_runtime import OBJECT_STORE_BYTES, prepare_environment, resource_name

KIND = "zkp.groth16"
THREADS = {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""With one thread a proof takes long enough to be broken off."""


def main(home: Path, nodes: int) -> None:
    """Run it until standard input ends."""
    prepare_environment(home, local=True)  # on loopback only, with a token
    os.environ.update(THREADS, W3BSTREAM_HOME=str(home))
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "object_store_memory": OBJECT_STORE_BYTES})
    for _ in range(nodes):
        cluster.add_node(resources={resource_name(KIND): 1}, num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
    environment = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    print(json.dumps({"address": cluster.address, "environment": environment}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
