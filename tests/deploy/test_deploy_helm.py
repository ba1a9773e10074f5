"""The chart, rendered for its examples: valid, hardened, without secrets, and in step with the service."""

from __future__ import annotations

import copy
import json
import re
import shlex
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
from crd_schemas import schema_of
from deploy_files import (
    CHART,
    DEPLOY,
    EXAMPLES,
    NAMESPACE,
    RELEASE,
    ROOT,
    example,
    of_kind,
    pods,
    rendered,
    settings_of,
)

from coordinator.dispatch.ray_runtime import resource_name
from coordinator.settings import PREFIX

KUBERNETES = ("1.29", "1.33")
Objects = list[dict[str, Any]]


@pytest.fixture(params=EXAMPLES, ids=lambda name: name or "default")
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    return example(request.param)


@pytest.fixture
def objects(values: dict[str, Any]) -> Objects:
    return rendered(values)


def complaint(manifest: dict[str, Any], version: str = KUBERNETES[-1]) -> str:
    """Why the manifest is not valid; empty when it is."""
    try:
        schema = schema_of(manifest["apiVersion"], manifest["kind"])
        if schema is None:
            kubernetes_validate.validate(manifest, version, strict=True)
        else:
            jsonschema.validate(manifest, schema)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return f"{manifest['kind']} {list(error.path)}: {error.message}"
    return ""


def environment(objects: Objects) -> dict[str, str]:
    """What the coordinator's container reads, with something in the place of secrets."""
    (settings,) = of_kind(objects, "ConfigMap")[:1]
    found = dict(settings["data"])
    (container,) = of_kind(objects, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"]
    for each in container["env"]:
        found[each["name"]] = each.get("value", "postgresql://from-a-secret")
    return found


def test_lint_finds_nothing(values: dict[str, Any]) -> None:
    report = helm_python.chart.lint(CHART, values, strict=True, kube_version="v1.33.0")
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid(objects: Objects, version: str) -> None:
    assert [told for each in objects if (told := complaint(each, version))] == []
    assert len({(each["kind"], each["metadata"]["name"]) for each in objects}) == len(objects)


def test_every_pod_template_is_valid_and_hardened(objects: Objects) -> None:
    for name, template in pods(objects):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template["spec"]}
        assert complaint(pod) == ""
        security = template["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*template["spec"]["containers"], *template["spec"].get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]} or "data" in mounted, name


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("RayCluster", ("spec", "enableInTreeAutoscalling"), True),
        ("RayCluster", ("spec", "authOptions", "mode"), "none"),
        ("RayCluster", ("spec", "workerGroupSpecs"), []),
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval"), 30),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "alert"), None),
        ("StatefulSet", ("spec", "replica"), 2),
        ("NetworkPolicy", ("spec", "ingress"), "all"),
    ],
)
def test_the_checks_refuse_what_is_wrong(kind: str, path: tuple[str | int, ...], value: object) -> None:
    broken = copy.deepcopy(of_kind(rendered(example("ha")), kind)[0])
    place: Any = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert complaint(broken) != ""


