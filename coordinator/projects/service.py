"""Ledger operations on projects; each is one transaction of the caller's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.tables import DeviceRow, ProjectRow, ProjectVersionRow
from coordinator.projects.da_url import check_da_url
from coordinator.projects.file import ProjectFile
from coordinator.webhooks.endpoints import create_endpoint, list_endpoints
from coordinator.webhooks.signatures import BOTH, V1, V1A
from coordinator.webhooks.ssrf import UrlPolicy
from verifier import bindings
from verifier.assurance import Assurance
from verifier.bindings import Deployment
from verifier.errors import Conflict, InvalidInput, NotFound, Refused

NAME = re.compile(r"[a-z0-9-]{3,64}\Z")
PAGE = 50
MAX_PAGE = 200


class PreparedProgram(Protocol):
    """What publishing needs of a prepared program."""

    @property
    def program_id(self) -> bytes:
        """32 bytes, docs/reference/encodings.md §3."""

    @property
    def verifier(self) -> bytes:
        """Address of its IVerifier, 20 bytes."""


async def create_project(
    session: AsyncSession, now: int, name: str, owner_key_id: str, *, deployment: Deployment, owner: bytes
) -> ProjectRow:
    """Create a project and put its `createProject` into the outbox; its id on chain is its id here.

    Parameters: `owner_key_id` is the API key that made it; `owner` is the on-chain owner, 20 bytes: the account that
    will publish its versions. Raises InvalidInput (W3B-2001) for the name, Conflict (W3B-2004) when it is taken.
    """
    if not NAME.match(name):
        raise InvalidInput("W3B-2001", f"name {name[:80]!r} is not 3 to 64 of a-z, 0-9 and '-'", field="name")
    taken = await session.exec(select(ProjectRow.id).where(ProjectRow.name == name))
    if taken.first() is not None:
        raise Conflict("W3B-2004", f"a project named {name!r} exists", field="name")
    project = ProjectRow(name=name, owner_key_id=owner_key_id, created_at=now)
    session.add(project)
    await session.flush()
    project_id = _id(project)
    project.create_tx = await enqueue_tx(
        session,
        now,
        dedupe_key=f"create_project:{project_id}",
        purpose="create_project",
        to=deployment.registry,
        data=bindings.create_project(project_id, owner),
        ref={"project_id": project_id},
    )
    session.add(project)
    await session.flush()
    return project


async def publish_version(
    session: AsyncSession,
    now: int,
    project_id: int,
    file: ProjectFile,
    *,
    deployment: Deployment,
    prepared: Mapping[str, PreparedProgram],
    webhooks: UrlPolicy,
    da: UrlPolicy,
) -> ProjectVersionRow:
    """Write the next version of a project, its devices and endpoints, and put its `publishVersion` into the outbox.

    Parameters: `file` comes from `parse_project_file`; `prepared` holds each of its programs by kind; `webhooks` says
    which endpoint URLs are allowed, `da` where `da.url` may lead. The version is PENDING until the settlement saw its
    transaction mined. Raises NotFound (W3B-2002, W3B-2005), InvalidInput (W3B-2001, W3B-6001) and Refused (W3B-6002,
    W3B-1013, W3B-2008).
    """
    if deployment.generation < bindings.GENERATION and (asked := _beyond_a_number(file.assurance)):
        raise Refused("W3B-2008", f"the contracts of this chain cannot ask for {asked}", field="assurance")
    check_da_url(file.model.da.url, da)
    project = await get_project(session, project_id)
    before = await _newest(session, project_id)
    standing = await _newest(session, project_id, standing=True)
    _check_against_project(file, project, standing)
    version = ProjectVersionRow(
        project_id=project_id,
        version=before.version + 1 if before else 1,
        file=file.text,
        config=file.config,
        config_hash=_hex(file.config_hash),
        device_set_root=_hex(file.device_set_root),
        scheme=file.model.commitment,
        window_capacity=file.capacity,
        window_max_age_ms=file.model.window.seconds * 1000,
        programs=_programs(file, prepared),
        threshold=file.assurance.threshold,
        created_at=now,
    )
    session.add(version)
    for position, device in enumerate(file.devices):
        session.add(
            DeviceRow(
                project_id=project_id,
                version=version.version,
                position=position,
                device=_hex(device.device),
                key_type=int(device.key_type),
                public_key=_hex(device.public_key),
                label=device.label,
            )
        )
    await session.flush()
    version.publish_tx = await enqueue_tx(
        session,
        now,
        dedupe_key=f"publish_version:{project_id}:{version.version}",
        purpose="publish_version",
        to=deployment.registry,
        data=_publication(project_id, file, version, deployment),
        ref={"project_id": project_id, "version": version.version},
        # Versions only go up on chain, so each waits for the one before it.
        after_tx=standing.publish_tx if standing and standing.publish_tx else project.create_tx,
    )
    session.add(version)
    await _add_endpoints(session, now, project_id, file, webhooks)
    await session.flush()
    return version


def _check_against_project(file: ProjectFile, project: ProjectRow, before: ProjectVersionRow | None) -> None:
    if file.model.name != project.name:
        raise InvalidInput("W3B-2001", f"name is {file.model.name!r}; the project is {project.name!r}", field="name")
    if before is not None and before.config["da"]["url"] != file.config["da"]["url"]:
        # Windows are ranges of one stream's positions; another stream would begin to count anew.
        raise InvalidInput(
            "W3B-2001",
            f"da.url is {file.config['da']['url']}; version {before.version} reads {before.config['da']['url']}, and a "
            "project keeps its stream",
            field="da.url",
            next_step="Keep da.url, or create another project.",
        )


def _programs(file: ProjectFile, prepared: Mapping[str, PreparedProgram]) -> list[dict[str, str]]:
    rows = []
    for part in file.model.programs:
        if part.kind not in prepared:
            raise NotFound("W3B-2005", f"program {part.program} of kind {part.kind} is not prepared", field="programs")
        program = prepared[part.kind]
        rows.append(
            {
                "kind": part.kind,
                "name": part.program,
                "program_id": _hex(program.program_id),
                "verifier": _hex(program.verifier),
            }
        )
    return rows


def _publication(project_id: int, file: ProjectFile, version: ProjectVersionRow, deployment: Deployment) -> bytes:
    """Call data that publishes the version; the call of before where its assurance only counts kinds."""
    on_chain, assurance = _on_chain(file, version, deployment), file.assurance
    if not _beyond_a_number(assurance):
        return bindings.publish_version(project_id, on_chain)
    confirm = bindings.kind_hash(assurance.confirm) if assurance.confirm else bytes(32)
    policy = bindings.Policy(assurance.independent, assurance.confirm_within, confirm)
    return bindings.publish_version_with_policy(project_id, on_chain, policy)


def _beyond_a_number(assurance: Assurance) -> str:
    """What the assurance asks the contracts for beyond a number of kinds, in words; empty for nothing."""
    asked = ["independent operators"] * assurance.independent + ["a second stage"] * bool(assurance.confirm)
    return " and ".join(asked)


def _on_chain(file: ProjectFile, version: ProjectVersionRow, deployment: Deployment) -> bindings.Version:
    dapp = deployment.temperature_dapp if file.model.dapp == "sample" else file.model.dapp
    return bindings.Version(
        version=version.version,
        config_hash=file.config_hash,
        config_uri="",
        device_set_root=file.device_set_root,
        scheme=bindings.scheme_id(version.scheme),
        dapp=bytes(20) if dapp is None else _bytes(dapp),
        window_capacity=version.window_capacity,
        threshold=version.threshold,
        programs=tuple(
            bindings.Program(row["kind"], _bytes(row["program_id"]), _bytes(row["verifier"]))
            for row in version.programs
        ),
    )


SIGNING_OF = {"hmac": V1, "ed25519": V1A, "both": BOTH}
"""What a project file calls the schemes."""


async def _add_endpoints(
    session: AsyncSession, now: int, project_id: int, file: ProjectFile, policy: UrlPolicy
) -> None:
    """Add the endpoints that the project does not have; one that a later version leaves out stays until disabled."""
    known = {row.url for row in await list_endpoints(session, project_id)}
    for part in file.model.webhooks:
        if part.url not in known:
            signing = SIGNING_OF[part.signing]
            await create_endpoint(
                session, now, policy, project_id=project_id, url=part.url, events=part.events, signing=signing
            )


async def pause_project(session: AsyncSession, now: int, project_id: int, deployment: Deployment) -> ProjectRow:
    """Stop the project's intake and new tasks; once more changes nothing. Raises NotFound (W3B-2002)."""
    return await _switch(session, now, project_id, deployment, "PAUSED")


