"""The no-op job of `jobs.py` as a Celery task: durable as Celery offers it, acknowledged late."""

from __future__ import annotations

import os

from celery import Celery  # type: ignore[import-untyped]

app = Celery("spine", broker=os.environ.get("SPINE_REDIS", ""), backend=os.environ.get("SPINE_REDIS", ""))
app.conf.update(task_acks_late=True, task_ignore_result=False, worker_send_task_events=False, result_expires=600)


@app.task(name="spine.noop")  # type: ignore[untyped-decorator]
def noop(payload: str) -> str:
    """Take a payload of a job's size, give back a result of its size."""
    return payload[:64]