def test_settings_are_read_as_they_are_written(
    objects: Objects, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(environment(objects), monkeypatch)
    cluster = of_kind(objects, "RayCluster")[0]
    assert settings.ray_address == f"{cluster['metadata']['name']}-head-svc:6379"
    groups = cluster["spec"]["workerGroupSpecs"]
    per_pod = [
        json.loads(group["rayStartParams"]["resources"][1:-1].replace("\\", "")).popitem()[1] for group in groups
    ]
    most = [group["maxReplicas"] * count for group, count in zip(groups, per_pod, strict=True)]
    assert settings.provers_max == max(most)
    assert settings.provers_min <= settings.provers_max
    assert f"{RELEASE}.{NAMESPACE}.svc:{settings.api_port}" in settings.api_names.split(",")
    for name, value in values.get("coordinator", {}).get("settings", {}).items():
        assert getattr(settings, name) == value


def test_ports_are_the_settings_ports(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(environment(objects), monkeypatch)
    (container,) = of_kind(objects, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"api": settings.api_port, "explorer": settings.explorer_port, "metrics": settings.metrics_port}
    for service in of_kind(objects, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys()
    served = (ROOT / "coordinator" / "observability" / "server.py").read_text()
    probes = [container["readinessProbe"]["httpGet"], container["livenessProbe"]["httpGet"]]
    assert [(probe["path"], probe["port"]) for probe in probes] == [("/readyz", "metrics"), ("/healthz", "metrics")]
    assert all(f'"{probe["path"]}"' in served for probe in probes)


def test_each_kind_is_a_group_with_the_resource_that_the_dispatcher_asks_for(
    objects: Objects, values: dict[str, Any]
) -> None:
    groups = of_kind(objects, "RayCluster")[0]["spec"]["workerGroupSpecs"]
    wanted = values.get("provers") or [{"kind": "zkp.groth16", "workers": 1, "minReplicas": 1, "maxReplicas": 8}]
    assert len(groups) == len(wanted)
    for group, kind in zip(groups, wanted, strict=True):
        given = group["rayStartParams"]["resources"]
        (argument,) = shlex.split(given)  # as KubeRay's shell takes it
        assert json.loads(argument) == {resource_name(kind["kind"]): kind["workers"]}
        assert json.loads(given[1:-1].replace("\\", "")) == json.loads(argument)  # as Ray's autoscaler reads it
        assert (group["minReplicas"], group["maxReplicas"]) == (kind["minReplicas"], kind["maxReplicas"])
        spec = group["template"]["spec"]
        assert spec.get("nodeSelector", {}) == kind.get("nodeSelector", {})
        assert spec.get("tolerations", []) == kind.get("tolerations", [])
        assert spec.get("runtimeClassName", "") == kind.get("runtimeClassName", "")


def test_devices_of_enclaves_and_gpus_are_asked_for() -> None:
    groups = of_kind(rendered(example("tee-gpu")), "RayCluster")[0]["spec"]["workerGroupSpecs"]
    limits = {group["groupName"]: group["template"]["spec"]["containers"][0]["resources"]["limits"] for group in groups}
    assert limits["zkp-groth16"]["nvidia.com/gpu"] == 1
    assert limits["tee-sgx"]["sgx.intel.com/enclave"] == 1
    assert {group["groupName"]: group["minReplicas"] for group in groups}["tee-sev-snp"] == 0


def test_secrets_are_named_and_never_written(objects: Objects) -> None:
    assert of_kind(objects, "Secret") == []
    container = of_kind(objects, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]
    by_name = {each["name"]: each for each in container["env"]}
    for name in ("LEDGER_URL", "NATS_URL", "CHAIN_RPC_URL"):
        assert "secretKeyRef" in by_name[PREFIX + name]["valueFrom"]
    assert by_name["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": f"{RELEASE}-ray", "key": "auth_token"}
    assert of_kind(objects, "RayCluster")[0]["spec"]["authOptions"]["mode"] == "token"
    assert not re.search(r"://[^/\s]*:[^/\s]*@", (CHART / "values.yaml").read_text())


def test_the_service_finds_coordinators_only_and_some_stay_up(objects: Objects) -> None:
    template = of_kind(objects, "StatefulSet")[0]["spec"]["template"]["metadata"]["labels"]
    selectors = [each["spec"]["selector"] for each in of_kind(objects, "Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(objects, "PodDisruptionBudget")]
    for selector in selectors:
        assert selector.items() <= template.items()
        assert all(
            not selector.items() <= pod["metadata"]["labels"].items()
            for name, pod in pods(objects)
            if name != "coordinator"
        )
    replicas = of_kind(objects, "StatefulSet")[0]["spec"]["replicas"]
    assert 1 <= of_kind(objects, "PodDisruptionBudget")[0]["spec"]["minAvailable"] < replicas


def test_provers_reach_nobody_but_the_cluster(objects: Objects) -> None:
    (policy,) = [each for each in of_kind(objects, "NetworkPolicy") if "Egress" in each["spec"]["policyTypes"]]
    assert policy["spec"]["podSelector"]["matchLabels"]["ray.io/node-type"] == "worker"
    for rule in policy["spec"]["egress"]:
        assert rule["to"]
        assert all("ipBlock" not in peer for peer in rule["to"])


def test_provers_may_send_traces_to_a_named_collector_only() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tracing"}}}
    objects = rendered({"networkPolicy": {"collector": [peer]}})
    (policy,) = [each for each in of_kind(objects, "NetworkPolicy") if "Egress" in each["spec"]["policyTypes"]]
    assert policy["spec"]["egress"][-1] == {"to": [peer], "ports": [{"port": 4317, "protocol": "TCP"}]}
    assert len(policy["spec"]["egress"]) == 3
    assert complaint(policy) == ""


def test_monitors_find_the_ports_and_carry_rules_and_dashboards() -> None:
    objects = rendered(example("ha"))
    (monitor,) = of_kind(objects, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [each for each in of_kind(objects, "Service") if wanted <= each["metadata"]["labels"].items()]
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (dashboards,) = [
        each for each in of_kind(objects, "ConfigMap") if "grafana_dashboard" in each["metadata"]["labels"]
    ]
    kept = {path.name: json.loads(path.read_text()) for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")}
    assert {name: json.loads(text) for name, text in dashboards["data"].items()} == kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"coordinator": {"replica": 3}},
        {"coordinator": {"replicas": 0}},
        {"coordinator": {"settings": {"ledger_url": "postgresql://u:p@h/d"}}},
        {"coordinator": {"settings": {"W3BSTREAM_PROVERS": 2}}},
        {"secrets": {"connections": ""}},
        {"secrets": {"tls": ""}},
        {"provers": []},
        {"provers": [{"kind": "Zkp", "minReplicas": 1, "maxReplicas": 1, "workers": 1, "resources": {}}]},
        {"ray": {"version": "latest"}},
        {"explorer": {"url": "https://user@host"}},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(helm_python.errors.HelmError):
        rendered(wrong)


def test_the_chart_names_the_ray_that_is_locked() -> None:
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements" / "dev.lock").read_text(), re.MULTILINE)
    with helm_python.Chart.load(CHART) as chart:
        assert locked is not None
        assert chart.values["ray"]["version"] == locked[1]
