"""Secrets never reach a log: everything that makes or takes one runs at debug level, then every file and output is
searched for every one of them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from api_live import Live, reading
from test_api_mutual_tls import Authority
from test_api_tls import server, write_pair

from coordinator.access import did_keys
from coordinator.access.dids import LoginClaims
from coordinator.api.client import Client
from coordinator.cli import session
from coordinator.ledger.store import Ledger
from coordinator.service.logs import configure_logs
from coordinator.settings import Settings
from verifier.errors import W3bstreamError

PASSWORD = "correct-horse-battery"


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    """The service's own logging, at debug level for every library."""
    before = structlog.get_config()
    root = logging.getLogger()
    level, path = root.level, configure_logs(tmp_path / "logged")
    root.setLevel(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield path
    for handler in list(root.handlers):
        if getattr(handler, "w3bstream", False):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.configure(**before)


def test_no_secret_is_in_any_output(
    logged: Path, streaming: Live, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    live, secrets = streaming, [streaming.admin_key, PASSWORD]
    with live.client() as admin:
        made = admin.create_api_key("gateway", ["tasks:read"], idempotency_key="one")
        admin.create_api_key("gateway", ["tasks:read"], idempotency_key="one")
        with pytest.raises(W3bstreamError):
            admin.create_webhook(1, f"http://joe:{PASSWORD}@127.0.0.1:9/hook")
        endpoint = admin.create_webhook(1, "http://127.0.0.1:9/hook")
        rotated = admin.rotate_webhook_secret(endpoint.webhook.id)
        secrets += [made.secret, endpoint.secret, rotated.secret]
        admin.submit_task(1, [reading(1)])
        key = did_keys.generate(tmp_path / "me.pem", "ed25519")
        admin.create_identity(key.did, "me", ["tasks:read"])
        secrets.append("".join((tmp_path / "me.pem").read_text().splitlines()[1:-1]))
        token = session.log_in(tmp_path / "user", live.target, key.did, tmp_path / "me.pem", ca=None, certificate=None)
        secrets.append(token.token)
        with live.client(token.token) as client:
            client.list_tasks()
        with live.client(token.token[:-6] + "AAAAAA") as client, pytest.raises(W3bstreamError):
            client.list_tasks()
        with live.client("") as client, pytest.raises(W3bstreamError):
            client.login(key.did, lambda *claims: key.prove(LoginClaims(key.did, *claims))[:-3] + "AAA")
        almost = live.admin_key[:-1] + ("A" if live.admin_key[-1] != "A" else "B")
        secrets.append(almost)
        with live.client(almost) as client, pytest.raises(W3bstreamError):
            client.get_status()
        admin.revoke_api_key(made.api_key.id)

        async def broken() -> object:
            raise RuntimeError(f"postgresql://joe:{PASSWORD}@db/x refused Bearer {live.admin_key}")

        live.site.components = broken  # type: ignore[assignment,method-assign]
        with pytest.raises(W3bstreamError):
            admin.get_status()
    tokens = json.loads((live.home / "keys" / "tokens.json").read_text())
    secrets += [tokens["seal"], *(row["private"] for row in tokens["keys"])]

    live.run(live.server.stop(0))
    certificate, private = write_pair(tmp_path, "api")
    bundle, authority = tmp_path / "clients.pem", Authority()
    bundle.write_bytes(authority.pem)
    secure = server(live, api_tls_cert=certificate, api_tls_key=private, api_client_ca=bundle)
    _, port = live.run(secure.start())
    own = authority.client()
    with Client(f"https://127.0.0.1:{port}", live.admin_key, ca=certificate.read_bytes(), certificate=own) as client:
        client.list_api_keys()
    live.run(secure.stop(0))
    secrets += ["".join(text.splitlines()[1:-1]) for text in (private.read_text(), own.key.decode())]

    settings = Settings(home=tmp_path / "pg", ledger_url=f"postgresql://joe:{PASSWORD}@127.0.0.1:1/x")
    ledger = Ledger(settings.ledger)

    async def connect() -> None:
        try:
            await ledger.migrate()
        finally:
            await ledger.close()

    with pytest.raises((W3bstreamError, OSError)) as refused:
        live.run(connect())
    logging.getLogger("test").error("the ledger is away", exc_info=refused.value)
    log_line = structlog.get_logger("test")
    log_line.warning("leak", header=f"Bearer {live.admin_key}", url=f"https://joe:{PASSWORD}@host/", secret=PASSWORD)

    out, err = capfd.readouterr()
    texts = {"stdout": out, "stderr": err}
    for path in (each for each in (tmp_path / "logged").rglob("*") if each.is_file()):
        texts[str(path)] = path.read_text()
    for path in live.home.rglob("*.log*"):
        texts[str(path)] = path.read_text(errors="replace")
    assert "api_refused" in texts[str(logged)]
    assert "api_internal_error" in texts[str(logged)]
    assert len(texts[str(logged)]) > 2000
    for place, text in texts.items():
        for secret in secrets:
            assert len(secret) > 15
            assert secret not in text, f"{place} holds {secret[:6]}…"
        assert not re.search(r"w3b_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text), place