async def resume_project(session: AsyncSession, now: int, project_id: int, deployment: Deployment) -> ProjectRow:
    """Undo `pause_project`; once more changes nothing. Raises NotFound (W3B-2002)."""
    return await _switch(session, now, project_id, deployment, "ACTIVE")


async def _switch(session: AsyncSession, now: int, project_id: int, deployment: Deployment, state: str) -> ProjectRow:
    project = await get_project(session, project_id)
    if project.state == state:
        return project
    purpose = "pause" if state == "PAUSED" else "resume"
    call = bindings.pause_project if state == "PAUSED" else bindings.resume_project
    earlier = await session.exec(
        select(OutboxTxRow.id, OutboxTxRow.dedupe_key)
        .where(col(OutboxTxRow.dedupe_key).startswith(f"switch:{project_id}:"))
        .order_by(col(OutboxTxRow.id).desc())
    )
    switches = list(earlier)
    # The contract refuses a pause of a paused project, so the switches of a project must be mined in their order.
    await enqueue_tx(
        session,
        now,
        dedupe_key=f"switch:{project_id}:{len(switches) + 1}",
        purpose=purpose,
        to=deployment.registry,
        data=call(project_id),
        ref={"project_id": project_id},
        after_tx=switches[0][0] if switches else project.create_tx,
    )
    project.state = state
    session.add(project)
    await session.flush()
    return project


