"""What the pages read from the ledger, as plain values.

In come a session, a viewer and what a page asks for; out go dicts of text and numbers, bounded in size, read through an
index, and only of what the viewer may see. Times are milliseconds since the Unix epoch.
"""
