"""The handlers, one module a subject, and the one table of addresses.

In come a request and its viewer; out goes a Page, which the server writes as HTML or as JSON.
"""
