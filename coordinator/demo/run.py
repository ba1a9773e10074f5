"""The demo's steps, over the same client that users have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from coordinator.api.client import Client
from coordinator.demo.readings import Measurement, measurements
from coordinator.demo.receiver import WebhookReceiver
from coordinator.demo.report import Report
from coordinator.demo.stages import StageTimes, breakdown, stages_of
from coordinator.projects.example import example
from coordinator.service import Service, configure_logs
from coordinator.settings import Settings
from coordinator.settlement.chain import JsonRpcChain
from verifier.bindings import Deployment, decode_result, encode_call
from verifier.completeness import Completeness
from verifier.errors import InvalidInput, Refused, Unavailable, W3bstreamError
from verifier.reading import DeviceKey, KeyType
from w3bstream.v1 import project_pb2, task_pb2

PUBLISH_SECONDS = 120.0
POLL_SECONDS = 0.2
WEBHOOK_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """What came of it; the demo's last line in JSON."""

    readings: int
    """Readings sent."""
    tasks: int
    """Windows that were formed of them."""
    final: int
    """Tasks that are FINAL."""
    webhooks_verified: int
    """Different webhook messages about FINAL tasks whose signature the receiver checked."""
    seconds: float
    """From the first reading sent to the last webhook verified."""


@dataclass(frozen=True)
class Totals:
    """What all windows together must say."""

    count: int
    sum: int
    minimum: int
    maximum: int


def run(*, once: bool, json_output: bool, count: int | None, devices: int) -> int:
    """Run it to the end; see `coordinator.demo.run_demo`."""
    report = Report(json_output)
    try:
        outcome = asyncio.run(_demo(once, count, devices, report))
    except W3bstreamError as error:
        report.error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if outcome else 1


async def _demo(once: bool, count: int | None, devices: int, report: Report) -> bool:
    rows = measurements(count)
    if not 2 <= devices <= min(1024, len(rows)) or devices % 2:
        raise InvalidInput(
            "W3B-8004",
            f"{devices} devices cannot share {len(rows)} readings of two stations",
            field="devices",
            next_step="Give an even number of devices and at least as many readings, such as --devices 2 --readings 32.",
        )
    settings = Settings()
    configure_logs(settings.home, quiet=True)
    report.step("starting NATS, Ray, the chain and the service (the first time keys are set up, about a minute)")
    service = Service(settings, on_preparing=report.preparing)
    await service.start()
    try:
        async with WebhookReceiver() as receiver:
            with Client(service.target, service.admin_key()) as client:
                await service.prepared()
                good = await _play(service, client, receiver, rows=rows, devices=devices, report=report)
            if not once:
                where = f"; look at it: {await service.explorer.sign_in_link()}" if service.explorer else ""
                report.step(f"the service stays up, Ctrl-C ends it{where}")
                await asyncio.Event().wait()
            return good
    finally:
        await service.stop()


async def _play(
    service: Service,
    client: Client,
    receiver: WebhookReceiver,
    *,
    rows: list[Measurement],
    devices: int,
    report: Report,
) -> bool:
    keys = [DeviceKey.generate(KeyType.BABYJUBJUB) for _ in range(devices)]
    project = await asyncio.to_thread(_create_project, client, keys, report)
    endpoint = await asyncio.to_thread(client.create_webhook, project.id, receiver.url, ["w3bstream.task.final"])
    receiver.secret = endpoint.secret
    windows = -(-len(rows) // 16)
    report.step(
        f"sending {len(rows)} readings of {devices} devices, each signed by its device; "
        f"{windows} windows of 16, each a proof of some five seconds"
    )
    began = time.monotonic()
    await asyncio.to_thread(_send, client, project.id, keys, rows, report)
    await asyncio.to_thread(_watch, client, project.id, report)
    tasks = await asyncio.to_thread(lambda: list(client.tasks(project_id=project.id)))
    final = [task for task in tasks if task.state == task_pb2.TASK_STATE_FINAL]
    await receiver.wait_for(len(final), WEBHOOK_SECONDS)
    ids = {task.id for task in final}
    verified = sum(event["subject"] in ids for event in receiver.events.values())
    outcome = Outcome(len(rows), len(tasks), len(final), verified, round(time.monotonic() - began, 1))
    totals, completeness = await _totals(service.deployment, service.chain_rpc_url, project.id)
    stages = await asyncio.to_thread(_stages, client, final)
    expected = Totals(len(rows), sum(r.value for r in rows), min(r.value for r in rows), max(r.value for r in rows))
    report.results(final, stages)
    good = totals == expected and len(tasks) == len(final) == verified and len(tasks) > 0
    report.contract(service, project.id, asdict(totals) | asdict(completeness), good)
    report.outcome(asdict(outcome))
    if not good:
        raise Refused("W3B-8004", f"sent {expected}; the contract says {totals}; outcome {outcome}")
    return good


def _create_project(client: Client, keys: list[DeviceKey], report: Report) -> project_pb2.Project:
    name = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    stations = ("San Francisco", "Seattle")
    devices = [key.registration(f"{stations[index % 2]} {index // 2 + 1}") for index, key in enumerate(keys)]
    project = client.create_project(name)
    version = client.publish_version(project.id, example(name, devices))
    report.step(f"publishing project {project.id} ({name}), version {version.version}, with {len(keys)} devices")
    deadline = time.monotonic() + PUBLISH_SECONDS
    while version.state == project_pb2.VERSION_STATE_PENDING and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        version = client.get_project(project.id).versions[-1]
    if version.state != project_pb2.VERSION_STATE_PUBLISHED:
        raise Unavailable("W3B-8004", f"version {version.version} of project {project.id} was not published in time")
    return project


def _send(client: Client, project_id: int, keys: list[DeviceKey], rows: list[Measurement], report: Report) -> None:
    def signed() -> Iterator[bytes]:
        sequences = [0] * len(keys)
        for index, row in enumerate(rows):
            # The rows take turns between two stations, so an even number of devices keeps each at one station.
            number = index % len(keys)
            sequences[number] += 1
            payload = row.value.to_bytes(4, "big", signed=True)
            yield keys[number].sign(project_id, sequences[number], row.timestamp, payload).to_wire()
            report.sent(index + 1, len(rows))

    summary = client.ingest(signed(), batch=64)
    if summary.accepted != len(rows):
        refusals = "; ".join(f"{refusal.index}: {refusal.message}" for refusal in summary.refusals[:3])
        raise Refused("W3B-8004", f"{summary.accepted} of {len(rows)} readings were accepted: {refusals}")
    client.submit_task(project_id)


def _watch(client: Client, project_id: int, report: Report) -> None:
    for event in client.watch_tasks(project_id=project_id, until_settled=True):
        report.event(event)
    report.watched()


def _stages(client: Client, tasks: list[task_pb2.Task]) -> list[StageTimes]:
    return breakdown(stages_of(client.get_task(task.id)) for task in tasks)


async def _totals(deployment: Deployment, rpc_url: str, project_id: int) -> tuple[Totals, Completeness]:
    """The project's totals as the sample dApp's contract holds them, and its windows' completeness added up."""
    chain = JsonRpcChain(rpc_url)
    try:
        data = encode_call("TemperatureDapp", "totalsOf", project_id)
        answer = await chain.call("0x" + "00" * 20, deployment.temperature_dapp, data)
    finally:
        await chain.close()
    ((_, count, total, minimum, maximum, *completeness),) = decode_result("TemperatureDapp", "totalsOf", answer)
    return Totals(count, total, minimum, maximum), Completeness(*completeness)
