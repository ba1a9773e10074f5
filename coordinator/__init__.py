"""The service: it pulls readings, forms windows, has them proven, settles the results on a chain and tells who asked.

In come signed readings and API calls; out come transactions, webhooks and the ledger that says where each task is.
"""
