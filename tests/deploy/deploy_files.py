"""The deploy files as values, and the rules that all of them keep."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart

from coordinator.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "w3bstream"
EXAMPLES = ("", "ha", "tee-gpu")
RELEASE, NAMESPACE = "depin", "production"


def example(name: str) -> dict[str, Any]:
    """Values of an example; none for the chart's defaults."""
    return yaml.safe_load((DEPLOY / "helm" / "examples" / f"{name}.yaml").read_text()) if name else {}


def rendered(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every object that the chart makes of the values."""
    with Chart.load(CHART) as chart:
        texts = chart.render(values=dict(values), name=RELEASE, namespace=NAMESPACE)
    found = [each for name, text in texts.items() if name.endswith(".yaml") for each in yaml.safe_load_all(text)]
    return [each for each in found if each is not None]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod template's name and spec, those inside the RayCluster too."""
    for each in of_kind(objects, "StatefulSet"):
        yield "coordinator", each["spec"]["template"]
    for cluster in of_kind(objects, "RayCluster"):
        yield "ray-head", cluster["spec"]["headGroupSpec"]["template"]
        for group in cluster["spec"]["workerGroupSpecs"]:
            yield group["groupName"], group["template"]


def settings_of(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as the service reads them from an environment. Raises ValidationError."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    return Settings()


def variables(text: str) -> set[str]:
    """The service's variables that a text names."""
    return set(re.findall(rf"{PREFIX}[A-Z][A-Z0-9_]*", text))
