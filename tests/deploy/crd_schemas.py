"""The parts of other people's resource definitions that the chart uses, as JSON schemas written from their API
references (KubeRay v1.6 `ray.io/v1`, Prometheus operator `monitoring.coreos.com/v1`); unknown fields are refused."""

from __future__ import annotations

from typing import Any


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
WORDS = {"type": "object", "additionalProperties": {"type": "string"}}
SELECTOR = closed(["matchLabels"], matchLabels=WORDS)
POD = closed(["spec"], metadata=closed([], labels=WORDS, annotations=WORDS), spec={"type": "object"})
METADATA = closed(["name", "labels"], name={"type": "string", "maxLength": 50}, labels=WORDS)
SECONDS = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}
ENDPOINT = closed(["port"], port=TEXT, path=TEXT, interval=SECONDS)
RULE = closed(
    ["expr"], alert=TEXT, record=TEXT, expr={"type": ["string", "integer"]}, labels=WORDS, annotations=WORDS
) | {"oneOf": [{"required": ["alert"]}, {"required": ["record"]}]}
RULE["properties"]["for"] = SECONDS

AUTOSCALER = closed(
    [],
    version={"enum": ["v1", "v2"]},
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    idleTimeoutSeconds=COUNT,
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    image=TEXT,
    env={"type": "array"},
    resources={"type": "object"},
    securityContext={"type": "object"},
    volumeMounts={"type": "array"},
)
GROUP = closed(
    ["groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    groupName={"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"},
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=WORDS,
    template=POD,
)
HEAD = closed(
    ["rayStartParams", "template"],
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    rayStartParams=WORDS,
    template=POD,
)
SPECS: dict[tuple[str, str], dict[str, Any]] = {
    ("ray.io/v1", "RayCluster"): closed(
        ["rayVersion", "headGroupSpec", "workerGroupSpecs"],
        rayVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        authOptions=closed(["mode"], mode={"enum": ["disabled", "token"]}, secretName=TEXT),
        enableInTreeAutoscaling={"type": "boolean"},
        autoscalerOptions=AUTOSCALER,
        headGroupSpec=HEAD,
        workerGroupSpecs={"type": "array", "minItems": 1, "items": GROUP},
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): closed(
        ["selector", "endpoints"], selector=SELECTOR, endpoints={"type": "array", "minItems": 1, "items": ENDPOINT}
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): closed(
        ["selector", "podMetricsEndpoints"],
        selector=SELECTOR,
        podMetricsEndpoints={"type": "array", "minItems": 1, "items": ENDPOINT},
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): closed(
        ["groups"],
        groups={
            "type": "array",
            "minItems": 1,
            "items": closed(["name", "rules"], name=TEXT, interval=SECONDS, rules={"type": "array", "items": RULE}),
        },
    ),
}


def schema_of(api_version: str, kind: str) -> dict[str, Any] | None:
    """The schema of a whole object; None for what Kubernetes itself defines."""
    spec = SPECS.get((api_version, kind))
    if spec is None:
        return None
    constants = {"apiVersion": {"const": api_version}, "kind": {"const": kind}}
    return closed([*constants, "metadata", "spec"], metadata=METADATA, spec=spec, **constants)
