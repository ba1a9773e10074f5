"""Webhooks: tells a project's endpoints what became of its tasks, signed, at least once, with a stable webhook-id.

In come messages that other rooms put into the ledger's webhook outbox; out go HTTP POSTs through one SSRF guard, and a
row in the delivery log for every try.
"""
