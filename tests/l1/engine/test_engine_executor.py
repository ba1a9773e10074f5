"""One contract for both executors: whoever decides blocks sees no difference between revm and geth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_world import COUNTER, EMPTY, NOBODY, RICH, SENDERS, STORER, address, genesis, signed
from eth_account import Account
from eth_account.signers.local import LocalAccount
from l1_assembly import REVERT_TEXT

from l1.chain.duties import DutyUndone
from l1.engine.execution import Executed, Executor, View, native_executor
from l1.engine.geth import GethExecutor
from l1.engine.process import GethProcess, GethSettings
from l1.engine.rpc import EngineError, JsonRpc
from native import _native


@pytest.fixture(scope="module")
def process(geth: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GethProcess]:
    """A geth at block 0 of the tests' genesis."""
    with GethProcess(genesis(), GethSettings(geth, tmp_path_factory.mktemp("geth"))) as running:
        yield running


@pytest.fixture(scope="module")
def on_geth(process: GethProcess) -> GethExecutor:
    """The one that drives it; its head moves on from test to test."""
    return GethExecutor(process.engine, build_seconds=1.0)


@pytest.fixture(params=["revm", "geth"])
def executor(request: pytest.FixtureRequest) -> Executor:
    """Each of the two."""
    if request.param == "revm":
        return native_executor(genesis())[0]
    driven: GethExecutor = request.getfixturevalue("on_geth")
    return driven


def make(executor: Executor, *transactions: _native.Transaction, **choice: Any) -> Executed:
    """A block on the head, of the given transactions and no others, a second after the last."""
    attributes: dict[str, Any] = {
        "beneficiary": NOBODY,
        "timestamp": 2_000 + executor.head_number,
        "prev_randao": executor.head_hash,
        "parent_beacon_block_root": bytes(32),
        "extra_data": b"root",
    }
    return executor.build(list(transactions), **(attributes | choice))


def ask(view: View, to: bytes, data: bytes = b"", value: int = 0, gas_cap: int = 1 << 40) -> tuple[str, bytes]:
    """A read-only call."""
    result = view.call(
        sender=address(SENDERS[1]),
        to=to,
        data=data,
        value=value,
        gas=None,
        gas_price=0,
        tip=None,
        access_list=[],
        gas_cap=gas_cap,
    )
    return result.status, result.output


def head_nonce(executor: Executor, sender: LocalAccount) -> int:
    """An account's nonce at the head."""
    return executor.view(executor.head_number).nonce(address(sender))


def test_building_leaves_the_head_and_appending_moves_it(executor: Executor) -> None:
    """State after a block can be read before it is appended, and after the next as well."""
    before, parent = executor.head_number, executor.head_hash
    counted = ask(executor.view(before), COUNTER)
    transaction = signed(SENDERS[0], head_nonce(executor, SENDERS[0]), to=COUNTER)
    executed = make(executor, transaction, withdrawals=[(1, 2, EMPTY, 3)])
    assert (executor.head_number, executor.head_hash) == (before, parent)
    assert executed.outcomes == [None]
    assert executed.block.extra_data == b"root"
    assert executed.block.base_fee_per_gas == executor.next_base_fee
    assert [each.hash for each in executed.block.transactions] == [transaction.hash]
    assert _native.decode_receipts(executed.encoded_receipts)[0].logs == executed.receipts[0].logs != []

    later = int.from_bytes(counted[1]) + 1
    assert ask(executor.view_of(executed), COUNTER) == ("success", later.to_bytes(32))
    assert ask(executor.view(before), COUNTER) == counted
    executor.append(executed)
    assert (executor.head_number, executor.head_hash) == (before + 1, executed.block.hash)
    assert ask(executor.view(before + 1), COUNTER) == ("success", later.to_bytes(32))
    assert ask(executor.view(before), COUNTER) == counted
    with pytest.raises(_native.StateNotAvailable):
        executor.view(before + 2)


def test_a_state_is_read_as_it_is(executor: Executor) -> None:
    """Balance, nonce, code, slots; what is not there is zero and empty."""
    view = executor.view(0)
    assert (view.number, executor.chain_id) == (0, 4690)
    assert (view.balance(address(SENDERS[5])), view.nonce(address(SENDERS[5]))) == (RICH, 0)
    assert [view.storage(STORER, slot) for slot in range(6)] == [1, 2, 3, 4, 5, 0]
    assert view.code(COUNTER)
    assert view.code(NOBODY) == b""
    assert (view.balance(b"\x31" * 20), view.nonce(b"\x31" * 20), view.storage(b"\x31" * 20, 7)) == (0, 0, 0)


def test_calls_end_in_three_ways(executor: Executor) -> None:
    """Success, a revert with its data, and a halt: out of gas, or an account that cannot pay."""
    view = executor.view(executor.head_number)
    status, output = ask(view, COUNTER, value=1)
    assert status == "revert"
    assert REVERT_TEXT.encode() in output
    assert ask(view, COUNTER)[0] == "success"
    assert ask(view, COUNTER, gas_cap=21_500) == ("halt", b"")
    assert ask(view, NOBODY) == ("success", b"")


