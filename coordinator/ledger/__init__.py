"""The ledger: every state of record, in one SQL database, changed only in transactions.

In come transitions and facts from the other rooms; out come the rows they read. Tables stand in `*tables.py`, the two
state machines in `transitions.py`, and the way in is `store.Ledger`.
"""
