"""The dashboard and the alerts ask for metrics that exist, by labels that those have, and each alert has its runbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from coordinator.observability.catalogue import CATALOGUE, PROCESS, samples_of

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy/grafana/dashboards/w3bstream.json"
RULES = ROOT / "deploy/prometheus/w3bstream.rules.yml"
LABELS = {
    sample: {
        *metric.labels,
        *(["le"] if metric.type == "histogram" else []),
        *(["project"] if metric.by_project else []),
    }
    for metric in CATALOGUE.values()
    for sample in samples_of(metric)
} | {name: set() for name, _, _ in PROCESS}
GIVEN = {"job", "instance"}
"""Labels that Prometheus adds to each target's samples."""
# PromQL (Prometheus 3, "Querying basics"): what may stand in an expression of ours, longest match first.
TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<range>\[(?:\$__rate_interval|\d+[smhd](?::\d+[smhd])?)\])"""
    r"""|(?P<number>\d+(?:\.\d+)?(?:e\d+)?[smhd]?)|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"""
    r"""|(?P<operator>==|!=|<=|>=|=~|!~|[-+*/<>=])|(?P<mark>[(){},]))"""
)
FUNCTIONS = {
    "max",
    "min",
    "sum",
    "rate",
    "increase",
    "changes",
    "histogram_quantile",
    "vector",
    "by",
    "on",
    "and",
    "or",
    "offset",
}
PAIRS = {")": "(", "}": "{"}
COUNTED = re.compile(r"\b(?:rate|increase)\((\w+)")


def expressions() -> list[str]:
    """Every PromQL expression that is shipped."""
    board = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    found += [each["expr"] for each in board["annotations"]["list"]]
    found += [rule["expr"] for rule in alerts()]
    return found


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def tokens(expression: str) -> list[tuple[str, str]]:
    """(kind, text) of each token. Fails on what is none, and on brackets that do not pair."""
    found, at, opened = [], 0, []
    while at < len(expression.rstrip()):
        match = TOKEN.match(expression, at)
        assert match, f"{expression!r} at {at}: {expression[at:]!r}"
        at = match.end()
        kind = str(match.lastgroup)
        text = match[kind]
        found.append((kind, text))
        if text in PAIRS.values():
            opened.append(text)
        elif text in PAIRS:
            assert opened, expression
            assert opened.pop() == PAIRS[text], expression
    assert not opened, expression
    return found


@pytest.mark.parametrize("expression", expressions())
def test_expressions_ask_for_what_there_is(expression: str) -> None:
    found = tokens(expression)
    metrics = {text for kind, text in found if kind == "name" and (text in LABELS or text == "up")}
    assert metrics, expression
    allowed = set().union(*(LABELS.get(name, set()) for name in metrics)) | GIVEN
    for kind, text in found:
        if kind == "name":
            assert text in metrics | allowed | FUNCTIONS, f"{text} in {expression}"
    for name in COUNTED.findall(expression):
        assert name.endswith(("_total", "_bucket", "_count", "_sum")), f"rate of a gauge: {expression}"


def test_a_wrong_expression_is_noticed() -> None:
    for wrong in ("sum(w3bstream_tasks", "max(w3bstream_tasks{state='x'})", "sum(}"):
        with pytest.raises(AssertionError):
            tokens(wrong)


def test_every_metric_of_the_ledger_is_on_the_dashboard() -> None:
    shown = " ".join(expressions())
    left_out = {name for name in CATALOGUE if name not in shown}
    assert left_out == {
        "w3bstream_build_info",
        "w3bstream_reconcile_timestamp_seconds",
        "w3bstream_spans_total",
        "w3bstream_chain_head_block",
    }


def test_dashboard_is_sane() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert {"uid", "title", "schemaVersion", "panels", "templating"} <= set(board)
    assert {each["name"]: each["type"] for each in board["templating"]["list"]} == {
        "datasource": "datasource",
        "job": "query",
    }
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Provers", "Chain", "Intake", "Webhooks", "API and process"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
            assert panel["targets"]


def test_each_alert_leads_to_its_runbook() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/how-to/observe.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/how-to/observe.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")


def test_provisioning_and_scrape_files_agree() -> None:
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert prometheus["rule_files"] == [RULES.name]
    assert [each["job_name"] for each in prometheus["scrape_configs"]] == ["w3bstream"]
    for name in ("dashboards", "datasources"):
        assert (
            yaml.safe_load((ROOT / f"deploy/grafana/provisioning/{name}/w3bstream.yml").read_text())["apiVersion"] == 1
        )
