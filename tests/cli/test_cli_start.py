"""What keeps the service from starting is said with a code and a next step."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cli_run import Cli

from coordinator.cli.start import coded_start, load_settings
from verifier.errors import Unavailable


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("W3BSTREAM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("API_PORT", "abc", "not a whole number"),
        ("API_PORT", "70000", "more than 65535"),
        ("PROVERS", "-1", "less than 0"),
        ("LEASE_SECONDS", "0", "not more than 0.0"),
        ("API_INSECURE", "perhaps", "neither true nor false"),
        ("CHAIN_DELEGATES", "200", "more than 144"),
        ("CHAIN_DELEGATES", "abc", "not a whole number"),
    ],
)
@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_bad_setting(command: str, name: str, value: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"W3BSTREAM_{name}", value)
    error = Cli()(command, "--json", code=1).error
    assert (error["code"], error["field"]) == ("W3B-8007", f"W3BSTREAM_{name}")
    assert error["message"] == f"W3BSTREAM_{name} is {value!r}: {what}"
    assert error["next_step"] == "docs/reference/settings.md lists the settings."


@pytest.mark.parametrize("given", ["999", "145", "-1", "abc", "1.5"])
def test_delegates_that_no_chain_has(given: str) -> None:
    assert "--delegates" in Cli()("up", f"--delegates={given}", code=2).err


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_home_that_is_a_file(command: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("")
    error = Cli()(command, "--json", code=1).error
    assert (error["code"], error["message"]) == ("W3B-8008", f"the home folder {home} cannot be made: it is a file")
    assert "Set W3BSTREAM_HOME" in error["next_step"]
    monkeypatch.setenv("W3BSTREAM_HOME", str(home / "below"))
    error = Cli()(command, "--json", code=1).error
    assert (error["code"], error["message"]) == (
        "W3B-8008",
        f"the home folder {home / 'below'} cannot be made: Not a directory",
    )


def test_a_taken_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("W3BSTREAM_API_PORT", str(port))
        with pytest.raises(Unavailable) as caught, coded_start(load_settings()):
            raise OSError("the API cannot listen")
        assert (caught.value.code, caught.value.message) == ("W3B-8002", f"port {port} on 127.0.0.1 is in use")
        assert caught.value.next_step == "Choose another W3BSTREAM_API_PORT, or leave it out."


def test_a_host_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("W3BSTREAM_API_HOST", "192.0.2.1")
    with pytest.raises(Unavailable) as caught, coded_start(load_settings()):
        raise OSError("the API cannot listen")
    assert (caught.value.code, caught.value.field) == ("W3B-8002", "W3BSTREAM_API_HOST")


def test_another_error_of_the_operating_system() -> None:
    with pytest.raises(Unavailable) as caught, coded_start(load_settings()):
        raise OSError(28, "No space left on device", "ledger.db")
    assert caught.value.message == "the service did not start: [Errno 28] No space left on device: 'ledger.db'"
