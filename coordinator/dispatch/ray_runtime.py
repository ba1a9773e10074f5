"""Starting Ray so that it listens on loopback only, asks for a token, and finds our code.

The only other file that imports Ray is `ray_pool.py`. Both do so late: Ray reads `RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER`,
`RAY_AUTH_MODE` and `RAY_AUTH_TOKEN_PATH` once, when it is imported.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coordinator.dispatch.pool import WorkerSpec
from coordinator.settings import LOOPBACK_RAY
from provers.installation import HOME_VARIABLE, TABLE_VARIABLE, write_private
from provers.tee.broker_client import BROKER_VARIABLE
from verifier.errors import Unavailable

OBJECT_STORE_BYTES = 200 * 1024 * 1024
"""Proofs and tasks are kilobytes; Ray's own default would take a third of the memory."""
NO_SPARES = {"RAY_enable_worker_prestart": "0", "RAY_prestart_worker_first_driver": "0"}
"""Ray starts a Python process for every core in advance, which nobody could use: our workers have environments of their
own."""
NAMESPACE = "w3bstream"
SOURCE_ROOT = Path(__file__).resolve().parents[2]
"""Where the packages `provers` and `verifier` are imported from."""


def resource_name(kind: str) -> str:
    """Ray's custom resource for a kind: `zkp.groth16` is `prover_zkp_groth16`. One worker takes one."""
    return "prover_" + kind.replace(".", "_").replace("-", "_")


def write_token(path: Path) -> None:
    """Make the cluster's token once, 64 hex digits, mode 600."""
    if not path.exists():
        write_private(path, secrets.token_hex(32), keep=True)


def prepare_environment(home: Path, *, local: bool) -> None:
    """Set what Ray reads at import. Raises Unavailable (W3B-8002) when Ray was imported before with other values.

    A cluster of the operator's own keeps the operator's addresses and token settings.
    """
    wanted = dict(LOOPBACK_RAY) if local else {"RAY_USAGE_STATS_ENABLED": "0"}
    if local:
        token = home / "ray" / "auth_token"
        write_token(token)
        wanted |= NO_SPARES | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        os.environ.pop("RAY_AUTH_TOKEN", None)
    if local and "ray" in sys.modules and any(os.environ.get(name) != value for name, value in LOOPBACK_RAY.items()):
        raise Unavailable("W3B-8002", "Ray was imported before its loopback settings were made")
    os.environ.update(wanted)


def start_ray(home: Path, capacity: Mapping[str, int], address: str = "") -> bool:
    """Connect to the cluster at `address`, or start a local one with room for `capacity` workers by kind. Blocks for
    some seconds: call it in a thread.

    Returns whether this call started or joined it; False when this process is connected already. Raises Unavailable
    (W3B-8002).
    """
    prepare_environment(home, local=not address)
    import ray

    # Its warnings are about a driver that is a script; what fails is raised.
    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        return False
    settings: dict[str, Any] = {"address": address}
    if not address:
        settings = {
            "address": "local",
            "num_cpus": max(1, os.cpu_count() or 1),
            "resources": {resource_name(kind): float(count) for kind, count in capacity.items()},
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    try:
        ray.init(namespace=NAMESPACE, log_to_driver=False, configure_logging=False, **settings)
    except Exception as error:  # Ray raises many types here, and each means that there is no cluster
        raise Unavailable("W3B-8002", f"Ray did not start: {error}") from error
    return True


def take_back_sigterm() -> None:
    """Give SIGTERM back to the handler that Python had for it. Call it in the main thread; elsewhere it does nothing.

    Ray's C++ core takes the signal when it starts. Its handler prints a stack trace, calls the former one, and aborts
    the process three seconds later, in the middle of an orderly end. For a signal that comes before this call, the
    former handler has to take that alarm back (`coordinator.service.service.end_at_signals`).
    """
    handler = signal.getsignal(signal.SIGTERM)
    if handler is None or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, handler)
    signal.siginterrupt(signal.SIGTERM, False)  # as asyncio has it: system calls under way go on


def cluster_whole() -> bool:
    """Whether raylet and GCS run, where this process started them; True for a cluster of the operator's own.

    Ray starts neither again, and a driver whose raylet is gone waits for ever. Its public calls ask the GCS, which hears
    of it late or is itself the dead one; the node object has the child processes.
    """
    import ray

    node = ray._private.worker._global_node
    if node is None:
        return True
    return not {kind for kind, _ in node.dead_processes()} & {"raylet", "gcs_server"}


def stop_ray() -> None:
    """Leave the cluster; a local one ends. Blocks for a second or two."""
    import ray

    ray.shutdown()


def worker_environment(
    home: Path, spec: WorkerSpec, *, local: bool, import_paths: tuple[Path, ...] = ()
) -> dict[str, str]:
    """Environment of a worker: threads of native code (0: what the native code finds right there), memory for tables,
    the key broker that this process was told of, and on this machine the data folder and where to import our packages
    from."""
    environment = {TABLE_VARIABLE: str(spec.table_mib)}
    if broker := os.environ.get(BROKER_VARIABLE, ""):
        environment[BROKER_VARIABLE] = broker
    if spec.threads:
        environment |= {"RAYON_NUM_THREADS": str(spec.threads), "OMP_NUM_THREADS": str(spec.threads)}
    if local:
        paths = [str(SOURCE_ROOT), *(str(path) for path in import_paths)]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        environment[HOME_VARIABLE] = str(home)
    return environment
