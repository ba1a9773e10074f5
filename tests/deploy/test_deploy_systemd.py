"""The systemd unit: systemd itself finds nothing wrong where it is installed, and the service tells it when it is up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from deploy_files import DEPLOY, settings_of

from coordinator.cli.app import app
from coordinator.service.notify import tell_systemd
from coordinator.settings import PREFIX

UNIT = DEPLOY / "systemd" / "w3bstream.service"
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "CapabilityBoundingSet": "",
    "UMask": "0077",
}
WORST_EXPOSURE = 20
"""Tenths on the scale of `systemd-analyze security`, where 100 is no hardening at all."""


@pytest.fixture
def unit() -> dict[str, list[str]]:
    """Every key of the unit with all of its values."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in UNIT.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, value = line.split("=", 1)
            found[key].append(value)
    return found


def test_it_starts_the_service_as_nobody_special(unit: dict[str, list[str]]) -> None:
    (start,) = unit["ExecStart"]
    assert start.split()[0].endswith("/w3bstream")
    commands = {each.name or each.callback.__name__ for each in app.registered_commands if each.callback}
    assert start.split()[1] in commands
    assert unit["User"] == ["w3bstream"]
    for key, value in HARDENED.items():
        assert unit[key] == [value], key


def test_its_environment_is_read(unit: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    example = (DEPLOY / "systemd" / "w3bstream.env.example").read_text().replace("# " + PREFIX, PREFIX)
    lines = [line for line in example.splitlines() if not line.startswith("#")] + unit["Environment"]
    settings = settings_of(dict(line.split("=", 1) for line in lines), monkeypatch)
    assert str(settings.home) == f"/var/lib/{unit['StateDirectory'][0]}"
    credentials = {each.split(":")[0] for each in unit["LoadCredential"]}
    assert {f"%d/{name}" for name in credentials} == {str(settings.api_tls_cert), str(settings.api_tls_key)}
    assert settings.api_host == "0.0.0.0"


def test_systemd_finds_nothing_wrong(tmp_path: Path, unit: dict[str, list[str]]) -> None:
    assert {"Description", "ExecStart", "Restart", "WantedBy"} <= unit.keys()
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return  # the keys above are all that can be said
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(unit["ExecStart"][0], "/bin/true"))
    told = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert UNIT.name not in told.stderr, told.stderr
    threshold = f"--threshold={WORST_EXPOSURE}"
    scored = subprocess.run(
        [analyze, "security", "--offline=true", threshold, str(copy)], capture_output=True, text=True, check=False
    )
    assert scored.returncode == 0, scored.stdout[-2000:]


def test_systemd_is_told_when_the_service_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_systemd("READY=1")  # nobody asked
    for address, name in ((str(tmp_path / "notify"), None), (f"@w3bstream-{tmp_path.name}-{os.getpid()}", "\0")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(address if name is None else name + address[1:])
            heard.settimeout(5)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
            tell_systemd("READY=1")
            assert heard.recv(64) == b"READY=1"
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with pytest.raises(OSError, match="No such file"):
        tell_systemd("READY=1")