def test_a_block_of_one_is_taken_by_another_head(executor: Executor) -> None:
    """Import executes and leaves the head; a block that does not follow, or is none, is refused."""
    executed = make(executor, signed(SENDERS[2], head_nonce(executor, SENDERS[2]), to=NOBODY, value=1))
    raw = executed.block.encoded
    again = executor.import_block(raw)
    assert (again.block.hash, again.encoded_receipts) == (executed.block.hash, executed.encoded_receipts)
    assert executor.head_hash == executed.block.parent_hash
    executor.append(again)
    for refused in (raw, raw[:-1], b"", b"\xc0"):
        with pytest.raises(_native.ExecutionRefused):
            executor.import_block(refused)
    with pytest.raises(_native.ExecutionRefused):
        executor.append(executed)


def test_the_base_fee_follows_the_gas_used(executor: Executor) -> None:
    """EIP-1559: an empty block lowers it by an eighth."""
    before = executor.next_base_fee
    executed = make(executor)
    if executed.block.transactions:
        pytest.fail("nothing was offered, and geth's pool is empty")
    executor.append(executed)
    assert executor.next_base_fee == before - max(1, before // 8)


def test_geth_waits_for_the_second_after_its_parents(on_geth: GethExecutor) -> None:
    """A block that is wanted in its parent's second comes in the next, and not before it has come."""
    executor = on_geth
    now = int(time.time())
    executor.append(make(executor, timestamp=now))
    executed = make(executor, timestamp=now)
    assert executed.block.timestamp == now + 1 <= time.time()
    ahead = make(executor, timestamp=now + 3_600)
    assert ahead.block.timestamp == now + 3_600, "a clock that was set back does not stop the chain"


def test_geth_builds_what_it_is_given_or_nothing(process: GethProcess, on_geth: GethExecutor) -> None:
    """System calls pay no tip, and come in their order; one that cannot run leaves no block without it."""
    executor = on_geth
    sender = SENDERS[3]
    nonce = head_nonce(executor, sender)
    free = {"maxPriorityFeePerGas": 0, "maxFeePerGas": executor.next_base_fee}
    # Somebody else's, with the best tip of all, waits in the pool.
    rival = signed(SENDERS[4], head_nonce(executor, SENDERS[4]), to=NOBODY, maxPriorityFeePerGas=10**11)
    process.engine.rpc.call("eth_sendRawTransaction", "0x" + rival.encoded.hex())
    calls = [signed(sender, nonce + step, to=COUNTER, **free) for step in range(2)]
    executed = make(executor, *calls)
    assert [each.hash for each in executed.block.transactions] == [each.hash for each in calls]
    assert [each.status for each in executed.receipts] == [True, True]

    poor = Account.from_key(b"\x05" * 32)
    for impossible in (signed(poor, 0, to=NOBODY, value=1), signed(sender, nonce + 5, to=NOBODY)):
        with pytest.raises(DutyUndone, match="cannot build"):
            make(executor, *calls, impossible)
    pooled = [make(executor) for _ in range(2)]
    assert [[each.hash for each in block.block.transactions] for block in pooled] == [[rival.hash]] * 2
    assert pooled[1].block.timestamp == pooled[0].block.timestamp + 1, "built again, it is another block"


def test_a_geth_that_is_gone_is_told(geth: Path, tmp_path: Path) -> None:
    """Killed under the executor: an error that says where nobody answered, and geth's end in the process."""
    with GethProcess(genesis(), GethSettings(geth, tmp_path, verbosity=3)) as process:
        executor = GethExecutor(process.engine)
        executor.append(make(executor, signed(SENDERS[0], 0, to=COUNTER)))
        assert (tmp_path / "jwt.hex").stat().st_mode & 0o777 == 0o600
        process.kill()
        with pytest.raises(RuntimeError, match="no answer"):
            make(executor)
        with pytest.raises(RuntimeError, match=r"(?s)its last words: .*INFO"):
            process.require_running()


@pytest.mark.parametrize("text", ["", "0x00", "no secret", "0x" + "zz" * 32])
def test_a_damaged_secret_is_told(text: str, tmp_path: Path) -> None:
    """The shared secret of the authenticated port is 32 bytes."""
    (tmp_path / "jwt.hex").write_text(text)
    with pytest.raises(RuntimeError, match="delete it"):
        GethProcess(genesis(), GethSettings(Path("/bin/false"), tmp_path))


def test_another_secret_is_refused(process: GethProcess) -> None:
    """The Engine API answers only who holds the secret, and nobody without a token."""
    for secret in (None, bytes(32)):
        with pytest.raises(EngineError):
            JsonRpc(process.engine.rpc.url, secret).call("engine_exchangeCapabilities", [])
    with pytest.raises(EngineError, match="not available"):
        JsonRpc(process.rpc_url).call("testing_buildBlockV1")
