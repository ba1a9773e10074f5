"""The log of votes on disk: what was synced comes back, what was torn is cut off, what was changed is refused."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l1.consensus.log import Entry, Held, LogError, Proposed, Voted
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate
from l1.nodes import wal
from l1.nodes.wal import Head, WalError, WriteAheadLog, abandon, read

DOMAIN = b"\x01" * 32
ADDRESS = b"\x02" * 20
HASH = b"\x03" * 32
CERTIFICATE = Certificate(7, 1, Topic.PROPOSAL, HASH, b"\x07", b"\x04" * 96)
ENTRIES: list[Entry] = [
    Voted(7, 0, Topic.PROPOSAL, bytes(32)),
    Proposed(7, 1, HASH, -1, b"block" * 3),
    Held(7, 1, HASH, CERTIFICATE, b"block" * 3),
    Voted(7, 1, Topic.LOCK, HASH),
]
hashes = st.binary(min_size=32, max_size=32)
entries = st.one_of(
    st.builds(Voted, st.integers(1, 9), st.integers(0, 99), st.sampled_from(Topic), hashes),
    st.builds(Proposed, st.integers(1, 9), st.integers(0, 99), hashes, st.integers(-1, 98), st.binary(max_size=90)),
)


def open_log(path: Path, domain: bytes = DOMAIN, address: bytes = ADDRESS) -> WriteAheadLog:
    return WriteAheadLog(path, domain, address)


def written(path: Path, these: list[Entry], first_height: int = 1) -> bytes:
    WriteAheadLog.create(path, Head(DOMAIN, ADDRESS, first_height))
    log = open_log(path)
    for each in these:
        log.append(each)
    log.close()
    return path.read_bytes()


@given(these=st.lists(entries, max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_appended_comes_back(these: list[Entry], memory: Path) -> None:
    raw = written(memory / f"{uuid.uuid4()}.log", these)
    assert read(raw) == (Head(DOMAIN, ADDRESS, 1), these, len(raw))


def test_every_truncation_loses_only_what_was_torn(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever the file ends, the entries before are there, the rest is cut off, and the log can be written on."""
    path = folder / wal.NAME
    whole = written(path, ENTRIES)
    ends = [len(whole)]
    for count in range(len(ENTRIES) - 1, -1, -1):
        ends.append(ends[-1] - len(wal.frame(wal.encode_entry(ENTRIES[count]))))
    ends.reverse()
    head_bytes = ends[0]
    for length in range(head_bytes, len(whole) + 1):
        path.write_bytes(whole[:length])
        caplog.clear()
        log = open_log(path)
        survived = sum(end <= length for end in ends) - 1
        assert log.entries(7) == ENTRIES[:survived]
        assert ("torn bytes cut off" in caplog.text) is (length not in ends)
        log.append(ENTRIES[0])
        log.close()
        assert read(path.read_bytes())[1] == [*ENTRIES[:survived], ENTRIES[0]]


def test_a_torn_head_is_refused(folder: Path) -> None:
    """The head is synced before the file has its name: a file without one is not what was written."""
    path = folder / wal.NAME
    head_bytes = len(written(path, []))
    whole = path.read_bytes()
    for length in range(head_bytes):
        path.write_bytes(whole[:length])
        with pytest.raises(WalError, match="the head is missing"):
            open_log(path)


def test_every_flipped_byte_is_refused(folder: Path) -> None:
    path = folder / wal.NAME
    whole = written(path, ENTRIES)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0x01
        with pytest.raises(LogError):
            read(bytes(changed))
        changed[at] ^= 0xFE
        with pytest.raises(LogError):
            read(bytes(changed))


def test_a_changed_log_says_what_to_do_and_stays_as_it_is(folder: Path) -> None:
    path = folder / wal.NAME
    changed = bytearray(written(path, ENTRIES))
    changed[-1] ^= 0x40
    path.write_bytes(changed)
    with pytest.raises(WalError) as refused:
        open_log(path)
    for said in ("damaged at byte", "Do not delete", "slashed", "--abandon-log"):
        assert said in str(refused.value)
    assert path.read_bytes() == bytes(changed)


