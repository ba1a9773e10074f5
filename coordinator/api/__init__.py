"""The gRPC API: it checks who calls and what they may do, then reads the ledger or hands the request to its room.

In come calls with an API key; out go answers rendered from ledger rows, or rich errors with a stable code. `client.py`
is the other end, which needs no other room.
"""