async def get_project(session: AsyncSession, project_id: int) -> ProjectRow:
    """The project. Raises NotFound (W3B-2002)."""
    project = await session.get(ProjectRow, project_id, populate_existing=True)
    if project is None:
        raise NotFound("W3B-2002", f"there is no project {project_id}", field="project_id")
    return project


async def get_version(session: AsyncSession, project_id: int, version: int) -> ProjectVersionRow:
    """A version of a project. Raises NotFound (W3B-2002, W3B-2003)."""
    await get_project(session, project_id)
    row = await session.get(ProjectVersionRow, (project_id, version), populate_existing=True)
    if row is None:
        raise NotFound("W3B-2003", f"project {project_id} has no version {version}", field="version")
    return row


async def list_projects(
    session: AsyncSession, *, after: int = 0, limit: int = PAGE, only: int | None = None
) -> list[ProjectRow]:
    """Projects with an id above `after`, oldest first; at most `limit`, 1 to 200. `only` restricts to one id."""
    query = select(ProjectRow).where(col(ProjectRow.id) > after)
    if only is not None:
        query = query.where(ProjectRow.id == only)
    return list(await session.exec(query.order_by(col(ProjectRow.id)).limit(max(1, min(limit, MAX_PAGE)))))


async def list_versions(
    session: AsyncSession, project_id: int, *, after: int = 0, limit: int = PAGE
) -> list[ProjectVersionRow]:
    """Versions above `after`, oldest first; at most `limit`, 1 to 200. Raises NotFound (W3B-2002)."""
    await get_project(session, project_id)
    query = (
        select(ProjectVersionRow)
        .where(ProjectVersionRow.project_id == project_id, ProjectVersionRow.version > after)
        .order_by(col(ProjectVersionRow.version))
        .limit(max(1, min(limit, MAX_PAGE)))
    )
    return list(await session.exec(query))


async def list_devices(session: AsyncSession, project_id: int, version: int) -> list[DeviceRow]:
    """The version's devices in the project file's order. Raises NotFound (W3B-2002, W3B-2003)."""
    await get_version(session, project_id, version)
    query = (
        select(DeviceRow)
        .where(DeviceRow.project_id == project_id, DeviceRow.version == version)
        .order_by(col(DeviceRow.position))
    )
    return list(await session.exec(query))


async def _newest(session: AsyncSession, project_id: int, *, standing: bool = False) -> ProjectVersionRow | None:
    """The newest version in any state, or the newest `standing` one: not refused by the chain."""
    query = select(ProjectVersionRow).where(ProjectVersionRow.project_id == project_id)
    if standing:
        query = query.where(ProjectVersionRow.state != "FAILED")
    found = await session.exec(query.order_by(col(ProjectVersionRow.version).desc()).limit(1))
    return found.first()


def _id(project: ProjectRow) -> int:
    assert project.id is not None
    return project.id


def _hex(value: bytes) -> str:
    return f"0x{value.hex()}"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
