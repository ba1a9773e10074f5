"""Settings of the service: defaults that work on one machine, each changed by a variable `W3BSTREAM_<NAME>`."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    ledger_url: str = ""
    """SQLAlchemy URL; empty is SQLite in the home folder. Two services on one database are not supported."""
    nats_url: str = ""
    """NATS with JetStream; empty starts the embedded server."""
    allow_private_da: bool = False
    """Lets `da.url` of project files lead to private networks: RFC 1918, 100.64.0.0/10 and fc00::/7."""
    chain_rpc_url: str = ""
    """EVM JSON-RPC; empty starts the embedded chain."""
    finality_depth: int = Field(default=0, ge=0)
    """Blocks on top before a block counts as final, on a chain behind an RPC that does not know the tag `finalized`;
    such a chain needs 1 or more. The embedded chain's own `finalized` stays so far behind its head."""
    ray_address: str = ""
    """Ray cluster; empty starts a local one."""
    provers: int = Field(default=2, ge=0, le=64)
    """Prover workers to start in the embedded Ray."""
    prover_threads: int = Field(default=0, ge=0)
    """Threads a prover uses; 0 divides the cores among the workers."""
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
    lease_seconds: float = Field(default=30.0, gt=0)
    """A lease that is not renewed for so long is lost."""
    heartbeat_seconds: float = Field(default=2.0, gt=0)
    """How often a worker must be heard; three missed ones make it Offline."""
    attempt_cap: int = Field(default=5, ge=1)
    """Attempts a task may lose before it fails."""
    attempt_seconds: float = Field(default=600.0, gt=0)
    """Longest time one attempt may take; the on-chain deadline follows from it."""
    webhook_cap: int = Field(default=10, ge=1)
    """Tries before a webhook message is dead."""
    allow_loopback_webhooks: bool | None = None
    """Loopback webhook URLs. Unset: allowed only when the API is on loopback and chain, NATS and Ray are embedded."""

    @property
    def ledger(self) -> str:
        """The ledger's URL, the default filled in."""
        return self.ledger_url or f"sqlite+aiosqlite:///{self.home / 'ledger.db'}"

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
