"""Questions to the contracts: is the effect that a transaction was to have there already, and who brought it about?"""

from __future__ import annotations

from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import OutboxTxRow, SessionKeyRow
from coordinator.ledger.tables import AttemptRow, ProjectVersionRow
from coordinator.settlement.chain import Chain, Receipt, Reverted
from verifier import bindings
from verifier.bindings import TaskStatus
from verifier.bindings.abi import decode_result, encode_call, event_topic
from verifier.bindings.tee import call_session_key_of, decode_session_key_of
from verifier.dcap_calldata import STORE
from verifier.errors import Unavailable


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


async def settled_by(chain: Chain, sender: str, router: str, attempt: AttemptRow) -> Receipt | None:
    """The receipt of the transaction in which the Router accepted a proof of the attempt's task and kind."""
    task_id, kind = _bytes(attempt.task_id), bindings.kind_hash(attempt.kind)
    answer = await chain.call(sender, router, bindings.call_task_state(task_id))
    for verification in bindings.decode_task_state(answer).verifications:
        if verification.kind == kind:
            topics = [event_topic("Router", "ProofVerified"), task_id, kind]
            for tx_hash, _ in await chain.logs(router, topics, verification.block_number):
                return await chain.receipt(tx_hash)
    return None


async def task_status(chain: Chain, sender: str, router: str, task_id: str) -> TaskStatus:
    """Where the task stands at the Router as of the latest block. Raises Unavailable (W3B-5001)."""
    answer = await chain.call(sender, router, bindings.call_task_state(_bytes(task_id)))
    if not answer:  # eth_call gives nothing where there is no code, such as at a server that has just started to sync
        raise Unavailable("W3B-5001", f"the chain has no Router at {router}")
    return bindings.decode_task_state(answer).status


async def is_done(session: AsyncSession, chain: Chain, sender: str, row: OutboxTxRow) -> bool:
    """Whether the effect of a transaction without a receipt of interest is there.

    The errors that bring us here (`verdicts.judge`) settle it but for four, which also hold when somebody else took the
    project id, published another version or used the session key's nonce for another key, and for collateral that is not
    older than the store's: these are compared with the chain.
    """
    try:
        if row.purpose == "create_project":
            answer = await chain.call(sender, row.to, bindings.call_project(row.ref["project_id"]))
            return bindings.decode_project(answer).owner == _bytes(sender)
        if row.purpose == "publish_version":
            project_id, number = row.ref["project_id"], row.ref["version"]
            call = bindings.encode_call("ProjectRegistry", "versionOf", project_id, number)
            ((_, config_hash, *_),) = decode_result(
                "ProjectRegistry", "versionOf", await chain.call(sender, row.to, call)
            )
            version = await session.get_one(ProjectVersionRow, (project_id, number))
            return bool(config_hash == _bytes(version.config_hash))
        if row.purpose == "register_session_key":
            key = await session.get_one(SessionKeyRow, row.ref["session_key"])
            parts = (_bytes(each) for each in (key.program_id, key.prover_address, key.address))
            known = decode_session_key_of(await chain.call(sender, row.to, call_session_key_of(*parts)))
            return known.expiry > 0 and not known.revoked
        if row.purpose == "store_collateral":
            await chain.call(sender, row.to, encode_call(STORE, "platformOf", _bytes(row.ref["pck"]), row.ref["tee"]))
    except Reverted:  # no such project, version or collateral
        return False
    return True
