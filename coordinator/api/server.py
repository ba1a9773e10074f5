"""The gRPC server: every service behind the gate, health, reflection, limits, and the file that says where it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from coordinator.access.token_keys import TokenKeys
from coordinator.access.tokens import Tokens, installation_name
from coordinator.api.acts import AuditedLedger
from coordinator.api.admin import AdminService
from coordinator.api.authenticator import Authenticator
from coordinator.api.chain import ChainService
from coordinator.api.client_access import SECURE
from coordinator.api.evidence import EvidenceService
from coordinator.api.gate import Gate
from coordinator.api.ingest import IngestService
from coordinator.api.job_intake import JobIntake
from coordinator.api.jobs import JobService
from coordinator.api.limits import MAX_CALLS, OPTIONS
from coordinator.api.logins import AuthService
from coordinator.api.program_outputs import OutputsOf, manifest_outputs
from coordinator.api.projects import ProjectService
from coordinator.api.provers import EVERY_PROVER, ProverService
from coordinator.api.rates import Rates
from coordinator.api.reading_check import ReadingCheck
from coordinator.api.stream_door import StreamDoor
from coordinator.api.submit import Submit
from coordinator.api.surroundings import Installation, IntakeDoor, SignatureChecker
from coordinator.api.tail import Tail
from coordinator.api.tasks import TaskService, task_topics
from coordinator.api.tls import require_safe
from coordinator.api.unbroken import Unbroken
from coordinator.api.webhooks import WebhookService
from coordinator.evidence.gathering import EvidenceMaker
from coordinator.evidence.many_servers import rpc_of
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProverEventRow, TaskEventRow
from coordinator.projects.da_url import da_policy
from coordinator.projects.programs import Manifest
from coordinator.reconcile.reconciler import Reconciler
from coordinator.settings import Settings, is_loopback_host
from coordinator.settlement.many_chains import chain_at
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.ssrf import UrlPolicy
from w3bstream.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    chain_pb2,
    chain_pb2_grpc,
    evidence_pb2,
    evidence_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    project_pb2,
    project_pb2_grpc,
    prover_pb2,
    prover_pb2_grpc,
    task_pb2,
    task_pb2_grpc,
    webhook_pb2,
    webhook_pb2_grpc,
)

ADDRESS_FILE = "api.json"
_SERVICES = (
    project_pb2.DESCRIPTOR.services_by_name["ProjectService"].full_name,
    task_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name,
    ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name,
    evidence_pb2.DESCRIPTOR.services_by_name["EvidenceService"].full_name,
    prover_pb2.DESCRIPTOR.services_by_name["ProverService"].full_name,
    webhook_pb2.DESCRIPTOR.services_by_name["WebhookService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AuthService"].full_name,
    job_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
    chain_pb2.DESCRIPTOR.services_by_name["ChainService"].full_name,
)

log = structlog.get_logger(__name__)


def _address_text(target: str) -> str:
    return json.dumps({"target": target}) + "\n"


def _write_address(path: Path, target: str) -> None:
    """Write `{"target": …}` so that a reader finds the old file or the new one, whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(_address_text(target))
    draft.replace(path)


def _remove_address(path: Path, target: str) -> None:
    """Remove the file unless it is another server's by now."""
    if path.is_file() and path.read_text() == _address_text(target):
        path.unlink()


