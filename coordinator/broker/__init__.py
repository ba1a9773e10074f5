"""The key broker: a relying party (RFC 9334) that hands a project's secrets to attested enclaves and to nobody else.

In comes a request that an enclave's session key signed, with evidence (background-check model) or with a verifier's
attestation result (passport model); out comes the secret, encrypted to a key that the request names.
"""
