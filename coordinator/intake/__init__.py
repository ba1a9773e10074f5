"""Intake: reads each project's DA stream, admits or refuses every message, and closes windows into tasks.

In come signed readings on NATS JetStream and the published project versions; out go accepted readings, dead letters
with their reason, gaps, and tasks in state RECEIVED, all written in one ledger transaction with the stream cursor.
"""
