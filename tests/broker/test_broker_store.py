"""What a broker keeps: secrets whole and private, challenges once, the journal for ever."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coordinator.broker import journal as journals
from coordinator.broker.journal import CHALLENGE_SECONDS, Entry, Journal
from coordinator.broker.vault import MAX_SECRET, Secret, Vault
from verifier.errors import InvalidInput, Refused, Unavailable

NOW = 1_800_000_000
PROGRAMS = frozenset({bytes([1] * 32), bytes([2] * 32)})


def entry(at: int = NOW, code: str = "") -> Entry:
    return Entry(at, "weather-key", "background-check", "0x01", "0x02", "0x03", "vendor", "ab", code)


def test_a_secret_comes_back_as_it_was_put(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "secrets")
    secret = Secret("weather-key", b"\x00\xffbytes", PROGRAMS, allow_simulated=True)
    vault.put(secret)
    vault.put(Secret("other", b"x", PROGRAMS))
    assert Vault(tmp_path / "secrets").get("weather-key") == secret
    assert vault.names() == ["other", "weather-key"]
    assert b"bytes" not in repr(secret).encode()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()}
    assert (modes, stat.S_IMODE((tmp_path / "secrets").stat().st_mode)) == ({0o600}, 0o700)
    vault.remove("other")
    with pytest.raises(Refused, match="W3B-9126"):
        vault.get("other")
    with pytest.raises(Refused, match="W3B-9126"):
        vault.remove("other")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "A", "a" * 65, "a\n", "ä"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="W3B-9120"):
        Secret(name, b"x", PROGRAMS)
    for act in (Vault(tmp_path).get, Vault(tmp_path).remove):
        with pytest.raises(InvalidInput, match="W3B-9120"):
            act(name)


@pytest.mark.parametrize(
    ("value", "programs"),
    [(b"", PROGRAMS), (bytes(MAX_SECRET + 1), PROGRAMS), (b"x", frozenset()), (b"x", frozenset({b"short"}))],
)
def test_what_is_no_secret(value: bytes, programs: frozenset[bytes]) -> None:
    with pytest.raises(InvalidInput, match="W3B-9120"):
        Secret("name", value, programs)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"value": "zz"}', '{"value": "00", "program_ids": []}'])
def test_a_spoiled_file_is_an_error_that_does_not_show_it(tmp_path: Path, content: str) -> None:
    vault = Vault(tmp_path)
    (tmp_path / "name.secret.json").write_text(content)
    with pytest.raises((Unavailable, InvalidInput)) as refused:
        vault.get("name")
    assert refused.value.code in ("W3B-9125", "W3B-9120")
    assert not content or content not in refused.value.message


def test_simulated_is_allowed_only_where_it_is_said_so(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    (tmp_path / "name.secret.json").write_text(
        '{"value": "00", "program_ids": ["%s"], "allow_simulated": "false"}' % ("01" * 32)
    )
    assert vault.get("name").allow_simulated is False


def test_a_challenge_is_good_once_and_for_a_while(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    nonce = journal.challenge(NOW)
    assert len(nonce) == 32
    journal.require_open(nonce, NOW)
    with pytest.raises(Refused, match="W3B-9122"):
        journal.require_open(nonce, NOW + CHALLENGE_SECONDS)
    with pytest.raises(Refused, match="W3B-9122"):
        journal.require_open(bytes(32), NOW)
    journal.released(nonce, NOW, entry())
    for again in (lambda: journal.require_open(nonce, NOW), lambda: journal.released(nonce, NOW, entry())):
        with pytest.raises(Refused, match="W3B-9122"):
            again()
    assert journal.entries() == [entry()], "the second release wrote nothing"


def test_of_many_at_once_one_uses_the_challenge(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    nonce = Journal(path).challenge(NOW)

    def use(number: int) -> bool:
        try:
            Journal(path).released(nonce, NOW, entry(NOW + number))
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(use, range(16))) == 1
    assert len(Journal(path).entries()) == 1


def test_the_journal_is_only_added_to(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    for number in range(3):
        journal.refused(entry(NOW + number, "W3B-9123"))
    assert [each.at for each in journal.entries(2)] == [NOW + 2, NOW + 1]
    with sqlite3.connect(tmp_path / "journal.db") as db:
        for statement in ("UPDATE request SET code = ''", "DELETE FROM request"):
            with pytest.raises(sqlite3.IntegrityError, match="append only"):
                db.execute(statement)


def test_open_challenges_are_bounded_and_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MOST_CHALLENGES", 3)
    journal = Journal(tmp_path / "journal.db")
    for _ in range(3):
        journal.challenge(NOW)
    with pytest.raises(Refused, match="W3B-9122"):
        journal.challenge(NOW)
    journal.challenge(NOW + CHALLENGE_SECONDS)


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database" * 100)
    with pytest.raises(Unavailable, match="W3B-9125"):
        Journal(tmp_path / "journal.db")