@given(these=st.lists(entries, min_size=1, max_size=6), data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_change_is_taken_for_a_torn_end(these: list[Entry], data: st.DataObject, memory: Path) -> None:
    """Whatever one byte becomes, in a log of whatever entries, no entry is lost in silence."""
    raw = bytearray(written(memory / f"{uuid.uuid4()}.log", these))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(LogError):
        read(bytes(raw))


@pytest.mark.parametrize("zeros", [1, 8, 20, 4_096])
def test_zeros_at_the_end_were_never_synced(zeros: int, folder: Path) -> None:
    path = folder / wal.NAME
    whole = written(path, ENTRIES)
    path.write_bytes(whole + bytes(zeros))
    log = open_log(path)
    assert log.entries(7) == ENTRIES
    log.close()
    assert path.read_bytes() == whole


def test_rotation_drops_what_is_decided_and_remembers_where_it_was(folder: Path) -> None:
    path = folder / wal.NAME
    written(path, ENTRIES)
    log = open_log(path)
    log.append(Voted(8, 0, Topic.PROPOSAL, HASH))
    log.decided(7, rotate_bytes=0)
    assert read(path.read_bytes())[:2] == (Head(DOMAIN, ADDRESS, 8), [Voted(8, 0, Topic.PROPOSAL, HASH)])
    log.append(Voted(8, 0, Topic.LOCK, HASH))
    log.close()
    assert not path.with_suffix(".new").exists()
    again = open_log(path)
    assert again.entries(8) == [Voted(8, 0, Topic.PROPOSAL, HASH), Voted(8, 0, Topic.LOCK, HASH)]
    assert again.first_height == 8
    again.close()


def test_a_small_log_is_not_replaced(folder: Path) -> None:
    path = folder / wal.NAME
    before = written(path, ENTRIES)
    log = open_log(path)
    log.decided(7)
    assert log.entries(7) == []
    log.close()
    assert path.read_bytes() == before


def test_a_draft_of_a_crash_is_cleared_away(folder: Path) -> None:
    path = folder / wal.NAME
    written(path, ENTRIES)
    path.with_suffix(".new").write_bytes(b"half of a log")
    log = open_log(path)
    assert log.entries(7) == ENTRIES
    assert not path.with_suffix(".new").exists()
    log.close()


def test_a_log_ahead_of_the_chain_says_so(folder: Path) -> None:
    """When the folder's chain is an older copy, the log still knows how far the delegate has voted."""
    path = folder / wal.NAME
    written(path, ENTRIES, first_height=3)
    log = open_log(path)
    assert log.first_height == 7
    log.close()


@pytest.mark.parametrize(("domain", "address"), [(b"\x09" * 32, ADDRESS), (DOMAIN, b"\x09" * 20)])
def test_anothers_log_is_refused(domain: bytes, address: bytes, folder: Path) -> None:
    path = folder / wal.NAME
    written(path, ENTRIES)
    with pytest.raises(WalError, match="another chain or of another delegate"):
        open_log(path, domain, address)


def test_a_log_that_is_absent_or_none_is_refused(folder: Path) -> None:
    with pytest.raises(WalError, match="No such file"):
        open_log(folder / wal.NAME)
    (folder / wal.NAME).write_bytes(wal.frame(b"\xc0"))
    with pytest.raises(WalError, match="the head cannot be read"):
        open_log(folder / wal.NAME)
    (folder / wal.NAME).write_bytes(wal.frame(b"\xc4\x01\x02\x03\x04"))
    with pytest.raises(WalError, match="no log of votes"):
        open_log(folder / wal.NAME)


def test_a_log_is_never_overwritten(folder: Path) -> None:
    path = folder / wal.NAME
    before = written(path, ENTRIES)
    with pytest.raises(FileExistsError):
        WriteAheadLog.create(path, Head(DOMAIN, ADDRESS, 1))
    first = abandon(path)
    assert first is not None
    assert first.read_bytes() == before
    written(path, [])
    assert abandon(path) not in (None, first)
    assert abandon(path) is None


def test_a_full_disk_stops_the_delegate(folder: Path) -> None:
    """Linux /dev/full takes no byte."""
    path = folder / wal.NAME
    written(path, [])
    log = open_log(path)
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
    log.close()
    log._file = full.fileno()
    with pytest.raises(OSError, match="No space left"):
        log.append(ENTRIES[0])
    assert log.entries(7) == []
    full.close()
