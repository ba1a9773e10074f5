"""Appraisal of TEE evidence (RFC 9334): a platform's evidence, endorsements, anchors, policy and a time go in; an
attestation result (draft-ietf-rats-ear-04, with the AR4SI vector) that names its trust anchor comes out.
"""
