"""Schemes, rotation, replays and reasons over the API and the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))

from api_live import Live, project_rows
from cli_run import Cli
from structlog.testing import capture_logs

from coordinator.ledger.outbox_tables import WebhookEndpointRow, WebhookMessageRow
from verifier.errors import Conflict, InvalidInput, NotFound

HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture
def live(tmp_path: Path, ledger_url: str) -> Iterator[Live]:
    with Live(tmp_path / "home", ledger_url).running(nats=False) as api:
        api.add(*project_rows(1, "weather"))
        yield api


@pytest.fixture
def cli(live: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.setenv("W3BSTREAM_HOME", str(live.home))
    for name in ("W3BSTREAM_TARGET", "W3BSTREAM_API_KEY", "W3BSTREAM_CA"):
        monkeypatch.delenv(name, raising=False)
    with capture_logs():
        yield Cli()


def dead(number: int, endpoint: str, created_at: int) -> WebhookMessageRow:
    return WebhookMessageRow(
        id=f"msg_{number:024x}",
        endpoint_id=endpoint,
        project_id=1,
        event_type="w3bstream.task.final",
        subject=f"0x{number:064x}",
        body=b"{}",
        state="DEAD",
        tries=10,
        created_at=created_at,
    )


def test_schemes_and_rotation(live: Live) -> None:
    with live.client() as client:
        for signing in ("v1", "v1a", "both"):
            made = client.create_webhook(1, HOOK, signing=signing)
            assert made.webhook.signing == signing
            assert made.secret.startswith("whsec_") is (signing != "v1a")
            assert made.webhook.public_key.startswith("whpk_") is (signing != "v1")
            assert "whsk_" not in str(made), "the private key stays"
        listed = client.list_webhooks(1)[-1]
        assert listed.public_key == made.webhook.public_key
        assert "whsec_" not in str(listed)
        turned = client.rotate_webhook_secret(listed.id, overlap_seconds=3600, idempotency_key="once")
        again = client.rotate_webhook_secret(listed.id, overlap_seconds=3600, idempotency_key="once")
        assert again == turned, "a repeated call is one rotation"
        assert turned.secret != made.secret
        assert turned.webhook.previous_until.ToMilliseconds() > datetime.now(UTC).timestamp() * 1000
        client.rotate_webhook_secret(listed.id)
        with pytest.raises(Conflict, match="W3B-6006"):
            client.rotate_webhook_secret(listed.id)
        revoked = client.rotate_webhook_secret(listed.id, overlap_seconds=0, signing="v1a")
        assert not revoked.webhook.HasField("previous_until")
        assert (revoked.secret, revoked.webhook.signing) == ("", "v1a")
        for call in (
            lambda: client.create_webhook(1, HOOK, signing="v2"),
            lambda: client.rotate_webhook_secret(listed.id, signing="rsa"),
            lambda: client.rotate_webhook_secret(listed.id, overlap_seconds=604_801),
        ):
            with pytest.raises(InvalidInput, match="W3B-7008"):
                call()


def test_dead_messages_are_replayed_together(live: Live) -> None:
    with live.client() as client:
        mine, other = (client.create_webhook(1, HOOK).webhook.id for _ in range(2))
        live.add(*(dead(at, mine, at * 1000) for at in range(1, 5)), dead(9, other, 1))
        assert client.replay_messages(mine, since=datetime.fromtimestamp(3, UTC)) == 2
        assert {row.id for row in client.list_deliveries(1, state="PENDING").messages} == {
            f"msg_{at:024x}" for at in (3, 4)
        }
        assert client.replay_messages(mine) == 2
        assert client.replay_messages(mine) == 0
        assert [row.webhook_id for row in client.list_deliveries(1, state="DEAD").messages] == [other]
        with pytest.raises(NotFound, match="W3B-6004"):
            client.replay_messages("ep_unknown")


def test_the_commands(live: Live, cli: Cli) -> None:
    made = cli("webhook", "create", HOOK, "-p", "1", "--signing", "v1a")
    assert made.out.startswith("whpk_")
    identity = cli("webhook", "list", "-p", "1", "--json").json["webhooks"][0]["id"]
    both = cli("webhook", "secret", identity, "--signing", "both", "--overlap", "2h").out.split()
    assert [line[:5] for line in both] == ["whsec", "whpk_"]
    assert cli("webhook", "secret", identity, "--overlap", "2y", "--json", code=1).error["code"] == "W3B-7008"
    live.add(dead(1, identity, 1))
    late = cli("webhook", "replay-dead", identity, "--since", "2026-01-01T00:00:00Z", "--json")
    assert late.json == {"replayed": 0}
    assert cli("webhook", "replay-dead", identity, "--json").json == {"replayed": 1}
    assert cli("webhook", "replay-dead", identity, "--since", "soon", "--json", code=1).error["code"] == "W3B-7008"
    gone = WebhookEndpointRow(
        id="ep_gone",
        project_id=1,
        url=HOOK,
        secret="whsec_",
        events=[],
        created_at=1,
        disabled=True,
        disabled_reason="410 Gone",
    )
    live.add(gone)
    listed = {row["id"]: row for row in cli("webhook", "list", "-p", "1", "--json").json["webhooks"]}
    assert listed["ep_gone"]["disabled_reason"] == "410 Gone"
