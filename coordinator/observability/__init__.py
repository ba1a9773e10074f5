"""What an operator sees from outside: metrics, health and traces. In come the ledger, its history and what the parts
counted; out go Prometheus text, `/healthz` and `/readyz`, gRPC health and OpenTelemetry spans.

Almost every figure is read off the ledger, which knows it already; only what the ledger cannot tell is counted where it
happens (`tally.py`).
"""
