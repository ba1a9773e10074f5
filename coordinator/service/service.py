"""The wiring: which part gets what, in which order they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from coordinator.api.auth import KEY_FILE, bootstrap_admin_key
from coordinator.api.program_outputs import manifest_outputs
from coordinator.api.server import ApiServer
from coordinator.api.surroundings import ComponentStatus
from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.pool import ProverPool
from coordinator.dispatch.ray_pool import RayPool
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.ledger.store import Ledger
from coordinator.projects.file import ProjectFile
from coordinator.service.embedded_chain import EmbeddedChain
from coordinator.service.logs import configure_logs
from coordinator.service.preparation import Preparation, ReadyProgram, Report
from coordinator.service.supervision import Supervised
from coordinator.settings import Settings
from coordinator.settlement.chain import JsonRpcChain
from coordinator.settlement.deployment import ensure_deployment
from coordinator.settlement.service import Settlement
from coordinator.settlement.signer import KeyFileSigner
from coordinator.webhooks.endings import Endings
from coordinator.webhooks.event import Site
from coordinator.webhooks.sender import WebhookSender
from coordinator.webhooks.ssrf import GuardedClient, UrlPolicy
from coordinator.webhooks.task_events import TaskEvents
from provers.protocol import installed_provers
from verifier.bindings import Deployment
from verifier.errors import Unavailable
from verifier.statement import Domain

log = structlog.get_logger(__name__)
