"""Ethereum's JSON-RPC over HTTP, as web3.py, cast and wallets speak it.

In come JSON-RPC requests, single or in batches; out go results from the chain and the mempool, with geth's error words.
"""
