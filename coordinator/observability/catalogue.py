"""Every metric there is, in one table: `docs/reference/metrics.md` is drawn from it, and nothing else makes a metric.

Names follow Prometheus: a unit at the end, `_total` for counters. Labels are bounded: states, kinds, codes, methods and
hosts, never an id or an address. The project's id is a label only where `W3BSTREAM_METRICS_PROJECTS` asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["counter", "gauge", "histogram"]
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets in seconds, for calls."""
SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)
"""Buckets in seconds, for stages of a task."""


@dataclass(frozen=True)
class Metric:
    """One family."""

    name: str
    """As it is scraped, but that histograms add `_bucket`, `_sum` and `_count`."""
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds in seconds, for a histogram."""
    by_project: bool = False
    """Has the label `project` too, where the setting asks for it."""


TALLIED = (
    Metric("w3bstream_api_calls_total", "counter", "API calls that ended, by error code (`OK`).", ("method", "code")),
    Metric("w3bstream_api_call_seconds", "histogram", "Length of plain API calls.", ("method",), QUICK),
    Metric("w3bstream_quota_refusals_total", "counter", "Calls refused because of a rate or a quota.", ("code",)),
    Metric(
        "w3bstream_ledger_transaction_seconds",
        "histogram",
        "Ledger transactions, the wait for their turn included.",
        (),
        QUICK,
    ),
    Metric(
        "w3bstream_ledger_errors_total",
        "counter",
        "Ledger transactions and reads that the database failed; SQLite's have the code `none`.",
        ("code",),
    ),
    Metric(
        "w3bstream_rpc_seconds", "histogram", "JSON-RPC calls to the chain's servers.", ("endpoint", "method"), QUICK
    ),
    Metric(
        "w3bstream_rpc_errors_total",
        "counter",
        "JSON-RPC calls without a good answer, by error code.",
        ("endpoint", "method", "code"),
    ),
    Metric(
        "w3bstream_reconcile_breaks",
        "gauge",
        "Breaks of the invariants that the last whole comparison found.",
        ("code",),
    ),
    Metric(
        "w3bstream_reconcile_timestamp_seconds",
        "gauge",
        "When the last whole comparison ended, Unix time; 0 before the first.",
    ),
    Metric("w3bstream_spans_total", "counter", "Spans of tasks handed to the collector, by outcome.", ("outcome",)),
)
"""Counted where it happens: of this process, since it started."""

LIVED = (
    Metric("w3bstream_task_transitions_total", "counter", "Tasks that came into a state.", ("state",)),
    Metric(
        "w3bstream_task_stage_seconds",
        "histogram",
        "Length of each stage of the tasks that became FINAL.",
        ("stage",),
        SLOW,
    ),
    Metric("w3bstream_task_seconds", "histogram", "First reading to FINAL.", (), SLOW),
    Metric(
        "w3bstream_attempts_started_total",
        "counter",
        "Attempts: `first` of their kind, `retry`, or `hedge`.",
        ("kind", "cause"),
    ),
    Metric(
        "w3bstream_attempts_ended_total",
        "counter",
        "Attempts that ended, by how; LOST is a lost lease.",
        ("kind", "outcome", "code"),
    ),
    Metric("w3bstream_late_reports_total", "counter", "Reports of attempts that had ended, refused.", ()),
    Metric("w3bstream_prover_busy_seconds_total", "counter", "Time that provers held a lease.", ("kind",)),
    Metric(
        "w3bstream_transactions_total", "counter", "Steps of transactions on the finality ladder.", ("purpose", "step")
    ),
    Metric("w3bstream_transaction_gas_total", "counter", "Gas of mined transactions.", ("purpose",)),
    Metric(
        "w3bstream_webhook_deliveries_total", "counter", "Tries, by class of answer (`2xx`, …, `none`).", ("answer",)
    ),
    Metric("w3bstream_webhook_delivery_seconds", "histogram", "Length of a try.", (), QUICK),
    Metric("w3bstream_webhook_lag_seconds", "histogram", "From an event to its 2xx.", (), SLOW),
)
"""From the ledger's history, from when this process first looked: the same in every coordinator of a ledger."""

