"""The compose file: what it names is there, nothing is open or secret in clear, and the service reads its settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_files import DEPLOY, settings_of

from coordinator.dispatch.ray_runtime import resource_name

FOLDER = DEPLOY / "compose"
KNOWN = {
    "cap_drop",
    "command",
    "depends_on",
    "deploy",
    "entrypoint",
    "environment",
    "healthcheck",
    "image",
    "init",
    "network_mode",
    "networks",
    "ports",
    "read_only",
    "restart",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "tmpfs",
    "user",
    "volumes",
}
"""Keys of a service that we use, all of the Compose Specification."""
ONCE = {"nats-volume"}
"""Services that do one thing and end."""
COORDINATORS = ("coordinator-1", "coordinator-2")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return compose["services"]


def filled(text: str) -> str:
    """A value with its variables replaced, as compose does it."""
    return re.sub(r"\$\{(\w+)(?::[?-][^}]*)?\}", lambda found: f"{found[1].lower()}-value", text)


def words(command: Any) -> str:
    assert isinstance(command, list)
    assert all(isinstance(word, str) for word in command), "a word that YAML reads as something else"
    return " ".join(command)


def test_every_name_leads_somewhere(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    assert {key for key in compose if not key.startswith("x-")} == {"name", "services", "networks", "volumes"}
    for name, service in services.items():
        assert service.keys() <= KNOWN, name
        for other, how in service.get("depends_on", {}).items():
            assert other in services, name
            wanted = {
                "service_healthy": "healthcheck" in services[other],
                "service_completed_successfully": other in ONCE,
            }
            assert wanted[how["condition"]], (name, other)
        assert set(service.get("networks", [])) <= compose["networks"].keys(), name
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source == "./keys":
                continue  # the operator's, see docs/how-to/deploy-compose.md
            assert (FOLDER / source).exists() if source.startswith(".") else source in compose["volumes"], (
                name,
                source,
            )


def test_services_stay_up_and_are_looked_after(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        image = filled(service["image"])
        assert ":" in image.rsplit("/", 1)[-1], name
        assert not image.endswith(":latest"), name
        if name in ONCE:
            continue
        assert service["restart"] == "unless-stopped", name
        assert "no-new-privileges:true" in service["security_opt"], name
        check = service["healthcheck"]
        assert check["test"][0] == "CMD", name
        assert {"interval", "timeout", "retries"} <= check.keys(), name
        words(check["test"])
        words(service.get("command", []))
        if name != "postgres":  # it writes where its image wants to
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name


def test_ports_are_open_on_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.rsplit(":", 1)[0] for port in ports}) == len(ports)
    assert all("ports" not in services[name] for name in ("postgres", "nats", "ray-head", "prover-groth16"))


def test_provers_ledger_and_streams_reach_nobody_outside(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    assert compose["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "nats", "ray-head", "prover-groth16", "prometheus"):
        assert services[name]["networks"] == ["inside"], name


def test_secrets_come_from_the_environment_and_must_be_set(services: dict[str, dict[str, Any]]) -> None:
    text = (FOLDER / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    example = dict(line.split("=", 1) for line in (FOLDER / ".env.example").read_text().splitlines() if "=" in line)
    assert example.keys() == asked
    assert set(example.values()) == {""}, "an example must hold no value that works"
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET", variable):
                assert value.startswith("${"), (name, variable)
            assert not re.search(r"://[^/@$]*:[^/@$]+@", value), (name, variable)


@pytest.mark.parametrize("name", COORDINATORS)
def test_the_service_reads_these_settings(
    name: str, services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {key: filled(value) for key, value in services[name]["environment"].items()}
    settings = settings_of(environment, monkeypatch)
    assert settings.ray_address == "ray-head:6379"
    assert settings.ledger_url.startswith("postgresql://")
    inner = {int(port.rsplit(":", 1)[1]) for port in services[name]["ports"]}
    assert inner == {settings.api_port, settings.explorer_port}
    assert words(services[name]["healthcheck"]["test"]).endswith(f":{settings.metrics_port}/healthz")
    published = {port.split(":")[1] for each in COORDINATORS for port in services[each]["ports"]}
    assert {host.split(":")[1] for host in settings.api_names.split(",")} <= published


def test_coordinators_differ_in_their_home_only(services: dict[str, dict[str, Any]]) -> None:
    first, second = (dict(services[name]) for name in COORDINATORS)
    homes = [service.pop("volumes")[0] for service in (first, second)]
    first.pop("ports"), second.pop("ports")
    assert first == second
    assert homes == [f"{name}:/data" for name in COORDINATORS]


def test_workers_bring_the_resource_that_the_dispatcher_asks_for(services: dict[str, dict[str, Any]]) -> None:
    given = re.search(r"--resources='([^']*)'", words(services["prover-groth16"]["command"]))
    assert given is not None
    assert json.loads(given[1]) == {resource_name("zkp.groth16"): 1}


def test_prometheus_and_grafana_find_each_other(services: dict[str, dict[str, Any]]) -> None:
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    targets = scraped["scrape_configs"][0]["static_configs"][0]["targets"]
    port = services["coordinator-1"]["environment"]["W3BSTREAM_METRICS_PORT"]
    assert targets == [f"{name}:{port}" for name in COORDINATORS]
    mounted = {Path(mount.split(":")[1]).name for mount in services["prometheus"]["volumes"]}
    assert set(scraped["rule_files"]) <= mounted
    (source,) = yaml.safe_load((FOLDER / "grafana-datasource.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_nats_keeps_streams_and_asks_for_a_password(services: dict[str, dict[str, Any]]) -> None:
    text = (FOLDER / "nats.conf").read_text()
    assert "$NATS_PASSWORD" in text
    assert "NATS_PASSWORD" in services["nats"]["environment"]
    stored = re.search(r"store_dir:\s*(\S+)", text)
    assert stored is not None
    assert f"nats:{stored[1]}" in services["nats"]["volumes"]
