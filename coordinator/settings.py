"""Settings of the service: defaults that work on one machine, each changed by a variable `W3BSTREAM_<NAME>`."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from coordinator.webhooks.backoff import PAUSES

PREFIX = "W3BSTREAM_"
# Ray reads this when it is imported; with it every Ray process listens on loopback only.
LOOPBACK_RAY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


def is_loopback_host(host: str) -> bool:
    """Whether `host`, an address or `localhost`, is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(BaseSettings):
    """What an operator may set. An empty URL means: start the embedded one."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    home: Path = Field(default_factory=lambda: Path(os.environ.get("W3BSTREAM_HOME", "~/.w3bstream")).expanduser())
    """Where the installation keeps its ledger, streams, chain, keys and logs."""
    ledger_url: str = Field(default="", repr=False)
    """`postgresql://user:password@host/database`; empty is SQLite in the home folder. Coordinators that share a
    PostgreSQL database take turns to lead (docs/how-to/postgresql.md)."""
    leader_seconds: float = Field(default=10.0, ge=1, le=1200)
    """How long a coordinator that was not heard of goes on leading; it renews three times as often."""
    prover_name: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9._-]{0,31})?$")
    """Part of the ids of this home folder's workers, `<kind>-<name>-<number>`; no two home folders on one ledger may have
    the same. Empty: none on SQLite, and the folder's own 8 digits on PostgreSQL."""
    nats_url: str = ""
    """NATS with JetStream; empty starts the embedded server."""
    allow_private_da: bool = False
    """Lets `da.url` of project files lead to private networks: RFC 1918, 100.64.0.0/10 and fc00::/7."""
    chain_rpc_url: str = ""
    """EVM JSON-RPC, or several of the same chain with commas between them; empty starts the embedded chain."""
    chain_delegates: int = Field(default=24, ge=0, le=144)
    """Delegates of a new home folder's embedded chain, all in one process, whose certificates make its blocks final; 0:
    one producer makes them, and nothing shows that they are final. An old folder keeps what it began with."""
    operator: str = Field(default="", pattern=r"^(0x[0-9a-fA-F]{40})?$")
    """Address that new prover workers name on chain as their operator; empty: the coordinator's account. Projects that
    want independent operators count one proof of each."""
    production: bool = False
    """Settle for value: new contracts get a Router that refuses verifiers with simulated trust anchors, for ever; the
    service does not start on contracts that take them, and publishes no project that names such a verifier."""
    chain_rpc_seconds: float = Field(default=10.0, gt=0)
    """Longest wait for one answer of a chain's JSON-RPC."""
    finality_depth: int = Field(default=0, ge=0)
    """Blocks on top before a block counts as final, on a chain behind an RPC that does not know the tag `finalized`;
    such a chain needs 1 or more. The embedded chain's own `finalized` stays so far behind its head."""
    safe_depth: int = Field(default=0, ge=0)
    """Blocks on top before a block counts as safe, on a chain behind an RPC that does not know the tag `safe`; 0: a block
    is safe when it is final."""
    ray_address: str = ""
    """Ray cluster; empty starts a local one."""
    provers: int = Field(default=2, ge=0, le=64)
    """Prover workers of each kind to start in the embedded Ray."""
    prover_kinds: str = Field(default="zkp.groth16", pattern=r"^[a-z0-9][a-z0-9.,\s-]*$")
    """Kinds of proof to have workers of, with commas between them, such as `zkp.groth16,tee.sev-snp`. TEE workers are
    simulated: a production installation does not start with one."""
    provers_min: int = Field(default=1, ge=0, le=1024)
    """On a Ray cluster of your own: workers of each kind that the autoscaler is asked for even when nothing waits."""
    provers_max: int = Field(default=64, ge=0, le=1024)
    """On a Ray cluster of your own: most workers of each kind. In between there are as many as tasks wait, as far as the
    nodes' resources `prover_<kind>` reach."""
    provers_idle_seconds: float = Field(default=600.0, ge=0)
    """On a Ray cluster of your own: how long workers that the work does not need any more are kept."""
    prover_threads: int = Field(default=0, ge=0)
    """Threads a prover uses; 0 divides the cores among the workers."""
    prover_table_mib: int = Field(default=96, ge=0, le=1 << 20)
    """Mebibytes that each prover may use to store multiples of a proving key's points, made when it starts (a second
    for the sample program): its proofs then take about a fifth of the time. A key that they do not suffice for is used
    without, as with 0."""
    api_host: str = "127.0.0.1"
    """Address the gRPC server listens on."""
    api_port: int = Field(default=0, ge=0, le=65535)
    """Port of the gRPC server; 0 takes a free one and writes it to `<home>/api.json`."""
    api_tls_cert: Path | None = None
    """PEM file of the API's certificate and its chain; with it the API speaks TLS only."""
    api_tls_key: Path | None = None
    """PEM file of the certificate's private key."""
    api_insecure: bool = False
    """Serve in clear on a host other than loopback: only behind a proxy that ends TLS."""
    api_client_ca: Path | None = None
    """PEM bundle of authorities (mutual TLS): only clients with a certificate of one of them are served, and they still
    need a key or token."""
    api_names: str = ""
    """The host:port under which clients reach the API, with commas between several; logins made for another are
    refused. Empty: where it listens, which must then be one address and not a wildcard."""
    api_auth_failures: int = Field(default=60, ge=0)
    """Wrong keys and failed logins a minute from one address before it must wait; 0: no bound, behind a proxy that
    hides its clients' addresses."""
    api_requests_per_key: int = Field(default=0, ge=0)
    """Calls a minute that one key or identity may make; 0: no limit."""
    api_calls_per_key: int = Field(default=1024, ge=1)
    """Calls, watches included, that one key or identity may have under way."""
    token_keys: Path | None = None
    """File of the keys that sign login tokens; unset: `keys/tokens.json` in the home folder. Coordinators on one ledger
    must share it."""
    quota_requests: int = Field(default=0, ge=0)
    """Calls a minute about one project, where it has no quota of its own; 0: no limit."""
    quota_jobs: int = Field(default=0, ge=0)
    """Jobs a minute of one project, where it has no quota of its own; 0: no limit."""
    quota_readings: int = Field(default=0, ge=0)
    """Readings a day (UTC) that one project may send by the API, where it has no quota of its own; 0: no limit."""
    quota_open_tasks: int = Field(default=0, ge=0)
    """Tasks of one project that may wait for provers before new jobs are refused, where it has no quota of its own; 0:
    no limit."""
    explorer: bool = True
    """Serve the explorer's pages."""
    explorer_host: str = "127.0.0.1"
    """Address the explorer listens on; a host other than loopback takes the API's certificate."""
    explorer_port: int = Field(default=0, ge=0, le=65535)
    """Port of the explorer; 0 takes a free one and writes it to `<home>/explorer.json`."""
    explorer_url: str = Field(default="", pattern=r"^(https?://[^/?#\s@]+)?$")
    """Where people reach the explorer when a proxy stands in front of it, such as `https://explorer.example.org`."""
    metrics: bool = True
    """Serve `/metrics`, `/healthz` and `/readyz` (docs/how-to/observe.md)."""
    metrics_host: str = "127.0.0.1"
    """Address they are served on, in clear and to anyone who reaches it: on another host than loopback keep strangers
    away by the network."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Port they are served on; 0 takes a free one and writes it to `<home>/metrics.json`."""
    metrics_projects: bool = False
    """Give the intake's metrics a label with the project's id: as many series as there are projects."""
    disk_reserve_mib: int = Field(default=256, ge=0)
    """Free MiB of the home folder's disk below which `/readyz` says no."""
    otlp_endpoint: str = Field(default="", pattern=r"^(https?://[^/?#\s@]+)?$")
    """OpenTelemetry collector for traces, OTLP over gRPC, such as `http://127.0.0.1:4317`; empty: no traces. The workers
    send there too."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least level of what is written to `<home>/logs/service.log`."""
    log_mib: int = Field(default=20, ge=1, le=2047)
    """Size at which the log begins anew; five older ones are kept."""
    lease_seconds: float = Field(default=30.0, gt=0)
    """A lease that is not renewed for so long is lost."""
    heartbeat_seconds: float = Field(default=2.0, gt=0)
    """How often a worker must be heard; three missed ones make it Offline."""
    attempt_cap: int = Field(default=5, ge=1)
    """Attempts a task may lose before it fails."""
    hedge_share: float = Field(default=0.1, ge=0, le=1)
    """Part of the running attempts that may be second attempts beside one that takes longer than p95; 0 for none."""
    attempt_seconds: float = Field(default=600.0, gt=0)
    """Longest time one attempt may take; the on-chain deadline follows from it."""
    webhook_cap: int = Field(default=10, ge=1)
    """Tries before a webhook message is dead."""
    webhook_pauses: tuple[Annotated[float, Field(ge=0)], ...] = Field(default=PAUSES, min_length=1)
    """Seconds before the second try of a webhook message, the third and so on, as a JSON list; the last one again after
    that. Each is varied by a tenth."""
    allow_loopback_webhooks: bool | None = None
    """Loopback webhook URLs. Unset: allowed only when the API is on loopback and chain, NATS and Ray are embedded."""

    @property
    def ledger(self) -> str:
        """The ledger's URL, the default filled in."""
        return self.ledger_url or f"sqlite+aiosqlite:///{self.home / 'ledger.db'}"

    @property
    def token_file(self) -> Path:
        """The file of the token keys, the default filled in."""
        return self.token_keys or self.home / "keys" / "tokens.json"

    @property
    def quotas(self) -> dict[str, int]:
        """The installation's quotas by resource."""
        return {
            "requests": self.quota_requests,
            "jobs": self.quota_jobs,
            "readings": self.quota_readings,
            "open_tasks": self.quota_open_tasks,
        }

    @property
    def embedded(self) -> bool:
        """Whether this is an installation for one machine: the API on loopback; chain, NATS and Ray embedded."""
        return is_loopback_host(self.api_host) and not (self.chain_rpc_url or self.nats_url or self.ray_address)

    @property
    def loopback_webhooks(self) -> bool:
        """Whether webhook URLs may lead to loopback, the default filled in."""
        return self.embedded if self.allow_loopback_webhooks is None else self.allow_loopback_webhooks


def markdown() -> str:
    """The docs page, one row a setting."""
    rows = []
    for name, field in Settings.model_fields.items():
        unset = "unset" if field.default is None else "empty"
        default = "~/.w3bstream" if name == "home" else str("" if field.default is None else field.default) or unset
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {' '.join((field.description or '').split())} |")
    head = (
        "# Settings\n\nGenerated from `coordinator/settings.py` by `make docs`; do not edit.\n\n"
        "Environment variables, read by `w3bstream up` and `w3bstream demo`. "
        "An empty URL starts\nthe embedded part on loopback.\n\n"
        "| variable | default | meaning |\n|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