STANDING = (
    Metric("w3bstream_tasks", "gauge", "Tasks in each state.", ("state",)),
    Metric("w3bstream_queue_tasks", "gauge", "OPEN tasks that no prover works on, by kinds.", ("kind",)),
    Metric("w3bstream_queue_oldest_seconds", "gauge", "Age of the oldest of them.", ("kind",)),
    Metric("w3bstream_provers", "gauge", "Prover workers.", ("kind", "status")),
    Metric("w3bstream_readings_accepted_total", "counter", "Readings accepted, ever.", (), by_project=True),
    Metric(
        "w3bstream_readings_refused_total",
        "counter",
        "Messages refused, ever, by error code.",
        ("code",),
        by_project=True,
    ),
    Metric(
        "w3bstream_readings_missing", "gauge", "Sequence numbers jumped over that have not come.", (), by_project=True
    ),
    Metric("w3bstream_windows_open", "gauge", "Windows with readings that are not closed yet.", (), by_project=True),
    Metric("w3bstream_window_open_seconds", "gauge", "Age of the oldest open window.", (), by_project=True),
    Metric("w3bstream_intake_stopped", "gauge", "Projects whose intake stands still, by error code.", ("code",)),
    Metric("w3bstream_outbox_transactions", "gauge", "Transactions that are not FINAL.", ("purpose", "state")),
    Metric(
        "w3bstream_outbox_oldest_seconds",
        "gauge",
        "Age of the oldest transaction in each state but REFUSED.",
        ("state",),
    ),
    Metric("w3bstream_webhook_messages", "gauge", "Webhook messages PENDING and DEAD.", ("state",)),
    Metric("w3bstream_webhook_oldest_seconds", "gauge", "Age of the oldest PENDING message of an enabled endpoint."),
    Metric("w3bstream_webhook_endpoints", "gauge", "Webhook endpoints.", ("state",)),
    Metric(
        "w3bstream_leader_terms_total", "counter", "Terms of leaders on this ledger, ever: one more with each change."
    ),
)
"""Read off the ledger at each scrape: the same in every coordinator of a ledger."""

AROUND = (
    Metric("w3bstream_build_info", "gauge", "Always 1.", ("version", "python")),
    Metric("w3bstream_leader", "gauge", "1 when this coordinator leads."),
    Metric("w3bstream_ready", "gauge", "1 when `/readyz` says yes."),
    Metric("w3bstream_check_ok", "gauge", "1 for each check of `/readyz` that holds.", ("check",)),
    Metric("w3bstream_disk_free_bytes", "gauge", "Free bytes where the home folder is."),
    Metric(
        "w3bstream_event_loop_lag_seconds",
        "gauge",
        "The longest that the event loop let a timer wait, of the last minute.",
    ),
    Metric(
        "w3bstream_stream_lag_messages",
        "gauge",
        "Messages in the streams that the intake has not taken.",
        (),
        by_project=True,
    ),
    Metric("w3bstream_chain_head_block", "gauge", "Newest block of the chain."),
    Metric("w3bstream_chain_head_seconds", "gauge", "Age of the newest block, by its own time."),
    Metric("w3bstream_chain_base_fee_wei", "gauge", "Base fee of a gas in the newest block."),
    Metric("w3bstream_finality_lag_blocks", "gauge", "Blocks from the newest final one to the newest one."),
    Metric(
        "w3bstream_outbox_nonce_gap",
        "gauge",
        "Nonces given out that neither the chain nor a transaction in flight has.",
    ),
)
"""Looked at in this coordinator's surroundings at each scrape; what does not answer is left out."""

CATALOGUE = {metric.name: metric for metric in (*TALLIED, *LIVED, *STANDING, *AROUND)}
"""By name."""
PROCESS = (
    ("process_cpu_seconds_total", "counter", "User and system CPU time of this process."),
    ("process_resident_memory_bytes", "gauge", "Resident memory."),
    ("process_virtual_memory_bytes", "gauge", "Virtual memory."),
    ("process_open_fds", "gauge", "Open file descriptors."),
    ("process_max_fds", "gauge", "Most that it may open."),
    ("process_start_time_seconds", "gauge", "When it started, Unix time."),
)
"""Those of the Prometheus client library about the process."""


def samples_of(metric: Metric) -> list[str]:
    """The names under which its samples are scraped."""
    if metric.type == "histogram":
        return [f"{metric.name}{suffix}" for suffix in ("_bucket", "_sum", "_count")]
    return [metric.name]


def markdown() -> str:
    """The docs page."""
    head = (
        "# Metrics\n\nGenerated from `coordinator/observability/catalogue.py` by `make docs`; do not edit.\n\n"
        "Where they are and what to do with them: [Observe](../how-to/observe.md). No label holds an id or an address;\n"
        "`project` (marked ¹) is there only with `W3BSTREAM_METRICS_PROJECTS=1`.\n"
    )
    sections = (
        ("Counted by this coordinator since it started", TALLIED),
        ("From the ledger's history, the same in every coordinator: use `max`, never `sum`, across them", LIVED),
        ("The ledger as it stands, the same in every coordinator", STANDING),
        ("This coordinator's surroundings", AROUND),
    )
    parts = [head]
    for title, metrics in sections:
        parts.append(f"\n## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
        for each in metrics:
            labels = ", ".join(f"`{label}`" for label in each.labels) + (" ¹" if each.by_project else "")
            parts.append(f"| `{each.name}` | {each.type} | {labels.strip()} | {each.help} |\n")
    parts.append("\n## The process\n\n| metric | type | meaning |\n|---|---|---|\n")
    parts += [f"| `{name}` | {kind} | {text} |\n" for name, kind, text in PROCESS]
    return "".join(parts)


if __name__ == "__main__":
    print(markdown(), end="")
