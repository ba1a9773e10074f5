"""The commands about access, against a real API: what a person types works, and a login is renewed by itself."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from api_live import Live, project_rows
from typer.testing import CliRunner

from coordinator.cli.app import app


@pytest.fixture
def run(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command as the administrator, or with `user=True` as somebody with a home of their own."""
    live.add(*project_rows(1, "weather"))
    user = tmp_path / "user"

    def command(*words: str, user_home: bool = False, code: int = 0) -> Any:
        monkeypatch.setenv("W3BSTREAM_HOME", str(user if user_home else live.home))
        result = CliRunner().invoke(app, [*words, "--json"], env={"W3BSTREAM_TARGET": live.target})
        assert result.exit_code == code, result.output
        # The service runs in this process too, and its log lines go to the same output.
        answers = [line for line in result.stdout.splitlines() if line.startswith("{")]
        return json.loads(answers[-1]) if answers else {}

    return command


def test_a_person_logs_in_and_works(run: Any, live: Live, tmp_path: Path) -> None:
    key = str(tmp_path / "me.pem")
    did = run("identity", "keygen", key, "--type", "p256")["did"]
    assert stat.S_IMODE(Path(key).stat().st_mode) == 0o600
    run("login", "--key", key, user_home=True, code=1)
    run("identity", "add", did, "--name", "ada", "--scope", "tasks:read", "--scope", "tasks:write", "-p", "1")
    assert run("login", "--key", key, user_home=True)["did"] == did
    sessions = tmp_path / "user" / "sessions.json"
    assert stat.S_IMODE(sessions.stat().st_mode) == 0o600
    job = run("job", "submit", "--project", "1", user_home=True)
    assert job["submitted_by"] == did
    assert run("job", "show", job["id"], user_home=True)["id"] == job["id"]
    held = json.loads(sessions.read_text())
    held[live.target]["expires_at"], held[live.target]["token"] = 0, "old"
    sessions.write_text(json.dumps(held))
    assert len(run("job", "list", "-p", "1", user_home=True)["jobs"]) == 1
    assert run("identity", "rotate-keys")["kid"]
    assert len(run("job", "list", "-p", "1", user_home=True)["jobs"]) == 1
    run("identity", "revoke", did)
    assert run("identity", "list")["identities"][0]["revoked_at"]
    run("job", "list", "-p", "1", user_home=True, code=1)
    assert run("logout", user_home=True) == {"logged_out": True}


def test_a_wallet_signs_a_job(run: Any, tmp_path: Path) -> None:
    key = tmp_path / "account.key"
    key.write_text("07" * 32)
    from coordinator.access import did_keys

    did = did_keys.load(key).account(4690)
    run("job", "submit", "-p", "1", "--sign-with", str(key), code=1)
    run("identity", "add", did, "--name", "wallet", "--scope", "tasks:write")
    job = run("job", "submit", "-p", "1", "--sign-with", str(key), "--nonce", "7")
    assert (job["signer"], job["nonce"]) == (did.rpartition(":")[2], "7")
    run("job", "submit", "-p", "1", "--sign-with", str(key), "--nonce", "7", "--valid", "60", code=1)


def test_quotas_keys_and_the_log(run: Any) -> None:
    assert run("quota", "set", "-p", "1", "jobs", "5")["allowance"] == "5"
    assert {each["resource"] for each in run("quota", "show", "-p", "1")["quotas"]} >= {"jobs", "readings"}
    run("quota", "set", "-p", "1", "jobs", "many", code=2)
    made = run("keys", "api", "create", "gateway", "--scope", "tasks:read", "--expires-in", "30d")
    assert made["api_key"]["expires_at"]
    run("keys", "api", "create", "gateway", "--scope", "tasks:read", "--expires-in", "soon", code=1)
    assert [each["action"] for each in run("audit", "list")["entries"]] == ["api_key.create", "quota.set"]
    found = run("audit", "verify")
    assert found["entries"] == 2
    run("audit", "verify", "--contains", found["last_hash"])
    run("audit", "verify", "--contains", "00", code=1)