class ApiServer:
    """The API of one installation.

    Parameters: `intake` and `installation` are the rooms around it; `signatures` checks device signatures (default: two
    worker processes, started when first needed); `urls` guards webhook URLs (default: by the settings); `programs` are
    the manifests that project files may name (default: the installed ones); `outputs_of` names a program's outputs;
    `tls` are server credentials (`tls.server_credentials`); without them a host other than loopback is refused unless
    `settings.api_insecure` is set; `reconciler` compares ledger, chain and streams.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        *,
        intake: IntakeDoor,
        installation: Installation,
        signatures: SignatureChecker | None = None,
        urls: GuardedClient | None = None,
        programs: Mapping[str, Manifest] | None = None,
        outputs_of: OutputsOf = manifest_outputs,
        tls: grpc.ServerCredentials | None = None,
        reconciler: Reconciler | None = None,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._intake = intake
        self._installation = installation
        self._own_pool = CryptoPool(2) if signatures is None else None
        self._signatures: SignatureChecker = signatures or self._own_pool or CryptoPool(2)
        self._urls = urls or GuardedClient(UrlPolicy(allow_loopback=settings.loopback_webhooks))
        self._programs = programs
        self._outputs_of = outputs_of
        self._tls = tls
        self._reconciler = reconciler
        self._unbroken = Unbroken()
        self._tails: tuple[Tail[TaskEventRow], Tail[ProverEventRow]] = (
            Tail(ledger, TaskEventRow, task_topics, self._unbroken),
            Tail(ledger, ProverEventRow, lambda row: (EVERY_PROVER,), self._unbroken),
        )
        self._evidence_chain = chain_at(settings.chain_rpc_url or installation.chain_rpc_url, 30.0)
        self._health = health.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self._target = ""
        self._names: frozenset[str] = frozenset()
        self._jobs: JobIntake
        self._authenticator: Authenticator

    @property
    def address_file(self) -> Path:
        """`<home>/api.json`, which tells clients on this machine where the API is."""
        return self._settings.home / ADDRESS_FILE

    @property
    def target(self) -> str:
        """Where clients find the API once it started: `host:port`, or `https://host:port` with TLS."""
        return self._target

    async def start(self) -> tuple[str, int]:
        """Listen and serve; returns (host, port).

        Raises OSError when the address cannot be had, InvalidInput (W3B-7019) when it would be served in clear.
        """
        require_safe(self._settings, tls=self._tls is not None)
        host = self._settings.api_host
        server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
        deployment, settings = self._installation.deployment, self._settings
        keys = await asyncio.to_thread(TokenKeys, settings.token_file)
        tokens = Tokens(keys, installation_name(deployment.chain_id, deployment.router))
        self._authenticator = Authenticator(self._ledger, tokens, settings.api_auth_failures)
        rates = Rates(self._ledger, settings.quotas, settings.api_requests_per_key, settings.api_calls_per_key)
        gate = Gate(self._ledger, self._authenticator, rates, self._unbroken)
        self._register(gate.guard(server), tokens)
        port = self._bind(server, host, self._settings.api_port)
        self._names = self._own_names(host, port)
        for tail in self._tails:
            tail.start()
        self._authenticator.start()
        await server.start()
        for name in ("", *_SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server = server
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._target = address if self._tls is None else SECURE + address
        await asyncio.to_thread(_write_address, self.address_file, self._target)
        log.info("api_started", target=self._target, tls=self._tls is not None)
        return host, port

    def _bind(self, server: grpc.aio.Server, host: str, port: int) -> int:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._tls is not None:
                return int(server.add_secure_port(address, self._tls))
            if not is_loopback_host(host):
                log.warning("api_without_tls", host=host, advice="a proxy in front of it must end TLS")
            return int(server.add_insecure_port(address))
        except RuntimeError as error:
            raise OSError(f"the API cannot listen on {address}: {error}") from error

    def _own_names(self, host: str, port: int) -> frozenset[str]:
        """Under which host:port logins may be made."""
        if self._settings.api_names:
            return frozenset(name.strip() for name in self._settings.api_names.split(","))
        if host in ("0.0.0.0", "::", ""):  # noqa: S104  any name might lead here; which are ours only the operator knows
            return frozenset()
        names = {f"[{host}]:{port}" if ":" in host else f"{host}:{port}"}
        if is_loopback_host(host):
            names.add(f"localhost:{port}")
        return frozenset(names)

    def _register(self, server: grpc.aio.Server, tokens: Tokens) -> None:
        ledger, installation, urls = AuditedLedger(self._ledger), self._installation, self._urls
        check = ReadingCheck(ledger, self._intake, self._signatures)
        streams = StreamDoor(ledger, self._intake)
        self._jobs = JobIntake(self._ledger, installation, check, self._unbroken, self._settings.quotas)
        tasks, provers = self._tails
        project_pb2_grpc.add_ProjectServiceServicer_to_server(
            ProjectService(
                ledger,
                installation,
                urls.policy,
                da_policy(self._settings),
                self._programs,
                chain=self._evidence_chain,
            ),
            server,
        )
        task_pb2_grpc.add_TaskServiceServicer_to_server(
            TaskService(ledger, tasks, Submit(ledger, streams, self._jobs), self._outputs_of), server
        )
        ingest_pb2_grpc.add_IngestServiceServicer_to_server(
            IngestService(
                ledger,
                streams,
                check,
                self._unbroken,
                self._settings.quotas,
                intake=self._intake,
                programs=self._programs,
            ),
            server,
        )
        maker = EvidenceMaker(self._ledger, rpc_of(self._evidence_chain), installation.deployment)
        evidence_pb2_grpc.add_EvidenceServiceServicer_to_server(
            EvidenceService(self._ledger, maker, self._unbroken), server
        )
        prover_pb2_grpc.add_ProverServiceServicer_to_server(ProverService(ledger, provers), server)
        webhook_pb2_grpc.add_WebhookServiceServicer_to_server(WebhookService(ledger, urls), server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(
            AdminService(ledger, installation, self._authenticator.forget, self._settings.quotas), server
        )
        admin_pb2_grpc.add_AuthServiceServicer_to_server(AuthService(ledger, tokens, lambda: self._names), server)
        job_pb2_grpc.add_JobServiceServicer_to_server(JobService(self._ledger, self._jobs, self._unbroken), server)
        chain_pb2_grpc.add_ChainServiceServicer_to_server(ChainService(ledger, installation, self._reconciler), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflected = (*_SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(reflected), server)

    async def set_health(self, serving: Mapping[str, bool]) -> None:
        """Say by the gRPC health service how parts stand, by name; the empty name is the whole."""
        status = health_pb2.HealthCheckResponse
        for name, well in serving.items():
            await self._health.set(name, status.SERVING if well else status.NOT_SERVING)

    async def stop(self, grace: float = 5.0) -> None:
        """Refuse new calls, end watches so that their clients come back, give the rest `grace` seconds."""
        server, self._server = self._server, None
        if server is None:
            return
        await self._health.enter_graceful_shutdown()
        for tail in self._tails:
            await tail.stop()
        await server.stop(grace)
        await self._jobs.finish()
        await self._unbroken.finish()
        await self._authenticator.stop()
        await self._urls.close()
        await self._evidence_chain.close()
        if self._own_pool is not None:
            self._own_pool.close()
        await asyncio.to_thread(_remove_address, self.address_file, self._target)
        log.info("api_stopped")
